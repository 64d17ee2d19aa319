//! Each call of a service inside a `JobLayer` is an attempt at a job.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use insta::assert_snapshot;
use throughline_core::{
    BoxError, MemoryStore, NotRecorded, Relation, RunState, Status, Text, Throughline, Timestamp,
    TraceContext, names,
};
use throughline_workflow::{Carrier, Job, JobLayer, StepCall, StepLayer, WorkflowLayer};
use tokio::sync::Notify;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{Bench, TOO_LONG, Trouble, not_read, starts};

#[derive(Clone, Default)]
struct Payout {
    id: Option<&'static str>,
    carrier: Carrier,
    due_at: Option<Timestamp>,
    attempt: u32,
}

impl Job for Payout {
    fn job_type(&self) -> Text {
        "payout".into()
    }
    fn job_id(&self) -> Option<Text> {
        self.id.map(Text::from)
    }
    fn attempt(&self) -> u32 {
        self.attempt + 1
    }
    fn carrier(&self) -> Carrier {
        self.carrier.clone()
    }
    fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }
}

fn job(id: &'static str, carrier: &Carrier) -> Payout {
    Payout { id: Some(id), carrier: carrier.clone(), ..Payout::default() }
}

/// A run that puts something into a queue.
async fn enqueue(bench: &Bench) -> Carrier {
    let ran = bench.throughline.workflow("loan-approval").key("loan-42").run_infallible(|ctx| async move {
        ctx.dependency("queue", "payouts", async { Ok::<_, Trouble>(Carrier::current()) }).await
    });
    ran.await.unwrap().unwrap().unwrap()
}

async fn pay(_: Payout) -> Result<&'static str, Trouble> {
    let ctx = TraceContext::current().unwrap();
    ctx.trace_infallible("stage:transfer", async { "paid" }).await.map_err(|_| Trouble::timeout())
}

fn layer(bench: &Bench) -> JobLayer {
    JobLayer::new(&bench.throughline, "payouts")
}

#[tokio::test]
async fn the_producers_run_goes_on_in_the_worker() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let answer = layer(&bench).layer(service_fn(pay)).oneshot(job("j-1", &carrier)).await.unwrap();
    assert_eq!(answer, "paid");
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout success attempt 1 #detached #remote_parent
          stage:transfer success
    ");
    let events = bench.events().await;
    let start = &starts(&events, "job:payout")[0];
    assert!(events.iter().all(|event| event.trace_id == events[0].trace_id));
    assert_eq!(start.correlation_id.as_deref(), Some("loan-42"));
    assert_eq!(["queue", "job_id"].map(|key| start.attrs.get(key)), [Some("payouts"), Some("j-1")]);
    assert!(start.data.as_ref().unwrap()["input"]["wait_us"].is_u64());
    assert!(starts(&events, "stage:transfer")[0].attrs.is_empty(), "what is said of the job is said once");
    assert_snapshot!(bench.readings("throughline_job"), @"
    throughline_job_attempts_total{queue=payouts,job_type=payout,outcome=success} 1
    throughline_job_duration_seconds{queue=payouts,job_type=payout,status=success} 1
    throughline_job_wait_seconds{queue=payouts,job_type=payout} 1
    throughline_jobs_in_flight{queue=payouts,job_type=payout} 0
    ");
}

#[tokio::test]
async fn the_second_attempt_links_the_first_and_the_run_ends_as_the_last_attempt_does() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let failing = layer(&bench).layer(service_fn(|_: Payout| async { Err::<&str, _>(Trouble::timeout()) }));
    let error = failing.oneshot(job("j-1", &carrier)).await.unwrap_err();
    assert!(error.is::<Trouble>());
    let state = async || bench.run_of("loan-42").await.state.to_string();
    assert_eq!(state().await, "failed");
    // Another job of the same run is no attempt at this one.
    layer(&bench).layer(service_fn(pay)).oneshot(job("j-2", &carrier)).await.unwrap();
    assert_eq!(state().await, "failed");
    let again = Payout { attempt: 1, ..job("j-1", &carrier) };
    layer(&bench).layer(service_fn(pay)).oneshot(again).await.unwrap();
    assert_eq!(state().await, "succeeded");
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout failed attempt 1 [Trouble::Timeout] #detached #remote_parent
        job:payout success attempt 1 #detached #remote_parent
          stage:transfer success
        job:payout success attempt 2 #detached #remote_parent (retry_of job:payout)
          stage:transfer success
    ");
    let readings = bench.readings("throughline_job_attempts");
    assert!(readings.contains("outcome=failed} 1") && readings.contains("outcome=success} 2"), "{readings}");
    assert_snapshot!(bench.readings("throughline_retries"), @"throughline_retries_total{workflow=payout,step_type=job:payout,status=success} 1");
}

#[tokio::test]
async fn an_attempt_that_the_queue_did_not_count_is_counted_all_the_same() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    for _ in 0..3 {
        layer(&bench).layer(service_fn(pay)).oneshot(job("j-1", &carrier)).await.unwrap();
    }
    let attempts: Vec<_> =
        starts(&bench.events().await, "job:payout").iter().map(|start| start.attempt).collect();
    assert_eq!(attempts, [Some(1), Some(2), Some(3)]);
    // Since when the later attempts could have been made nobody knows.
    assert!(bench.readings("throughline_job_wait").ends_with("} 1"));
}

#[tokio::test]
async fn each_attempt_at_a_job_without_a_context_is_a_run_and_the_job_stands_as_the_last_one() {
    let bench = Bench::new();
    let enqueued = Timestamp::now().to_string();
    let spoilt = Carrier::from_pairs(|name| match name {
        "traceparent" => Some("rubbish"),
        "enqueued_at" => Some(&enqueued),
        _ => None,
    });
    let failing = layer(&bench).layer(service_fn(|_: Payout| async { Err::<&str, _>(Trouble::timeout()) }));
    failing.oneshot(job("j-1", &spoilt)).await.unwrap_err();
    let first = bench.run_of("payouts:j-1").await;
    assert_eq!(first.state, RunState::Failed);
    layer(&bench).layer(service_fn(pay)).oneshot(job("j-1", &spoilt)).await.unwrap();
    layer(&bench).layer(service_fn(pay)).oneshot(Payout::default()).await.unwrap();
    let starts = starts(&bench.events().await, "job:payout");
    assert!(starts.iter().all(|start| start.is_root()));
    let link = &starts[1].links[0];
    assert_eq!(
        (link.rel.clone(), link.trace_id, link.span_id),
        (Relation::RetryOf, Some(first.trace_id), starts[0].span_id)
    );
    assert_eq!([starts[0].attempt, starts[1].attempt], [Some(1), Some(2)]);
    assert_eq!(starts[2].correlation_id, None);
    let second = bench.run_of("payouts:j-1").await;
    assert_eq!((second.trace_id, second.state), (starts[1].trace_id, RunState::Succeeded));
    let reader = bench.throughline.reader().unwrap();
    assert_eq!(
        reader.run(first.trace_id).await.unwrap().unwrap().state,
        RunState::Failed,
        "it stays findable"
    );
    assert!(
        bench.readings("throughline_job_wait").ends_with("} 1"),
        "of a later attempt nobody knows its wait"
    );
}

#[tokio::test]
async fn an_id_that_looks_like_personal_data_does_not_keep_the_job_from_being_done() {
    let telling = || job("ada@example.org", &Carrier::default());
    let store = MemoryStore::new();
    let without_key = Throughline::builder("test").store(store.clone()).build().unwrap();
    let jobs = JobLayer::new(&without_key, "payouts");
    jobs.run(telling(), async |_| Err::<(), _>(Trouble::timeout())).await.unwrap_err();
    jobs.run(telling(), pay).await.unwrap();
    let told = starts(&store.events(), "job:payout");
    assert!(told[0].correlation_id.as_deref().is_some_and(|key| key.starts_with("pseudonym:")), "{told:?}");
    assert_eq!((&told[1].correlation_id, told[1].attempt), (&told[0].correlation_id, Some(2)));
    assert!(!format!("{told:?}").contains("ada@"));
}

#[tokio::test]
async fn a_job_that_was_scheduled_waits_from_when_it_was_due() {
    let bench = Bench::new();
    let due_at = Some(Timestamp::now().plus(Duration::from_secs(30)));
    let later = Payout { due_at, ..job("j-1", &Carrier::current()) };
    layer(&bench).layer(service_fn(pay)).oneshot(later).await.unwrap();
    let waited = &starts(&bench.events().await, "job:payout")[0].data.clone().unwrap()["input"]["wait_us"];
    assert_eq!(waited, 0);
}

#[tokio::test]
async fn a_wait_that_cannot_be_is_not_known() {
    let bench = Bench::new();
    let now = Timestamp::now();
    let never = [
        Timestamp::from_micros(0),
        now.minus(Duration::from_secs(401 * 86_400)),
        now.plus(Duration::from_secs(3600)),
    ];
    for due_at in never {
        layer(&bench).run(Payout { due_at: Some(due_at), ..Payout::default() }, pay).await.unwrap();
    }
    assert_eq!(bench.readings("throughline_job_wait"), "");
    assert!(starts(&bench.events().await, "job:payout").iter().all(|start| start.data.is_none()));

    // Two clocks are never the same.
    layer(&bench)
        .run(Payout { due_at: Some(now.plus(Duration::from_secs(2))), ..Payout::default() }, pay)
        .await
        .unwrap();
    assert!(bench.readings("throughline_job_wait").ends_with("} 1"));
}

#[tokio::test]
async fn jobs_of_one_id_in_two_queues_or_of_two_kinds_are_different_jobs() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let error = layer(&bench).run(job("1", &carrier), async |_| Err::<(), _>(Trouble::timeout())).await;
    error.unwrap_err();
    JobLayer::new(&bench.throughline, "emails").run(job("1", &carrier), pay).await.unwrap();
    layer(&bench).job_type("refund").run(job("1", &carrier), pay).await.unwrap();
    let events = bench.events().await;
    for start in ["job:payout", "job:refund"].iter().flat_map(|kind| starts(&events, kind)) {
        assert_eq!((start.attempt, start.links.len()), (Some(1), 0), "{start:?}");
    }
    let run = bench.run_of("loan-42").await;
    assert_eq!(run.state, RunState::Failed, "the payout was not made");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_again_and_not_for_long() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let attempt = async || layer(&bench).run(job("j-1", &carrier), pay).await.unwrap();
    attempt().await;
    let before = bench.faults.read().attempts();
    bench.faults.read().fail_next(2, not_read);
    attempt().await;
    assert_eq!(bench.faults.read().attempts() - before, 3);
    bench.faults.read().hold();
    tokio::time::timeout(TOO_LONG, attempt()).await.unwrap();
    let attempts: Vec<_> =
        starts(&bench.events().await, "job:payout").iter().map(|start| start.attempt).collect();
    assert_eq!(attempts, [Some(1), Some(2), Some(1)]);
}

#[tokio::test]
async fn a_panic_goes_on_to_the_worker_and_is_counted() {
    let bench = Bench::new();
    let service = service_fn(|_: Payout| async { panic!("no such account") as Result<(), Trouble> });
    let worker = layer(&bench).layer(service);
    let call = AssertUnwindSafe(worker.oneshot(job("j-1", &Carrier::default())));
    let panicked = call.catch_unwind().await.unwrap_err();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"no such account"));
    assert_snapshot!(bench.tree().await, @"job:payout failed attempt 1 [panic] #detached");
    assert_snapshot!(bench.readings("throughline_job"), @"
    throughline_job_attempts_total{queue=payouts,job_type=payout,outcome=panicked} 1
    throughline_job_duration_seconds{queue=payouts,job_type=payout,status=failed} 1
    throughline_jobs_in_flight{queue=payouts,job_type=payout} 0
    ");
}

#[tokio::test]
async fn a_job_that_is_dropped_was_cancelled_and_workers_and_jobs_are_counted_as_long_as_they_live() {
    let (bench, begun) = (Bench::new(), Arc::new(Notify::new()));
    let gauges = || bench.readings("throughline_workers_active") + &bench.readings("throughline_jobs_in");
    let inner = {
        let begun = Arc::clone(&begun);
        service_fn(move |_: Payout| {
            let begun = Arc::clone(&begun);
            async move {
                begun.notify_one();
                pending::<Result<(), Trouble>>().await
            }
        })
    };
    let worker = layer(&bench).layer(inner);
    let call = tokio::spawn(worker.clone().oneshot(job("j-1", &Carrier::default())));
    begun.notified().await;
    assert_snapshot!(gauges(), @"throughline_workers_active{queue=payouts} 1throughline_jobs_in_flight{queue=payouts,job_type=payout} 1");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_snapshot!(gauges(), @"throughline_workers_active{queue=payouts} 1throughline_jobs_in_flight{queue=payouts,job_type=payout} 0");
    drop(worker);
    assert_snapshot!(gauges(), @"throughline_workers_active{queue=payouts} 0throughline_jobs_in_flight{queue=payouts,job_type=payout} 0");
    assert_snapshot!(bench.tree().await, @"job:payout cancelled attempt 1 [aborted] #detached");
    assert!(bench.readings("throughline_job_attempts").contains("outcome=cancelled} 1"));
}

#[tokio::test]
async fn a_job_whose_start_is_not_recorded_is_not_done_and_goes_back_to_the_queue() {
    let bench = Bench::new();
    bench.fail_next();
    let service = service_fn(|_: Payout| async { panic!("it was called") as Result<(), Trouble> });
    let error = layer(&bench).layer(service).oneshot(job("j-1", &Carrier::default())).await.unwrap_err();
    assert!(error.is::<NotRecorded>(), "{error}");
    assert!(bench.readings("throughline_job_attempts").contains("outcome=not_started} 1"));
    assert!(bench.readings("throughline_jobs_in_flight").ends_with("} 0"));
}

#[tokio::test]
async fn a_job_that_was_worked_on_before_its_start_was_refused_is_counted_once() {
    let bench = Bench::pipelined();
    bench.fail_next();
    let error = layer(&bench).run(job("j-1", &Carrier::default()), async |_| Ok::<_, Trouble>(())).await;
    assert!(error.unwrap_err().is::<NotRecorded>());
    assert_snapshot!(bench.readings("throughline_job_attempts"), @"throughline_job_attempts_total{queue=payouts,job_type=payout,outcome=success} 1");
}

#[tokio::test]
async fn a_layer_may_say_what_kind_of_job_it_is() {
    let bench = Bench::new();
    let service = service_fn(|_: Payout| async { Ok::<_, BoxError>(()) });
    layer(&bench).job_type("refund").layer(service).oneshot(Payout::default()).await.unwrap();
    let start = &starts(&bench.events().await, "job:refund")[0];
    assert_eq!(start.workflow.as_deref(), Some("refund"));
    assert_eq!((start.status, start.has_tag(names::tags::DETACHED)), (Status::Pending, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_tower_has_the_same() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let payouts = layer(&bench);
    let up = payouts.worker();
    assert!(bench.readings("throughline_workers_active").ends_with("} 1"));
    drop(up);
    assert!(bench.readings("throughline_workers_active").ends_with("} 0"));
    let worked = tokio::spawn(async move {
        let account = "acme".to_owned();
        let lend = async |_: Payout, account: &str| {
            if account.is_empty() { Ok(account.len()) } else { Err(Trouble::timeout()) }
        };
        let error = payouts.run(job("j-1", &carrier), |job| lend(job, &account)).await.unwrap_err();
        assert!(error.is::<Trouble>());
        payouts.run(job("j-1", &carrier), |job| lend(job, "")).await
    });
    assert_eq!(worked.await.unwrap().unwrap(), 0);
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout failed attempt 1 [Trouble::Timeout] #detached #remote_parent
        job:payout success attempt 2 #detached #remote_parent (retry_of job:payout)
    ");
    assert!(bench.readings("throughline_jobs_in_flight").ends_with("} 0"));
}

#[tokio::test]
async fn layers_nest_a_job_may_run_a_workflow_and_that_its_steps() {
    let bench = Bench::new();
    let carrier = enqueue(&bench).await;
    let steps = StepLayer::new(&bench.throughline, |id: &String| StepCall::new(id.clone()).step_type("bank"));
    let steps = steps.layer(service_fn(|id: String| async move { Ok::<_, Trouble>(id) }));
    let workflow = WorkflowLayer::new(&bench.throughline, |throughline, _: &Payout| {
        // Without an id of its own the workflow stays in the job's trace.
        throughline.workflow("disbursement").tenant("acme")
    });
    let workflow = workflow.layer(service_fn(move |_: Payout| {
        let steps = steps.clone();
        async move {
            steps.clone().oneshot("reserve".to_owned()).await?;
            steps.oneshot("transfer".to_owned()).await
        }
    }));
    let done = layer(&bench).layer(workflow).oneshot(job("j-1", &carrier)).await.unwrap();
    assert_eq!(done, "transfer");
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout success attempt 1 #detached #remote_parent
          workflow:started > workflow:completed success
            step:reserve success
            step:transfer success
    ");
    let events = bench.events().await;
    assert!(events.iter().all(|event| event.trace_id == events[0].trace_id));
    assert_snapshot!(bench.readings("throughline_step_"), @"throughline_step_duration_seconds{tenant=acme,workflow=disbursement,step_type=bank,status=success} 2");
}
