//! Importing an event log in which everything happens at one instant.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::{Bench, command};
use crate::duel::by_turns;
use crate::report::{Line, Target, rate};

pub(super) const NAME: &str = "import";

const EVENTS: usize = 100_000;

/// One run of a hundred thousand events of one name at one instant, against the same at an instant of its own each.
pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let folder = bench.folder.path();
    let (crowd, queue) = (folder.join("instant.xes"), folder.join("instants.xes"));
    std::fs::write(&crowd, log(|_| 0)?)?;
    std::fs::write(&queue, log(|place| place)?)?;
    let [ours, peer] =
        by_turns(NAME, 5, [Box::new(|| import(folder, &crowd)), Box::new(|| import(folder, &queue))])?;
    Ok(vec![Line {
        what: "importing 100,000 events of one instant".to_owned(),
        ours: rate(ours.median()),
        peer: format!("an instant for each: {}", rate(peer.median())),
        value: ours.ratio_to(&peer),
        target: Target::RatioAtLeast(0.8),
    }])
}

/// A log of one run, whose events happen at these milliseconds.
fn log(millis: impl Fn(usize) -> usize) -> anyhow::Result<String> {
    let mut log = "<log><string key=\"concept:name\" value=\"crowd\"/><trace><string key=\"concept:name\" value=\"1\"/>\n".to_owned();
    for place in 0..EVENTS {
        let millis = millis(place);
        let (minute, second) = (millis / 60_000, millis / 1000 % 60);
        writeln!(
            log,
            "<event><string key=\"concept:name\" value=\"a\"/><date key=\"time:timestamp\" \
             value=\"2026-01-01T10:{minute:02}:{second:02}.{:03}+00:00\"/></event>",
            millis % 1000
        )?;
    }
    log.push_str("</trace></log>\n");
    Ok(log)
}

/// Events a second into a new store.
fn import(folder: &Path, log: &Path) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let store = format!("sqlite:{}", folder.path().join("traces.db").display());
    let started = Instant::now();
    let status = command()?
        .arg("import")
        .arg(log)
        .args(["--store", &store])
        .stdout(Stdio::null())
        .status()
        .context("cannot run throughline; `cargo xtask bench` builds it")?;
    let took = started.elapsed();
    ensure!(status.success(), "the import failed: {status}");
    Ok(EVENTS as f64 / took.as_secs_f64())
}
