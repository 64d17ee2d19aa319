//! A long outage of the store, with a spool: two seconds in the test command, half an hour with
//! `THROUGHLINE_OUTAGE_SECONDS=1800 cargo test --release --all-features --test faults outage`.

use std::time::{Duration, Instant};

use throughline::store::{AppendError, SqliteSpool, StoreConfig as _};
use throughline::testing::FaultyStore;
use throughline::{SqliteStore, Throughline};

use crate::load::{Load, lost_and_doubled};
use crate::retry;

/// How much memory an outage may take, however long it lasts: what is read ahead to be delivered, and caches.
const MEMORY: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_takes_no_memory_and_everything_is_delivered_in_order_afterwards() {
    let seconds = std::env::var("THROUGHLINE_OUTAGE_SECONDS").map_or(2, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let store = FaultyStore::around(SqliteStore::new(&path));
    let faults = store.faults();
    let spool = SqliteSpool::new(folder.path().join("spool.db")).capacity_bytes(8 << 30);
    let throughline =
        Throughline::builder("load").store(store).spool(spool).retry(retry()).build_async().await.unwrap();
    let load = Load::paced(&throughline, Duration::from_millis(10));
    load.acknowledged(200).await;
    faults.append().fail_next(u64::MAX, || AppendError::Unavailable {
        reason: "away".to_owned(),
        retry_after: None,
        source: None,
    });
    // What the spool itself takes is taken by then.
    load.acknowledged(500).await;
    let (before, began) = (resident(), Instant::now());
    while began.elapsed() < Duration::from_secs(seconds) {
        load.acknowledged(100).await;
        let more = resident().saturating_sub(before);
        // The numbers that the emitters keep are a test's own.
        assert!(more < MEMORY + load.bytes(), "{more} bytes more after {:?}", began.elapsed());
    }
    faults.append().heal();
    load.acknowledged(500).await;
    let (seen, report) = load.end(Duration::from_secs(60 + seconds)).await;
    let account = &report.destinations[0];
    assert!(account.balances() && report.is_complete(), "{account:?}");
    assert_eq!(account.delivered, account.accepted, "{account:?}");
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);

    let reader = SqliteStore::new(&path).open_readers().await.unwrap().reader;
    assert_eq!(lost_and_doubled(&*reader, &seen.acknowledged).await, (0, 0));
    let file = rusqlite::Connection::open(&path).unwrap();
    let overtaken = "SELECT count(*) FROM \
                     (SELECT n, lag(n) OVER (PARTITION BY run ORDER BY id) AS earlier FROM event) WHERE n < earlier";
    let overtaken: i64 = file.query_row(overtaken, [], |row| row.get(0)).unwrap();
    assert_eq!(overtaken, 0, "events of a run were stored in another order than they happened in");
    println!("{} events in an outage of {seconds} s", seen.acknowledged.len());
}

/// How many bytes of memory this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}
