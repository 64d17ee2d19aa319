//! Measures the physical layouts that ADR 0002 weighs against each other, with nothing but SQLite.
//!
//! `cargo bench -p throughline-sqlite --bench layouts`

#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing else to do")]

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

struct Layout {
    name: &'static str,
    schema: &'static str,
    /// Takes id, run, span, seq, ts, type, status, duration, body.
    insert: &'static str,
    read: &'static str,
    /// Whether `id` is derived from run and span, so that events of a run lie together.
    hashed: bool,
    /// Also writes one packed row for each group.
    blocks: bool,
}

const INSERT: &str = "INSERT INTO event VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9) ON CONFLICT DO NOTHING";
const LAYOUTS: &[Layout] = &[
    Layout {
        name: "obvious: text ids, three indexes",
        schema: "CREATE TABLE event(id TEXT PRIMARY KEY, run TEXT, span TEXT, seq, ts TEXT, type TEXT, status TEXT, duration, body TEXT);
                 CREATE INDEX e1 ON event(run); CREATE INDEX e2 ON event(status, ts); CREATE INDEX e3 ON event(type, ts);",
        insert: "INSERT INTO event VALUES (printf('%032x:%016x:%d',?2,?3,?4),printf('%032x',?2),printf('%016x',?3),?4,
                 printf('2026-03-01T09:30:%016d',?5),'stage:number-' || ?6,'status-' || ?7,?8,?9) ON CONFLICT DO NOTHING",
        read: "SELECT * FROM event WHERE run = printf('%032x',?1)",
        hashed: false,
        blocks: false,
    },
    Layout {
        name: "clustered by run, without rowid",
        schema: "CREATE TABLE event(id, run INTEGER, span INTEGER, seq INTEGER, ts, type, status, duration, body TEXT, PRIMARY KEY (run, span, seq)) WITHOUT ROWID;",
        insert: INSERT,
        read: "SELECT * FROM event WHERE run = ?1",
        hashed: false,
        blocks: false,
    },
    Layout {
        name: "clustered by run, rowid from a hash",
        schema: "CREATE TABLE event(id INTEGER PRIMARY KEY, run, span, seq, ts, type, status, duration, body TEXT);",
        insert: INSERT,
        read: "SELECT * FROM event WHERE id BETWEEN ?1 << 24 AND (?1 << 24) | 0xffffff",
        hashed: true,
        blocks: false,
    },
    Layout {
        name: "in order of arrival, identity index",
        schema: "CREATE TABLE event(id INTEGER PRIMARY KEY, run INTEGER, span INTEGER, seq INTEGER, ts, type, status, duration, body TEXT);
                 CREATE UNIQUE INDEX e ON event(run, span, seq);",
        insert: INSERT,
        read: "SELECT * FROM event WHERE run = ?1",
        hashed: false,
        blocks: false,
    },
    Layout {
        name: "the same, an index on time",
        schema: "CREATE TABLE event(id INTEGER PRIMARY KEY, run INTEGER, span INTEGER, seq INTEGER, ts, type, status, duration, body TEXT);
                 CREATE UNIQUE INDEX e ON event(run, span, seq); CREATE INDEX t ON event(ts);",
        insert: INSERT,
        read: "SELECT * FROM event WHERE run = ?1",
        hashed: false,
        blocks: false,
    },
    Layout {
        name: "in order of arrival, a packed block a group",
        schema: "CREATE TABLE event(id INTEGER PRIMARY KEY, run INTEGER, span INTEGER, seq INTEGER, ts, type, status, duration, body TEXT);
                 CREATE UNIQUE INDEX e ON event(run, span, seq);
                 CREATE TABLE block(id INTEGER PRIMARY KEY, first_ts, last_ts, max_duration, entries BLOB);
                 CREATE INDEX b1 ON block(last_ts); CREATE INDEX b2 ON block(max_duration);",
        insert: INSERT,
        read: "SELECT * FROM event WHERE run = ?1",
        hashed: false,
        blocks: true,
    },
];

fn open(path: &Path, layout: &Layout) -> Connection {
    let connection = Connection::open(path).unwrap();
    let page: i64 = std::env::var("PAGE").ok().and_then(|p| p.parse().ok()).unwrap_or(4096);
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536;"
        ))
        .unwrap();
    connection.execute_batch(layout.schema).unwrap();
    connection
}

fn main() {
    let events: u64 = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let body = format!("{{\"input\":\"{}\"}}", "x".repeat(180));
    for group in [1_u64, 16, 64, 256] {
        for layout in LAYOUTS {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let path = folder.path().join("layout.db");
            let mut connection = open(&path, layout);
            let total = if group == 1 { events / 20 } else { events };
            let mut latencies = Vec::new();
            let started = Instant::now();
            let mut id = 0_u64;
            while id < total {
                let begun = Instant::now();
                let transaction =
                    connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
                let first = id;
                {
                    let mut insert = transaction.prepare_cached(layout.insert).unwrap();
                    for place in 0..group {
                        // As many runs at a time as there are emitters, of 15 events each.
                        let run = id / (group * 15) * group + place;
                        let span = run
                            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                            .wrapping_add((id / group % 15 / 2).wrapping_mul(0xbf58_476d_1ce4_e5b9));
                        let key =
                            if layout.hashed { (run << 24) | (span >> 40) ^ (id / group % 2) } else { id };
                        insert
                            .execute(params![
                                key as i64,
                                run as i64,
                                span as i64,
                                (id / group % 2) as i64,
                                1_790_000_000_000_000_i64 + id as i64 * 17,
                                (id % 15) as i64,
                                (id % 3) as i64,
                                (id * 31 % 100_000) as i64,
                                body
                            ])
                            .unwrap();
                        id += 1;
                    }
                }
                if layout.blocks {
                    transaction
                        .prepare_cached("INSERT INTO block VALUES (?1,?2,?3,?4,?5)")
                        .unwrap()
                        .execute(params![
                            first as i64,
                            first as i64,
                            id as i64,
                            (first * 7919 % 1_000_003) as i64,
                            vec![7_u8; group as usize * 24]
                        ])
                        .unwrap();
                }
                transaction.commit().unwrap();
                latencies.push(begun.elapsed());
            }
            let elapsed = started.elapsed();
            latencies.sort();
            let p = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
            let (mut reads, mut rows) = (Vec::new(), 0);
            let mut read = connection.prepare(layout.read).unwrap();
            for k in 0..2000_u64 {
                let run = k * 7919 % (total / 15).max(1);
                let begun = Instant::now();
                let mut found = read.query([run as i64]).unwrap();
                while let Some(row) = found.next().unwrap() {
                    rows += row.get_ref(8).unwrap().as_str().unwrap().len().min(1);
                }
                reads.push(begun.elapsed());
            }
            reads.sort();
            let us = |d: Duration| d.as_nanos() as f64 / 1000.0;
            println!(
                "group {group:>3}  {:<45} {:>8.0} events/s  group p50 {:>7.0} us p99 {:>7.0} us  read p50 {:>5.1} us p99 {:>6.1} us ({rows} rows)  {:>4} MB",
                layout.name,
                total as f64 / elapsed.as_secs_f64(),
                us(p(0.5)),
                us(p(0.99)),
                us(reads[1000]),
                us(reads[1980]),
                std::fs::metadata(&path).unwrap().len() >> 20
            );
        }
    }
}
