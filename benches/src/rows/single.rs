//! One emitter that has the store to itself.

use throughline_core::Throughline;
use throughline_sqlite::SqliteStore;

use super::Bench;
use crate::duel::{by_turns, nanos_each, quantile};
use crate::load::{EVENTS_OF_A_RUN, Meter, payload};
use crate::ours;
use crate::peers::raw_log::AppendLog;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "single";

/// What an event of this run takes as JSON, about.
const RECORD: usize = 430;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (folder, runtime) = (bench.folder.path(), &bench.single);
    let store = SqliteStore::new(folder.join("single.db"));
    let throughline = Throughline::builder("bench").store(store).build()?;
    let mut log = AppendLog::create(&folder.join("append.log"))?;
    let record = vec![b'x'; RECORD.max(serde_json::to_vec(&payload())?.len())];
    let [ours, append] = by_turns(
        NAME,
        41,
        [
            Box::new(|| {
                let meter =
                    runtime.block_on(ours::emit_runs(throughline.clone(), Meter::new(EVENTS_OF_A_RUN)))?;
                Ok(meter.quantile(0.5))
            }),
            Box::new(|| {
                let each: Vec<_> = (0..EVENTS_OF_A_RUN)
                    .map(|_| nanos_each(1, || Ok(log.append(&record)?)))
                    .collect::<Result<_, _>>()?;
                Ok(quantile(&each, 0.5))
            }),
        ],
    )?;
    runtime.block_on(ours::shutdown(&throughline))?;
    Ok(vec![Line {
        what: "one durable emit, unloaded, p50".to_owned(),
        ours: time(ours.median()),
        peer: format!("append and fdatasync: {}", time(append.median())),
        value: ours.ratio_to(&append),
        target: Target::RatioAtMost(1.3),
    }])
}
