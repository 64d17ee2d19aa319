//! What the service and the network do to those that use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use throughline_cosmos::CosmosStore;
use throughline_model::testing::{RunBuilder, run};
use throughline_model::{
    AppendError, Instance, InstanceId, Liveness, OpenError, RunSummary, StoreConfig, TraceStore,
};
use tokio::sync::oneshot;

use crate::server::{Fate, KEY, Seen, Server};
use crate::{append_until_taken, open, shared};

/// A run of a few events that has failed.
fn loan() -> RunBuilder {
    let mut loan = run("loan");
    loan.root();
    let step = loan.begin("stage:score");
    loan.fail(step, "Timeout", "no answer");
    loan.fail_run("Timeout", "no answer");
    loan
}

/// Counts batches, and decides what becomes of each by its number.
fn batches(
    fate: impl Fn(usize) -> Fate + Send + 'static,
) -> (Arc<AtomicUsize>, impl FnMut(&Seen<'_>) -> Fate + Send) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let judge = move |request: &Seen<'_>| match request.is_batch {
        true => fate(counted.fetch_add(1, Ordering::SeqCst)),
        false => Fate::Answered,
    };
    (count, judge)
}

/// That a run is stored once, and stands as its events say.
async fn assert_stored(store: &dyn TraceStore, loan: &RunBuilder) {
    let reader = store.readers().reader;
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), loan.events());
    let wanted = RunSummary::of(&loan.events(), |_| Liveness::Unknown);
    assert_eq!(reader.run(loan.trace_id()).await.unwrap(), wanted);
}

#[tokio::test]
async fn events_whose_acknowledgement_was_lost_are_stored_once() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let (count, judge) = batches(|batch| if batch < 8 { Fate::AnswerLost } else { Fate::Answered });
    server.judge(judge);
    let loan = loan();
    append_until_taken(&*store, &shared(&loan.events())).await;
    assert!(count.load(Ordering::SeqCst) > 1, "the batch was sent again");
    assert_stored(&*store, &loan).await;
}

#[tokio::test]
async fn what_the_service_charges_is_kept_by_the_kind_of_operation_refused_ones_included() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let before = store.charges().totals();
    let loan = loan();
    store.append(&shared(&loan.events())).await.unwrap();
    store.readers().reader.trace(loan.trace_id()).await.unwrap();
    let after = store.charges().totals();
    assert!(!before.contains_key("batch") && before["create"] > 0, "{before:?}");
    assert!(after["batch"] > 0 && after["query"] > 0, "{after:?}");

    let (_, judge) = batches(|_| Fate::Refused(400, None));
    server.judge(judge);
    for _ in 0..3 {
        store.append(&shared(&self::loan().events())).await.unwrap_err();
    }
    // Each of these was charged with 0.38, though nothing was done.
    assert_eq!(store.charges().totals()["batch"], after["batch"] + 1);
}

#[tokio::test]
async fn pages_of_an_answer_that_is_not_completed_are_charged_for() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let loan = loan();
    store.append(&shared(&loan.events())).await.unwrap();
    let before = store.charges().totals().get("query").copied().unwrap_or_default();
    server.short_pages(2);
    server.judge(|request| if request.is_next_page { Fate::Refused(400, None) } else { Fate::Answered });
    store.readers().reader.trace(loan.trace_id()).await.unwrap_err();
    assert_eq!(store.charges().totals()["query"], before + 1, "that of the first page");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_charged_for() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let (asked, is_asked) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let mut held = Some((asked, released));
    server.judge(move |request| match held.take_if(|_| request.is_batch) {
        Some((asked, released)) => {
            asked.send(()).unwrap();
            Fate::Held(released)
        }
        None => Fate::Answered,
    });
    let events = shared(&loan().events());
    let append = store.append(&events);
    tokio::select! {
        _ = append => panic!("it is held"),
        asked = is_asked => asked.unwrap(),
    }
    drop(release);
    let charged = async {
        while !store.charges().totals().contains_key("batch") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), charged).await.expect("it is done all the same");
}

#[tokio::test]
async fn events_of_which_another_process_has_sent_some_are_stored_once() {
    let server = Server::start();
    let (store, other) = (open(&server.store()).await, open(&server.store()).await);
    let loan = loan();
    let events = shared(&loan.events());
    store.append(&events[..1]).await.unwrap();
    other.append(&events[..3]).await.unwrap();
    store.append(&events).await.unwrap();
    assert_stored(&*store, &loan).await;
}

#[tokio::test]
async fn requests_that_are_throttled_are_sent_again_after_the_time_that_the_service_asks_for() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let (count, judge) =
        batches(|batch| if batch < 2 { Fate::Refused(429, Some(1)) } else { Fate::Answered });
    server.judge(judge);
    let loan = loan();
    append_until_taken(&*store, &shared(&loan.events())).await;
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_stored(&*store, &loan).await;
}

#[tokio::test]
async fn a_service_that_keeps_throttling_says_how_long_to_wait() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let (_, judge) = batches(|_| Fate::Refused(429, Some(7)));
    server.judge(judge);
    let loan = loan();
    let error = store.append(&shared(&loan.events())).await.unwrap_err();
    let AppendError::Unavailable { reason, retry_after, .. } = error else { panic!("{error}") };
    assert!(reason.contains("request units") && reason.contains("429"), "{reason}");
    assert_eq!(retry_after, Some(Duration::from_millis(7)));
    server.recover();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_stored(&*store, &loan).await;
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_does_not_is_said() {
    let server = Server::start();
    let store = open(&server.store()).await;
    for status in [408, 410, 449, 500, 503] {
        let refused = move |batch| if batch < 3 { Fate::Refused(status, None) } else { Fate::Answered };
        let (count, judge) = batches(refused);
        server.judge(judge);
        let loan = loan();
        append_until_taken(&*store, &shared(&loan.events())).await;
        assert!(count.load(Ordering::SeqCst) > 3, "{status}");
        assert_stored(&*store, &loan).await;
    }
    for (status, hint) in [(401, "the key or the token"), (403, "Data Contributor"), (400, "partition key")] {
        let (_, judge) = batches(move |_| Fate::Refused(status, None));
        server.judge(judge);
        let error = store.append(&shared(&loan().events())).await.unwrap_err();
        assert!(matches!(error, AppendError::Broken { .. }), "{status}: {error}");
        assert!(error.to_string().contains(hint), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_failover_is_waited_for() {
    let server = Server::start();
    let store = open(&server.store()).await;
    for kind in [3, 1008] {
        let (_, judge) = batches(move |_| Fate::RefusedAs(403, kind));
        server.judge(judge);
        let loan = loan();
        let error = store.append(&shared(&loan.events())).await.unwrap_err();
        assert!(error.is_retryable(), "{kind}: {error}");
        server.recover();
        store.append(&shared(&loan.events())).await.unwrap();
        assert_stored(&*store, &loan).await;
    }
}

#[tokio::test]
async fn what_was_committed_and_is_said_to_have_taken_too_long_is_stored_once() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let (count, judge) = batches(|batch| if batch < 3 { Fate::DoneBut(408) } else { Fate::Answered });
    server.judge(judge);
    let loan = loan();
    append_until_taken(&*store, &shared(&loan.events())).await;
    assert!(count.load(Ordering::SeqCst) > 1, "the batch was sent again");
    assert_stored(&*store, &loan).await;
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_and_the_rest_of_its_run_is_taken() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let mut loan = run("loan");
    loan.root();
    loan.point("note");
    loan.edit(|event| {
        event.data = Some(serde_json::Map::from_iter([("text".to_owned(), "x".repeat(2 << 20).into())]));
    });
    let events = shared(&loan.events());
    let error = store.append(&events).await.unwrap_err();
    let AppendError::Rejected { index: 1, reason } = error else { panic!("{error}") };
    assert!(reason.contains("can be stored"), "{reason}");
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), []);
    store.append(&events[..1]).await.unwrap();

    let (_, judge) = batches(|_| Fate::Refused(413, None));
    server.judge(judge);
    loan.point("note");
    loan.edit(|event| event.event_type = "note:short".into());
    let error = store.append(&shared(&loan.events())[1..]).await.unwrap_err();
    assert!(matches!(error, AppendError::Rejected { index: 0, .. }), "{error}");
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_made_again() {
    let server = Server::start();
    let id = InstanceId::random();
    let store = server.store().open(Instance::new(id, "test")).await.unwrap();
    server.judge(|request| if request.method == "PUT" { Fate::AnswerLost } else { Fate::Answered });
    // Whether the client sends it again by itself is its own affair.
    let _ = store.heartbeat().await;
    server.recover();
    store.heartbeat().await.unwrap();
    store.close().await.unwrap();
    let other = open(&server.store()).await;
    assert_eq!(other.readers().reader.liveness(&[id]).await.unwrap(), [Liveness::Dead]);
}

#[tokio::test]
async fn a_renewal_that_waits_for_the_end_brings_nothing_back() {
    let server = Server::start();
    let id = InstanceId::random();
    let store = server.store().open(Instance::new(id, "test")).await.unwrap();
    let (asked, is_asked) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let mut held = Some((asked, released));
    server.judge(move |request| match held.take_if(|_| request.method == "PUT") {
        Some((asked, released)) => {
            asked.send(()).unwrap();
            Fate::Held(released)
        }
        None => Fate::Answered,
    });
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    is_asked.await.unwrap();
    let mut renewal = store.heartbeat();
    assert!(futures_util::poll!(&mut renewal).is_pending());
    drop(release);
    closing.await.unwrap().unwrap();
    let _ = renewal.await;
    let other = open(&server.store()).await;
    assert_eq!(other.readers().reader.liveness(&[id]).await.unwrap(), [Liveness::Dead]);
}

async fn refusal(store: CosmosStore) -> OpenError {
    store.open(Instance::new(InstanceId::random(), "test")).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn what_can_not_be_opened_says_why_and_never_shows_the_key() {
    let server = Server::start();
    let missing = server.store().open_readers().await.map(drop).unwrap_err();
    assert!(matches!(missing, OpenError::NothingYet { .. }), "{missing}");

    let connection_string = format!("AccountEndpoint=https://loans.documents.azure.com;AccountKey={KEY}");
    let errors = [
        refusal(CosmosStore::new(&connection_string, KEY, "audit")).await,
        refusal(CosmosStore::at(&format!("cosmos:{connection_string}"), KEY)).await,
        refusal(CosmosStore::at("cosmos:https://loans.documents.azure.com", KEY)).await,
        refusal(CosmosStore::new("http://loans.example", KEY, "audit")).await,
    ];
    for error in errors {
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("https://ACCOUNT.documents.azure.com") && !shown.contains(KEY), "{shown}");
    }
    for store in [CosmosStore::new(&connection_string, KEY, "audit"), server.store()] {
        let shown = format!("{store:?} {}", store.location());
        assert!(!shown.contains(KEY) && !shown.contains("AccountKey"), "{shown}");
    }

    server.judge(|_| Fate::Refused(401, None));
    let error = refusal(server.store()).await;
    assert!(
        matches!(error, OpenError::Unusable { .. }) && error.to_string().contains("the key"),
        "{error:?}"
    );
    server.judge(|_| Fate::Lost);
    let error = refusal(server.store()).await;
    assert!(error.is_retryable() && error.to_string().contains("check the endpoint"), "{error:?}");
}
