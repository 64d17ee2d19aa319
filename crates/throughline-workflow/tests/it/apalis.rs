//! Tasks of apalis as jobs, in a real worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis::layers::retry::RetryPolicy;
use apalis::prelude::*;
use insta::assert_snapshot;
use throughline_core::TraceContext;
use throughline_workflow::{Carrier, Job as _, JobLayer};

use crate::support::{Bench, Trouble, starts};

#[derive(Debug, Clone)]
struct Payout {
    fails: u32,
    panics: bool,
}

/// Fails as often as the job says, and then ends the worker.
async fn pay(
    job: Payout,
    ctx: Data<TraceContext>,
    worker: WorkerContext,
    tried: Data<Arc<AtomicU32>>,
) -> Result<(), BoxDynError> {
    assert_eq!(ctx.span_id(), TraceContext::current().expect("a job runs in its attempt").span_id());
    let before = tried.fetch_add(1, Ordering::SeqCst);
    if before < job.fails {
        assert!(!job.panics, "no such account");
        return Err(Trouble::timeout().into());
    }
    ctx.trace_infallible("stage:transfer", async {}).await?;
    worker.stop()?;
    Ok(())
}

/// Enqueues a job within a run and has a worker do it.
async fn work(bench: &Bench, job: Payout) {
    let mut queue = MemoryStorage::new();
    let enqueued = bench.throughline.workflow("loan-approval").key("loan-42").run(|ctx| {
        let queue = &mut queue;
        async move {
            let pushed = ctx.dependency("queue", "payouts", async {
                queue.push_task(TaskBuilder::new(job).metadata(&Carrier::current()).build()).await
            });
            pushed.await?.map_err(BoxDynError::from)
        }
    });
    enqueued.await.unwrap().unwrap();
    let worker = WorkerBuilder::new("payer")
        .backend(queue)
        .data(Arc::new(AtomicU32::new(0)))
        .retry(RetryPolicy::retries(3))
        .layer(CatchPanicLayer::with_panic_handler(|_: &Box<dyn std::any::Any + Send>| Trouble::timeout()))
        .layer(JobLayer::new(&bench.throughline, "payouts").job_type("payout"))
        .build(pay);
    worker.run().await.unwrap();
}

#[tokio::test]
async fn a_task_goes_on_in_the_producers_run_and_each_attempt_is_seen() {
    let bench = Bench::new();
    work(&bench, Payout { fails: 2, panics: false }).await;
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout failed attempt 1 [Timeout] #detached #remote_parent
        job:payout failed attempt 2 [Timeout] #detached #remote_parent (retry_of job:payout)
        job:payout success attempt 3 #detached #remote_parent (retry_of job:payout)
          stage:transfer success
    ");
    let starts = starts(&bench.events().await, "job:payout");
    assert!(starts.iter().all(|start| start.trace_id == starts[0].trace_id));
    assert_eq!(starts[2].links[0].span_id, starts[1].span_id);
    assert_snapshot!(bench.readings("throughline_job"), @"
    throughline_job_attempts_total{queue=payouts,job_type=payout,outcome=failed} 2
    throughline_job_attempts_total{queue=payouts,job_type=payout,outcome=success} 1
    throughline_job_duration_seconds{queue=payouts,job_type=payout,status=failed} 2
    throughline_job_duration_seconds{queue=payouts,job_type=payout,status=success} 1
    throughline_job_wait_seconds{queue=payouts,job_type=payout} 1
    throughline_jobs_in_flight{queue=payouts,job_type=payout} 0
    ");
    assert_snapshot!(bench.readings("throughline_workers"), @"throughline_workers_active{queue=payouts} 0");
}

#[tokio::test]
async fn a_first_attempt_asks_the_store_nothing_and_each_later_one_once() {
    let bench = Bench::new();
    let asked_by = async |payout| {
        let before = bench.faults.read().attempts();
        work(&bench, payout).await;
        // The run of the producer looks for one before it under its key.
        bench.faults.read().attempts() - before - 1
    };
    assert_eq!(asked_by(Payout { fails: 0, panics: false }).await, 0);
    assert_eq!(asked_by(Payout { fails: 2, panics: false }).await, 2);
}

#[tokio::test]
async fn a_panic_goes_on_to_apalis_which_may_try_again() {
    let bench = Bench::new();
    work(&bench, Payout { fails: 1, panics: true }).await;
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      dependency:queue success #dependency
        job:payout failed attempt 1 [panic] #detached #remote_parent
        job:payout success attempt 2 #detached #remote_parent (retry_of job:payout)
          stage:transfer success
    ");
    assert!(bench.readings("throughline_job_attempts").contains("outcome=panicked} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_in_a_task_of_its_own_has_its_context_as_data() {
    let bench = Bench::new();
    let mut queue = MemoryStorage::new();
    queue.push(Payout { fails: 0, panics: false }).await.unwrap();
    let alone = async |_: Payout, ctx: Data<TraceContext>, worker: WorkerContext| {
        assert!(TraceContext::current().is_none());
        ctx.trace_infallible("stage:transfer", async {}).await?;
        worker.stop()?;
        Ok::<_, BoxDynError>(())
    };
    let worker = WorkerBuilder::new("payer")
        .backend(queue)
        .layer(JobLayer::new(&bench.throughline, "payouts"))
        .layer(ParallelizeLayer::new(tokio::spawn))
        .build(alone);
    worker.run().await.unwrap();
    assert_snapshot!(bench.tree().await, @r"
    job:Payout success attempt 1 #detached
      stage:transfer success
    ");
}

#[test]
fn a_task_tells_what_a_job_must_know() {
    let task = TaskBuilder::new(Payout { fails: 0, panics: false });
    let fresh = task.task_id(TaskId::from_int(7)).run_at_timestamp(1_790_000_000).build();
    assert_eq!((&*fresh.job_type(), fresh.job_id().as_deref()), ("Payout", Some("7")));
    assert_eq!(throughline_workflow::Job::attempt(&fresh), 1);
    assert_eq!(fresh.due_at().map(|due| due.as_micros()), Some(1_790_000_000_000_000));
    assert!(!fresh.may_be_retry());
    let locked = TaskBuilder::new(()).lock_by(Some("payer".to_owned())).build();
    let failed = TaskBuilder::new(()).attempt(2).build();
    assert!(locked.may_be_retry() && failed.may_be_retry());
    assert_eq!(throughline_workflow::Job::attempt(&failed), 3);
}
