//! The last run under a key, out of a million events: what is looked up when a run with a key begins.

use std::time::Instant;

use throughline_core::{Filter, Page, Scope, Text, TraceReader};
use throughline_sqlite::SqliteReader;
use tokio::runtime::Runtime;

use super::Bench;
use crate::duel::{by_turns, nanos, quantile};
use crate::million::SHARED_KEY;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "key";

/// How many keys are looked up in a turn.
const KEYS: usize = 200;

/// What a run that begins may take to look for one before it.
const LIMIT: Target = Target::MicrosAtMost(100.0);

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (million, runtime) = bench.million()?;
    let mut turns = million.keys.chunks_exact(KEYS).cycle();
    let shared = vec![Text::from(SHARED_KEY); KEYS];
    let mut number = 0;
    let mut unknown = || {
        number += 1;
        Text::from(format!("loan-{number}-of-nobody"))
    };
    let [none, one, many] = by_turns(
        NAME,
        21,
        [
            Box::new(|| {
                let keys: Vec<_> = std::iter::repeat_with(&mut unknown).take(KEYS).collect();
                each(runtime, &million.reader, &keys, (0, false))
            }),
            Box::new(|| each(runtime, &million.reader, turns.next().unwrap_or_default(), (1, false))),
            Box::new(|| each(runtime, &million.reader, &shared, (1, true))),
        ],
    )?;
    let whats = [
        "the last run under a key that no run has, p50",
        "under a key that one run has, p50",
        "under a key that 5,000 runs have, p50",
    ];
    let lines = whats.into_iter().zip([none, one, many]).map(|(what, samples)| {
        let half = samples.of(|turn| quantile(turn, 0.5)).median();
        Line {
            what: what.to_owned(),
            ours: time(half),
            peer: String::new(),
            value: (half / 1e3).into(),
            target: LIMIT,
        }
    });
    Ok(lines.collect())
}

/// Looks each key up as a run does that begins; expects so many runs, and another page or none.
fn each(
    runtime: &Runtime,
    reader: &SqliteReader,
    keys: &[Text],
    (runs, has_more): (usize, bool),
) -> anyhow::Result<Vec<f64>> {
    let page = Page::first(1);
    keys.iter()
        .map(|key| {
            let scope = Scope::all().workflow("loan-approval");
            let filter = Filter::new().scope(scope).service("loan-service").correlation_id(key.clone());
            let started = Instant::now();
            let found = runtime.block_on(reader.runs(&filter, &page))?;
            let took = nanos(started.elapsed());
            anyhow::ensure!(
                found.items.len() == runs && found.next.is_some() == has_more,
                "{} runs under {key}",
                found.items.len()
            );
            Ok(took)
        })
        .collect()
}
