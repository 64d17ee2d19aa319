//! Redacting a payload, against parsing the same text.

use std::time::Instant;

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

const COPIES: usize = 500;

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
        // Redacting changes the payload, so each turn has copies that were made before the clock starts.
        let mut copies = vec![parsed.clone(); COPIES];
        let started = Instant::now();
        copies.iter_mut().for_each(|payload| redactor.payload(payload));
        let took = nanos(started.elapsed());
        std::hint::black_box(&copies);
        Ok(took / COPIES as f64)
    });
    let peer: Side<'_> = Box::new(|| {
        let mut parsed = Vec::with_capacity(COPIES);
        let started = Instant::now();
        for _ in 0..COPIES {
            parsed.push(serde_json::from_str::<Map<String, Value>>(&text)?);
        }
        let took = nanos(started.elapsed());
        std::hint::black_box(&parsed);
        Ok(took / COPIES as f64)
    });
    let samples = by_turns(&format!("{NAME} {kind}"), 41, &mut [ours, peer])?;
    Ok(Line {
        what: format!("redacting a {kind} payload, 30 keys, {:.1} KB", text.len() as f64 / 1e3),
        ours: time(samples[0].median()),
        peer: format!("serde_json parses it: {}", time(samples[1].median())),
        value: samples[0].ratio_to(&samples[1]),
        target: Target::RatioAtMost(target),
    })
}
