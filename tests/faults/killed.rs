//! Processes of our own that are killed in the middle of their work.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use throughline::store::{
    AppendError, CosmosStore, PostgresStore, SqliteSpool, StoreConfig as _, TraceReader,
};
use throughline::testing::FaultyStore;
use throughline::{SqliteStore, Throughline};

use crate::cosmos_server::{self, KEY};
use crate::load::{Load, Seen, lost_and_doubled};
use crate::postgres_server::Database;
use crate::retry;
use crate::row::Row;

/// What a process of this test binary records into: `sqlite PATH`, `postgres URL`, `cosmos ENDPOINT` or `spool PATH`.
const ROLE: &str = "THROUGHLINE_FAULTS_ROLE";
/// Which of several processes with that role it is.
const LIFE: &str = "THROUGHLINE_FAULTS_LIFE";
/// How often a process is killed.
const LIVES: usize = 5;
/// How many acknowledgements each has heard by then.
const SOME: usize = 300;

fn builder(role: &str) -> throughline::delivery::ThroughlineBuilder {
    let builder = Throughline::builder("load").retry(retry());
    match role.split_once(' ').unwrap() {
        ("sqlite", path) => builder.store(SqliteStore::new(path)),
        ("postgres", url) => builder.store(PostgresStore::new(url)),
        ("cosmos", endpoint) => builder.store(CosmosStore::new(endpoint, KEY, "audit")),
        (_, path) => {
            // The store takes nothing.
            let store = FaultyStore::around(SqliteStore::new(format!("{path}/traces.db")));
            store.faults().append().fail_next(u64::MAX, || AppendError::Unavailable {
                reason: "away".to_owned(),
                retry_after: None,
                source: None,
            });
            builder.store(store).spool(spool(path))
        }
    }
}

fn spool(folder: &str) -> SqliteSpool {
    SqliteSpool::new(format!("{folder}/spool.db"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_process_records_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let throughline = builder(&role).build_async().await.unwrap();
    println!();
    let life: u64 = std::env::var(LIFE).unwrap().parse().unwrap();
    let load = Load::that_says_what_is_acknowledged(&throughline, life * 1_000_000);
    load.acknowledged(u64::MAX / 2).await;
}

/// Kills processes with this role after so many acknowledgements each; answers what they said.
fn kill(role: &str, after: usize) -> Seen {
    let mut seen = Seen::default();
    for life in 0..LIVES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "killed::this_process_records_when_it_is_told_to", "--nocapture"]);
        command.env(ROLE, role).env(LIFE, life.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let before = seen.acknowledged.len();
        let mut hear = |line: String| {
            let mut words = line.split(' ');
            if let (Some("acknowledged"), Some(number), Some(micros)) =
                (words.next(), words.next(), words.next())
            {
                seen.acknowledged.push(number.parse().unwrap());
                seen.waits.push(std::time::Duration::from_micros(micros.parse().unwrap()));
            }
            seen.acknowledged.len() - before
        };
        while hear(lines.next().expect("it goes on until it is killed")) < after * (life + 1) {}
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| {
            hear(line);
        });
    }
    seen
}

async fn settle(row: Row, seen: &Seen, reader: Arc<dyn TraceReader>) {
    let (lost, doubled) = lost_and_doubled(&*reader, &seen.acknowledged).await;
    row.write(seen, "ended with the process", lost, doubled);
}

#[tokio::test]
async fn a_process_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let seen = kill(&format!("sqlite {}", path.display()), SOME);
    let reader = SqliteStore::new(&path).open_readers().await.unwrap().reader;
    let row = Row { place: 34, destination: "SQLite", fault: "the process is killed by SIGKILL, five times" };
    settle(row, &seen, reader).await;
}

#[tokio::test]
async fn a_process_with_a_store_in_postgres_that_is_killed() {
    let Some(database) = Database::new() else { return };
    let seen = kill(&format!("postgres {}", database.url()), SOME);
    let reader = database.store().open_readers().await.unwrap().reader;
    let row =
        Row { place: 15, destination: "Postgres", fault: "the process is killed by SIGKILL, five times" };
    settle(row, &seen, reader).await;
}

#[tokio::test]
async fn a_process_with_a_store_in_cosmos_that_is_killed() {
    let server = cosmos_server::Server::start();
    // Each batch costs the emulator what it holds already.
    let seen = kill(&format!("cosmos {}", server.endpoint()), SOME / 5);
    let reader = server.store().open_readers().await.unwrap().reader;
    let row =
        Row { place: 75, destination: "Cosmos DB", fault: "the process is killed by SIGKILL, five times" };
    settle(row, &seen, reader).await;
}

#[tokio::test]
async fn a_process_with_a_spool_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, place) = (folder.path().join("traces.db"), folder.path().display().to_string());
    let seen = kill(&format!("spool {place}"), SOME);
    // The next process delivers what they left.
    let heir = Throughline::builder("load").store(SqliteStore::new(&path)).spool(spool(&place));
    let heir = heir.build_async().await.unwrap();
    let report = heir.flush(std::time::Duration::from_secs(30)).await;
    assert!(report.is_complete(), "{report:?}");
    let reader = SqliteStore::new(&path).open_readers().await.unwrap().reader;
    let row = Row {
        place: 35,
        destination: "SQLite and a spool",
        fault: "the process is killed by SIGKILL, five times, in an outage",
    };
    settle(row, &seen, reader).await;
}
