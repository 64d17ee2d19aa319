//! Empty steps one after the other, of a run that has the store to itself.

use throughline_core::{Durability, Throughline};
use throughline_sqlite::SqliteStore;

use super::Bench;
use crate::duel::{by_turns, nanos_each, quantile};
use crate::ours;
use crate::peers::raw_log::AppendLog;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "steps";

const STEPS: usize = 10;
/// What a step takes in the file, about.
const RECORD: usize = 400;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (folder, runtime) = (bench.folder.path(), &bench.single);
    let open = |durability| {
        let store = SqliteStore::new(folder.join(format!("steps-{durability:?}.db")));
        Throughline::builder("bench").store(store).durability(durability).build()
    };
    let (strict, coalesced) = (open(Durability::Strict)?, open(Durability::Coalesced)?);
    let mut log = AppendLog::create(&folder.join("steps.log"))?;
    let record = vec![b'x'; RECORD];
    let run = |throughline: &Throughline| {
        let runs: Vec<_> = (0..9)
            .map(|_| nanos_each(STEPS, || runtime.block_on(ours::run_of(throughline, STEPS))))
            .collect::<Result<_, _>>()?;
        Ok(quantile(&runs, 0.5))
    };
    let [of_coalesced, of_strict, append] = by_turns(
        NAME,
        21,
        [
            Box::new(|| run(&coalesced)),
            Box::new(|| run(&strict)),
            Box::new(|| {
                let each: Vec<_> = (0..STEPS)
                    .map(|_| nanos_each(1, || Ok(log.append(&record)?)))
                    .collect::<Result<_, _>>()?;
                Ok(quantile(&each, 0.5))
            }),
        ],
    )?;
    for throughline in [&strict, &coalesced] {
        runtime.block_on(ours::shutdown(throughline))?;
    }
    let line = |what: &str, peer, value, limit| Line {
        what: what.to_owned(),
        ours: time(of_coalesced.median()),
        peer,
        value,
        target: Target::RatioAtMost(limit),
    };
    let (to_append, to_strict) = (of_coalesced.ratio_to(&append), of_coalesced.ratio_to(&of_strict));
    Ok(vec![
        line(
            "a durable step of a run of ten that is alone, `Coalesced`",
            format!("append and fdatasync: {}", time(append.median())),
            to_append,
            2.8,
        ),
        line("the same", format!("`Strict`: {}", time(of_strict.median())), to_strict, 0.6),
    ])
}
