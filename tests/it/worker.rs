//! A worker is killed with SIGKILL in mid-job: its run shows as interrupted with its last step, and the job's next attempt,
//! in another process, continues in the same trace. A real queue: apalis on Redis.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};
use throughline::query::Verdict;
use throughline::query::{Liveness, OpenRun, RunState};
use throughline::store::{Page, TraceReader};
use throughline::testing::tree;
use throughline::worker::{Carrier, JobLayer};
use throughline::{SqliteStore, Throughline, TraceContext, TraceId, TraceQuery};

use crate::redis;

const ROLE: &str = "THROUGHLINE_TEST_WORKER";
const DATABASE: &str = "THROUGHLINE_TEST_WORKER_DATABASE";
const REDIS: &str = "THROUGHLINE_TEST_WORKER_REDIS";

/// Whether this worker gets stuck in mid-job.
const STUCK: &str = "stuck";
const SOUND: &str = "sound";

/// No worker is about waiting: one that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payout {
    loan: String,
}

async fn queue(url: &str) -> RedisStorage<Payout> {
    let config = Config::default()
        .queue("payouts")
        // A worker that is not heard of for so long is taken for dead.
        .heartbeat_interval(Duration::from_secs(1))
        .missed_heartbeats(1);
    RedisStorage::new(apalis_redis::connect(url).await.unwrap()).with_config(config)
}

fn emitter(service: &str, database: &Path) -> Throughline {
    Throughline::builder(service.to_owned()).store(SqliteStore::new(database)).build().unwrap()
}

#[tokio::test]
async fn a_job_whose_worker_was_killed_goes_on_in_the_same_trace() {
    let Some(redis) = redis::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("traces.db");
    let run = enqueue(&redis.url(), &database).await;
    let reader = SqliteStore::new(&database).open_reader().unwrap();
    assert_eq!(state(&reader, run).await, RunState::Succeeded, "as far as the request goes");

    let mut stuck = Worker::start(STUCK, &redis.url(), &database);
    stuck.wait_for("in mid-job");
    let running = open(&reader).await;
    assert_eq!((running.summary.trace_id, running.summary.state), (run, RunState::Running));
    stuck.process.kill().unwrap();
    stuck.process.wait().unwrap();

    let interrupted = open(&reader).await;
    assert_eq!(interrupted.summary.state, RunState::Interrupted);
    assert_eq!(interrupted.current.unwrap().event_type, "stage:transfer", "its last step");
    let check = reader.safe_to_deploy(Duration::from_secs(60)).await.unwrap();
    assert_eq!(check.interrupted.len(), 1);

    let explained =
        TraceQuery::new(reader.trace(run).await.unwrap()).with_liveness(|_| Liveness::Dead).explain();
    assert_eq!(explained.verdict, Verdict::Interrupted);
    assert_eq!(explained.cause.unwrap().span.name, "stage:transfer");

    let mut sound = Worker::start(SOUND, &redis.url(), &database);
    sound.wait_for("the job is done");
    assert!(sound.process.wait().unwrap().success());

    assert_eq!(state(&reader, run).await, RunState::Succeeded);
    assert_eq!(reader.open_runs(&Page::first(10)).await.unwrap().items, []);
    let events = reader.trace(run).await.unwrap();
    assert_eq!(
        tree(&events),
        "workflow:started > workflow:completed success\n  \
           dependency:queue success #dependency\n    \
             job:payout pending attempt 1 #detached #remote_parent\n      \
               stage:reserve success\n      \
               stage:transfer pending\n    \
             job:payout success attempt 2 #detached #remote_parent (retry_of job:payout)\n      \
               stage:reserve success\n      \
               stage:transfer success\n"
    );
    let attempts: Vec<_> =
        events.iter().filter(|event| event.event_type == "job:payout" && event.seq == 0).collect();
    assert_eq!(attempts[1].links[0].span_id, attempts[0].span_id);
    assert_ne!(attempts[1].instance, attempts[0].instance);
    assert_eq!(attempts[1].attrs.get("job_id"), attempts[0].attrs.get("job_id"));
}

/// A service that takes an order, puts it into the queue and has ended.
async fn enqueue(url: &str, database: &Path) -> TraceId {
    let throughline = emitter("loan-api", database);
    let mut queue = queue(url).await;
    let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        let push = async {
            let job = TaskBuilder::new(Payout { loan: "loan-42".to_owned() }).metadata(&Carrier::current());
            queue.push_task(job.build()).await
        };
        ctx.dependency("queue", "payouts", push).await?.map_err(BoxDynError::from)?;
        Ok::<_, BoxDynError>(ctx.trace_id())
    });
    let run = run.await.unwrap().unwrap();
    throughline.shutdown(PATIENCE).await;
    run
}

async fn state(reader: &dyn TraceReader, run: TraceId) -> RunState {
    reader.run(run).await.unwrap().unwrap().state
}

/// The only run that has not ended.
async fn open(reader: &dyn TraceReader) -> OpenRun {
    let mut open = reader.open_runs(&Page::first(10)).await.unwrap().items;
    assert_eq!(open.len(), 1);
    open.remove(0)
}

/// A process of its own: this test binary again, whose environment says what to be.
struct Worker {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(role: &str, url: &str, database: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker::this_process_is_the_worker_when_it_is_told_to_be", "--nocapture"]);
        command.env(ROLE, role).env(REDIS, url).env(DATABASE, database);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, said }
    }

    fn wait_for(&mut self, what: &str) {
        assert!(self.said.by_ref().any(|line| line.unwrap() == what), "the worker never said `{what}`");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn this_process_is_the_worker_when_it_is_told_to_be() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let database = std::env::var_os(DATABASE).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let throughline = emitter("payout-worker", Path::new(&database));
        let worker = WorkerBuilder::new(format!("{role}-worker"))
            .backend(queue(&std::env::var(REDIS).unwrap()).await)
            .data(role)
            .layer(JobLayer::new(&throughline, "payouts").job_type("payout"))
            .build(pay);
        tokio::time::timeout(PATIENCE, worker.run()).await.unwrap().unwrap();
        throughline.shutdown(PATIENCE).await;
    });
}

async fn pay(
    job: Payout,
    ctx: Data<TraceContext>,
    role: Data<String>,
    worker: WorkerContext,
) -> Result<(), BoxDynError> {
    assert_eq!(job.loan, "loan-42");
    ctx.trace_infallible("stage:reserve", async {}).await?;
    ctx.trace_infallible("stage:transfer", async {
        if *role == STUCK {
            say("in mid-job");
            std::future::pending::<()>().await;
        }
    })
    .await?;
    say("the job is done");
    worker.stop()?;
    Ok(())
}

/// One write, so that a line is whole or not there.
fn say(what: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("\n{what}\n").as_bytes()).and_then(|()| stdout.flush()).unwrap();
}
