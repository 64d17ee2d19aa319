//! What a call may have, and what is seen of it: of each trace everything or nothing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};

use super::oracle::ids;
use super::{OpenStore, StoreFixture, hold, open, shared};
use crate::testing::{RunBuilder, run};
use crate::{AppendError, Filter, TraceEvent, TraceId, TraceReader};

/// How many small events a call may have, of so many that are wanted.
fn fitting(store: &OpenStore, wanted: usize) -> usize {
    let limits = store.store.limits();
    assert!(limits.events > 0 && limits.in_flight > 0, "a store that takes nothing: {limits:?}");
    wanted.min(limits.events).min(limits.bytes / 1024).max(1)
}

/// So many runs that items are added to.
fn batches(count: usize) -> Vec<RunBuilder> {
    (0..count)
        .map(|number| {
            let mut batch = run("batch").key(&format!("batch {number}"));
            batch.root();
            batch
        })
        .collect()
}

/// The next items of a batch.
fn items(batch: &mut RunBuilder, count: usize) -> Vec<TraceEvent> {
    let before = batch.events().len();
    (0..count).for_each(|_| {
        batch.point("stage:item");
    });
    batch.events().split_off(before)
}

/// Of each trace so many events in every call, of the traces in turn.
fn interleaved(batches: &mut [RunBuilder], count: usize) -> Vec<TraceEvent> {
    let groups: Vec<_> = batches.iter_mut().map(|batch| items(batch, count)).collect();
    (0..count).flat_map(|at| groups.iter().map(move |group| group[at].clone())).collect()
}

/// Reads a run over and over until so many events are seen, and checks that calls of so many events are seen as a whole.
async fn observe(reader: Arc<dyn TraceReader>, id: TraceId, of_a_call: usize, until: usize) {
    loop {
        let seen = reader.trace(id).await.unwrap().len();
        assert!(seen.is_multiple_of(of_a_call), "{seen} events are seen: a call was cut");
        if seen >= until {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// Makes calls with events of so many traces, while readers look on: here, in turn with each call, and elsewhere.
async fn watch_calls(store: &OpenStore, traces: usize) {
    const CALLS: usize = 40;
    let mut batches = batches(traces);
    let of_a_call = fitting(store, 24) / traces;
    let look_on = |id, until| observe(Arc::clone(&store.reader), id, of_a_call, until);
    let ids: Vec<_> = batches.iter().map(RunBuilder::trace_id).collect();
    let elsewhere: Vec<_> = ids.iter().map(|id| tokio::spawn(look_on(*id, CALLS * of_a_call))).collect();
    for _ in 0..CALLS {
        let call = shared(&interleaved(&mut batches, of_a_call));
        let here = Box::pin(join_all(ids.iter().map(|id| look_on(*id, usize::MAX))));
        match select(store.store.append(&call), here).await {
            Either::Left((answer, _)) => answer.unwrap(),
            Either::Right(_) => panic!("nobody sees so many events"),
        }
    }
    let watched = tokio::time::timeout(Duration::from_secs(60), join_all(elsewhere)).await;
    watched.expect("what was acknowledged is seen").into_iter().for_each(|watcher| watcher.unwrap());
}

pub fn a_call_is_seen_as_a_whole_or_not_at_all<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| watch_calls(&open(fixture).await, 1).await);
}

pub fn a_call_with_events_of_several_traces_is_atomic_for_each<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        if !store.store.limits().one_trace && fitting(&store, 3) == 3 {
            watch_calls(&store, 3).await;
        }
    });
}

pub fn a_call_at_the_limit_is_taken<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let count = fitting(&store, 5000);
        let mut batches = batches(1);
        let events = items(&mut batches[0], count);
        store.store.append(&shared(&events)).await.unwrap();
        assert_eq!(ids(&store.reader.trace(batches[0].trace_id()).await.unwrap()), ids(&events));
    });
}

pub fn as_many_calls_as_the_limits_say_are_taken_at_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut batches = batches(store.store.limits().in_flight.min(16));
        let count = fitting(&store, 10);
        for _ in 0..10 {
            let calls: Vec<_> = batches.iter_mut().map(|batch| shared(&items(batch, count))).collect();
            let answers = join_all(calls.iter().map(|call| store.store.append(call))).await;
            answers.into_iter().for_each(|answer| answer.unwrap());
        }
        for batch in batches {
            let trace = store.reader.trace(batch.trace_id()).await.unwrap();
            assert_eq!(ids(&trace), ids(&batch.events()[1..]));
        }
    });
}

pub fn a_refused_event_keeps_its_whole_trace_out<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let Some(refused) = fixture.refused_event() else { return };
        let store = open(fixture).await;
        if fitting(&store, 3) < 3 {
            return;
        }
        let with_others = !store.store.limits().one_trace && fitting(&store, 5) == 5;
        let mut sound = run("loan-approval").key("loan-1");
        sound.complete_run();
        let mut of_its_trace = sound.events();
        of_its_trace.iter_mut().for_each(|event| event.trace_id = refused.trace_id);
        let mut other = run("loan-approval").key("loan-2");
        other.complete_run();
        let index = usize::from(with_others) + 1;
        let mut call = of_its_trace.clone();
        if with_others {
            call.insert(0, other.events()[0].clone());
            call.push(other.events()[1].clone());
        }
        call.insert(index, refused);
        let error = store.store.append(&shared(&call)).await.unwrap_err();
        assert!(
            matches!(error, AppendError::Rejected { index: place, .. } if place == index),
            "the event at {index} is refused, not {error:?}"
        );
        let trace_id = of_its_trace[0].trace_id;
        assert_eq!(store.reader.trace(trace_id).await.unwrap(), [], "of its trace nothing was appended");
        assert_eq!(store.reader.run(trace_id).await.unwrap(), None);
        let seen = store.reader.trace(other.trace_id()).await.unwrap();
        assert!(seen.is_empty() || seen == other.events(), "of another trace everything or nothing");

        // What is left of the call is taken, whether or not some of it was.
        call.remove(index);
        store.append(&call).await;
        assert_eq!(store.reader.trace(trace_id).await.unwrap(), of_its_trace);
        if with_others {
            assert_eq!(store.reader.trace(other.trace_id()).await.unwrap(), other.events());
        }
    });
}

/// Polls a call a few times and drops it, as when its deadline has passed.
async fn drop_after<T>(call: impl Future<Output = T> + Unpin, polls: usize) {
    let deadline = Box::pin(async {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    });
    select(call, deadline).await;
}

pub fn a_call_that_was_dropped_may_be_made_again<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let (mut batches, count) = (batches(1), fitting(&store, 5));
        let id: TraceId = batches[0].trace_id();
        let mut appended = 0;
        for polls in 0..20 {
            let call = shared(&items(&mut batches[0], count));
            drop_after(store.store.append(&call), polls).await;
            let seen = store.reader.trace(id).await.unwrap().len();
            assert!(seen == appended || seen == appended + count, "{seen} events are seen: a call was cut");
            store.store.append(&call).await.unwrap();
            appended += count;
        }
        assert_eq!(ids(&store.reader.trace(id).await.unwrap()), ids(&batches[0].events()[1..]));
        assert_eq!(store.events(&Filter::new()).await.len(), appended);
    });
}

/// The next events of these runs, as many of each as a call may have, in turn.
fn prepared_call(store: &OpenStore, batches: &mut [RunBuilder]) -> Vec<Arc<TraceEvent>> {
    let each = (fitting(store, 24) / batches.len()).max(1);
    shared(&interleaved(batches, each))
}

/// A few runs that one call may have events of.
fn batches_of_a_call(store: &OpenStore) -> Vec<RunBuilder> {
    let one = store.store.limits().one_trace || fitting(store, 3) < 3;
    batches(if one { 1 } else { 3 })
}

/// Checks that the store has these runs, and nothing else.
async fn holds(store: &OpenStore, expected: &[TraceEvent], when: &str) {
    let seen = store.events(&Filter::new()).await;
    let sorted = |events: &[TraceEvent]| {
        let mut ids = ids(events);
        ids.sort();
        ids
    };
    assert_eq!(sorted(&seen), sorted(expected), "{when}");
}

/// The same events as values.
fn values(events: &[Arc<TraceEvent>]) -> impl Iterator<Item = TraceEvent> {
    events.iter().map(|event| TraceEvent::clone(event))
}

pub fn what_was_prepared_is_there_only_after_its_call<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut batches = batches_of_a_call(&store);
        let mut expected = Vec::new();
        for round in 0..5 {
            let call = prepared_call(&store, &mut batches);
            for prepared in [call.len() / 3, call.len() / 2, call.len() * round / 4] {
                store.store.prepare(&call[..prepared]);
                holds(&store, &expected, "prepared and not appended").await;
            }
            store.store.append(&call).await.unwrap();
            expected.extend(values(&call));
            holds(&store, &expected, "appended").await;
        }
        for batch in batches {
            assert_eq!(ids(&store.reader.trace(batch.trace_id()).await.unwrap()), ids(&batch.events()[1..]));
        }
    });
}

pub fn what_was_prepared_in_vain_is_undone<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut batches = batches_of_a_call(&store);
        let mut another = run("another");
        let mut expected = Vec::new();
        for round in 0..5 {
            let call = prepared_call(&store, &mut batches);
            store.store.prepare(&call[..call.len().div_ceil(2)]);
            match round {
                0 => store.store.prepare(&[]),
                1 => {
                    let other = shared(&items(&mut another, 1));
                    store.store.append(&other).await.unwrap();
                    expected.extend(values(&other));
                }
                2 => store.store.prepare(&shared(&items(&mut another, 1))),
                3 => store.store.append(&[]).await.unwrap(),
                _ => {
                    store.store.claim(call[0].trace_id).await.unwrap();
                }
            }
            holds(&store, &expected, &format!("undone in round {round}")).await;
            store.store.append(&call).await.unwrap();
            expected.extend(values(&call));
            holds(&store, &expected, &format!("appended in round {round}")).await;
        }
        let call = prepared_call(&store, &mut batches);
        store.store.prepare(&call);
        store.store.close().await.unwrap();
        let reopened = open(fixture).await;
        holds(&reopened, &expected, "closed").await;
    });
}
