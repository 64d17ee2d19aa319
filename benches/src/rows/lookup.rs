//! All events of one run, out of a million.

use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use throughline_core::{TraceId, TraceReader};

use super::Bench;
use crate::duel::{by_turns, nanos, quantile};
use crate::load::EVENTS_OF_A_RUN;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "lookup";

/// How many runs are looked up in a turn.
const RUNS: usize = 200;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (million, runtime) = bench.million()?;
    let bare = Connection::open_with_flags(&million.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let turns = std::cell::RefCell::new(million.traces.chunks_exact(RUNS).cycle());
    // Each side has runs that nobody read before it, whose pages are in no cache of the processor.
    let next = || turns.borrow_mut().next().unwrap_or_default();
    let [ours, peer] = by_turns(
        NAME,
        21,
        [
            Box::new(|| {
                each(next(), |id| {
                    let events = runtime.block_on(million.reader.trace(id))?;
                    anyhow::ensure!(events.len() == EVENTS_OF_A_RUN, "a run has {} events", events.len());
                    Ok(())
                })
            }),
            Box::new(|| {
                each(next(), |id| {
                    let rows = bare_query(&bare, id)?;
                    anyhow::ensure!(rows.len() == EVENTS_OF_A_RUN, "a run has {} rows", rows.len());
                    std::hint::black_box(rows);
                    Ok(())
                })
            }),
        ],
    )?;
    let halves = (ours.of(|turn| quantile(turn, 0.5)), peer.of(|turn| quantile(turn, 0.5)));
    let tail = ours.of(|turn| quantile(turn, 0.99)).median();
    Ok(vec![
        Line {
            what: "one run of 15 out of 1,000,000 events, p50".to_owned(),
            ours: time(halves.0.median()),
            peer: format!("bare prepared query, same file: {}", time(halves.1.median())),
            value: halves.0.ratio_to(&halves.1),
            target: Target::RatioAtMost(1.5),
        },
        Line {
            what: "the same, p99".to_owned(),
            ours: time(tail),
            peer: String::new(),
            value: (tail / 1e6).into(),
            target: Target::MillisBelow(1.0),
        },
    ])
}

fn each(
    traces: &[TraceId],
    mut look_up: impl FnMut(TraceId) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    traces
        .iter()
        .map(|id| {
            let started = Instant::now();
            look_up(*id)?;
            Ok(nanos(started.elapsed()))
        })
        .collect()
}

/// The rows of a run as values, without making events of them.
fn bare_query(connection: &Connection, id: TraceId) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut query = connection
        .prepare_cached("SELECT * FROM event WHERE run = (SELECT id FROM run WHERE trace_id = ?1)")?;
    let columns = query.column_count();
    let rows =
        query.query_map([id.to_bytes()], |row| (0..columns).map(|column| row.get(column)).collect())?;
    rows.collect()
}
