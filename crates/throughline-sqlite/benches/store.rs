//! The store against a raw log, and its answers on a large file against plain statements.
//!
//! `cargo bench -p throughline-sqlite --bench store`; `EVENTS=1000000` for the large file, `WRITE_ONLY` and
//! `QUERIES_ONLY` for one half.

#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing else to do")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;
use throughline_model::names::{WORKFLOW_COMPLETED, WORKFLOW_FAILED, WORKFLOW_STARTED};
use throughline_model::{
    Attrs, Cursor, ErrorInfo, Filter, Instance, InstanceId, Page, Scope, SpanId, Status, StoreConfig,
    Timestamp, TraceAnalytics, TraceEvent, TraceId, TraceReader,
};
use throughline_sqlite::SqliteStore;

const STAGES: [&str; 7] = [
    "stage:validate",
    "stage:credit-check",
    "stage:reserve-funds",
    "stage:score",
    "dependency:db",
    "stage:sign",
    "stage:notify",
];

/// Runs of fifteen events each, as many at a time as there are emitters, in the order in which they are emitted.
struct Source {
    emitters: usize,
    step: usize,
    at: usize,
    runs: Vec<(TraceId, SpanId, Attrs, u64)>,
    clock: i64,
    gap: i64,
    n: u64,
    instance: InstanceId,
}

impl Source {
    fn new(emitters: usize, gap: i64, instance: InstanceId) -> Self {
        Self { emitters, step: 0, at: 0, runs: Vec::new(), clock: 1_790_000_000_000_000, gap, n: 0, instance }
    }

    fn next(&mut self) -> TraceEvent {
        if self.at == self.emitters {
            (self.at, self.step) = (0, (self.step + 1) % 15);
        }
        if self.step == 0 && self.at == 0 {
            self.runs.clear();
        }
        if self.step == 0 {
            let number = self.n;
            let attrs =
                [("tenant", format!("tenant-{}", number % 50)), ("request_id", format!("req-{number:08}"))];
            self.runs.push((TraceId::random(), SpanId::random(), attrs.into_iter().collect(), number));
        }
        let (trace, root, attrs, number) = &self.runs[self.at];
        self.clock += self.gap;
        let fails = number % 97 < 5;
        let mut event = match self.step {
            0 | 14 => {
                let name = match (self.step, fails) {
                    (0, _) => WORKFLOW_STARTED,
                    (_, true) => WORKFLOW_FAILED,
                    (_, false) => WORKFLOW_COMPLETED,
                };
                TraceEvent::new(*trace, *root, name, Timestamp::from_micros(self.clock), "loan-service")
            }
            step => {
                let stage = (step - 1) / 2;
                let span = SpanId::from_u64(root.to_u64() ^ (stage as u64 + 1)).unwrap_or(*root);
                let mut event = TraceEvent::new(
                    *trace,
                    span,
                    STAGES[stage],
                    Timestamp::from_micros(self.clock),
                    "loan-service",
                );
                event.parent_span_id = Some(*root);
                event.step_index = Some(stage as u32 + 1);
                event.step_total = Some(7);
                event
            }
        };
        let is_start = self.step % 2 == 1 || self.step == 0;
        event.instance = self.instance;
        event.n = self.n;
        event.workflow = Some("loan-approval".into());
        event.correlation_id = Some(format!("loan-{number}").into());
        event.attrs = attrs.clone();
        if is_start {
            event.status = Status::Pending;
            let input = json!({ "input": { "applicant": "a-1044", "amount": 25_000, "currency": "EUR", "term_months": 48,
                "purpose": "home improvement", "branch": "Utrecht" } });
            event.data = input.as_object().cloned();
        } else {
            event.seq = 1;
            event.duration_us = Some((self.n * 7919) % 90_000 + 50);
            event.status = if fails && self.step >= 12 { Status::Failed } else { Status::Success };
            if event.status == Status::Failed {
                event.error = Some(Box::new(ErrorInfo {
                    kind: "BureauError::Timeout".into(),
                    message: "the bureau did not answer in 2 s".into(),
                    chain: Vec::new(),
                }));
            }
        }
        self.n += 1;
        self.at += 1;
        event
    }
}

struct Times(Vec<Duration>);

impl Times {
    fn p(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        self.0[((self.0.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1000.0
    }
}

/// Nanoseconds that this thread has been on a processor: told even where others keep the machine busy.
fn on_processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn preallocated(path: &Path, bytes: usize) -> File {
    let mut file = OpenOptions::new().create_new(true).write(true).open(path).unwrap();
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    file.rewind().unwrap();
    file
}

fn writing(runtime: &tokio::runtime::Runtime) {
    for group in [1_usize, 16, 64, 256] {
        let total = if group == 1 { 10_000 } else { 300_000 };
        let instance = InstanceId::random();
        let mut source = Source::new(group, 11, instance);
        let groups: Vec<Vec<Arc<TraceEvent>>> =
            (0..total / group).map(|_| (0..group).map(|_| Arc::new(source.next())).collect()).collect();

        let place = folder();
        let texts: Vec<Vec<u8>> = groups
            .iter()
            .map(|group| group.iter().flat_map(|event| serde_json::to_vec(event).unwrap()).collect())
            .collect();
        let mut log = preallocated(&place.path().join("raw.log"), texts.iter().map(Vec::len).sum());
        let mut raw = Times(Vec::new());
        let began = Instant::now();
        for text in &texts {
            let begun = Instant::now();
            log.write_all(text).unwrap();
            log.sync_data().unwrap();
            raw.0.push(begun.elapsed());
        }
        let raw_rate = total as f64 / began.elapsed().as_secs_f64();
        let mut appended = Times(Vec::new());
        if group == 1 {
            let mut file = File::create(place.path().join("append.log")).unwrap();
            for text in texts.iter().take(5000) {
                let begun = Instant::now();
                file.write_all(text).unwrap();
                file.sync_data().unwrap();
                appended.0.push(begun.elapsed());
            }
        }

        let path = place.path().join("traces.db");
        let config = SqliteStore::new(&path);
        let store = runtime.block_on(config.open(Instance::new(instance, "bench"))).unwrap();
        let mut times = Times(Vec::new());
        let (began, worked) = (Instant::now(), on_processor());
        for group in &groups {
            let begun = Instant::now();
            runtime.block_on(store.append(group)).unwrap();
            times.0.push(begun.elapsed());
        }
        let rate = total as f64 / began.elapsed().as_secs_f64();
        let work = (on_processor() - worked) / total as f64 / 1000.0;
        runtime.block_on(store.close()).unwrap();
        println!(
            "append in groups of {group:>3}: {rate:>7.0} events/s = {:.2} x raw log ({raw_rate:.0}); p50 {:.0} us, p99 {:.0} us \
             (raw {:.0}, {:.0}); {work:.2} us of processor and {} bytes an event",
            rate / raw_rate,
            times.p(0.5),
            times.p(0.99),
            raw.p(0.5),
            raw.p(0.99),
            path.metadata().unwrap().len() as usize / total
        );
        if group == 1 {
            println!(
                "  one append of a file with fdatasync: p50 {:.0} us, ratio {:.2}",
                appended.p(0.5),
                times.p(0.5) / appended.p(0.5)
            );
        }
    }
}

fn ask<T>(name: &str, times: usize, mut question: impl FnMut(usize) -> T) -> f64 {
    let mut taken = Times(Vec::new());
    black_box(question(0));
    for turn in 0..times {
        let begun = Instant::now();
        black_box(question(turn));
        taken.0.push(begun.elapsed());
    }
    let (p50, p99) = (taken.p(0.5), taken.p(0.99));
    println!("{name:<58} p50 {p50:>9.1} us  p99 {p99:>9.1} us");
    p50
}

/// A run with as many events as an agent makes in a day, among all the others.
fn long_run(runtime: &tokio::runtime::Runtime, store: &SqliteStore, end: i64) {
    let (trace, events) = (TraceId::random(), 50_000);
    let mut importer = store.open_importer().unwrap();
    let event = |number: u64| {
        let moment = Timestamp::from_micros(end + number as i64 * 1_728_000);
        TraceEvent::new(trace, SpanId::from_u64(number + 1).unwrap(), "ai:call", moment, "agent")
    };
    importer.append(&(0..events).map(event).collect::<Vec<_>>()).unwrap();
    importer.finish().unwrap();
    let reader = store.open_reader().unwrap();
    ask("a run of 50,000 events", 3, |_| runtime.block_on(reader.trace(trace)).unwrap().len());
    let cursor = Cursor::of_event(&event(events / 2));
    let page = Page { after: Some(cursor), ..Page::first(100) };
    ask("100 of its events, from the middle on", 100, |_| {
        runtime.block_on(reader.trace_page(trace, &page)).unwrap().items.len()
    });
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if std::env::var_os("QUERIES_ONLY").is_none() {
        writing(&runtime);
    }

    if std::env::var_os("WRITE_ONLY").is_some() {
        return;
    }
    let events: usize = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let place = folder();
    let path = place.path().join("large.db");
    let store = SqliteStore::new(&path);
    // A month of a thousand runs at a time.
    let mut source = Source::new(1000, 30 * 86_400_000_000 / events as i64, InstanceId::IMPORTED);
    let mut importer = store.open_importer().unwrap();
    let mut traces = Vec::new();
    let mut loading = Duration::ZERO;
    let mut left = events;
    while left > 0 {
        let chunk: Vec<_> = (0..1000.min(left)).map(|_| source.next()).collect();
        traces.extend(
            chunk.iter().filter(|event| event.event_type == WORKFLOW_STARTED).map(|event| event.trace_id),
        );
        left -= chunk.len();
        let began = Instant::now();
        importer.append(&chunk).unwrap();
        loading += began.elapsed();
    }
    let began = Instant::now();
    importer.finish().unwrap();
    loading += began.elapsed();
    println!(
        "import of {events} events: {:.0} events/s, {} bytes an event",
        events as f64 / loading.as_secs_f64(),
        path.metadata().unwrap().len() as usize / events
    );

    let reader = store.open_reader().unwrap();
    let bare = Connection::open(&path).unwrap();
    let mut statement = bare
        .prepare("SELECT e.* FROM event e WHERE e.run = (SELECT id FROM run WHERE trace_id = ?1)")
        .unwrap();
    let pick = |turn: usize| traces[turn.wrapping_mul(7919) % traces.len()];
    let plain = ask("a trace of 15, bare statement", 5000, |turn| {
        let mut rows = statement.query([pick(turn).to_bytes()]).unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            for column in 0..22 {
                bytes += usize::from(row.get_ref(column).unwrap() != rusqlite::types::ValueRef::Null);
            }
        }
        bytes
    });
    let ours =
        ask("a trace of 15", 5000, |turn| runtime.block_on(reader.trace(pick(turn + 3))).unwrap().len());
    println!("  ratio {:.2}", ours / plain);
    let in_place = reader.clone().in_place();
    let ours = ask("a trace of 15, in place", 5000, |turn| {
        runtime.block_on(in_place.trace(pick(turn + 5))).unwrap().len()
    });
    println!("  ratio {:.2}", ours / plain);
    ask("  the same trace again and again", 5000, |_| runtime.block_on(reader.trace(pick(3))).unwrap().len());
    ask("  of which the way to the thread that reads, and back", 5000, |_| {
        runtime.block_on(reader.liveness(&[])).unwrap().len()
    });

    let day = Timestamp::from_micros(source.clock).minus(Duration::from_secs(86_400));
    ask("failures of 24 h, the first 100", 200, |_| {
        let filter = Filter::new().scope(Scope::all().since(day)).status(Status::Failed);
        runtime.block_on(reader.events(&filter, &Page::first(100))).unwrap().items.len()
    });
    bare.execute_batch("CREATE INDEX plain ON event(type, status)").unwrap();
    let plain = ask("failure rate by type, plain indexed statement", 5, |_| {
        bare.prepare("SELECT type, sum(status = 2), count(*) FROM event INDEXED BY plain WHERE status != 0 GROUP BY type")
            .unwrap().query_map([], |row| row.get::<_, i64>(1)).unwrap().map(Result::unwrap).sum::<i64>()
    });
    bare.execute_batch("DROP INDEX plain").unwrap();
    let plain_time = ask("failure rate by type, plain statement over the table", 3, |_| {
        bare.prepare("SELECT type, sum(status = 2), count(*) FROM event WHERE status != 0 GROUP BY type")
            .unwrap()
            .query_map([], |row| row.get::<_, i64>(1))
            .unwrap()
            .map(Result::unwrap)
            .sum::<i64>()
    });
    let ours = ask("failure rate by type", 50, |_| {
        runtime.block_on(reader.failure_rate_by_type(&Scope::all())).unwrap().len()
    });
    println!("  ratio {:.4} to the index, {:.4} to the table", ours / plain, ours / plain_time);
    let all = Scope::all();
    ask("slowest 20 spans", 200, |_| runtime.block_on(reader.slowest_spans(&all, 20)).unwrap().len());
    ask("slowest stages, percentiles", 50, |_| {
        runtime.block_on(reader.slowest_stages(&all, 20)).unwrap().len()
    });
    ask("failure rate of runs", 50, |_| runtime.block_on(reader.failure_rate(&all)).unwrap().total);
    ask("hot spots", 20, |_| runtime.block_on(reader.hot_spots(&all, 10)).unwrap().len());
    ask("failures over time, by the day", 20, |_| {
        runtime.block_on(reader.over_time(&all, Duration::from_secs(86_400))).unwrap().len()
    });
    let runs = |filter: Filter| runtime.block_on(reader.runs(&filter, &Page::first(50))).unwrap().items.len();
    ask("runs, the last 50", 100, |_| runs(Filter::new()));
    ask("runs that failed, the last 50", 100, |_| runs(Filter::new().status(Status::Failed)));
    ask("runs by a rare attribute", 10, |_| runs(Filter::new().attr("request_id", "req-00000007")));
    ask("runs by correlation id", 100, |_| runs(Filter::new().correlation_id("loan-7")));
    ask("runs with an event of a type", 20, |_| runs(Filter::new().event_type(WORKFLOW_FAILED)));
    let found =
        |filter: Filter| runtime.block_on(reader.events(&filter, &Page::first(50))).unwrap().items.len();
    ask("events, the last 50", 100, |_| found(Filter::new()));
    ask("events of a type that is nowhere else, all read", 10, |_| {
        found(Filter::new().event_type("loan-service"))
    });
    ask("events by a tag that is nowhere", 10, |_| found(Filter::new().tag("stage:sign")));
    let page = Page::first(100);
    ask("open runs, the oldest 100", 10, |_| runtime.block_on(reader.open_runs(&page)).unwrap().items.len());
    ask("the same without their steps", 50, |_| {
        runtime.block_on(reader.open_summaries(&page)).unwrap().items.len()
    });
    long_run(&runtime, &store, source.clock);
}
