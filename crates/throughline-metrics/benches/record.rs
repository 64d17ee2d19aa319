//! Measures what a measurement costs, side by side with `metrics-exporter-prometheus`.
//!
//! `cargo bench -p throughline-metrics --bench record`

#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing else to do")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use metrics::{Key, Label, Level, Metadata, Recorder, counter, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use throughline_core::metrics::catalogue;
use throughline_core::{MemoryStore, Throughline};
use throughline_metrics::{ExpositionFormat, Prometheus};

const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const TIMES: u32 = 200_000;
const ROUNDS: usize = 31;

fn main() {
    println!("{:<58} {:>10} {:>10} {:>7}", "nanoseconds (median of 31 rounds)", "ours", "exporter", "ratio");
    let (ours, theirs) = (ours(), theirs());
    let key = Key::from_parts("waits_seconds", vec![Label::new("queue", "loans")]);
    let (our_waits, their_waits) =
        (ours.recorder().register_histogram(&key, &METADATA), theirs.register_histogram(&key, &METADATA));
    let drain = theirs.handle();
    compare(
        "a value into a histogram",
        || each(|n| our_waits.record(value(n))),
        // What it keeps has to be drained some time, or it grows.
        || {
            each(|n| their_waits.record(value(n)));
            drain.run_upkeep();
        },
    );
    compare(
        "the same, without the exporter's draining",
        || each(|n| our_waits.record(value(n))),
        || each(|n| their_waits.record(value(n))),
    );
    drain.run_upkeep();
    compare(
        "the same, two threads into one series",
        || twice(|| each(|n| our_waits.record(value(n)))),
        || {
            twice(|| each(|n| their_waits.record(value(n))));
            drain.run_upkeep();
        },
    );
    let hits = Key::from_parts("hits", vec![Label::new("queue", "loans")]);
    let (our_hits, their_hits) =
        (ours.recorder().register_counter(&hits, &METADATA), theirs.register_counter(&hits, &METADATA));
    compare(
        "one more on a counter",
        || each(|_| our_hits.increment(1)),
        || each(|_| their_hits.increment(1)),
    );
    let recorder = ours.recorder();
    compare(
        "counter!(..).increment(1), a label that varies",
        || with_local_recorder(&recorder, || each(hit)),
        || with_local_recorder(&theirs, || each(hit)),
    );
    in_a_run(&ours);
    pages();
}

fn hit(n: u32) {
    const QUEUES: [&str; 4] = ["loans", "mail", "score", "audit"];
    counter!("queue_hits", "queue" => QUEUES[n as usize % 4]).increment(1);
}

/// What only we do: values that come from a run, and series looked up by their labels.
fn in_a_run(prometheus: &Prometheus) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let throughline =
        Throughline::builder("bench").store(MemoryStore::new()).metrics(prometheus).build().unwrap();
    let waits = throughline.meter().histogram(&catalogue::JOB_WAIT);
    let series = waits.with(["loans", "score"]);
    alone("a value, with its series looked up by two labels", || {
        each(|n| waits.with(["loans", "score"]).record(value(n)));
    });
    let run = throughline.workflow("bench").run_infallible(|ctx| async move {
        ctx.scope(|| {
            alone("a value in a run, which becomes an exemplar", || each(|n| series.record(value(n))));
        });
    });
    runtime.block_on(run).unwrap();
    runtime.block_on(throughline.shutdown(Duration::from_secs(5)));
}

/// A page of 1000 series of a histogram: some 17,000 lines.
fn pages() {
    let (ours, theirs) = (ours(), theirs());
    for tenant in 0..1000 {
        let key = Key::from_parts("waits_seconds", vec![Label::new("tenant", format!("tenant-{tenant}"))]);
        ours.recorder().register_histogram(&key, &METADATA).record(0.2);
        theirs.register_histogram(&key, &METADATA).record(0.2);
    }
    let handle = theirs.handle();
    let per = |times: u32, took: Duration| took.as_secs_f64() * 1e3 / f64::from(times);
    let our_page = median(|| per(1, timed(|| drop(black_box(ours.render(ExpositionFormat::Text))))));
    let their_page = median(|| per(1, timed(|| drop(black_box(handle.render())))));
    println!(
        "{:<58} {our_page:>10.2} {their_page:>10.2} {:>7.2}",
        "milliseconds: a page of 1000 series of a histogram",
        our_page / their_page
    );
}

fn ours() -> Prometheus {
    Prometheus::builder().process(false).buckets("waits_seconds", BOUNDS).build().unwrap()
}

fn theirs() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&BOUNDS).unwrap().build_recorder()
}

fn value(n: u32) -> f64 {
    f64::from(n % 1000) / 100.0
}

fn each(mut once: impl FnMut(u32)) {
    (0..TIMES).for_each(|n| once(black_box(n)));
}

fn twice(run: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(&run);
        run();
    });
}

fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2]
}

fn nanos(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// Both in turn, so that whatever else runs on the machine meets both.
fn compare(what: &str, ours: impl Fn(), theirs: impl Fn()) {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| (nanos(timed(&ours)), nanos(timed(&theirs)))).collect();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ours = rounds[ROUNDS / 2].0;
    rounds.sort_by(|a, b| a.1.total_cmp(&b.1));
    let theirs = rounds[ROUNDS / 2].1;
    println!("{what:<58} {ours:>10.1} {theirs:>10.1} {:>7.2}", ours / theirs);
}

fn alone(what: &str, ours: impl Fn()) {
    let ours = median(|| nanos(timed(&ours)));
    println!("{what:<58} {ours:>10.1}");
}
