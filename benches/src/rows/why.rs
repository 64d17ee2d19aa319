//! What `throughline why` does with a store: it reads a run, explains it, and compares it with good runs.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use throughline_core::{
    Filter, Instance, InstanceId, Page, Status, StoreConfig, TraceEvent, TraceId, TraceQuery, TraceReader,
};
use throughline_sqlite::{SqliteReader, SqliteStore};

use super::Bench;
use crate::duel::{by_turns, nanos};
use crate::load::failing_run;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "why";

/// With how many good runs a run is compared, and among how many they are looked for: as the command does.
const GOOD: usize = 5;
const CANDIDATES: usize = 40;
/// How many events are appended at once.
const GROUP: usize = 1_000;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let path = bench.folder.path().join("why.db");
    let (large, small) = (failing_run(200_000), failing_run(30));
    let ids = [&large, &small].map(|run| run.first().map(|event| event.trace_id));
    let reader = bench.single.block_on(written(&path, large.into_iter().chain(small)))?;
    let (million, runtime) = bench.million()?;
    let explain = |id: Option<TraceId>| {
        let reader = &reader;
        move || {
            let started = Instant::now();
            let query = runtime.block_on(TraceQuery::read(reader, id.context("a run has events")?))?;
            std::hint::black_box(query.explain());
            Ok(nanos(started.elapsed()))
        }
    };
    let mut traces = million.traces.iter().rev().cycle();
    let compare = || {
        let id = *traces.next().context("there are runs")?;
        let query = runtime.block_on(TraceQuery::read(&million.reader, id))?;
        let started = Instant::now();
        let good = runtime.block_on(good_runs(&million.reader, &query))?;
        let comparison = query.compare(&good, million.end).context("there are good runs")?;
        std::hint::black_box(comparison.first_divergence);
        Ok(nanos(started.elapsed()))
    };
    let [large, small] = ids.map(explain);
    // By itself: right after a large run it would pay for giving back that one's memory.
    let [small] = by_turns(NAME, 11, [Box::new(small)])?;
    let [large, compared] = by_turns(NAME, 11, [Box::new(large), Box::new(compare)])?;
    let line = |what: &str, took: f64, most| Line {
        what: what.to_owned(),
        ours: time(took),
        peer: String::new(),
        value: (took / 1e6).into(),
        target: Target::MillisBelow(most),
    };
    Ok(vec![
        line("reading and explaining a run of 100,000 spans", large.median(), 300.0),
        line("reading and explaining a run of 15 spans", small.median(), 5.0),
        line("the first divergence from 5 good runs, of 1,000,000 events", compared.median(), 50.0),
    ])
}

/// Writes a store with these events, and reads it.
async fn written(
    path: &std::path::Path,
    events: impl Iterator<Item = TraceEvent>,
) -> anyhow::Result<SqliteReader> {
    let store = SqliteStore::new(path);
    let open = store.open(Instance::new(InstanceId::from_u64(1), "loan-service")).await?;
    let events: Vec<Arc<TraceEvent>> = events.map(Arc::new).collect();
    for group in events.chunks(GROUP) {
        open.append(group).await?;
    }
    open.close().await?;
    Ok(store.open_reader()?)
}

/// The last good runs of the workflow of a run before it.
async fn good_runs(reader: &SqliteReader, query: &TraceQuery) -> anyhow::Result<Vec<TraceQuery>> {
    let run = query.summary().context("a run has events")?;
    let mut filter = Filter::new().status(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    filter.scope.until = Some(run.started);
    let found = reader.runs(&filter, &Page::first(CANDIDATES)).await?.items;
    let mut good = Vec::new();
    for run in found.iter().filter(|run| run.first_failure.is_none()).take(GOOD) {
        good.push(TraceQuery::read(reader, run.trace_id).await?);
    }
    Ok(good)
}
