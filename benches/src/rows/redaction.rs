//! Redacting a payload, against parsing the same text.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Map, Value};
use throughline_core::Redaction;

use super::Bench;
use crate::duel::{Side, by_turns, nanos};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "redaction";

/// What a loan application looks like that has nothing to hide: 30 keys, 1.2 KB.
const CLEAN: &str = include_str!("redaction/clean.json");
/// The same with secrets under telling keys and in the values of innocent ones.
const DIRTY: &str = include_str!("redaction/dirty.json");

/// Few enough to stay in the cache, as a payload does that was made just before.
const COPIES: usize = 16;
const BATCHES: usize = 40;

pub(super) fn measure(_: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let clean = compare("clean", CLEAN, 0.5)?;
    let dirty = compare("dirty", DIRTY, 0.8)?;
    Ok(vec![clean, dirty])
}

fn compare(kind: &str, text: &str, target: f64) -> anyhow::Result<Line> {
    let redactor = Redaction::standard().build()?;
    let parsed: Map<String, Value> = serde_json::from_str(text).context("the payload is JSON")?;
    // Minified, as payloads are on their way.
    let text = serde_json::to_string(&parsed)?;
    let ours: Side<'_> = Box::new(|| {
        // Redacting changes the payload, so there are copies, made while the clock stands.
        Ok(batches(
            || vec![parsed.clone(); COPIES],
            |copies| {
                copies.iter_mut().for_each(|payload| redactor.payload(payload));
            },
        ))
    });
    let peer: Side<'_> = Box::new(|| {
        Ok(batches(
            || Vec::with_capacity(COPIES),
            |values| {
                values.extend((0..COPIES).map(|_| serde_json::from_str::<Map<String, Value>>(&text)));
            },
        ))
    });
    let [ours, peer] = by_turns(&format!("{NAME} {kind}"), 41, [ours, peer])?;
    Ok(Line {
        what: format!("redacting a {kind} payload, 30 keys, {:.1} KB", text.len() as f64 / 1e3),
        ours: time(ours.median()),
        peer: format!("serde_json parses it: {}", time(peer.median())),
        value: ours.ratio_to(&peer),
        target: Target::RatioAtMost(target),
    })
}

/// How many nanoseconds one piece of the work took on average; what it is done on is made and dropped outside.
fn batches<T>(mut make: impl FnMut() -> Vec<T>, mut work: impl FnMut(&mut Vec<T>)) -> f64 {
    let mut took = Duration::ZERO;
    for _ in 0..BATCHES {
        let mut pieces = make();
        let started = Instant::now();
        work(&mut pieces);
        took += started.elapsed();
        std::hint::black_box(pieces);
    }
    nanos(took) / (BATCHES * COPIES) as f64
}
