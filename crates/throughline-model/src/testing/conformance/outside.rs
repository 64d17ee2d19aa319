//! Readers that are opened by themselves, and readers that are used elsewhere.

use super::oracle::Oracle;
use super::{StoreFixture, hold, open};
use crate::testing::{run, sample_log};
use crate::{Filter, InstanceId, Liveness, OpenError, Readers, RunState, TraceEvent};

async fn open_readers(fixture: &impl StoreFixture) -> Result<Readers, OpenError> {
    fixture.config().open_readers().await
}

async fn assert_all(oracle: &Oracle<'_>, readers: &Readers) {
    oracle.assert_events(&*readers.reader, &Filter::new()).await;
    oracle.assert_runs(&*readers.reader, &Filter::new()).await;
    oracle.assert_analytics(&*readers.analytics).await;
}

pub fn readers_by_themselves_see_what_was_acknowledged<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(12, 20, &[store.id]);
        let (before, after) = log.split_at(log.len() / 2);
        store.append_in_groups(before).await;
        let readers = open_readers(fixture).await.unwrap();
        assert_all(&Oracle::with_living(before, &[store.id]), &readers).await;
        store.append_in_groups(after).await;
        assert_all(&Oracle::with_living(&log, &[store.id]), &readers).await;
    });
}

pub fn readers_by_themselves_answer_after_the_store_was_closed<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").instance(store.id);
        builder.begin("stage:sign");
        store.append(&builder.events()).await;
        let opened_before = open_readers(fixture).await.unwrap();
        let id = store.id;
        store.close().await;
        let opened_after = open_readers(fixture).await.unwrap();
        for Readers { reader, .. } in [opened_before, opened_after] {
            assert_eq!(reader.trace(builder.trace_id()).await.unwrap(), builder.events());
            let summary = reader.run(builder.trace_id()).await.unwrap().unwrap();
            assert_eq!(summary.state, RunState::Interrupted, "readers hold no lease");
            assert_eq!(reader.liveness(&[id]).await.unwrap(), [Liveness::Dead]);
        }
    });
}

pub fn readers_by_themselves_make_no_store<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        // A store that is not there yet has nothing to read, or can't be read.
        if let Ok(Readers { reader, .. }) = open_readers(fixture).await {
            assert_eq!(super::pages::runs(&*reader, &Filter::new()).await, []);
        }
        let store = open(fixture).await;
        let log = sample_log(14, 5, &[]);
        store.append(&log).await;
        assert_all(&Oracle::with_living(&log, &[]), &open_readers(fixture).await.unwrap()).await;
    });
}

/// Asks on a runtime of its own, as a program does whose emitter has the store open elsewhere.
async fn ask_elsewhere(log: Vec<TraceEvent>, living: InstanceId, readers: Readers) {
    let asked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(assert_all(&Oracle::with_living(&log, &[living]), &readers));
    });
    asked.await.unwrap();
}

pub fn questions_are_answered_on_any_runtime<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(15, 5, &[store.id]);
        store.append(&log).await;
        for readers in [store.store.readers(), open_readers(fixture).await.unwrap()] {
            ask_elsewhere(log.clone(), store.id, readers).await;
        }
    });
}
