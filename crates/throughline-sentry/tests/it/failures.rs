//! What becomes an issue on a real server, and what does not.

use std::io;

use serde_json::{Value, json};
use throughline_core::{InContext as _, Throughline};
use throughline_sentry::Sentry;

use crate::bugsink::{self, Project};
use crate::{LONG, account, reporting, with};

#[derive(Debug)]
struct BureauError(&'static str);

impl std::fmt::Display for BureauError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BureauError {}

async fn apply(throughline: &Throughline, error: &'static str) -> String {
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        let trace_id = ctx.trace_id().to_string();
        ctx.trace("stage:identity-check", async { Ok::<_, BureauError>(()) }).await.unwrap().unwrap();
        ctx.event("business:identified", json!({})).await.unwrap();
        let score =
            ctx.trace("stage:credit-check", async { Err::<(), _>(BureauError(error)) }).await.unwrap();
        score.map_err(|error| (trace_id, error)).map_err(Traced)
    });
    run.await.unwrap().unwrap_err().0.0
}

/// An error that takes the id of its run along.
#[derive(Debug)]
struct Traced((String, BureauError));

impl std::fmt::Display for Traced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.1.fmt(f)
    }
}

impl std::error::Error for Traced {}

#[tokio::test]
async fn a_failed_step_is_one_issue_with_the_ids_of_the_store_and_what_led_to_it() {
    let Some(project) = Project::new() else { return };
    let builder = Sentry::builder().dsn(&project.dsn).environment("staging").release("loans@1.4.0");
    let (throughline, _sentry, _guard) = with(builder.story_url("https://traces.example.org/runs/"));
    let trace_id = apply(&throughline, "the bureau did not answer").await;
    throughline.flush(LONG).await;

    let event = project.only_event();
    bugsink::assert_valid(std::slice::from_ref(&event));
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert_eq!(text("/contexts/trace/trace_id"), trace_id);
    assert_eq!(text("/contexts/throughline/story"), format!("https://traces.example.org/runs/{trace_id}"));
    assert_eq!(text("/contexts/throughline/path"), "workflow:loan-approval > stage:credit-check");
    let raised = event.pointer("/exception/values/0").unwrap();
    assert_eq!(
        (&raised["type"], &raised["value"]),
        (&json!("BureauError"), &json!("the bureau did not answer"))
    );
    let tags =
        ["workflow", "service", "step", "step_type", "error_type"].map(|tag| text(&format!("/tags/{tag}")));
    assert_eq!(tags, ["loan-approval", "loans", "stage:credit-check", "stage", "BureauError"]);
    assert_eq!((text("/environment"), text("/release")), ("staging".into(), "loans@1.4.0".into()));
    let crumbs = event.pointer("/breadcrumbs/values").and_then(Value::as_array).unwrap();
    let crumbs: Vec<_> = crumbs.iter().map(|crumb| crumb["category"].as_str().unwrap()).collect();
    let expected = [
        "workflow:loan-approval",
        "stage:identity-check",
        "stage:identity-check",
        "business:identified",
        "stage:credit-check",
    ];
    assert_eq!(crumbs, expected);
    let account = account(&throughline);
    assert_eq!((account.accepted, account.delivered), (1, 1), "{account:?}");
}

#[tokio::test]
async fn failures_of_one_kind_are_one_issue_whatever_their_messages_say() {
    let Some(project) = Project::new() else { return };
    let (throughline, _sentry, _guard) = reporting(&project.dsn);
    apply(&throughline, "no answer for loan 17").await;
    apply(&throughline, "no answer for loan 18").await;
    let run = throughline.workflow("payout").run(async |ctx| {
        ctx.trace("stage:credit-check", async { Err::<(), _>(BureauError("no answer")) }).await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    throughline.flush(LONG).await;

    let issues: Vec<_> = project.events().into_iter().map(|(issue, _)| issue).collect();
    assert_eq!(issues.len(), 3);
    assert_eq!(issues[0], issues[1]);
    assert_ne!(issues[0], issues[2], "another workflow is another kind");
}

#[tokio::test]
async fn what_a_failure_brought_down_is_not_reported_again_however_the_error_came_up() {
    let Some(project) = Project::new() else { return };
    let (throughline, _sentry, _guard) = reporting(&project.dsn);
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        let outer = ctx.trace("stage:score", async {
            let ctx = throughline_core::TraceContext::current().unwrap();
            let inner =
                ctx.trace("dependency:bureau", async { Err::<(), _>(io::Error::other("connection reset")) });
            // Of the error that came up nothing is left.
            inner.await.unwrap().map_err(|_| "failed")
        });
        outer.await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    throughline.flush(LONG).await;
    assert_eq!(project.only_event()["tags"]["step"], "dependency:bureau");
}

#[tokio::test]
async fn of_a_failure_whose_cause_was_cancelled_the_failure_is_reported() {
    let Some(project) = Project::new() else { return };
    let (throughline, _sentry, _guard) = reporting(&project.dsn);
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        let limit = std::time::Duration::from_millis(1);
        let step = ctx.trace_infallible("stage:score", std::future::pending::<()>());
        ctx.timeout(limit, step).await.map(|_| ())
    });
    run.await.unwrap().unwrap_err();
    throughline.flush(LONG).await;
    assert_eq!(project.only_event()["tags"]["step"], "workflow:loan-approval");
}

#[tokio::test]
async fn an_error_that_was_captured_is_not_reported_again_when_it_fails_its_step() {
    let Some(project) = Project::new() else { return };
    let (throughline, sentry, _guard) = reporting(&project.dsn);
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        ctx.trace("stage:score", async {
            let error = BureauError("the bureau did not answer");
            sentry.capture_error(&error);
            Err::<(), _>(error)
        })
        .await
        .unwrap()
    });
    run.await.unwrap().unwrap_err();
    // Another error is another failure.
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        ctx.trace("stage:score", async {
            sentry.capture_error(&BureauError("the cache is cold"));
            Err::<(), _>(BureauError("the ledger is closed"))
        })
        .await
        .unwrap()
    });
    run.await.unwrap().unwrap_err();
    throughline.flush(LONG).await;
    let events = project.events();
    let said: Vec<_> =
        events.iter().map(|(_, event)| event.pointer("/exception/values/0/value").unwrap()).collect();
    assert_eq!(said, ["the bureau did not answer", "the cache is cold", "the ledger is closed"]);
}

#[tokio::test]
async fn log_lines_of_a_run_are_its_breadcrumbs_and_errors_are_reported_on_request() {
    use tracing_subscriber::prelude::*;
    let Some(project) = Project::new() else { return };
    let (throughline, sentry, _guard) = reporting(&project.dsn);
    let layer = sentry.layer().report_errors();
    let _subscriber = tracing_subscriber::registry().with(layer).set_default();
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        tracing::info!(password = "hunter2-log", attempts = 3, "asked the bureau for ada-log@example.org");
        tracing::debug!("not worth a breadcrumb");
        let step = async {
            tracing::warn!("the bureau is slow");
            Err::<(), _>(BureauError("the bureau did not answer"))
        };
        ctx.trace("stage:score", step).await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    tracing::error!(error = "password=hunter2-error", "outside of every run");
    throughline.flush(LONG).await;

    let events: Vec<_> = project.events().into_iter().map(|(_, event)| event).collect();
    bugsink::assert_valid(&events);
    assert_eq!(events.len(), 2, "{events:#?}");
    let crumbs = events[0].pointer("/breadcrumbs/values").and_then(Value::as_array).unwrap();
    let lines: Vec<_> = crumbs.iter().filter(|crumb| crumb["type"] == "log").collect();
    assert_eq!(lines.len(), 2, "{crumbs:#?}");
    assert_eq!((&lines[0]["data"]["attempts"], &lines[1]["level"]), (&json!(3), &json!("warning")));
    assert_eq!(events[1].pointer("/exception/values/1/value"), Some(&json!("outside of every run")));
    for canary in ["hunter2-log", "ada-log@example.org", "hunter2-error"] {
        assert!(!bugsink::keeps(canary), "{canary}");
    }
}

#[tokio::test]
async fn a_panic_of_a_spawned_task_is_one_issue_of_the_run_that_spawned_it() {
    let Some(project) = Project::new() else { return };
    let (throughline, _sentry, _guard) = with(Sentry::builder().dsn(&project.dsn).report_panics());
    let (mut trace_id, mut step_id) = (String::new(), String::new());
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        trace_id = ctx.trace_id().to_string();
        let step = ctx.trace("stage:notify", async {
            let ctx = throughline_core::TraceContext::current().unwrap();
            step_id = ctx.span_id().to_string();
            let task = async { panic!("no template for 4111 1111 1111 1111") }.in_context(&ctx);
            tokio::spawn(task).await
        });
        step.await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    throughline.flush(LONG).await;

    let events: Vec<_> = project.events().into_iter().map(|(_, event)| event).collect();
    // Other tests of this process panic as well, and hooks are the process's.
    let own: Vec<_> =
        events.iter().filter(|event| event["contexts"]["trace"]["trace_id"] == *trace_id).collect();
    assert_eq!(own.len(), 1, "{events:#?}");
    bugsink::assert_valid(&[own[0].clone()]);
    let raised = own[0].pointer("/exception/values/0").unwrap();
    assert_eq!((&raised["type"], &own[0]["level"]), (&json!("panic"), &json!("fatal")));
    assert_eq!(raised["value"], "no template for [redacted:card]");
    let frame = raised.pointer("/stacktrace/frames/0").unwrap();
    assert!(frame["filename"].as_str().unwrap().ends_with("tests/it/failures.rs"), "{frame}");
    assert_eq!(own[0]["contexts"]["trace"]["span_id"], *step_id);
    assert_eq!(own[0]["tags"]["step"], "stage:notify");
    assert!(!own[0]["breadcrumbs"]["values"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_panic_of_a_step_is_one_issue_although_the_hook_saw_it_too() {
    let Some(project) = Project::new() else { return };
    let sentry = Sentry::builder().dsn(&project.dsn).report_panics().build().unwrap();
    let _guard = sentry.init();
    let throughline = Throughline::builder("loans").sink(sentry.clone()).panic_locations().build().unwrap();
    let mut trace_id = String::new();
    let run = throughline.workflow("loan-approval").run(async |ctx| {
        trace_id = ctx.trace_id().to_string();
        let step = ctx.trace("stage:score", async {
            match true {
                true => panic!("no rate for EUR"),
                false => Ok::<(), io::Error>(()),
            }
        });
        step.await.unwrap()
    });
    let outcome = sentry.recover_and_report_async(run).await;
    outcome.unwrap_err();
    throughline.flush(LONG).await;

    let events: Vec<_> = project.events().into_iter().map(|(_, event)| event).collect();
    let own: Vec<_> = events.iter().filter(|event| event.to_string().contains("no rate for EUR")).collect();
    assert_eq!(own.len(), 1, "neither the hook nor who recovered it reports it again: {own:#?}");
    let event = own[0];
    assert_eq!(event["contexts"]["trace"]["trace_id"], *trace_id);
    assert_eq!((&event["level"], &event["tags"]["step"]), (&json!("fatal"), &json!("stage:score")));
    assert!(event.pointer("/exception/values/0/stacktrace/frames/0/lineno").is_some(), "{event:#}");
    bugsink::assert_valid(&[event.clone()]);
}
