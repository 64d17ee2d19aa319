//! Does one thing many times, for somebody who counts the instructions of [`counted`]: `throughline-instructions step`.
//! Without an argument it prints what there is to do, and how many times each is done.

use std::future::Future;

use anyhow::Context as _;
use serde_json::Map;
use throughline_benches::load::{failing_run, large_run, payload, runs};
use throughline_benches::{ours, requests};
use throughline_core::{
    Instance, InstanceId, MemoryStore, Redaction, StoreConfig as _, Throughline, Timestamp, TraceQuery,
};
use throughline_sqlite::{SqliteStore, Synchronous};
use tokio::runtime::{Builder, Runtime};

/// What can be counted, and how many times each is done.
const CASES: &[(&str, usize)] = &[
    ("step", 1_000),
    ("emit", 1_000),
    ("append-64", 128),
    ("redact-clean", 500),
    ("redact-dirty", 500),
    ("request", 1_000),
    ("query-new", 8),
    ("explain", 8),
];

fn main() -> anyhow::Result<()> {
    let Some(name) = std::env::args().nth(1) else {
        CASES.iter().for_each(|(name, times)| println!("{name} {times}"));
        return Ok(());
    };
    let case = CASES.iter().find(|(case, _)| *case == name);
    let (name, times) = *case.with_context(|| {
        format!("there is no `{name}`; call this without an argument to see what there is")
    })?;
    // One thread: what is counted must not depend on who runs when.
    let runtime = Builder::new_current_thread().build()?;
    match name {
        "step" => {
            let throughline = ours::in_process()?;
            twice(&runtime, |times| ours::run_of(&throughline, times), times)
        }
        "emit" => {
            let throughline = Throughline::builder("bench").store(MemoryStore::new()).build()?;
            twice(&runtime, |times| emit(&throughline, times), times)
        }
        "append-64" => append(&runtime, times),
        "redact-clean" => redact(include_str!("../rows/redaction/clean.json"), times),
        "redact-dirty" => redact(include_str!("../rows/redaction/dirty.json"), times),
        "request" => {
            let (router, _throughline) = requests::ours()?;
            twice(&runtime, |times| requests::serve(router.clone(), requests::PATH, times), times)
        }
        "query-new" => on_each(
            times,
            || large_run(2_000, 7),
            |events| {
                drop(std::hint::black_box(TraceQuery::new(std::mem::take(events))));
            },
        ),
        _ => on_each(
            times,
            || TraceQuery::new(failing_run(2_000)),
            |query| {
                drop(std::hint::black_box(query.explain()));
            },
        ),
    }
}

/// What is done in here is counted, by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// The second time counts: what is set up once is not what one time takes.
fn twice<W>(runtime: &Runtime, work: impl Fn(usize) -> W, times: usize) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>>,
{
    runtime.block_on(work(times))?;
    counted(|| runtime.block_on(work(times)))
}

/// As [`twice`], with an input for each time that is made before it counts.
fn on_each<T>(times: usize, make: impl Fn() -> T, mut work: impl FnMut(&mut T)) -> anyhow::Result<()> {
    let mut inputs: Vec<_> = (0..2 * times).map(|_| make()).collect();
    let (first, second) = inputs.split_at_mut(times);
    first.iter_mut().for_each(&mut work);
    counted(|| second.iter_mut().for_each(work));
    Ok(())
}

/// Events with a payload into a memory store, which takes them on the emitting thread.
async fn emit(throughline: &Throughline, times: usize) -> anyhow::Result<()> {
    let payload = payload();
    let workflow = throughline.workflow("loan-approval").attr("tenant", "acme");
    let events = async move |ctx: throughline_core::TraceContext| {
        for _ in 0..times {
            ctx.event("business:approved", Map::clone(&payload)).await?;
        }
        anyhow::Ok(())
    };
    workflow.run(events).await?
}

/// Groups of 64 events into a SQLite file. What the disk does is not counted.
fn append(runtime: &Runtime, times: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::new(folder.path().join("traces.db")).synchronous(Synchronous::Off);
    let store = runtime.block_on(store.open(Instance::new(InstanceId::random(), "bench")))?;
    let (now, hour) = (Timestamp::from_micros(1_790_000_000_000_000), std::time::Duration::from_secs(3_600));
    let events: Vec<_> = runs(2 * 64 * times.div_ceil(15), now, hour, 1).collect();
    let groups: Vec<_> = events.chunks(64).collect();
    let (first, second) = groups.split_at(times);
    let append = |groups: &[&[_]]| {
        groups.iter().try_for_each(|group| runtime.block_on(store.append(group)).map_err(anyhow::Error::from))
    };
    append(first)?;
    counted(|| append(&second[..times]))
}

fn redact(text: &str, times: usize) -> anyhow::Result<()> {
    let redactor = Redaction::standard().build()?;
    let payload: Map<_, _> = serde_json::from_str(text).context("the payload is JSON")?;
    on_each(times, || payload.clone(), |payload| redactor.payload(payload))
}
