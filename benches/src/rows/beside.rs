//! Many emitters, each waiting until its event is durable, beside somebody who writes to the same file in bulk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throughline_core::{Throughline, Timestamp};
use throughline_sqlite::{PrunePolicy, SqliteStore};
use tokio::runtime::Runtime;

use super::Bench;
use crate::duel::quantile;
use crate::load::{EVENTS_OF_A_RUN, Meter, runs};
use crate::ours;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "beside";

const EMITTERS: usize = 64;
/// How long the emitters are measured by themselves.
const ALONE: Duration = Duration::from_secs(5);
/// How many events the import has, and how many are handed to it at a time.
const IMPORTED: usize = 500_000;
const BATCH: usize = 4096;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let folder = bench.folder.path().to_owned();
    let (million, _) = bench.million()?;
    let (path, end) = (million.path.clone(), million.end);
    let prune = move |store: &SqliteStore| {
        let age = Duration::from_micros(u64::try_from(Timestamp::now().since(end).as_micros())?);
        store.prune(&PrunePolicy::default().age(age)).map(|report| report.events as usize).map_err(Into::into)
    };
    let import = |store: &SqliteStore| {
        let mut importer = store.open_importer()?;
        let events: Vec<_> = runs(IMPORTED / EVENTS_OF_A_RUN, Timestamp::now(), Duration::from_secs(3600), 7)
            .map(Arc::unwrap_or_clone)
            .collect();
        for batch in events.chunks(BATCH) {
            importer.append(batch)?;
        }
        importer.finish()?;
        Ok(events.len())
    };
    Ok(vec![
        line("a prune", &bench.many, &folder, Some(&path), prune)?,
        line("an import", &bench.many, &folder, None, import)?,
    ])
}

/// The emitters by themselves, then on the same file beside somebody who returns how many events it wrote.
fn line(
    what: &str,
    runtime: &Runtime,
    folder: &Path,
    filled: Option<&Path>,
    in_bulk: impl FnOnce(&SqliteStore) -> anyhow::Result<usize> + Send,
) -> anyhow::Result<Line> {
    let folder = tempfile::tempdir_in(folder)?;
    let path = folder.path().join("traces.db");
    if let Some(filled) = filled {
        std::fs::copy(filled, &path)?;
    }
    let store = SqliteStore::new(&path);
    let throughline = Throughline::builder("bench").store(store.clone()).build()?;
    let alone = emit_during(runtime, &throughline, || {
        std::thread::sleep(ALONE);
        Ok(0)
    })?;
    let beside = emit_during(runtime, &throughline, || in_bulk(&store))?;
    runtime.block_on(ours::shutdown(&throughline))?;
    let tails = [&alone, &beside].map(|(latencies, _)| quantile(latencies, 0.99));
    Ok(Line {
        what: format!("durable emits beside {what} of {} events, 64 emitters, p99", beside.1),
        ours: time(tails[1]),
        peer: format!("the same without: {}", time(tails[0])),
        value: (tails[1] / tails[0]).into(),
        target: Target::RatioAtMost(10.0),
    })
}

/// How long each emit took while something else was done, and what that returned.
fn emit_during(
    runtime: &Runtime,
    throughline: &Throughline,
    work: impl FnOnce() -> anyhow::Result<usize> + Send,
) -> anyhow::Result<(Vec<f64>, usize)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let emitters: Vec<_> = (0..EMITTERS)
        .map(|_| runtime.spawn(ours::emit_runs(throughline.clone(), Meter::until(Arc::clone(&is_over)))))
        .collect();
    let done = work();
    is_over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for emitter in emitters {
        latencies.extend(runtime.block_on(emitter)??.into_latencies());
    }
    Ok((latencies, done?))
}
