//! How a living process is distinguished from a dead one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use throughline_model::testing::run;
use throughline_model::{Filter, InstanceId, Page, RunState, Timestamp, TraceReader};

use crate::{Place, open, open_as, shared, unsynced};

const PATH: &str = "THROUGHLINE_TEST_PATH";

/// Not a test of its own: the process that [`a_killed_process_leaves_interrupted_runs_at_once`] kills.
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let instance = InstanceId::random();
    let store = open_as(unsynced(&PathBuf::from(path)), instance).await;
    let mut loan = run("loan").instance(instance);
    loan.begin("stage:sign");
    store.append(&shared(&loan.events())).await.unwrap();
    println!("ready");
    std::thread::park();
}

fn start(place: &Place) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lease::child", "--nocapture"])
        .env(PATH, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")));
    child
}

async fn states(reader: &impl TraceReader) -> Vec<RunState> {
    let runs = reader.runs(&Filter::new(), &Page::first(10)).await.unwrap();
    runs.items.into_iter().map(|run| run.state).collect()
}

fn lease_files(place: &Place) -> usize {
    std::fs::read_dir(place.folder.path().join("traces.db-leases")).unwrap().count()
}

#[tokio::test]
async fn a_killed_process_leaves_interrupted_runs_at_once() {
    let place = Place::new();
    let mut child = start(&place);
    let reader = place.store().open_reader().unwrap();
    assert_eq!(states(&reader).await, [RunState::Running]);
    let check = reader.safe_to_deploy(Duration::MAX).await.unwrap();
    assert!(!check.is_safe());

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states(&reader).await, [RunState::Interrupted]);
    assert!(reader.safe_to_deploy(Duration::MAX).await.unwrap().is_safe());

    // The next process to open the store removes the lease file.
    assert_eq!(lease_files(&place), 1);
    let store = open(place.store()).await;
    assert_eq!(lease_files(&place), 1);
    store.close().await.unwrap();
    assert_eq!(lease_files(&place), 0);
    assert_eq!(states(&reader).await, [RunState::Interrupted]);
}

#[tokio::test]
async fn one_instance_opens_a_file_once() {
    let place = Place::new();
    let id = InstanceId::random();
    let store = open_as(place.store(), id).await;
    let again = throughline_model::StoreConfig::open(
        &place.store(),
        throughline_model::Instance::new(id, "loan-service"),
    );
    let error = again.await.map(drop).unwrap_err().to_string();
    assert!(error.contains("instance of its own"), "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_link_to_the_file_is_the_file() {
    let place = Place::new();
    let id = InstanceId::random();
    let store = open_as(place.store(), id).await;
    let mut loan = run("loan").instance(id);
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    let other = Place::new();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path(), other.path()).unwrap();
        assert_eq!(states(&other.store().open_reader().unwrap()).await, [RunState::Running]);
    }
}

#[tokio::test]
async fn a_process_that_was_killed_is_known_and_so_is_when_it_was_last_seen() {
    let place = Place::new();
    let mut child = start(&place);
    let reader = place.store().open_reader().unwrap();
    let run = reader.runs(&Filter::new(), &Page::first(1)).await.unwrap().items.remove(0);
    let instance = reader.trace(run.trace_id).await.unwrap()[0].instance;
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Timestamp::now();
    let mut known = reader.processes(&[instance]).await.unwrap();
    let Some(process) = known.remove(0) else { panic!("the process is not known") };
    assert!(process.started <= process.last_seen && process.last_seen <= killed, "{process:?}");

    // The lease file goes with the next process that opens the store, and what it said stays.
    open(place.store()).await.close().await.unwrap();
    assert_eq!(lease_files(&place), 0);
    assert_eq!(reader.processes(&[instance]).await.unwrap(), [Some(process)]);
}

#[tokio::test]
async fn a_process_that_lives_shows_it_again_and_again() {
    let place = Place::new();
    let id = InstanceId::random();
    let store = open_as(place.store(), id).await;
    let reader = place.store().open_reader().unwrap();
    let seen = async || reader.processes(&[id]).await.unwrap().remove(0).unwrap().last_seen;
    let first = seen().await;
    let began = Instant::now();
    while seen().await <= first {
        assert!(began.elapsed() < Duration::from_secs(60), "no sign of life");
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
}
