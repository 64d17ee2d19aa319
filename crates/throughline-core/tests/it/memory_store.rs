//! What the memory store promises beyond what every store does: it is bounded, and it is easy to ask.

use std::sync::Arc;

use proptest::prelude::*;
use throughline_core::testing::{RunBuilder, run, sample_log, tree};
use throughline_core::{
    AppendError, Instance, InstanceId, MemoryStore, OpenRun, Page, RunState, StoreConfig, TraceEvent,
    TraceStore,
};

fn ended(key: &str) -> RunBuilder {
    let mut loan = run("loan-approval").key(key);
    loan.complete_run();
    loan
}

fn open(key: &str) -> RunBuilder {
    let mut loan = run("loan-approval").key(key);
    loan.root();
    loan
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn append(store: &MemoryStore, events: &[TraceEvent]) -> Result<(), AppendError> {
    let events: Vec<_> = events.iter().cloned().map(Arc::new).collect();
    now(store.append(&events))
}

fn open_runs(store: &MemoryStore) -> Vec<OpenRun> {
    now(store.readers().reader.open_runs(&Page::first(usize::MAX))).unwrap().items
}

#[test]
fn the_run_that_ended_first_is_evicted_whole() {
    let store = MemoryStore::new().capacity(6);
    let mut first_begun = open("first begun, last ended");
    append(&store, &first_begun.events()).unwrap();
    let middle = ended("middle");
    append(&store, &middle.events()).unwrap();
    first_begun.pass(std::time::Duration::from_secs(60));
    first_begun.complete_run();
    append(&store, &first_begun.events()).unwrap();
    append(&store, &ended("third").events()).unwrap();
    assert_eq!((store.events().len(), store.evicted()), (6, 0));

    append(&store, &open("one more").events()).unwrap();
    assert_eq!(store.trace(middle.trace_id()), []);
    assert_eq!(store.trace(first_begun.trace_id()).len(), 2);
    assert_eq!((store.events().len(), store.evicted()), (5, 2));
    assert_eq!(now(store.readers().reader.run(middle.trace_id())).unwrap(), None);
}

#[test]
fn open_runs_are_never_evicted_and_a_full_store_says_so() {
    let store = MemoryStore::new().capacity(4);
    append(&store, &[open("a").events(), open("b").events()].concat()).unwrap();
    let error = append(&store, &open("c").events()).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("full"), "{error}");
    assert_eq!(open_runs(&store).len(), 2);
    assert_eq!(store.evicted(), 0);
}

#[test]
fn a_full_store_still_takes_the_end_of_what_is_open() {
    let store = MemoryStore::new().capacity(4);
    let (mut a, b) = (open("a"), open("b"));
    append(&store, &[a.events(), b.events()].concat()).unwrap();
    a.complete_run();
    append(&store, &a.events()).unwrap();
    assert_eq!(open_runs(&store).len(), 1);
    append(&store, &open("c").events()).unwrap();
    assert_eq!((store.trace(a.trace_id()).len(), store.evicted()), (0, 2));
}

#[test]
fn a_group_that_does_not_fit_changes_nothing() {
    let store = MemoryStore::new().capacity(4);
    let kept = ended("kept");
    append(&store, &kept.events()).unwrap();
    append(&store, &[ended("a").events(), ended("b").events(), ended("c").events()].concat()).unwrap_err();
    assert_eq!(store.events(), kept.events());
    assert_eq!(store.evicted(), 0);
}

#[test]
fn a_run_that_goes_on_is_not_evicted_to_make_room_for_itself() {
    let store = MemoryStore::new().capacity(4);
    let mut loan = ended("a");
    append(&store, &loan.events()).unwrap();
    append(&store, &ended("b").events()).unwrap();
    loan.point("business:late");
    append(&store, &loan.events()).unwrap();
    assert_eq!(store.trace(loan.trace_id()), loan.events());
    assert_eq!(store.events().len(), 3);
}

#[test]
fn an_abandoned_instance_leaves_its_runs_interrupted() {
    let store = MemoryStore::new();
    let instance = InstanceId::random();
    let opened = now(store.open(Instance::new(instance, "loan-service"))).unwrap();
    let mut loan = run("loan-approval").key("loan-42").instance(instance);
    loan.begin("stage:sign");
    let events: Vec<_> = loan.events().into_iter().map(Arc::new).collect();
    now(opened.append(&events)).unwrap();
    assert_eq!(open_runs(&store)[0].summary.state, RunState::Running);
    store.abandon(instance);
    assert_eq!(open_runs(&store)[0].summary.state, RunState::Interrupted);
    insta::assert_snapshot!(tree(&store.trace(loan.trace_id())), @"
    workflow:started pending
      stage:sign pending
    ");
}

#[test]
fn what_is_stored_is_not_shown_by_debug() {
    let store = MemoryStore::new();
    append(&store, &ended("a").events()).unwrap();
    insta::assert_snapshot!(format!("{store:?}"), @"MemoryStore { instance: None, events: 2, .. }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_arrives_the_store_is_bounded_and_accounts_for_every_event(
        seed in any::<u64>(),
        capacity in 1_usize..200,
        group in 1_usize..20,
    ) {
        let store = MemoryStore::new().capacity(capacity);
        let mut accepted = 0;
        for group in sample_log(seed, 20, &[]).chunks(group) {
            let open_before = open_runs(&store);
            if append(&store, group).is_ok() {
                accepted += group.len();
            }
            let held = store.events();
            prop_assert!(held.len() <= capacity);
            prop_assert_eq!(held.len() as u64 + store.evicted(), accepted as u64);
            for run in open_before {
                let id = run.summary.trace_id;
                prop_assert!(held.iter().any(|event| event.trace_id == id), "an open run was evicted");
            }
        }
    }
}
