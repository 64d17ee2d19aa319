//! Replicas that start at the same moment and all resume what a dead process left: each run goes on in one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use throughline::context::Workflow;
use throughline::event::{InstanceId, Status, names};
use throughline::query::{DeployCheck, RunState};
use throughline::store::{BoxError, Filter, Page, StoreConfig, TraceReader};
use throughline::testing::RemoteStore;
use throughline::{NotRecorded, SqliteStore, Throughline, TraceContext, TraceId};

use crate::json_lines_store::JsonLinesStore;
use crate::process::{Process, say, wait_to_go_on};

const ROLE: &str = "THROUGHLINE_TEST_STORM";
const STORE: &str = "THROUGHLINE_TEST_STORM_STORE";
const FOLDER: &str = "THROUGHLINE_TEST_STORM_FOLDER";

const RUNS: usize = 50;
const REPLICAS: usize = 8;

/// How often a storm is tried until its replicas meet.
const STORMS: usize = 5;

/// None of this is about waiting: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a replica resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Every open run that it finds, by its id.
    ById,
    /// The run of each key, if it has not succeeded.
    ByKey,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::ById => "by id",
            Self::ByKey => "by key",
        }
    }
}

/// What became of a run in one replica.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Outcome {
    /// It went on here.
    Done,
    /// This instance works on it, as the store said.
    AtWork(InstanceId),
    /// It had ended.
    Ended,
}

type Outcomes = Vec<(TraceId, Outcome)>;

/// A run by its key, of which one may succeed.
fn loan(throughline: &Throughline, number: usize) -> Workflow {
    throughline.workflow("loan-approval").key(format!("loan-{number}")).once()
}

/// Begins all runs, each with one step done and one under way, and says their ids. They never end.
async fn leave_runs(throughline: &Throughline, mut say_left: impl FnMut(TraceId)) {
    let (tell, mut left) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..RUNS {
        let tell = tell.clone();
        tokio::spawn(loan(throughline, number).run(|ctx| async move {
            ctx.trace_infallible("stage:reserve", async {}).await?;
            let pay = async {
                tell.send(ctx.trace_id()).unwrap();
                std::future::pending::<()>().await;
            };
            ctx.trace_infallible("stage:pay", pay).await
        }));
    }
    for _ in 0..RUNS {
        say_left(left.recv().await.unwrap());
    }
}

/// The rest of a run. What it pays is outside of the store, where a second payment of one loan can't be made.
async fn approve(ctx: TraceContext, paid: PathBuf) -> Result<TraceId, BoxError> {
    assert!(ctx.completed_before("stage:reserve"), "the process that died has done this");
    assert!(!ctx.completed_before("stage:pay"));
    let run = ctx.trace_id();
    let pay = async { File::create_new(paid.join(run.to_string()))?.sync_all() };
    ctx.trace("stage:pay", pay).await??;
    Ok(run)
}

/// Resumes as the guide on start-up says.
async fn resume_by_id(throughline: &Throughline, paid: &Path) -> Outcomes {
    let reader = throughline.reader().unwrap();
    let mut outcomes = Vec::new();
    let mut page = Page::first(20);
    loop {
        let open = reader.open_summaries(&page).await.unwrap();
        for run in open.items.into_iter().map(|open| open.summary) {
            if run.workflow.as_deref() != Some("loan-approval") || run.state != RunState::Interrupted {
                continue;
            }
            let paid = paid.to_owned();
            let outcome = match throughline.resume(run.trace_id).run(|ctx| approve(ctx, paid)).await {
                Ok(approved) => {
                    assert_eq!(approved.unwrap(), run.trace_id);
                    Outcome::Done
                }
                Err(NotRecorded::AtWork { trace_id, instance }) if trace_id == run.trace_id => {
                    Outcome::AtWork(instance)
                }
                Err(NotRecorded::HasEnded { trace_id, state: RunState::Succeeded })
                    if trace_id == run.trace_id =>
                {
                    Outcome::Ended
                }
                Err(error) => panic!("{error}"),
            };
            outcomes.push((run.trace_id, outcome));
        }
        match open.next {
            Some(next) => page.after = Some(next),
            None => return outcomes,
        }
    }
}

/// Does the work of each key once, whether its run is new or left by another process.
async fn resume_by_key(throughline: &Throughline, paid: &Path) -> Outcomes {
    let mut outcomes = Vec::new();
    for number in 0..RUNS {
        outcomes.push(loop {
            let paid = paid.to_owned();
            match loan(throughline, number).run_or_resume(|ctx| approve(ctx, paid)).await {
                Ok(approved) => break (approved.unwrap(), Outcome::Done),
                Err(NotRecorded::AtWork { trace_id, instance }) => {
                    break (trace_id, Outcome::AtWork(instance));
                }
                Err(NotRecorded::HasSucceeded { trace_id }) => break (trace_id, Outcome::Ended),
                // Another replica is just about to begin.
                Err(NotRecorded::Store { retryable: true, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    outcomes
}

async fn resume(throughline: &Throughline, how: How, paid: &Path) -> Outcomes {
    let resuming = async {
        match how {
            How::ById => resume_by_id(throughline, paid).await,
            How::ByKey => resume_by_key(throughline, paid).await,
        }
    };
    tokio::time::timeout(PATIENCE, resuming).await.unwrap()
}

async fn all_runs(reader: &dyn TraceReader) -> BTreeSet<TraceId> {
    let (mut found, mut page) = (BTreeSet::new(), Page::first(100));
    loop {
        let runs = reader.runs(&Filter::new(), &page).await.unwrap();
        found.extend(runs.items.iter().map(|run| run.trace_id));
        match runs.next {
            Some(next) => page.after = Some(next),
            None => return found,
        }
    }
}

/// Whether each run that was left has gone on in one replica, to its end, and every other one was told. Answers how often one
/// was told that another had the run: never, if they did not come at the same time.
async fn check(
    reader: &dyn TraceReader,
    left: &BTreeSet<TraceId>,
    paid: &Path,
    replicas: &[(How, Outcomes)],
) -> usize {
    assert_eq!(left.len(), RUNS);
    let mut resumed_by = BTreeMap::new();
    for run in left {
        let events = reader.trace(*run).await.unwrap();
        let is_a = |event_type, status| {
            events.iter().filter(move |event| event.event_type == event_type && event.status == status)
        };
        let resumed: Vec<_> = is_a(names::WORKFLOW_RESUMED, Status::Pending).collect();
        assert_eq!(resumed.len(), 1, "{run} was resumed once");
        assert_eq!(is_a("stage:reserve", Status::Success).count(), 1);
        assert_eq!(is_a("stage:pay", Status::Success).count(), 1);
        assert_eq!(reader.run(*run).await.unwrap().unwrap().state, RunState::Succeeded);
        resumed_by.insert(*run, resumed[0].instance);
    }
    assert_eq!(all_runs(reader).await, *left, "no run was started anew");
    assert!(reader.safe_to_deploy(PATIENCE).await.unwrap() == DeployCheck::default(), "none is open");
    let is_paid = |run: &TraceId| paid.join(run.to_string()).is_file();
    assert!(left.iter().all(is_paid) && fs::read_dir(paid).unwrap().count() == RUNS);

    let mut done = BTreeMap::<TraceId, usize>::new();
    for (how, outcomes) in replicas {
        let asked: BTreeSet<_> = outcomes.iter().map(|(run, _)| *run).collect();
        assert_eq!(asked.len(), outcomes.len(), "each run once");
        assert!(asked.is_subset(left));
        assert!(*how == How::ById || asked == *left, "every key has an answer");
        for (run, outcome) in outcomes {
            match outcome {
                Outcome::Done => *done.entry(*run).or_default() += 1,
                Outcome::AtWork(by) => assert_eq!(*by, resumed_by[run], "who has {run}"),
                Outcome::Ended => {}
            }
        }
    }
    assert!(done.len() == RUNS && done.values().all(|times| *times == 1), "{done:?}");
    let lost = |outcome: &&(TraceId, Outcome)| matches!(outcome.1, Outcome::AtWork(_));
    let lost: usize = replicas.iter().map(|(_, outcomes)| outcomes.iter().filter(lost).count()).sum();
    println!("{lost} times somebody else had it");
    lost
}

/// Repeats a storm until its replicas came at the same time: on a busy machine the first may be done before the last begins.
async fn until_they_meet(storm: impl AsyncFn() -> usize) {
    for _ in 0..STORMS {
        if storm().await > 0 {
            return;
        }
    }
    panic!("in {STORMS} storms no two replicas came at the same time");
}

#[test]
fn this_process_is_a_replica_when_it_is_told_to_be() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let builder = Throughline::builder("loan-service");
    let builder = match std::env::var(STORE).unwrap().as_str() {
        "sqlite" => builder.store(SqliteStore::new(folder.join("traces.db"))),
        _ => builder.store(JsonLinesStore::new(folder.join("traces"))),
    };
    let throughline = builder.build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(how) = [How::ById, How::ByKey].into_iter().find(|how| how.name() == role) else {
            leave_runs(&throughline, say).await;
            return std::future::pending().await;
        };
        say("ready");
        wait_to_go_on();
        let outcomes = resume(&throughline, how, &folder.join("paid")).await;
        say(serde_json::to_string(&outcomes).unwrap());
        assert!(throughline.shutdown(PATIENCE).await.is_complete());
    });
}

fn replica(role: &str, store: &str, folder: &Path) -> Process {
    let told = [(ROLE, OsStr::new(role)), (STORE, OsStr::new(store)), (FOLDER, folder.as_os_str())];
    Process::start("resume_storm::this_process_is_a_replica_when_it_is_told_to_be", &told)
}

/// A process is killed in the middle of all runs, and others resume them.
async fn storm_of_processes(
    store: &str,
    config: impl StoreConfig,
    folder: &Path,
    how: [How; REPLICAS],
) -> usize {
    let paid = folder.join("paid");
    fs::create_dir(&paid).unwrap();
    let mut dying = replica("leave", store, folder);
    let left: BTreeSet<TraceId> = (0..RUNS).map(|_| dying.hear().unwrap().parse().unwrap()).collect();
    dying.kill();

    let mut replicas: Vec<_> = how.iter().map(|how| replica(how.name(), store, folder)).collect();
    for replica in &mut replicas {
        assert_eq!(replica.hear().as_deref(), Some("ready"));
    }
    replicas.iter_mut().for_each(Process::go_on);
    let outcomes = how.into_iter().zip(replicas).map(|(how, replica)| {
        let (said, status) = replica.end();
        assert!(status.success(), "{said:?}");
        (how, serde_json::from_str(&said[0]).unwrap())
    });
    let outcomes: Vec<_> = outcomes.collect();
    let reader = config.open_readers().await.unwrap().reader;
    check(&*reader, &left, &paid, &outcomes).await
}

/// The same in one process: replicas are threads, and their store is a distributed database.
async fn storm_of_threads(how: [How; REPLICAS]) -> usize {
    let lease = Duration::from_secs(3600);
    let store = RemoteStore::new().lease_interval(lease).stopped_clock();
    let open = || Throughline::builder("loan-service").store(store.clone()).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dead = open();
    let mut left = BTreeSet::new();
    leave_runs(&dead, |run| left.extend([run])).await;
    // It renews its lease no more, as far as the store can tell.
    store.advance(lease * 4);

    let together = Barrier::new(REPLICAS);
    let replica = |how| {
        let throughline = open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        together.wait();
        runtime.block_on(async {
            let outcomes = resume(&throughline, how, folder.path()).await;
            assert!(throughline.shutdown(PATIENCE).await.is_complete());
            (how, outcomes)
        })
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let replicas = how.map(|how| scope.spawn(move || replica(how)));
        replicas.into_iter().map(|replica| replica.join().unwrap()).collect()
    });
    let reader = store.open_readers().await.unwrap().reader;
    assert_eq!(store.violations(), [""; 0]);
    check(&*reader, &left, folder.path(), &outcomes).await
}

const BY_ID: [How; REPLICAS] = [How::ById; REPLICAS];
const BY_KEY: [How; REPLICAS] = [How::ByKey; REPLICAS];
const IN_BOTH_WAYS: [How; REPLICAS] =
    [How::ById, How::ByKey, How::ById, How::ByKey, How::ById, How::ByKey, How::ById, How::ByKey];

async fn storm_on_sqlite(how: [How; REPLICAS]) {
    until_they_meet(async || {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteStore::new(folder.path().join("traces.db"));
        storm_of_processes("sqlite", config, folder.path(), how).await
    })
    .await;
}

async fn storm_on_json_lines(how: [How; REPLICAS]) {
    until_they_meet(async || {
        let folder = tempfile::tempdir().unwrap();
        let config = JsonLinesStore::new(folder.path().join("traces"));
        storm_of_processes("json lines", config, folder.path(), how).await
    })
    .await;
}

#[tokio::test]
async fn of_processes_that_resume_all_open_runs_at_once_each_run_has_one() {
    storm_on_sqlite(BY_ID).await;
}

#[tokio::test]
async fn of_processes_that_resume_by_key_at_once_each_key_has_one_and_its_work_is_done_once() {
    storm_on_sqlite(BY_KEY).await;
}

#[tokio::test]
async fn a_run_that_is_resumed_by_id_and_by_key_at_once_goes_on_in_one_process() {
    storm_on_sqlite(IN_BOTH_WAYS).await;
}

#[tokio::test]
async fn on_a_store_with_heartbeats_each_open_run_is_resumed_by_one_of_all() {
    for how in [BY_ID, BY_KEY, IN_BOTH_WAYS] {
        until_they_meet(async || storm_of_threads(how).await).await;
    }
}

#[tokio::test]
async fn on_the_store_of_the_example_each_open_run_is_resumed_by_one_process() {
    for how in [BY_ID, BY_KEY] {
        storm_on_json_lines(how).await;
    }
}
