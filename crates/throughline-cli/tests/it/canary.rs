//! The canary: what must not leave the process is put everywhere an event can carry text, and then looked for in
//! everything that leaves it: the database and its log, the feed, `tracing` output, `Debug` and `Display`, and what this
//! command prints.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use throughline_core::query::Style;
use throughline_core::{
    EventSink, MemoryFeed, NotRecorded, Redaction, StreamItem, Throughline, TraceContext, TraceEvent,
    WatchRequest, names,
};
use throughline_sqlite::SqliteStore;
use tracing_subscriber::fmt::MakeWriter;

use crate::sandbox::Sandbox;

/// Something that must not be found, and how it is found if it is there.
#[derive(Debug, Clone)]
struct Canary {
    text: String,
    needles: Vec<String>,
}

impl Canary {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { needles: vec![text.clone()], text }
    }

    fn found_by(mut self, needle: impl Into<String>) -> Self {
        self.needles.push(needle.into());
        self
    }
}

/// Detectable shapes with random contents.
fn shapes() -> impl Strategy<Value = Vec<Canary>> {
    ("[a-z]{14}", "[1-9][0-9]{14}", "[A-Za-z0-9]{32}", 101_u32..600, 11_u32..99, 1001_u32..9999).prop_map(
        |(word, digits, body, area, group, serial)| {
            let card = luhn(&format!("4{}", &digits[1..]));
            let spaced = [&card[..4], &card[4..8], &card[8..12], &card[12..]].join(" ");
            let upper = body.to_ascii_uppercase();
            vec![
                Canary::new(format!("{word}@mail.example.org")).found_by(&word),
                Canary::new(spaced).found_by(&card),
                Canary::new(card),
                Canary::new(format!("{area}-{group}-{serial}")),
                Canary::new(iban(&digits[..10])),
                Canary::new(format!("eyJhbGciOiJIUzI1NiJ9.{body}.{word}")).found_by(&body),
                Canary::new(format!("Bearer {body}")).found_by(&body),
                Canary::new(format!("{}{}", ["AK", "IA"].concat(), &upper[..16])),
                Canary::new(format!("{}_{body}", ["gh", "p"].concat())),
                Canary::new(format!("postgres://app:{word}@db/loans")).found_by(&word),
                Canary::new(format!("password={word};")).found_by(&word),
                Canary::new(format!(r#"{{"pin": "{word}"}}"#)).found_by(&word),
            ]
        },
    )
}

/// The digits and the check digit that belongs to them.
fn luhn(digits: &str) -> String {
    let weigh =
        |(place, digit): (usize, u32)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit };
    let sum: u32 = digits.chars().rev().filter_map(|c| c.to_digit(10)).enumerate().map(weigh).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn iban(account: &str) -> String {
    let digits = format!("10112310{account}232100");
    let remainder =
        digits.bytes().fold(0, |remainder, digit| (remainder * 10 + u32::from(digit - b'0')) % 97);
    format!("NL{:02}ABNA{account}", 98 - remainder)
}

/// Everything that left the process.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn note(&self, text: impl std::fmt::Display) {
        let mut seen = self.0.lock().unwrap();
        seen.extend_from_slice(text.to_string().as_bytes());
        seen.push(b'\n');
    }

    fn note_bytes(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }

    /// The canaries that are there, with what stands around them.
    fn survivors(&self, canaries: &[Canary]) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&seen);
        let around = |needle: &String| {
            let at = text.find(needle.as_str())?;
            let from = text.floor_char_boundary(at.saturating_sub(100));
            Some(text[from..at + needle.len()].to_owned())
        };
        canaries.iter().flat_map(|canary| &canary.needles).filter_map(around).collect()
    }
}

impl std::io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.note_bytes(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Seen {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl EventSink for Seen {
    fn name(&self) -> &str {
        "seen"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        self.note(format_args!("{event:?} {}", event.id()));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("about {0}")]
struct About(String, #[source] std::io::Error);

/// Puts a canary everywhere that code can put text.
async fn sing(throughline: &Throughline, canary: &str, secret: &str, seen: &Seen) {
    let text = || canary.to_owned();
    let error = |about: String| About(about.clone(), std::io::Error::other(about));
    let failing = || error(text());
    let workflow =
        throughline.workflow(text()).key(text()).attr("note", text()).attr(text(), "x").tag(text());
    let workflow =
        workflow.attr("user_password", secret.to_owned()).input(&json!({ "a": [text()], canary: 1 }));
    seen.note(format_args!("{workflow:?}"));
    let own = seen.clone();
    let body = |ctx: TraceContext| async move {
        let seen = own;
        ctx.annotate("late", text());
        ctx.annotate("api_key", secret.to_owned());
        let decision = ctx
            .decision(text())
            .consider_because(text(), 0.5, text())
            .choose(text())
            .reasoning(format!("because of {canary} and so on"))
            .decider(text())
            .field("client_secret", secret)
            .await
            .unwrap();
        ctx.event(text(), json!({ "deep": { "er": [{ "x": text(), "pin": secret }] } }))
            .tag(text())
            .await
            .unwrap();
        let step = ctx
            .step(text())
            .input(&text())
            .tag(text())
            .attr("a", text())
            .decided_by(&decision)
            .capture_output();
        seen.note(format_args!("{step:?} {ctx:?} {decision:?}"));
        step.run(|_| async move { Ok::<_, NotRecorded>(json!({ "said": text(), "otp": secret })) })
            .await
            .unwrap()
            .unwrap();
        ctx.trace("stage:fails", async { Err::<(), _>(failing()) }).await.unwrap().unwrap_err();
        ctx.trace("stage:anyhow", async { Err::<(), _>(text()) }).await.unwrap().unwrap_err();
        ctx.dependency("db", text(), async { Err::<(), _>(failing()) }).await.unwrap().unwrap_err();
        let panicking = ctx.trace_infallible("stage:panics", async move { panic!("panic about {canary}") });
        let panicked = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
        assert!(panicked.is_err());
        let undone = ctx.saga(text()).run(|saga| async move {
            let step = saga.step(text()).input(text()).resource(text());
            let step = step.compensate(move |about: String, _| async move { Err::<(), _>(error(about)) });
            step.run(|_, _| async { Ok::<_, About>(()) }).await.unwrap()?;
            Err::<(), About>(failing())
        });
        // The error itself is the caller's own; what is told of the compensations is ours.
        let failed = undone.await.unwrap().unwrap_err();
        seen.note(format_args!("{:?}", failed.compensations));
        ctx.child_workflow(text())
            .input(&secret_under("authorization", secret))
            .run_infallible(|_| async {})
            .await
            .unwrap();
        seen.note(format_args!("{:?} {:?}", ctx.propagation(), ctx.attrs()));
        Err::<(), _>(failing())
    };
    workflow.run(body).await.unwrap().unwrap_err();
    let path = text();
    let describe = move |request: throughline_core::RequestDetails| {
        request.attr("path", path.clone()).input(&json!({ "path": path }))
    };
    let request = throughline.request(text()).describe(describe).open();
    seen.note(format_args!("{request:?}"));
    request.ensure_recorded();
    request.fail(throughline_core::ErrorInfo {
        kind: text().into(),
        message: text().into(),
        chain: vec![text().into()],
    });
    seen.note(format_args!("{throughline:?} {}", throughline.delivery_report()));
}

fn secret_under(key: &str, secret: &str) -> serde_json::Value {
    json!({ "a": { key: secret } })
}

/// Everything that can be asked of the file, and the file itself.
fn ask_everything(sandbox: &Sandbox, traces: &[String], seen: &Seen) {
    let mut questions: Vec<Vec<&str>> = vec![
        vec!["list"],
        vec!["list", "--json"],
        vec!["stats"],
        vec!["stats", "--json"],
        vec!["decisions"],
        vec!["running"],
        vec!["export"],
        vec!["export", "--format", "xes"],
    ];
    for trace in traces {
        for command in ["show", "why", "compensations", "decisions"] {
            questions.push(vec![command, trace]);
            questions.push(vec![command, trace, "--json"]);
        }
    }
    for question in questions {
        let said = sandbox.run(&question);
        seen.note(format_args!("{}{}", said.stdout, said.stderr));
    }
    for file in ["traces.db", "traces.db-wal"] {
        if let Ok(bytes) = std::fs::read(sandbox.path(file)) {
            seen.note_bytes(&bytes);
        }
    }
}

fn in_a_run(canaries: &[Canary], secret: &str) -> Seen {
    let sandbox = Sandbox::empty();
    let seen = Seen::default();
    let logging = tracing_subscriber::fmt()
        .with_writer(seen.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let traces = tracing::subscriber::with_default(logging, || {
        runtime.block_on(async {
            let throughline = Throughline::builder(canaries[0].text.clone())
                .store(SqliteStore::new(sandbox.path("traces.db")))
                .feed(MemoryFeed::new().capacity(10_000))
                .sink(seen.clone())
                .redaction(Redaction::standard().pseudonym_key(secret))
                .build()
                .unwrap();
            let mut feed = throughline.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
            for canary in canaries {
                sing(&throughline, &canary.text, secret, &seen).await;
            }
            assert!(throughline.flush(Duration::from_secs(20)).await.is_complete());
            while let Some(Some(Ok(StreamItem::Event { event, .. }))) = feed.next().now_or_never() {
                seen.note(serde_json::to_string(&*event).unwrap());
            }
            let runs = throughline.reader().unwrap();
            let runs =
                runs.runs(&Default::default(), &throughline_core::Page::first(1000)).await.unwrap().items;
            for run in &runs {
                let query = throughline.query(run.trace_id).await.unwrap();
                seen.note(format_args!(
                    "{run:?} {:?} {}",
                    query.explain(),
                    query.tree().render(&Style::plain())
                ));
            }
            // One file for all: the log is looked into before the emitter folds it into the database.
            ask_everything(&sandbox, &[], &seen);
            throughline.shutdown(Duration::from_secs(20)).await;
            runs.iter().map(|run| run.trace_id.to_string()).take(3).collect::<Vec<_>>()
        })
    });
    ask_everything(&sandbox, &traces, &seen);
    seen
}

#[test]
fn nothing_that_must_not_leave_the_process_leaves_it() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut runner = TestRunner::new(proptest::test_runner::Config {
        cases: 6,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Default::default()
    });
    let result = runner.run(&(shapes(), "[A-Z]{8}[0-9][a-z]{8}"), |(mut canaries, secret)| {
        let seen = in_a_run(&canaries, &secret);
        canaries.push(Canary::new(secret));
        prop_assert_eq!(seen.survivors(&canaries), Vec::<String>::new());
        prop_assert!(seen.0.lock().unwrap().len() > 100_000, "something was looked into");
        Ok(())
    });
    std::panic::set_hook(hook);
    result.unwrap();
}

#[test]
fn an_output_that_skips_redaction_is_caught() {
    let canary = Canary::new("ada.lovelace@mail.example.org");
    let sandbox = Sandbox::empty();
    let id = throughline_core::TraceId::from_key("past the redactor");
    let mut raw = TraceEvent::new(
        id,
        throughline_core::SpanId::random(),
        names::WORKFLOW_COMPLETED,
        throughline_core::Timestamp::now(),
        "test",
    );
    raw.data = json!({ "mail": canary.text }).as_object().cloned();
    // Straight into the store, past the emitter.
    let mut importer = SqliteStore::new(sandbox.path("traces.db")).open_importer().unwrap();
    importer.append(&[raw]).unwrap();
    importer.finish().unwrap();
    let seen = Seen::default();
    ask_everything(&sandbox, &[id.to_string()], &seen);
    assert!(seen.survivors(&[canary])[0].ends_with("ada.lovelace@mail.example.org"));
}
