//! Every line of a run carries its ids.

use std::time::Duration;

use serde_json::Value;
use throughline_core::{InContext as _, NotRecorded, TraceContext, names};
use throughline_log::Levels;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::capture::{Captured, capture, captured, saying};

fn assert_is_of(line: &Value, context: &TraceContext) {
    assert_eq!(line["trace_id"], context.trace_id().to_string(), "{line}");
    assert_eq!(line["span_id"], context.span_id().to_string(), "{line}");
}

/// A request that logs in all the ways there are; answers the contexts of the request and of its step.
async fn busy_request(captured: &Captured, id: &'static str) -> (TraceContext, TraceContext) {
    let request = captured.throughline.request("http:request").request_id(id).open();
    let context = request.context().clone();
    let handler = async {
        tracing::info!(request = id, "in the handler");
        let step = context.trace("stage:score", async {
            let step = TraceContext::current().unwrap();
            tracing::info!(request = id, "in a step");
            let of_library = async { tracing::warn!(request = id, "in a span of a library") };
            of_library.instrument(tracing::info_span!("query", table = "loans")).await;
            Ok::<_, NotRecorded>(step)
        });
        let spawned = tokio::spawn(
            async move { tracing::info!(request = id, "in a task that was given the context") }
                .in_context(&context),
        );
        let of_span = tokio::spawn(
            async move { tracing::warn!(request = id, "in a task that was given the span") }
                .in_current_span(),
        );
        let thread = context.clone();
        let thread = tokio::task::spawn_blocking(move || {
            thread.scope(|| tracing::info!(request = id, "on a thread"));
        });
        tokio::task::yield_now().await;
        let step = step.await.unwrap().unwrap();
        for task in [spawned, of_span] {
            task.await.unwrap();
        }
        drop(thread);
        step
    };
    let step = handler.in_context(request.context()).await;
    let context = request.context().clone();
    request.succeed();
    (context, step)
}

#[test]
fn each_line_has_the_ids_of_its_own_request_and_step() {
    let captured = captured();
    let requests = captured.block_on(async {
        let requests = ["r-1", "r-2", "r-3"].map(|id| busy_request(&captured, id));
        let [first, second, third] = requests;
        let (first, second, third) = tokio::join!(first, second, third);
        [("r-1", first), ("r-2", second), ("r-3", third)]
    });
    let lines = captured.logged();
    for (id, (request, step)) in requests {
        let own: Vec<_> = lines.iter().filter(|line| line["metadata"]["request"] == id).cloned().collect();
        for line in &own {
            assert_eq!(line["request_id"], id, "{line}");
        }
        for message in
            ["in the handler", "in a task that was given the context", "in a task that was given the span"]
        {
            assert_is_of(saying(&own, message), &request);
        }
        assert_is_of(saying(&own, "in a step"), &step);
        let of_library = saying(&own, "in a span of a library");
        assert_is_of(of_library, &step);
        assert_eq!(
            of_library["spans"],
            serde_json::json!([{ "name": "query", "fields": { "table": "loans" } }])
        );
    }
}

#[test]
fn spans_below_the_level_still_say_whose_line_it_is() {
    let captured = capture(|logs| logs.levels("warn".parse().unwrap()));
    let (request, step) = captured.block_on(busy_request(&captured, "r-1"));
    let lines = captured.logged();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_is_of(saying(&lines, "in a span of a library"), &step);
    assert_is_of(saying(&lines, "in a task that was given the span"), &request);
}

#[test]
fn where_another_layer_keeps_our_spans_out_the_context_says_whose_line_it_is() {
    let captured = captured();
    let only_events = tracing_subscriber::filter::dynamic_filter_fn(|metadata, _| metadata.is_event());
    let subscriber = tracing_subscriber::registry()
        .with(only_events)
        .with(captured.logs.layer(captured.throughline.redactor()));
    let captured = Captured { dispatch: tracing::Dispatch::new(subscriber), ..captured };
    let (request, step) = captured.block_on(async {
        let request = captured.throughline.request("http:request").request_id("r-1").open();
        let context = request.context().clone();
        context.annotate(names::attrs::USER, "u-7");
        let step = context.trace_infallible("stage:score", async {
            tracing::info!("in a step");
            TraceContext::current().unwrap()
        });
        let step = step.await.unwrap();
        context.scope(|| tracing::info!("in the handler"));
        request.succeed();
        (context, step)
    });
    let lines = captured.logged();
    assert_is_of(saying(&lines, "in a step"), &step);
    assert_is_of(saying(&lines, "in the handler"), &request);
    assert!(lines.iter().all(|line| line["request_id"] == "r-1" && line["user_id"] == "u-7"), "{lines:#?}");
}

#[test]
fn what_outlives_its_request_keeps_its_ids() {
    let captured = captured();
    let request = captured.block_on(async {
        let request = captured.throughline.request("http:request").request_id("r-1").open();
        let context = request.context().clone();
        let (ended, has_ended) = tokio::sync::oneshot::channel::<()>();
        let task = async {
            has_ended.await.unwrap();
            tracing::info!("afterwards");
            async { tracing::info!("afterwards, in a span") }.instrument(tracing::info_span!("late")).await;
        };
        let task = tokio::spawn(task.in_context(&context));
        request.succeed();
        ended.send(()).unwrap();
        task.await.unwrap();
        context
    });
    let lines = captured.logged();
    for message in ["afterwards", "afterwards, in a span"] {
        let line = saying(&lines, message);
        assert_is_of(line, &request);
        assert_eq!(line["request_id"], "r-1");
    }
}

#[test]
fn a_session_and_a_user_are_known_from_attributes_that_come_early_or_late() {
    let captured = captured();
    captured.block_on(async {
        let run =
            captured.throughline.workflow("loan-approval").key("loan-42").attr(names::attrs::SESSION, "s-1");
        let run = run.run_infallible(|ctx| async move {
            tracing::info!("before the login");
            ctx.annotate(names::attrs::USER, "u-7");
            ctx.trace_infallible("stage:score", async { tracing::info!("after the login") }).await.unwrap();
        });
        run.await.unwrap();
    });
    let lines = captured.logged();
    let session = captured.throughline.redactor().findable(Some("session"), "s-1").into_owned();
    let before = saying(&lines, "before the login");
    assert_eq!((&before["session_id"], &before["user_id"]), (&Value::from(session.as_str()), &Value::Null));
    assert_eq!(
        (&before["workflow"], &before["correlation_id"]),
        (&"loan-approval".into(), &"loan-42".into())
    );
    let after = saying(&lines, "after the login");
    assert_eq!((&after["session_id"], &after["user_id"]), (&Value::from(session), &Value::from("u-7")));
}

#[test]
fn an_id_that_is_personal_data_is_logged_as_the_store_has_it() {
    let captured = captured();
    captured.block_on(async {
        let request = captured.throughline.request("http:request").request_id("ada@example.org").open();
        request.context().annotate(names::attrs::USER, "eve@example.org");
        request.context().scope(|| tracing::info!("logged"));
        request.context().event("seen", ()).await.unwrap();
        request.succeed();
    });
    let line = saying(&captured.logged(), "logged").clone();
    let findable = |id| captured.throughline.findable(id);
    assert_eq!(line["request_id"], *findable("ada@example.org"));
    assert_eq!(line["user_id"], *findable("eve@example.org"));
    assert!(!captured.text().contains("example.org"));
}

#[test]
fn a_line_of_a_run_within_a_run_has_the_workflow_and_the_key_of_its_own() {
    let captured = captured();
    captured.block_on(async {
        let request = captured.throughline.request("http:request").request_id("r-1").open();
        let outer =
            captured.throughline.workflow("loan-approval").key("loan-42").run_infallible(|ctx| async move {
                let notify = ctx.child_workflow("notify");
                notify.run_infallible(|_| async { tracing::info!("in the child") }).await.unwrap();
                tracing::info!("in the parent");
            });
        outer.in_context(request.context()).await.unwrap();
        request.succeed();
    });
    let (lines, events) = (captured.logged(), captured.store.events());
    for message in ["in the child", "in the parent"] {
        let line = saying(&lines, message);
        let event = events.iter().find(|event| line["span_id"] == event.span_id.to_string()).unwrap();
        assert_eq!(line["trace_id"], event.trace_id.to_string());
        assert_eq!(line["workflow"].as_str(), event.workflow.as_deref());
        assert_eq!(line["correlation_id"].as_str(), event.correlation_id.as_deref());
        assert_eq!(line["request_id"], "r-1");
    }
}

#[test]
fn a_line_outside_of_every_run_has_no_ids() {
    let captured = captured();
    captured.run(|| tracing::info!("starting"));
    let line = &captured.lines()[0];
    assert!(["trace_id", "span_id", "request_id"].iter().all(|id| line.get(id).is_none()), "{line}");
}

#[test]
fn levels_change_at_once_for_lines_and_the_story() {
    let captured = captured();
    let log = || {
        captured.run(|| tracing::debug!("detail"));
        captured.block_on(async {
            let run = captured.throughline.workflow("w").run_infallible(|ctx| async move {
                ctx.trace_infallible("stage:score", async {}).await.unwrap();
            });
            run.await.unwrap();
        });
    };
    log();
    assert_eq!(captured.logged().len(), 0);
    let of_story = captured.story().len();
    captured.logs.set_levels("debug".parse().unwrap());
    log();
    assert_eq!(captured.logged().len(), 1);
    assert_eq!(captured.story().len(), of_story + 4, "two starts and two ends");
    assert_eq!(captured.logs.answer("PUT", " off \n").status, 200);
    log();
    assert_eq!((captured.logged().len(), captured.story().len()), (1, of_story + 4));
    assert_eq!(captured.logs.levels(), "off".parse::<Levels>().unwrap());
    let refused = captured.logs.answer("PUT", "hyper=loud");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("`hyper=loud` is not a level"));
    assert_eq!(captured.logs.answer("DELETE", "").status, 405);
    assert_eq!(captured.logs.flush(Duration::ZERO).dropped.len(), 0);
}
