//! Runs under a key: each is a run of its own, and knows those before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use throughline_core::testing::RemoteStore;
use throughline_core::{
    Filter, MemoryStore, NotRecorded, Page, Relation, RunState, RunSummary, StoreConfig, Throughline,
    TraceId, names,
};
use tokio::sync::oneshot;

use crate::support::{ended, open, start_endless, started};

const SOON: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
#[error("no funds")]
struct NoFunds;

async fn runs(throughline: &Throughline, filter: Filter) -> Vec<RunSummary> {
    throughline.reader().unwrap().runs(&filter, &Page::first(100)).await.unwrap().items
}

/// The states of the runs under a key, the latest first.
async fn states(throughline: &Throughline, key: &'static str) -> Vec<RunState> {
    let runs = runs(throughline, Filter::new().correlation_id(key)).await;
    runs.into_iter().map(|run| run.state).collect()
}

async fn succeed(throughline: &Throughline, workflow: &'static str, key: &'static str) -> TraceId {
    let run = throughline.workflow(workflow).key(key);
    run.run_infallible(|ctx| async move { ctx.trace_id() }).await.unwrap()
}

async fn fail(throughline: &Throughline, workflow: &'static str, key: &'static str) -> TraceId {
    let mut own = None;
    let run = throughline.workflow(workflow).key(key).run(|ctx| {
        own = Some(ctx.trace_id());
        async { Err::<(), _>(NoFunds) }
    });
    run.await.unwrap().unwrap_err();
    own.unwrap()
}

/// An emitter of the same service whose process dies while a run under the key is at work.
async fn die(store: &MemoryStore, key: &'static str) -> TraceId {
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let run = start_endless(&throughline, key).await;
    store.abandon(throughline.reader().unwrap().trace(run).await.unwrap()[0].instance);
    run
}

#[tokio::test]
async fn two_workflows_and_two_services_with_one_key_are_different_runs() {
    let store = MemoryStore::new();
    let shop = Throughline::builder("shop").store(store.clone()).build().unwrap();
    let billing = Throughline::builder("billing").store(store.clone()).build().unwrap();
    succeed(&shop, "order", "4711").await;
    let invoice = fail(&shop, "invoice", "4711").await;
    let elsewhere = fail(&billing, "order", "4711").await;
    let failed = |run: &RunSummary| (run.state == RunState::Failed).then_some(run.trace_id);
    let found = async |filter| runs(&shop, filter).await.iter().filter_map(failed).collect::<Vec<_>>();
    assert_eq!(found(Filter::new()).await, [elsewhere, invoice]);
    assert_eq!(
        found(Filter::new().scope(throughline_core::Scope::all().workflow("invoice"))).await,
        [invoice]
    );
    assert_eq!(found(Filter::new().service("billing")).await, [elsewhere]);
    let rate = shop.analytics().unwrap().failure_rate(&throughline_core::Scope::all()).await.unwrap();
    assert_eq!((rate.hits, rate.total), (2, 3));
    let starts: Vec<_> = store.events().into_iter().filter(|event| event.seq == 0).collect();
    assert!(starts.iter().all(|start| start.links.is_empty() && start.attempt.is_none()), "{starts:?}");
}

#[tokio::test]
async fn two_executions_of_one_id_are_two_runs() {
    let (throughline, store) = open();
    for _ in 0..2 {
        throughline.workflow("onboarding").execution("1").run_infallible(|_| async {}).await.unwrap();
    }
    assert_eq!(states(&throughline, "1").await, [RunState::Succeeded; 2]);
    assert_eq!(store.events().len(), 4);
}

#[tokio::test]
async fn of_nightly_runs_under_one_key_each_stands_by_itself() {
    let (throughline, _store) = open();
    succeed(&throughline, "nightly", "nightly").await;
    fail(&throughline, "nightly", "nightly").await;
    fail(&throughline, "nightly", "nightly").await;
    let states = states(&throughline, "nightly").await;
    assert_eq!(states, [RunState::Failed, RunState::Failed, RunState::Succeeded]);
}

#[tokio::test]
async fn what_follows_a_failed_run_is_its_next_attempt_and_the_first_stays_findable_as_failed() {
    let (throughline, store) = open();
    let first = fail(&throughline, "order", "order-1").await;
    let second = succeed(&throughline, "order", "order-1").await;
    let third = succeed(&throughline, "order", "order-1").await;
    let start = started(&store.trace(second), names::WORKFLOW_STARTED);
    let link = &start.links[0];
    let root = store.trace(first)[0].span_id;
    assert_eq!((link.rel.clone(), link.trace_id, link.span_id), (Relation::RetryOf, Some(first), root));
    let summary = async |run| throughline.reader().unwrap().run(run).await.unwrap().unwrap();
    assert_eq!(summary(second).await.root.unwrap().attempt, Some(2));
    assert_eq!(summary(first).await.state, RunState::Failed);
    // What follows a run that succeeded tries nothing again.
    let start = started(&store.trace(third), names::WORKFLOW_STARTED);
    assert_eq!((start.links.len(), start.attempt), (0, None));
    assert!(throughline.query(second).await.unwrap().problems().is_empty());
}

#[tokio::test]
async fn a_second_run_of_an_ended_key_is_seen_running_and_can_be_resumed_after_a_crash() {
    let (throughline, store) = open();
    succeed(&throughline, "loan", "loan-42").await;
    let second = die(&store, "loan-42").await;
    let reader = throughline.reader().unwrap();
    assert_eq!(reader.run(second).await.unwrap().unwrap().state, RunState::Interrupted);
    assert!(reader.run(second).await.unwrap().unwrap().waits_to_be_resumed());
    let third = start_endless(&throughline, "loan-43").await;
    assert!(!reader.safe_to_deploy(SOON).await.unwrap().is_safe(), "{third} is running");
    let resumed = throughline.resume(second).run(|ctx| async move { Ok::<_, NotRecorded>(ctx.trace_id()) });
    assert_eq!(resumed.await.unwrap().unwrap(), second);
}

#[tokio::test]
async fn what_does_the_work_of_an_interrupted_run_again_closes_it() {
    let (throughline, store) = open();
    let first = die(&store, "loan-42").await;
    let second = succeed(&throughline, "loan", "loan-42").await;
    let reader = throughline.reader().unwrap();
    assert_eq!(reader.run(first).await.unwrap().unwrap().state, RunState::Failed);
    let end = ended(&store.trace(first), names::WORKFLOW_ABANDONED);
    assert!(end.error.unwrap().message.ends_with(&second.to_string()));
    assert!(reader.safe_to_deploy(SOON).await.unwrap().interrupted.is_empty());
    let refused = throughline.resume(first).run(|_| async { Ok::<_, NotRecorded>(()) }).await.unwrap_err();
    assert!(matches!(refused, NotRecorded::HasEnded { state: RunState::Failed, .. }), "{refused}");
}

#[tokio::test]
async fn a_run_that_is_to_be_unique_is_refused_with_the_id_of_the_one_at_work() {
    let (throughline, store) = open();
    let at_work = start_endless(&throughline, "loan-42").await;
    let elsewhere = Throughline::builder("test").store(store).build().unwrap();
    for emitter in [&throughline, &elsewhere] {
        let run = emitter.workflow("loan").key("loan-42").unique().run_infallible(|_| async {});
        let refused = run.await.unwrap_err();
        let NotRecorded::AtWork { trace_id, .. } = refused else { panic!("{refused}") };
        assert_eq!(trace_id, at_work);
        assert!(refused.is_retryable());
    }
    // Another key is another matter, and so is a run that does not mind.
    elsewhere.workflow("loan").key("loan-43").unique().run_infallible(|_| async {}).await.unwrap();
    elsewhere.workflow("loan").key("loan-42").run_infallible(|_| async {}).await.unwrap();
    // The older one is still at work.
    let again = elsewhere.workflow("loan").key("loan-42").unique().run_infallible(|_| async {}).await;
    assert!(matches!(again, Err(NotRecorded::AtWork { trace_id, .. }) if trace_id == at_work), "{again:?}");
}

#[tokio::test]
async fn unique_runs_may_follow_each_other_at_once() {
    let (throughline, _store) = open();
    for _ in 0..100 {
        throughline.workflow("loan").key("loan-42").unique().run_infallible(|_| async {}).await.unwrap();
    }
    assert_eq!(states(&throughline, "loan-42").await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_unique_runs_that_begin_at_the_same_moment_one_is_at_work() {
    let store = RemoteStore::new();
    let emitters: Vec<_> =
        (0..4).map(|_| Throughline::builder("test").store(store.clone()).build().unwrap()).collect();
    let (at_work, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runs = (0..40).map(|number| {
        let (at_work, ran) = (Arc::clone(&at_work), Arc::clone(&ran));
        let run = emitters[number % 4].workflow("loan").key("loan-42").unique();
        tokio::spawn(run.run_infallible(|_| async move {
            assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
            tokio::task::yield_now().await;
            ran.fetch_add(1, Ordering::SeqCst);
            at_work.fetch_sub(1, Ordering::SeqCst);
        }))
    });
    for outcome in join_all(runs).await {
        if let Err(refused) = outcome.unwrap() {
            assert!(refused.is_retryable(), "{refused}");
        }
    }
    assert!(ran.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn a_run_that_is_to_succeed_once_is_refused_with_the_id_of_the_one_that_did() {
    let (throughline, _store) = open();
    let once = || throughline.workflow("loan").key("loan-42").once();
    once().run(|_| async { Err::<(), _>(NoFunds) }).await.unwrap().unwrap_err();
    let done = once().run_infallible(|ctx| async move { ctx.trace_id() }).await.unwrap();
    fail(&throughline, "loan", "loan-42").await;
    let refused = once().run_infallible(|_| async {}).await.unwrap_err();
    assert!(matches!(refused, NotRecorded::HasSucceeded { trace_id } if trace_id == done), "{refused}");
}

#[tokio::test]
async fn a_run_is_started_or_resumed_as_its_key_stands() {
    let (throughline, store) = open();
    let run = || {
        throughline.workflow("loan").key("loan-42").run_or_resume(|ctx| async move {
            let before = ctx.completed_before("stage:a");
            ctx.trace_infallible("stage:a", async {}).await?;
            Ok::<_, NotRecorded>((ctx.trace_id(), before))
        })
    };
    let (first, before) = run().await.unwrap().unwrap();
    assert!(!before);
    let interrupted = die(&store, "loan-42").await;
    assert_ne!(first, interrupted);
    assert_eq!(run().await.unwrap().unwrap().0, interrupted, "it goes on in its own trace");
    let (third, _) = run().await.unwrap().unwrap();
    assert_ne!(third, interrupted, "what has ended is not resumed");
    let at_work = start_endless(&throughline, "loan-42").await;
    let refused = run().await.unwrap_err();
    assert!(matches!(refused, NotRecorded::AtWork { trace_id, .. } if trace_id == at_work), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_resume_one_run_at_the_same_instant_one_does_and_the_other_is_told_who() {
    let store = MemoryStore::new();
    for round in 0..50 {
        let interrupted = die(&store, "loan-42").await;
        let emitters = [0, 1].map(|_| Throughline::builder("test").store(store.clone()).build().unwrap());
        let resumed = emitters.each_ref().map(|emitter| {
            let key = emitter.workflow("loan").key("loan-42");
            tokio::spawn(key.run_or_resume(|ctx| async move { Ok::<_, NotRecorded>(ctx.trace_id()) }))
        });
        let [one, other] = resumed;
        let outcomes = [one.await.unwrap(), other.await.unwrap()];
        let trace = store.trace(interrupted);
        let resumptions = trace.iter().filter(|event| event.event_type == names::WORKFLOW_RESUMED).count();
        assert_eq!(resumptions, 1, "round {round}: {outcomes:?}");
        for outcome in outcomes {
            match outcome {
                // One that came later found that it had ended, and started another one.
                Ok(own) => drop(own.unwrap()),
                Err(NotRecorded::AtWork { trace_id, instance }) => {
                    assert_eq!(trace_id, interrupted);
                    let reader = emitters[0].reader().unwrap();
                    let liveness = reader.liveness(&[instance]).await.unwrap();
                    assert_eq!(liveness, [throughline_core::Liveness::Alive]);
                }
                Err(NotRecorded::Store { retryable, .. }) => assert!(retryable),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn work_is_never_refused_because_of_what_its_key_looks_like() {
    let card = "4111111111111111";
    let store = MemoryStore::new();
    for service in ["test", "test"] {
        let throughline = Throughline::builder(service).store(store.clone()).build().unwrap();
        throughline
            .workflow("loan")
            .key(card)
            .run(|_| async { Err::<(), _>(NoFunds) })
            .await
            .unwrap()
            .unwrap_err();
        throughline.shutdown(SOON).await;
    }
    assert!(!format!("{:?}", store.events()).contains(card));
    // The second process knows the first one's run, and finds it.
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let found = runs(&throughline, Filter::new().correlation_id(throughline.findable(card))).await;
    let attempts: Vec<_> = found.iter().map(|run| run.root.as_ref().unwrap().attempt).collect();
    assert_eq!(attempts, [Some(2), None]);

    // Without a store that keeps a secret two keys are told apart all the same.
    let remote = Throughline::builder("test").store(RemoteStore::new()).build().unwrap();
    let kept = ["4111111111111111", "5500000000000004"].map(|card| remote.findable(card));
    assert_ne!(kept[0], kept[1]);
    for card in &kept {
        assert!(card.starts_with("pseudonym:"), "{card}");
    }
}

#[tokio::test]
async fn a_key_that_says_nothing_is_refused() {
    let (throughline, store) = open();
    for key in ["", " \t"] {
        let refused = throughline.workflow("loan").key(key).run_infallible(|_| async {}).await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused, @r#"not started: the run has no key; say what it is about with .key(..), as in .key("loan-42")"#);
        }
    }
    let without = throughline.workflow("loan").unique().run_infallible(|_| async {}).await;
    assert!(matches!(without, Err(NotRecorded::NoKey)), "{without:?}");
    assert_eq!(store.events(), []);
}

#[tokio::test]
async fn what_needs_to_know_what_ran_says_so_where_there_is_no_store() {
    let feed = throughline_core::MemoryFeed::new();
    let throughline = Throughline::builder("test").feed(feed).build().unwrap();
    throughline.workflow("loan").key("loan-42").run_infallible(|_| async {}).await.unwrap();
    let refused = throughline.workflow("loan").key("loan-42").unique().run_infallible(|_| async {}).await;
    assert!(matches!(refused, Err(NotRecorded::NoStore)), "{refused:?}");
    let refused = throughline.abandon(TraceId::random(), "obsolete").await;
    assert!(matches!(refused, Err(NotRecorded::NoStore)), "{refused:?}");
}

#[tokio::test]
async fn a_store_that_can_not_be_read_keeps_no_work_from_starting_but_what_is_to_be_unique() {
    let faulty = throughline_core::testing::FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).build().unwrap();
    fail(&throughline, "loan", "loan-42").await;
    let away = || throughline_core::ReadError::Unavailable { reason: "away".to_owned(), source: None };
    faults.read().fail_next(u64::MAX, away);
    throughline.workflow("loan").key("loan-42").run_infallible(|_| async {}).await.unwrap();
    let refused = throughline.workflow("loan").key("loan-42").unique().run_infallible(|_| async {}).await;
    assert!(matches!(&refused, Err(NotRecorded::NotRead(_))), "{refused:?}");
}

#[tokio::test]
async fn what_was_left_of_a_request_does_not_wait_to_be_resumed_and_can_be_abandoned() {
    let store = MemoryStore::new();
    let dying = Throughline::builder("test").store(store.clone()).build().unwrap();
    let request = dying.request("http:request").open();
    let context = request.context().clone();
    let (tx, rx) = oneshot::channel();
    tokio::spawn(context.trace_infallible("stage:a", async move {
        let _ = tx.send(());
        std::future::pending::<()>().await;
    }));
    rx.await.unwrap();
    let run = context.trace_id();
    let instance = store.trace(run)[0].instance;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let refused = throughline.abandon(run, "obsolete").await.unwrap_err();
    assert!(matches!(refused, NotRecorded::AtWork { instance: by, .. } if by == instance), "{refused}");

    store.abandon(instance);
    let reader = throughline.reader().unwrap();
    let summary = reader.run(run).await.unwrap().unwrap();
    assert_eq!((summary.state, summary.waits_to_be_resumed()), (RunState::Interrupted, false));
    let refused = throughline.resume(run).run(|_| async { Ok::<_, NotRecorded>(()) }).await.unwrap_err();
    insta::assert_snapshot!(
        refused.to_string().replace(&run.to_string(), "TRACE"),
        @"the run TRACE can't be resumed: only a workflow that has neither succeeded nor failed can, and its root is `http:request`; undo its sagas, or abandon it"
    );
    throughline.abandon(run, "the client is gone").await.unwrap();
    assert_eq!(reader.run(run).await.unwrap().unwrap().state, RunState::Failed);
    let end = ended(&store.trace(run), names::WORKFLOW_ABANDONED);
    let error = end.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("abandoned", "the client is gone"));
    let again = throughline.abandon(run, "again").await.unwrap_err();
    assert!(matches!(again, NotRecorded::HasEnded { state: RunState::Failed, .. }), "{again}");
    let unknown = throughline.abandon(TraceId::from_key("nobody"), "x").await.unwrap_err();
    assert!(matches!(unknown, NotRecorded::NoSuchRun(_)), "{unknown}");
    drop(request);
}

#[tokio::test]
async fn what_a_request_began_is_found_by_the_requests_id_and_says_what_caused_it() {
    let (throughline, store) = open();
    let request = throughline
        .request("http:request")
        .request_id("r-1")
        .describe(|request| request.attr(names::attrs::REQUEST_ID, "r-1"))
        .open();
    let context = request.context().clone();
    let keyed = throughline.clone();
    let (own, child) = context
        .trace_infallible("stage:a", async move {
            let own = keyed.workflow("order").key("order-2").run_infallible(|ctx| async move {
                assert_eq!(ctx.request_id(), Some("r-1"));
                ctx.trace_infallible("stage:b", async {}).await.unwrap();
                ctx.trace_id()
            });
            let own = own.await.unwrap();
            let ctx = throughline_core::TraceContext::current().unwrap();
            let child = ctx.child_workflow("mail").run_infallible(|ctx| async move { ctx.trace_id() });
            (own, child.await.unwrap())
        })
        .await
        .unwrap();
    // A job that this request enqueued, in another process.
    let sent = context.job_propagation();
    let headers = (sent.traceparent.map(|parent| parent.to_string()), sent.baggage_header());
    let carried =
        throughline_core::Propagation::from_headers(headers.0.as_deref(), None, headers.1.as_deref());
    let job = throughline.workflow("payout").key("p-1").continue_from(carried);
    let job = job.run_infallible(|ctx| async move { ctx.trace_id() }).await.unwrap();
    let caller = context.trace_id();
    request.succeed();
    let by_request = runs(&throughline, Filter::new().attr(names::attrs::REQUEST_ID, "r-1")).await;
    let found: std::collections::HashSet<_> = by_request.iter().map(|run| run.trace_id).collect();
    assert_eq!(found, [caller, own, child, job].into());
    let caused = runs(&throughline, Filter::new().attr(names::attrs::CAUSED_BY, caller.to_string())).await;
    let caused: std::collections::HashSet<_> = caused.iter().map(|run| run.trace_id).collect();
    assert_eq!(caused, [own, child, job].into());
    let step = started(&store.trace(own), "stage:b");
    assert_eq!((step.attrs.get("request_id"), step.attrs.get("caused_by")), (Some("r-1"), None));
}

#[tokio::test]
async fn the_secret_of_a_store_is_the_same_for_all_its_handles() {
    let store = MemoryStore::new();
    let readers = store.open_readers().await.unwrap();
    let secret = readers.reader.secret().await.unwrap().unwrap();
    assert_eq!(MemoryStore::readers(&store).reader.secret().await.unwrap(), Some(secret));
}

#[tokio::test]
async fn a_success_long_ago_counts_for_a_run_that_is_to_succeed_once() {
    let (throughline, _store) = open();
    let done = succeed(&throughline, "loan", "loan-42").await;
    for _ in 0..250 {
        fail(&throughline, "loan", "loan-42").await;
    }
    let refused = throughline.workflow("loan").key("loan-42").once().run_infallible(|_| async {}).await;
    assert!(
        matches!(refused, Err(NotRecorded::HasSucceeded { trace_id }) if trace_id == done),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_run_whose_work_was_started_again_is_not_resumed() {
    let (throughline, store) = open();
    let dying = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (tx, rx) = oneshot::channel();
    // A saga of which something stands, so that the run stays open.
    tokio::spawn(dying.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let saga = ctx.saga("approval").run(|saga| async move {
            let step = saga.step("stage:a").input(()).compensate(|(), _| async { Ok::<_, NotRecorded>(()) });
            step.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await??;
            tx.send(saga.trace_id()).unwrap();
            std::future::pending::<Result<(), NotRecorded>>().await
        });
        saga.await.unwrap().unwrap();
    }));
    let first = rx.await.unwrap();
    store.abandon(store.trace(first)[0].instance);
    let second = succeed(&throughline, "loan", "loan-42").await;
    let reader = throughline.reader().unwrap();
    assert_eq!(reader.run(first).await.unwrap().unwrap().state, RunState::Interrupted);
    let refused = throughline.resume(first).run(|_| async { Ok::<_, NotRecorded>(()) }).await.unwrap_err();
    let NotRecorded::StartedAgain { trace_id, by } = refused else { panic!("{refused}") };
    assert_eq!((trace_id, by), (first, second));
}
