//! The same questions and emits with many more events in the file.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use throughline_core::{Throughline, Timestamp, TraceId, TraceReader as _};
use throughline_sqlite::{SqliteStore, Synchronous};
use tokio::runtime::Runtime;

use super::Bench;
use crate::duel::{Samples, Side, bar, by_turns, nanos, quantile};
use crate::load::{self, EVENTS_OF_A_RUN, drive};
use crate::million::{EVENTS, SPAN, fill};
use crate::ours;
use crate::report::{Line, Target, megabytes, rate, time};

pub(super) const NAME: &str = "scale";

/// How many events the large file has where nobody says.
pub(super) const MANY: usize = 10_000_000;
/// How many runs are looked up in a turn, and of how many.
const RUNS: usize = 500;
const KNOWN_RUNS: usize = 50_000;
const EMITTERS: usize = 64;

/// A file with many events.
struct Filled {
    path: PathBuf,
    /// Runs from all over the file.
    traces: Vec<TraceId>,
}

impl Filled {
    fn write(path: PathBuf, events: usize, runtime: &Runtime) -> anyhow::Result<Self> {
        let (runs, mut seen, mut traces) = (events / EVENTS_OF_A_RUN, 0_usize, Vec::new());
        let all = load::runs(runs, Timestamp::now(), SPAN, 42).inspect(|event| {
            if event.is_root() && event.seq == 0 {
                if seen % runs.div_ceil(KNOWN_RUNS) == 0 {
                    traces.push(event.trace_id);
                }
                seen += 1;
            }
        });
        // Nobody needs these events after a loss of power.
        let store = SqliteStore::new(&path).synchronous(Synchronous::Off);
        fill(&store, all, &format!("{} million events", events / EVENTS), events, runtime)?;
        // In no order that the file knows.
        traces.sort();
        Ok(Self { path, traces })
    }
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let folder = bench.folder.path();
    let files = [
        Filled::write(folder.join("scale-million.db"), EVENTS, &bench.single)?,
        Filled::write(folder.join("scale-many.db"), bench.many_events, &bench.single)?,
    ];
    let runtime = &bench.single;
    let opened = by_turns("scale, opening", 11, files.each_ref().map(|file| open(&file.path, runtime)))?;
    // Written long before, or by others: what is measured is the store, and not what the disk takes to bring a page.
    files.iter().try_for_each(|file| bring_to_memory(&file.path))?;
    let looked_up =
        by_turns("scale, lookup", 21, [look_up(&files[0], runtime)?, look_up(&files[1], runtime)?])?;
    let emitted = by_turns("scale, emits", 11, files.each_ref().map(|file| emit(&file.path, &bench.many)))?;
    let memory = by_turns("scale, memory", 3, files.each_ref().map(|file| read(&file.path)))?;

    let many = format!("{} million events", bench.many_events / EVENTS);
    let line = |what: &str, show: fn(f64) -> String, [few, many]: [&Samples; 2], target| Line {
        what: what.to_owned(),
        ours: show(many.median()),
        peer: format!("1 million events: {}", show(few.median())),
        value: match target {
            Target::MillisBelow(_) => (many.median() / 1e6).into(),
            _ => many.ratio_to(few),
        },
        target,
    };
    let halves = looked_up.each_ref().map(|turns| turns.of(|turn| quantile(turn, 0.5)));
    let rates = emitted.each_ref();
    Ok(vec![
        line(&format!("a run of 15 out of {many}, p50"), time, halves.each_ref(), Target::RatioAtMost(1.5)),
        line(
            &format!("durable emits into a file of {many}, 64 emitters"),
            rate,
            rates,
            Target::RatioAtLeast(0.91),
        ),
        line(
            &format!("opening a file of {many}, to write"),
            time,
            opened.each_ref(),
            Target::MillisBelow(50.0),
        ),
        line(
            &format!("memory of a process that reads 20,000 runs out of {many}"),
            megabytes,
            memory.each_ref(),
            Target::RatioAtMost(1.1),
        ),
    ])
}

/// Reads a file once.
fn bring_to_memory(path: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let progress = bar("scale, reading", file.metadata()?.len());
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => progress.inc(read as u64),
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Opens a file as a service does that begins, and closes it.
fn open<'a>(path: &'a Path, runtime: &'a Runtime) -> Side<'a> {
    Box::new(move || {
        let began = Instant::now();
        let throughline = Throughline::builder("bench").store(SqliteStore::new(path)).build()?;
        let took = nanos(began.elapsed());
        runtime.block_on(ours::shutdown(&throughline))?;
        Ok(took)
    })
}

/// How long each of some runs takes to be read.
fn look_up<'a>(file: &'a Filled, runtime: &'a Runtime) -> anyhow::Result<Side<'a, Vec<f64>>> {
    let reader = SqliteStore::new(&file.path).open_reader()?;
    let mut traces = file.traces.iter().cycle();
    Ok(Box::new(move || {
        let one = |id| {
            let began = Instant::now();
            let events = runtime.block_on(reader.trace(id))?;
            ensure!(events.len() == EVENTS_OF_A_RUN, "a run has {} events", events.len());
            Ok(nanos(began.elapsed()))
        };
        traces.by_ref().take(RUNS).copied().map(one).collect()
    }))
}

/// How many events a second a service writes to a file that has many.
fn emit<'a>(path: &'a Path, runtime: &'a Runtime) -> Side<'a> {
    Box::new(move || {
        let throughline = Throughline::builder("bench").store(SqliteStore::new(path)).build()?;
        let emitter = |meter| ours::emit_runs(throughline.clone(), meter);
        let load = runtime.block_on(drive(EMITTERS, 70 * EVENTS_OF_A_RUN, emitter))?;
        runtime.block_on(ours::shutdown(&throughline))?;
        Ok(load.per_second)
    })
}

/// The memory of a process of its own that reads a file.
fn read(path: &Path) -> Side<'_> {
    Box::new(move || {
        let binary = std::env::current_exe()?.with_file_name("throughline-read-runs");
        let output = Command::new(&binary).arg(path).output();
        let output = output.with_context(|| format!("cannot run {}", binary.display()))?;
        ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    })
}
