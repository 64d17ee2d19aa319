//! Many emitters, each waiting until its event is durable.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use throughline_core::{Throughline, TraceEvent};
use throughline_sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::Bench;
use crate::duel::by_turns;
use crate::load::{EVENTS_OF_A_RUN, Load, drive};
use crate::ours::{self, Remembering};
use crate::peers::plain_sqlite::PlainSqlite;
use crate::peers::raw_log::GroupLog;
use crate::report::{Line, Target, rate, time};

pub(super) const NAME: &str = "durable";
pub(super) const BULK: &str = "bulk";

type Groups = Vec<Vec<Arc<TraceEvent>>>;

/// 64 emitters against a log without structure that commits groups of the same sizes.
pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    const EMITTERS: usize = 64;
    let groups = RefCell::new(Groups::new());
    let (folder, runtime) = (bench.folder.path(), &bench.many);
    let [ours, log] = by_turns(
        NAME,
        7,
        [
            Box::new(|| {
                let load;
                (load, *groups.borrow_mut()) = emit(folder, runtime, EMITTERS, 70 * EVENTS_OF_A_RUN)?;
                Ok(load)
            }),
            Box::new(|| replay(folder, runtime, EMITTERS, &groups.take())),
        ],
    )?;
    let rates = (ours.of(|load| load.per_second), log.of(|load| load.per_second));
    let tails = (ours.of(|load| load.p99), log.of(|load| load.p99));
    Ok(vec![
        Line {
            what: "durable emits, 64 emitters".to_owned(),
            ours: rate(rates.0.median()),
            peer: format!("preallocated raw log, same groups: {}", rate(rates.1.median())),
            value: rates.0.ratio_to(&rates.1),
            target: Target::RatioAtLeast(0.42),
        },
        Line {
            what: "their p99".to_owned(),
            ours: time(tails.0.median()),
            peer: format!("preallocated raw log, same groups: {}", time(tails.1.median())),
            value: tails.0.ratio_to(&tails.1),
            target: Target::RatioAtMost(2.5),
        },
    ])
}

/// 256 emitters against loading the same rows in one transaction.
pub(super) fn measure_bulk(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    const EMITTERS: usize = 256;
    let groups = RefCell::new(Groups::new());
    let (folder, runtime) = (bench.folder.path(), &bench.many);
    let [ours, load] = by_turns(
        BULK,
        5,
        [
            Box::new(|| {
                let load;
                (load, *groups.borrow_mut()) = emit(folder, runtime, EMITTERS, 20 * EVENTS_OF_A_RUN)?;
                Ok(load.per_second)
            }),
            Box::new(|| load_in_bulk(folder, &groups.take().concat())),
        ],
    )?;
    Ok(vec![Line {
        what: "durable emits, 256 emitters".to_owned(),
        ours: rate(ours.median()),
        peer: format!("bulk load of the same rows, full indexes: {}", rate(load.median())),
        value: ours.ratio_to(&load),
        target: Target::RatioAtLeast(0.65),
    }])
}

/// Emits into a new store.
fn emit(folder: &Path, runtime: &Runtime, emitters: usize, each: usize) -> anyhow::Result<(Load, Groups)> {
    let folder = tempfile::tempdir_in(folder)?;
    let (store, groups) = Remembering::new(SqliteStore::new(folder.path().join("traces.db")));
    let throughline = Throughline::builder("bench").store(store).build()?;
    let load =
        runtime.block_on(drive(emitters, each, |meter| ours::emit_runs(throughline.clone(), meter)))?;
    runtime.block_on(ours::shutdown(&throughline))?;
    Ok((load, groups.take()))
}

/// As many bytes in the same groups, into a new log.
fn replay(folder: &Path, runtime: &Runtime, emitters: usize, groups: &Groups) -> anyhow::Result<Load> {
    let folder = tempfile::tempdir_in(folder)?;
    let (mut events, mut bytes) = (0, 0);
    for event in groups.iter().flatten() {
        events += 1;
        bytes += serde_json::to_string(event)?.len();
    }
    let record: Arc<[u8]> = vec![b'x'; bytes / events].into();
    let sizes = groups.iter().map(Vec::len).collect();
    let log = GroupLog::create(&folder.path().join("log"), events, record.len(), sizes)?;
    let load = runtime.block_on(drive(emitters, events / emitters, |mut meter| {
        let (log, record) = (log.emitter(), Arc::clone(&record));
        async move {
            while meter.wants_more() {
                meter.measure(log.emit(Arc::clone(&record))).await?;
            }
            Ok(meter)
        }
    }))?;
    log.finish()?;
    Ok(load)
}

fn load_in_bulk(folder: &Path, events: &[Arc<TraceEvent>]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut database = PlainSqlite::create(&folder.path().join("plain.db"))?;
    let started = Instant::now();
    database.load(events, || ())?;
    Ok(events.len() as f64 / started.elapsed().as_secs_f64())
}
