//! Claims of runs: what a store that fails, hangs or panics in the middle of one does to those who resume, and what these do
//! to each other.

use std::time::Duration;

use throughline_core::testing::{Faults, FaultyStore, RemoteStore};
use throughline_core::{NotRecorded, Retry, RunState, Throughline, TraceId};
use tokio::time::timeout;

use crate::support::start_endless;

const SOON: Duration = Duration::from_secs(15);

fn with(store: &RemoteStore, attempt_timeout: Duration) -> (Throughline, Faults) {
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let retry = Retry::attempts(1).attempt_timeout(attempt_timeout);
    (Throughline::builder("test").store(faulty).retry(retry).build().unwrap(), faults)
}

/// A run that a process left unfinished as it died.
async fn interrupted(store: &RemoteStore) -> TraceId {
    let (dead, _) = with(store, SOON);
    let trace_id = start_endless(&dead, "loan-42").await;
    store.expire(store.trace(trace_id)[0].instance);
    trace_id
}

async fn resume(throughline: &Throughline, trace_id: TraceId) -> Result<(), NotRecorded> {
    let resumed = throughline.resume(trace_id).run(|_| async { Ok::<_, String>(()) });
    timeout(SOON, resumed).await.unwrap().map(|outcome| outcome.unwrap())
}

/// Another process resumes the run as soon as nobody holds it.
async fn is_resumed_by_another(store: &RemoteStore, trace_id: TraceId) {
    let (other, _) = with(store, SOON);
    let resumes = async {
        while resume(&other, trace_id).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, resumes).await.unwrap();
}

#[tokio::test]
async fn a_store_that_panics_on_a_claim_or_its_release_lives_on() {
    let store = RemoteStore::new();
    let trace_id = interrupted(&store).await;
    let (throughline, faults) = with(&store, SOON);
    faults.claim().panic_next(1);
    let error = resume(&throughline, trace_id).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("panicked"), "{error}");
    faults.release_claim().attempted(1).await;
    faults.release_claim().panic_next(1);
    while let Err(error) = resume(&throughline, trace_id).await {
        // The release after the failure is still under way.
        assert!(matches!(error, NotRecorded::AtWork { .. }), "{error}");
        tokio::task::yield_now().await;
    }
    faults.release_claim().attempted(2).await;
    throughline.workflow("after").run_infallible(|_| async {}).await.unwrap();
    assert!(throughline.shutdown(SOON).await.is_complete());
}

#[tokio::test]
async fn a_claim_that_is_not_answered_is_given_up_and_released() {
    let store = RemoteStore::new();
    let trace_id = interrupted(&store).await;
    let (throughline, faults) = with(&store, Duration::from_millis(100));
    // Granted, but the answer never comes.
    faults.claim().never_answer_next(1);
    let error = resume(&throughline, trace_id).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("did not answer within"), "{error}");
    is_resumed_by_another(&store, trace_id).await;
}

#[tokio::test]
async fn a_claim_that_nobody_waits_for_any_more_is_released_once_it_is_granted() {
    let store = RemoteStore::new();
    let trace_id = interrupted(&store).await;
    let (throughline, faults) = with(&store, SOON);
    faults.claim().hold();
    let resumed = tokio::spawn(throughline.resume(trace_id).run(|_| async { Ok::<_, String>(()) }));
    faults.claim().attempted(1).await;
    resumed.abort();
    assert!(resumed.await.unwrap_err().is_cancelled());
    // Whatever is going to be asked because it was dropped has been asked when these have run.
    throughline.workflow("other").run_infallible(|_| async {}).await.unwrap();
    throughline.workflow("other").run_infallible(|_| async {}).await.unwrap();
    faults.claim().release();
    faults.release_claim().attempted(1).await;
    is_resumed_by_another(&store, trace_id).await;
}

#[tokio::test]
async fn a_run_whose_resumption_panics_or_is_not_recorded_can_be_resumed_again() {
    let store = RemoteStore::new();
    let trace_id = interrupted(&store).await;
    let (throughline, faults) = with(&store, SOON);
    faults.fail_next(1, || throughline_core::AppendError::Unavailable {
        reason: "away".to_owned(),
        retry_after: None,
        source: None,
    });
    let error = resume(&throughline, trace_id).await.unwrap_err();
    assert!(matches!(error, NotRecorded::Store { .. }), "{error}");
    faults.release_claim().attempted(1).await;
    let panics = throughline.clone();
    let panicked = tokio::spawn(async move {
        loop {
            let body = |_| async { std::panic::resume_unwind(Box::new("a bug of the workflow")) };
            let refused = panics.resume(trace_id).run(body).await.map(|outcome: Result<(), String>| outcome);
            assert!(matches!(refused, Err(NotRecorded::AtWork { .. })), "{refused:?}");
            tokio::task::yield_now().await;
        }
    });
    assert!(timeout(SOON, panicked).await.expect("it is granted").unwrap_err().is_panic());
    faults.release_claim().attempted(2).await;
    let free = async {
        while store.holder(trace_id).is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, free).await.expect("nobody holds the run");
    let again = resume(&throughline, trace_id).await;
    assert!(matches!(again, Err(NotRecorded::HasEnded { .. } | NotRecorded::AtWork { .. })), "{again:?}");
}

/// A store whose leases last as long as a test, if nobody ends them.
fn with_long_leases() -> RemoteStore {
    RemoteStore::new().lease_interval(Duration::from_secs(3600))
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, waiting).await.unwrap();
}

/// Another process resumes the run by its id, to its end, and gives it back.
async fn is_done_by_another(store: &RemoteStore, trace_id: TraceId) {
    let (other, _) = with(store, SOON);
    resume(&other, trace_id).await.unwrap();
    until(|| store.holder(trace_id).is_none()).await;
}

#[tokio::test]
async fn one_that_comes_too_late_is_told_that_the_run_has_ended_though_another_one_holds_it_to_find_that_out()
{
    let store = with_long_leases();
    let trace_id = interrupted(&store).await;
    let [(one, its_faults), (other, other_faults)] = [with(&store, SOON), with(&store, SOON)];
    // Both have seen the run interrupted, and ask for it.
    let late = [(one, &its_faults), (other, &other_faults)].map(|(throughline, faults)| {
        faults.claim().hold();
        tokio::spawn(async move { resume(&throughline, trace_id).await })
    });
    its_faults.claim().attempted(1).await;
    other_faults.claim().attempted(1).await;
    is_done_by_another(&store, trace_id).await;

    its_faults.read().hold();
    its_faults.claim().release();
    until(|| store.holder(trace_id).is_some()).await;
    other_faults.claim().release();
    let [one, other] = late;
    let told = other.await.unwrap().unwrap_err();
    assert!(matches!(told, NotRecorded::HasEnded { state: RunState::Succeeded, .. }), "{told}");
    its_faults.read().release();
    let told = one.await.unwrap().unwrap_err();
    assert!(matches!(told, NotRecorded::HasEnded { state: RunState::Succeeded, .. }), "{told}");
}

#[tokio::test]
async fn a_key_stands_as_its_run_does_once_nobody_else_can_resume_that() {
    for (once, or_resume) in [(true, true), (true, false), (false, true), (false, false)] {
        let store = with_long_leases();
        let trace_id = interrupted(&store).await;
        let (throughline, faults) = with(&store, SOON);
        let known = faults.read().attempts();
        let run = throughline.workflow("loan").key("loan-42");
        let run = if once { run.once() } else { run.unique() };
        let body = |ctx: throughline_core::TraceContext| async move { Ok::<_, String>(ctx.trace_id()) };
        let run = tokio::spawn(if or_resume { run.run_or_resume(body) } else { run.run(body) });
        // It has the key, and has seen the run interrupted.
        faults.read().attempted(known + 1).await;
        faults.claim().hold();
        faults.claim().attempted(2).await;
        is_done_by_another(&store, trace_id).await;
        faults.claim().release();
        match timeout(SOON, run).await.unwrap().unwrap() {
            Ok(own) => assert!(!once && own.unwrap() != trace_id),
            Err(NotRecorded::HasSucceeded { trace_id: done }) => assert!(once && done == trace_id),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_unique_run_does_not_start_while_another_process_begins_to_resume_the_one_before_it() {
    let store = with_long_leases();
    let trace_id = interrupted(&store).await;
    let (resuming, faults) = with(&store, SOON);
    faults.append().hold();
    let resumed = tokio::spawn(async move { resume(&resuming, trace_id).await });
    faults.append().attempted(1).await;
    // The run is claimed, and still shows as interrupted.
    let holder = store.holder(trace_id).unwrap();
    let (throughline, _) = with(&store, SOON);
    for or_resume in [true, false] {
        let run = throughline.workflow("loan").key("loan-42").unique();
        let body = |_| async { Ok::<_, String>(()) };
        let refused = if or_resume { run.run_or_resume(body).await } else { run.run(body).await };
        let Err(NotRecorded::AtWork { trace_id: at_work, instance }) = refused else { panic!("{refused:?}") };
        assert_eq!((at_work, instance), (trace_id, holder));
    }
    faults.append().release();
    resumed.await.unwrap().unwrap();
}
