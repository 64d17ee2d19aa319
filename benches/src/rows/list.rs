//! Lists of runs out of a million, as the pages of the viewer and `throughline list` ask for them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use throughline_core::{
    ErrorInfo, Instance, InstanceId, SpanId, Status, StoreConfig as _, Timestamp, TraceEvent, TraceId, names,
};
use throughline_sqlite::{SqliteStore, Synchronous};

use super::{Bench, command};
use crate::duel::{bar, by_turns, nanos};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "list";

/// How many runs there are, and over how much time they are spread.
const RUNS: u64 = 1_000_000;
const SPAN: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many of them are at work.
const OPEN: u64 = 200;
/// How many events are imported at a time.
const CHUNK: usize = 20_000;

/// What the page of runs asks, and what is asked of it.
const QUESTIONS: &[(&str, &str)] = &[
    ("the latest", "runs"),
    ("the failed", "runs?state=failed"),
    ("the running", "runs?state=running"),
    ("the interrupted, of which there are none", "runs?state=interrupted"),
    ("the cancelled, 1 of 10,000", "runs?state=cancelled"),
    ("the stuck", "runs?view=stuck"),
    ("those with orphaned resources, of which there are none", "runs?view=orphaned"),
    ("of a workflow that 98 of 100 are of", "runs?workflow=loan-approval"),
    ("of a workflow that 10 are of", "runs?workflow=year-end"),
    ("of a service that 10 are of", "runs?service=ledger"),
    ("failed ones of a workflow that 10 are of", "runs?workflow=year-end&state=failed"),
    ("under a key", "runs?key=loan-123456"),
    ("with an event of a type that all have", "runs?type=stage:credit-check"),
    ("with an event of a type that 10 have", "runs?type=stage:close-books"),
    ("with an attribute that all have", "runs?attr=tenant%3Dacme"),
    ("with an attribute that 10 have", "runs?attr=tenant%3Dglobex"),
    ("with a tag that 10 have", "runs?tag=audit"),
    ("searched for a key", "runs?q=loan-123456"),
    ("searched for a request id", "runs?q=request-123456"),
    ("searched for the beginning of an id", "runs?q=0000000000000000000000000001e"),
    ("searched for a text of errors", "runs?q=bureau+did+not"),
    ("searched for a text that is nowhere", "runs?q=no+such+thing"),
    ("how many are in which state", "counts"),
    ("how many of a workflow are in which state", "counts?workflow=loan-approval"),
];

/// The viewer over a file, in a process of its own.
struct Viewer {
    process: Child,
    address: String,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Viewer {
    fn of(store: &str) -> anyhow::Result<Self> {
        let mut process = command()?
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--store", store])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run throughline; `cargo xtask bench` builds it")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("it has no output")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let url = said["url"].as_str().with_context(|| format!("no address in {line}"))?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { process, address })
    }

    /// The answer to a question, and how many nanoseconds it took.
    fn ask(&self, question: &str) -> anyhow::Result<(Value, f64)> {
        let began = Instant::now();
        let mut socket = TcpStream::connect(&self.address)?;
        write!(socket, "GET /api/{question} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let took = nanos(began.elapsed());
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.contains(" 200 "), "{question}: {answer}");
        Ok((serde_json::from_str(body)?, took))
    }
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let path = bench.folder.path().join("list.db");
    let end = Timestamp::now();
    import(&path, end)?;
    let at_work = bench.single.block_on(begin(&path))?;
    let store = format!("sqlite:{}", path.display());
    let viewer = Viewer::of(&store)?;
    let mut lines = Vec::new();
    let mut add = |what: &str, took: f64| {
        lines.push(Line {
            what: what.to_owned(),
            ours: time(took),
            peer: String::new(),
            value: (took / 1e6).into(),
            target: Target::MillisBelow(100.0),
        });
    };
    for (what, question) in QUESTIONS {
        let [took] = by_turns(NAME, 5, [Box::new(|| Ok(viewer.ask(question)?.1))])?;
        add(&format!("of 1,000,000 runs {what}"), took.spread().greatest);
    }
    let (first, _) = viewer.ask("runs?state=failed")?;
    let next = first["next"].as_str().context("there is a second page")?.replace(':', "%3A");
    let question = format!("runs?state=failed&after={next}");
    let [took] = by_turns(NAME, 5, [Box::new(|| Ok(viewer.ask(&question)?.1))])?;
    add("of 1,000,000 runs the next page of the failed", took.spread().greatest);
    for options in [&[][..], &["--failed"], &["--state", "running"], &["--workflow", "year-end"]] {
        let [took] = by_turns(
            NAME,
            5,
            [Box::new(|| {
                let began = Instant::now();
                let said = command()?.arg("list").args(options).args(["--store", &store]).output()?;
                ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                Ok(nanos(began.elapsed()))
            })],
        )?;
        add(&format!("`throughline list {}` of 1,000,000", options.join(" ")), took.spread().greatest);
    }
    drop(viewer);
    bench.single.block_on(at_work.close())?;
    Ok(lines)
}

/// Runs of four events each, the last of which ended at this moment.
fn import(path: &PathBuf, end: Timestamp) -> anyhow::Result<()> {
    let progress = bar("a million runs", RUNS);
    let mut importer = SqliteStore::new(path).synchronous(Synchronous::Off).open_importer()?;
    let start = end.minus(SPAN);
    let mut chunk = Vec::with_capacity(CHUNK + 4);
    for number in 0..RUNS {
        let began =
            start.plus(SPAN.checked_div(RUNS as u32).unwrap_or_default().saturating_mul(number as u32));
        chunk.extend(run(number, began));
        if chunk.len() >= CHUNK {
            importer.append(&chunk)?;
            chunk.clear();
            progress.set_position(number);
        }
    }
    importer.append(&chunk)?;
    importer.finish()?;
    progress.finish_and_clear();
    Ok(())
}

/// A run with one step. One of twenty fails, one of 10,000 is cancelled, and ten are of another kind in everything.
fn run(number: u64, began: Timestamp) -> [TraceEvent; 4] {
    let is_rare = number % (RUNS / 10) == RUNS / 20;
    let outcome = match number {
        _ if number % 20 == 3 => Status::Failed,
        _ if number % 10_000 == 7 => Status::Cancelled,
        _ => Status::Success,
    };
    let trace = TraceId::from_bytes((u128::from(number) + 1).to_be_bytes()).unwrap_or_else(TraceId::random);
    let span = |at: u64| SpanId::from_u64(at).unwrap_or_else(SpanId::random);
    let event = |span_at: u64, seq: u32, micros: u64, kind: &'static str, status: Status| {
        let service = if is_rare { "ledger" } else { "loan-service" };
        let mut event =
            TraceEvent::new(trace, span(span_at), kind, began.plus(Duration::from_micros(micros)), service);
        (event.seq, event.status) = (seq, status);
        event.parent_span_id = (span_at != 1).then(|| span(1));
        event.workflow = Some(
            if is_rare {
                "year-end"
            } else if number % 50 == 9 {
                "onboarding"
            } else {
                "loan-approval"
            }
            .into(),
        );
        event.correlation_id = Some(format!("loan-{number}").into());
        let tenant = if is_rare { "globex" } else { "acme" };
        event.attrs = [("request_id", format!("request-{number}")), ("tenant", tenant.to_owned())]
            .into_iter()
            .collect();
        event.tags = if is_rare { vec!["audit".into()] } else { Vec::new() };
        event.duration_us = (seq == 1).then_some(micros);
        if status == Status::Failed {
            let (kind, message) =
                ("BureauError::Timeout".into(), "the bureau did not answer within 5 s".into());
            event.error = Some(Box::new(ErrorInfo { kind, message, chain: Vec::new() }));
        }
        event
    };
    let stage = if is_rare { "stage:close-books" } else { "stage:credit-check" };
    let ended = match outcome {
        Status::Failed => names::WORKFLOW_FAILED,
        Status::Cancelled => names::WORKFLOW_CANCELLED,
        _ => names::WORKFLOW_COMPLETED,
    };
    [
        event(1, 0, 0, names::WORKFLOW_STARTED, Status::Pending),
        event(2, 0, 10, stage, Status::Pending),
        event(2, 1, 90_000, stage, outcome),
        event(1, 1, 90_100, ended, outcome),
    ]
}

/// Runs that a process has in hand for as long as its store is open.
async fn begin(path: &Path) -> anyhow::Result<Arc<dyn throughline_core::TraceStore>> {
    let instance = InstanceId::random();
    let store = SqliteStore::new(path).open(Instance::new(instance, "loan-service")).await?;
    let events: Vec<Arc<TraceEvent>> = (RUNS..RUNS + OPEN)
        .flat_map(|number| {
            let [start, step, ..] = run(number, Timestamp::now());
            [start, step]
        })
        .map(|mut event| {
            event.instance = instance;
            Arc::new(event)
        })
        .collect();
    store.append(&events).await?;
    Ok(store)
}
