//! Of several instances one works on a run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};

use rusqlite::Connection;
use throughline_model::testing::run;
use throughline_model::{AppendError, Claim, InstanceId, TraceId, TraceStore};

use crate::{Place, open, open_as, shared, unsynced};

const PATH: &str = "THROUGHLINE_TEST_CLAIM_PATH";
const PROCESSES: usize = 8;

fn runs() -> Vec<TraceId> {
    (0..25).map(|number| TraceId::from_key(&format!("loan-{number}"))).collect()
}

fn rows(place: &Place) -> i64 {
    let connection = Connection::open(place.path()).unwrap();
    connection.query_row("SELECT count(*) FROM claim", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_run_is_held_by_one_instance_until_it_is_released() {
    let place = Place::new();
    let (first, second) = (InstanceId::random(), InstanceId::random());
    let (one, other) = (open_as(place.store(), first).await, open_as(place.store(), second).await);
    let [loan, another] = ["loan-42", "loan-43"].map(TraceId::from_key);
    assert_eq!(one.claim(loan).await.unwrap(), Claim::Granted);
    assert_eq!(one.claim(loan).await.unwrap(), Claim::Granted, "what one holds is granted again");
    assert_eq!(other.claim(loan).await.unwrap(), Claim::HeldBy(first));
    assert_eq!(other.claim(another).await.unwrap(), Claim::Granted);
    // Only the holder can release it.
    other.release(loan).await.unwrap();
    assert_eq!(other.claim(loan).await.unwrap(), Claim::HeldBy(first));
    one.release(loan).await.unwrap();
    one.release(loan).await.unwrap();
    assert_eq!(other.claim(loan).await.unwrap(), Claim::Granted);
    assert_eq!(one.claim(loan).await.unwrap(), Claim::HeldBy(second));
}

#[tokio::test]
async fn closing_releases_everything_and_a_closed_store_claims_nothing() {
    let place = Place::new();
    let (one, other) = (open(place.store()).await, open(place.store()).await);
    let runs = runs();
    for run in &runs {
        assert_eq!(one.claim(*run).await.unwrap(), Claim::Granted);
    }
    one.close().await.unwrap();
    assert_eq!(rows(&place), 0);
    let error = one.claim(runs[0]).await.unwrap_err();
    assert!(matches!(&error, AppendError::Broken { reason, .. } if reason.contains("is closed")), "{error}");
    assert_eq!(other.claim(runs[0]).await.unwrap(), Claim::Granted);
}

#[tokio::test]
async fn claims_end_with_the_lease_even_if_the_same_instance_opens_again() {
    let place = Place::new();
    let id = InstanceId::random();
    let one = open_as(place.store(), id).await;
    let loan = TraceId::from_key("loan-42");
    assert_eq!(one.claim(loan).await.unwrap(), Claim::Granted);
    // As if the process had died: nothing is closed.
    drop(one);
    assert_eq!(rows(&place), 1);
    let _again = open_as(place.store(), id).await;
    assert_eq!(rows(&place), 0);
    let other = open(place.store()).await;
    assert_eq!(other.claim(loan).await.unwrap(), Claim::Granted);
}

#[tokio::test]
async fn events_and_claims_do_not_disturb_each_other() {
    let place = Place::new();
    let (one, other) = (open(place.store()).await, open(place.store()).await);
    let mut loan = run("loan");
    loan.root();
    one.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(one.claim(loan.trace_id()).await.unwrap(), Claim::Granted);
    assert!(matches!(other.claim(loan.trace_id()).await.unwrap(), Claim::HeldBy(_)));
    loan.complete_run();
    one.append(&shared(&loan.events())).await.unwrap();
    one.release(loan.trace_id()).await.unwrap();
    assert_eq!(one.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}

#[test]
fn of_eight_threads_one_wins_each_run() {
    let place = Place::new();
    let barrier = Barrier::new(PROCESSES);
    let winners: Vec<Vec<TraceId>> = std::thread::scope(|scope| {
        let race = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let store: Arc<dyn TraceStore> = runtime.block_on(open(place.store()));
            barrier.wait();
            let mut won = Vec::new();
            for run in runs() {
                if runtime.block_on(store.claim(run)).unwrap() == Claim::Granted {
                    won.push(run);
                }
            }
            // No store is closed, and so frees its claims, before all have asked.
            barrier.wait();
            won
        };
        let threads: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut won: Vec<_> = winners.concat();
    won.sort_unstable();
    let mut want = runs();
    want.sort_unstable();
    assert_eq!(won, want);
}

/// Not a test of its own: one of the processes of [`of_eight_processes_one_wins_each_run_and_the_dead_hold_nothing`].
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let store = open(unsynced(&PathBuf::from(path))).await;
    println!("ready");
    std::io::stdin().lines().next();
    for run in runs() {
        if store.claim(run).await.unwrap() == Claim::Granted {
            println!("granted {run}");
        }
    }
    println!("done");
    std::thread::park();
}

fn start(place: &Place) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "claims::child", "--nocapture"])
        .env(PATH, place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("ready")));
    (child, lines)
}

#[tokio::test]
async fn of_eight_processes_one_wins_each_run_and_the_dead_hold_nothing() {
    let place = Place::new();
    let (mut children, outputs): (Vec<_>, Vec<_>) = (0..PROCESSES).map(|_| start(&place)).unzip();
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    for output in outputs {
        for line in output.take_while(|line| line != "done") {
            if let Some(run) = line.strip_prefix("granted ") {
                *winners.entry(run.to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(winners.len(), runs().len());
    assert!(winners.values().all(|granted| *granted == 1), "{winners:?}");

    let here = open(place.store()).await;
    let loan = runs()[0];
    assert!(matches!(here.claim(loan).await.unwrap(), Claim::HeldBy(_)));
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(here.claim(loan).await.unwrap(), Claim::Granted);
    // The next process to open the store removes what dead ones have left.
    let _next = open(place.store()).await;
    assert_eq!(rows(&place), 1);
}
