//! What a line has in it.

use std::fmt;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::{BoxError, NotRecorded, Throughline};
use throughline_log::{Format, LogDropReason, Logs, Output};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::capture::{LONG, Memory, capture, captured, redactor, saying};

/// A line without what differs each time.
fn steady(line: &Value) -> Value {
    let mut line = line.clone();
    let at = line["timestamp"].as_str().unwrap();
    assert!(at.len() == 27 && at.ends_with('Z'), "{at}");
    line["timestamp"] = "…".into();
    line
}

#[derive(Debug, thiserror::Error)]
#[error("the bureau did not answer")]
struct Unreachable(#[source] io::Error);

#[test]
fn an_event_becomes_one_object_with_its_fields_as_metadata() {
    let captured = captured();
    captured.run(|| {
        tracing::info!(amount = 50_000, rate = 0.5, granted = true, big = u128::MAX, who = ?Some("x"), "an offer");
        tracing::warn!(target: "hyper::client", nan = f64::NAN, "no\nbody");
        let error = Unreachable(io::ErrorKind::TimedOut.into());
        tracing::error!(error = &error as &dyn std::error::Error, "refused");
        tracing::error!(error = %error, r#type = "x");
    });
    let lines: Vec<_> = captured.lines().iter().map(steady).collect();
    let of = |level: &str, message: &str, target: &str| json!({ "timestamp": "…", "level": level, "message": message, "service": "loans", "target": target });
    let with = |mut line: Value, more: Value| {
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let here = "it::lines";
    assert_eq!(
        lines,
        [
            with(
                of("info", "an offer", here),
                json!({ "metadata": {
                    "amount": 50_000, "rate": 0.5, "granted": true, "big": u128::MAX.to_string(), "who": "Some(\"x\")",
                }})
            ),
            with(of("warn", "no\nbody", "hyper::client"), json!({ "metadata": { "nan": "NaN" } })),
            with(
                of("error", "refused", here),
                json!({ "error": {
                    "type": "Unreachable", "message": "the bureau did not answer", "chain": ["timed out"],
                }})
            ),
            with(
                of("error", "", here),
                json!({
                    "error": { "type": "error", "message": "the bureau did not answer" },
                    "metadata": { "type": "x" },
                })
            ),
        ]
    );
    assert_eq!(captured.text().lines().count(), 4, "a line break in a message breaks no line");
}

#[test]
fn nothing_secret_is_in_a_line_whatever_part_it_stands_in() {
    let captured = captured();
    let canaries =
        ["ada@example.org", "4111 1111 1111 1111", "hunter2", "tulip", "sk-ant-", "eve@example.org"];
    captured.run(|| {
        let span = tracing::info_span!(
            "login",
            password = "hunter2",
            note = "for ada@example.org",
            late = tracing::field::Empty
        );
        span.record("late", "eve@example.org");
        let _entered = span.enter();
        tracing::info!(
            card = "4111 1111 1111 1111",
            iris = "tulip",
            "mail to ada@example.org with password=hunter2"
        );
        #[derive(Debug)]
        struct Login {
            #[expect(dead_code, reason = "shown by its Debug")]
            password: &'static str,
        }
        tracing::info!(login = ?Login { password: "hunter2" }, "attempt");
        let error = io::Error::other(Unreachable(io::Error::other("token=hunter2 for eve@example.org")));
        tracing::error!(error = &error as &dyn std::error::Error, "failed");
        tracing::info!(target: "eve@example.org", "foreign target");
    });
    let text = captured.text();
    assert_eq!(text.lines().count(), 4);
    for canary in canaries {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    assert!(text.contains("mail to [redacted:email]"), "{text}");
}

#[test]
fn records_of_the_crate_log_say_where_they_come_from() {
    let captured = captured();
    // The one test that installs this: it is for the whole process, and passes on to whatever is the default there.
    tracing_log::LogTracer::init().unwrap();
    captured.run(|| log::warn!(target: "old::library", "by the old way"));
    let lines = captured.lines();
    let line = saying(&lines, "by the old way");
    assert_eq!((&line["target"], &line["level"]), (&"old::library".into(), &"warn".into()));
    assert_eq!(line.get("metadata"), None, "{line}");
}

#[test]
fn other_layers_see_what_this_one_leaves_out() {
    let memory = Memory::default();
    let captured = capture(|logs| logs.levels("off".parse().unwrap()));
    let writer = memory.clone();
    let other = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
    let layer = captured.logs.layer(captured.throughline.redactor());
    let subscriber = tracing_subscriber::registry().with(layer).with(other);
    tracing::subscriber::with_default(subscriber, || tracing::debug!("detail"));
    assert_eq!(captured.text(), "");
    assert!(memory.text().contains("DEBUG it::lines: detail"), "{}", memory.text());
}

#[test]
fn a_value_that_logs_while_it_is_formatted_or_panics_harms_nobody() {
    struct Logging;
    impl fmt::Debug for Logging {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("from within");
            f.write_str("logged")
        }
    }
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("not today")
        }
    }
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            Err(fmt::Error)
        }
    }
    let captured = captured();
    captured.run(|| {
        tracing::info!(value = ?Logging, "around");
        tracing::info!(before = 1, value = ?Panics, "it panics");
        tracing::info!(value = %Fails, "it fails");
    });
    let lines = captured.lines();
    assert_eq!(saying(&lines, "around")["metadata"]["value"], "logged");
    assert!(
        lines.iter().any(|line| line.to_string().contains("it panicked while it was formatted")),
        "{lines:#?}"
    );
    assert_eq!(saying(&lines, "it fails")["metadata"]["value"], "so far");
}

#[test]
fn the_story_says_what_is_always_worth_a_line_once() {
    let captured = captured();
    captured.block_on(async {
        let run = captured.throughline.workflow("loan-approval").run(|ctx| async move {
            ctx.event("auth:login", json!({ "password": "hunter2" })).await?;
            ctx.dependency("http", "bureau", async { Ok::<_, NotRecorded>(()) }).await??;
            let first =
                ctx.step("stage:score").run(|_| async { Err::<(), _>(io::Error::other("busy")) }).await?;
            let error = first.unwrap_err();
            ctx.fallback("no score, 0 taken", &error).await?;
            ctx.step("stage:send").attempt(2).run(|_| async { Ok::<_, io::Error>(()) }).await??;
            let inner = ctx.trace("stage:outer", async {
                let ctx = throughline_core::TraceContext::current().unwrap();
                let failed = ctx
                    .dependency("db", "postgres", async { Err::<(), _>(io::Error::other("no such table")) });
                failed.await?.map_err(BoxError::from)
            });
            inner.await?
        });
        run.await.unwrap().unwrap_err();
    });
    let said: Vec<_> = captured
        .story()
        .iter()
        .map(|line| format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    let lines = captured.story();
    let events = captured.store.events();
    for line in &lines {
        let event = events.iter().find(|event| line["span_id"] == event.span_id.to_string()).unwrap();
        assert_eq!(line["trace_id"], event.trace_id.to_string());
    }
    assert!(!captured.text().contains("hunter2"));
}

#[test]
fn lines_of_noisy_targets_are_left_out_and_counted() {
    let captured = capture(|logs| {
        logs.limit("hyper", 2, Duration::from_secs(3600)).sample("it", 10).levels("trace".parse().unwrap())
    });
    captured.run(|| {
        for n in 0..20 {
            tracing::info!(target: "hyper::client", n, "noise");
            tracing::info!(n, "chatter");
        }
        tracing::warn!("worth it");
    });
    let report = captured.logs.flush(LONG);
    assert_eq!(report.dropped[&LogDropReason::RateLimited], 18);
    assert_eq!(report.dropped[&LogDropReason::SampledOut], 18);
    assert_eq!((report.accepted, report.written, report.pending), (41, 5, 0));
}

#[test]
fn a_closed_pipe_and_a_full_disk_are_counted_and_the_service_continues() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let closed = Output::writer(std::fs::File::from(writer));
    let full = Output::file("/dev/full");
    for (output, says) in [(closed, "Broken pipe"), (full, "No space left")] {
        let logs = Logs::builder("loans").output(output).format(Format::Json).build().unwrap();
        let throughline = Throughline::builder("loans").sink(logs.story()).build().unwrap();
        let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
        tracing::subscriber::with_default(subscriber, || (0..3).for_each(|n| tracing::info!(n, "lost")));
        let report = logs.flush(LONG);
        assert_eq!((report.accepted, report.written, report.pending), (3, 0, 0), "{report:?}");
        assert_eq!(report.dropped[&LogDropReason::Failed], 3);
        assert!(report.failing.unwrap().contains(says));
    }
}

#[test]
fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let output = Output::writer(std::fs::File::from(writer));
    let logs = Logs::builder("loans").output(output).format(Format::Json).buffer(100_000).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer(&redactor()));
    let text = "x".repeat(1000);
    tracing::subscriber::with_default(subscriber, || (0..1000).for_each(|_| tracing::info!(text, "unread")));
    let report = logs.flush(Duration::ZERO);
    let full = report.dropped[&LogDropReason::Full];
    assert_eq!(report.accepted, 1000);
    assert_eq!(report.accepted, report.written + report.pending + full, "{report:?}");
    // Once somebody reads, what was kept comes out.
    let reading = std::thread::spawn(move || io::read_to_string(std::fs::File::from(reader)).unwrap());
    let report = logs.flush(LONG);
    assert_eq!((report.written, report.pending), (1000 - full, 0));
    drop(logs);
    assert_eq!(reading.join().unwrap().lines().count() as u64, 1000 - full);
}

#[test]
fn an_output_that_cannot_be_opened_is_an_error_that_names_it() {
    let error =
        Logs::builder("loans").output(Output::file("nowhere/at/all.jsonl")).build().unwrap_err().to_string();
    assert!(error.starts_with("logs can't be written to nowhere/at/all.jsonl: "), "{error}");
}

#[cfg(feature = "files")]
#[test]
fn rolling_files_have_the_lines_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let files = throughline_log::Rolling::daily(folder.path(), "loans").keep(2);
    let logs = Logs::builder("loans").output(Output::rolling(files)).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer(&redactor()));
    tracing::subscriber::with_default(subscriber, || tracing::info!("kept"));
    logs.flush(LONG);
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    assert!(file.file_name().to_string_lossy().ends_with(".jsonl"));
    assert!(std::fs::read_to_string(file.path()).unwrap().contains("\"message\":\"kept\""));
}

#[test]
fn text_for_people_is_one_line_that_controls_no_terminal() {
    let memory = Memory::default();
    let logs =
        Logs::builder("loans").output(Output::writer(memory.clone())).format(Format::Text).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer(&redactor()));
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("query", table = "loans").entered();
        let error = Unreachable(io::ErrorKind::TimedOut.into());
        tracing::error!(
            error = &error as &dyn std::error::Error,
            n = 3,
            to = "ada@example.org",
            "a\x1b[31m\nb\u{202e}c"
        );
    });
    logs.flush(LONG);
    let text = memory.text();
    let (at, rest) = text.split_once(' ').unwrap();
    assert!(at.ends_with('Z'));
    insta::assert_snapshot!(rest.trim_end(), @r"error it::lines: a\u{1b}[31m\nb\u{202e}c n=3 to=[redacted:email] error=the bureau did not answer: timed out in query table=loans");
    assert_eq!(text.lines().count(), 1);
}
