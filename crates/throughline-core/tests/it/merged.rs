//! What waits in a spool is read together with what the store has.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use serde_json::json;
use throughline_core::testing::{FaultySpool, FaultyStore, MemorySpool, RemoteStore, sample_log};
use throughline_core::{
    DropReason, Filter, Instance, InstanceId, MemoryStore, MergedReader, Page, Paged, ReadError, RunState,
    Spool, SpoolConfig, SpoolReader, Status, StoreConfig, Throughline, TraceContext, TraceEvent, TraceId,
    TraceReader,
};

use crate::support::{SOON, away, impatient};

/// The answer of a store that can't be read.
fn unreadable() -> ReadError {
    ReadError::Unavailable { reason: "away".to_owned(), source: None }
}

async fn holding(events: impl IntoIterator<Item = &TraceEvent>) -> Arc<dyn TraceReader> {
    let store = MemoryStore::new();
    let open = store.open(Instance::new(InstanceId::from_u64(99), "test")).await.unwrap();
    let events: Vec<_> = events.into_iter().cloned().map(Arc::new).collect();
    open.append(&events).await.unwrap();
    store.readers().reader
}

async fn spooling(events: impl IntoIterator<Item = &TraceEvent>) -> Arc<dyn Spool> {
    let spool = MemorySpool::new().capacity_bytes(u64::MAX);
    let open = spool.open(Instance::new(InstanceId::from_u64(99), "test")).await.unwrap();
    let events: Vec<_> = events.into_iter().cloned().map(Arc::new).collect();
    open.push(&events).await.unwrap();
    open
}

async fn all_pages<T: Clone>(
    limit: usize,
    mut read: impl AsyncFnMut(&Page) -> Result<Paged<T>, ReadError>,
) -> Vec<T> {
    let mut page = Page::first(limit);
    let mut all = Vec::new();
    loop {
        let found = read(&page).await.unwrap();
        assert!(found.items.len() <= limit);
        let is_last = !page.turn(&found).unwrap();
        all.extend(found.items);
        if is_last {
            return all;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_merged_reader_answers_as_a_store_that_has_everything(
        seed in 0u64..1_000,
        runs in 1usize..12,
        cuts in proptest::collection::vec(0usize..30, 12),
        overlap in 0usize..3,
        limit in 1usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let log = sample_log(seed, runs, &[]);
            let (mut of_run, mut cut): (HashMap<TraceId, usize>, HashMap<TraceId, usize>) = Default::default();
            let (mut stored, mut waiting) = (Vec::new(), Vec::new());
            for event in &log {
                let known = cut.len();
                let cut = *cut.entry(event.trace_id).or_insert_with(|| cuts[known]);
                let place = of_run.entry(event.trace_id).or_default();
                if *place < cut + overlap {
                    stored.push(event);
                }
                if *place >= cut {
                    waiting.push(event);
                }
                *place += 1;
            }
            let whole = holding(&log).await;
            let merged = MergedReader::new(holding(stored).await, spooling(waiting).await.reader());

            for id in of_run.keys().copied().chain([TraceId::from_key("nobody")]) {
                let trace = merged.trace(id).await.unwrap();
                assert_eq!(trace, whole.trace(id).await.unwrap());
                assert_eq!(all_pages(limit, async |page| merged.trace_page(id, page).await).await, trace);
                assert_eq!(merged.run(id).await.unwrap(), whole.run(id).await.unwrap());
                let prefix = &id.to_string()[..8];
                assert_eq!(
                    merged.find_by_id_prefix(prefix, limit).await.unwrap(),
                    whole.find_by_id_prefix(prefix, limit).await.unwrap()
                );
            }
            let failed = Filter::new().status(Status::Failed);
            let service = Filter::new().service("batch");
            for filter in [Filter::new(), failed, service] {
                let events = all_pages(limit, async |page| merged.events(&filter, page).await).await;
                assert_eq!(events, all_pages(limit, async |page| whole.events(&filter, page).await).await);
                let runs = all_pages(limit, async |page| merged.runs(&filter, page).await).await;
                assert_eq!(runs, all_pages(limit, async |page| whole.runs(&filter, page).await).await);
            }
            let open = all_pages(limit, async |page| merged.open_runs(page).await).await;
            assert_eq!(open, all_pages(limit, async |page| whole.open_runs(page).await).await);
            let open = all_pages(limit, async |page| merged.open_summaries(page).await).await;
            assert_eq!(open, all_pages(limit, async |page| whole.open_summaries(page).await).await);
        });
    }
}

#[tokio::test]
async fn a_run_explains_itself_while_the_store_is_away() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let spool = MemorySpool::new();
    let throughline =
        Throughline::builder("test").store(faulty).spool(spool).retry(impatient(1)).build().unwrap();
    faults.append().fail_next(u64::MAX, away);
    faults.read().fail_next(u64::MAX, unreadable);
    let mut id = None;
    let failed = throughline
        .workflow("loan-approval")
        .run(|ctx| {
            id = Some(ctx.trace_id());
            async move {
                ctx.trace("stage:score", async { Err::<(), _>("no bureau answers".to_owned()) })
                    .await
                    .unwrap()
            }
        })
        .await
        .unwrap();
    assert!(failed.is_err());
    let query = throughline.query(id.unwrap()).await.unwrap();
    assert_eq!(query.spans().len(), 2);
    let cause = query.summary().unwrap().cause.unwrap();
    assert_eq!(
        (cause.event_type.as_str(), cause.error.unwrap().message.as_str()),
        ("stage:score", "no bureau answers")
    );

    // Of a run that the store may know more of, nothing is said.
    let error = throughline.query(TraceId::from_key("elsewhere")).await.map(drop).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    faults.read().heal();
    faults.append().heal();
    assert!(throughline.flush(SOON).await.is_complete());
    assert_eq!(throughline.query(id.unwrap()).await.unwrap().spans().len(), 2, "it is in the store now");
}

#[tokio::test]
async fn a_run_that_is_at_work_in_an_outage_is_running() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let spool = MemorySpool::new();
    let throughline =
        Throughline::builder("test").store(faulty).spool(spool).retry(impatient(1)).build().unwrap();
    faults.append().fail_next(u64::MAX, away);
    faults.read().fail_next(u64::MAX, unreadable);
    let reader = throughline.reader().unwrap();
    throughline
        .workflow("loan-approval")
        .run_infallible(|ctx| async move {
            let run = reader.run(ctx.trace_id()).await.unwrap().unwrap();
            assert_eq!(run.state, RunState::Running);
        })
        .await
        .unwrap();
    throughline.shutdown(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn a_run_is_resumed_with_what_waits_in_the_spool() {
    let store = MemoryStore::new();
    let spool = MemorySpool::new();
    let calls = Arc::new(AtomicU32::new(0));
    async fn pay(ctx: &TraceContext, calls: &AtomicU32) {
        if !ctx.completed_before("stage:pay") {
            let pay = async { calls.fetch_add(1, Ordering::Relaxed) };
            ctx.trace_infallible("stage:pay", pay).await.unwrap();
        }
    }

    // The store goes away before the payment, and the process dies after it.
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let first =
        Throughline::builder("test").store(faulty).spool(spool.clone()).retry(impatient(1)).build().unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let counted = Arc::clone(&calls);
    let mut run = Box::pin(first.workflow("payout").run_infallible(|ctx| async move {
        faults.append().fail_next(u64::MAX, away);
        pay(&ctx, &counted).await;
        tell.send(ctx.trace_id()).unwrap();
        std::future::pending::<()>().await;
    }));
    let id = tokio::select! {
        _ = &mut run => panic!("it never ends"),
        id = told => id.unwrap(),
    };
    assert_eq!(store.trace(id).len(), 1, "the start of the run");
    let left = spool.events();
    assert_eq!(left.len(), 2, "the payment");
    store.abandon(left[0].instance);

    let heir = MemorySpool::new();
    let open = heir.open(Instance::new(InstanceId::random(), "test")).await.unwrap();
    open.push(&left).await.unwrap();
    open.close().await.unwrap();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    faults.append().fail_next(u64::MAX, away);
    let second = Throughline::builder("test").store(faulty).spool(heir).retry(impatient(1)).build().unwrap();
    let counted = Arc::clone(&calls);
    second
        .resume(id)
        .run(|ctx| async move {
            pay(&ctx, &counted).await;
            Ok::<_, String>(())
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "it was acknowledged that this was paid");
    faults.append().heal();
    assert!(second.flush(SOON).await.is_complete());
    assert_eq!(second.query(id).await.unwrap().summary().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn what_the_store_refuses_is_set_aside_whatever_becomes_of_the_answer() {
    for lost_answers in 0..3 {
        let faulty = FaultyStore::around(RemoteStore::new());
        let faults = faulty.faults();
        let spool = MemorySpool::new();
        let faulty_spool = FaultySpool::around(spool.clone());
        faulty_spool.faults().set_aside().lose_next(lost_answers);
        let throughline = Throughline::builder("test")
            .store(faulty)
            .spool(faulty_spool)
            .retry(impatient(1))
            .build()
            .unwrap();
        faults.append().fail_next(u64::MAX, away);
        let long = format!("business:{}", "x".repeat(RemoteStore::LONGEST_TYPE));
        throughline
            .workflow("test")
            .run_infallible(async |ctx| ctx.event(long.clone(), json!({"amount": 17})).await.unwrap())
            .await
            .unwrap();
        faults.append().heal();
        let report = throughline.flush(SOON).await;
        let account = &report.destinations[0];
        assert!(account.balances() && account.pending == 0, "{account:?}");
        assert_eq!((account.delivered, &*account.dropped), (2, &[(DropReason::Rejected, 1)][..]));
        let refused = spool.refused(10).await.unwrap();
        let refused: Vec<_> = refused.iter().map(|refused| refused.event.event_type.as_str()).collect();
        assert_eq!(refused, [&long]);
    }
}
