//! The questions that
//! [agents that live long](https://github.com/open-telemetry/semantic-conventions-genai/issues/462) raise, answered by what a receiver
//! got over OTLP and by nothing else.

use std::time::Duration;

use serde_json::Value;
use throughline::otel::{OpenSpans, Otlp, Protocol};
use throughline::worker::StateMachine;
use throughline::{MemoryStore, Throughline};

use crate::otel::receiver::{Over, Receiver, is_there};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A run that a process left in the middle and another one resumed: it decides, calls a tool within a transition, and undoes what it
/// can.
async fn story(receiver: &Receiver) {
    let store = MemoryStore::new();
    let first = Throughline::builder("agents").store(store.clone()).build().unwrap();
    let (is_open, opened) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(first.workflow("refund").key("order-7").run_infallible(|ctx| async move {
        is_open.send(ctx.trace_id()).unwrap();
        std::future::pending::<()>().await;
    }));
    let trace = opened.await.unwrap();
    first.shutdown(Duration::from_secs(30)).await;

    let otlp = Otlp::new().protocol(Protocol::Grpc).endpoint(receiver.endpoint());
    let otlp = otlp.open_spans(OpenSpans::Hidden);
    let throughline = Throughline::builder("agents").store(store).sink(otlp).build().unwrap();
    let orders = StateMachine::builder("order", "placed")
        .transition("placed", "refunded")
        .build(&throughline)
        .unwrap();
    let resumed = throughline.resume(trace).run(|ctx| async move {
        let decision = ctx
            .decision("ai:route")
            .consider("refund", 0.9)
            .consider("voucher", 0.1)
            .choose("refund")
            .await?;
        let order = orders.enter(&ctx, "order-7").await?;
        let refunded = order.transition_with(&ctx, "refunded", |ctx| async move {
            let tool =
                ctx.step("tool:refund").decided_by(&decision).attr("idempotency_key", "refund-order-7");
            tool.run_infallible(|_| async {}).await
        });
        refunded.await??;
        ctx.saga("shipping")
            .run(|saga| async move {
                saga.step("stage:reserve")
                    .input(1_u32)
                    .compensate(|_, _| async { Ok::<_, Error>(()) })
                    .run(|_, _| async { Ok::<_, Error>(()) })
                    .await??;
                saga.step("stage:bill")
                    .input(2_u32)
                    .compensate(|_, _| async { Err::<(), Error>("the bank is closed".into()) })
                    .run(|_, _| async { Ok::<_, Error>(()) })
                    .await??;
                saga.step("stage:ship")
                    .input(3_u32)
                    .compensate(|_, _| async { Ok::<_, Error>(()) })
                    .run(|_, _| async { Err::<(), Error>("no answer".into()) })
                    .await??;
                Ok::<_, Error>(())
            })
            .await??;
        Ok::<_, Error>(())
    });
    assert!(resumed.await.unwrap().is_err());
    assert!(throughline.shutdown(Duration::from_secs(30)).await.is_complete());
    run.abort();
}

#[tokio::test]
async fn what_others_ask_of_agents_that_live_long_is_answered_by_what_a_receiver_got() {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(Over::Grpc);
    story(&receiver).await;
    let named = |line: &Value, name: &str| line["signal"] == "span" && line["name"] == name;
    let spans = receiver.once(|lines| lines.iter().any(|line| named(line, "workflow:refund")));
    let span = |name: &str| {
        spans.iter().find(|line| named(line, name)).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let by_id = |id: &Value| spans.iter().find(|line| line["span_id"] == *id).unwrap();
    let linked = |of: &Value, relation: &str| {
        let links = of["links"].as_array().unwrap();
        let link = links.iter().find(|link| link["attributes"]["throughline.rel"] == relation);
        by_id(&link.unwrap_or_else(|| panic!("{relation}: {of:#}"))["span_id"]).clone()
    };
    let (run, tool) = (span("workflow:refund"), span("tool:refund"));

    // Which durable execution does this work belong to?
    let said = |of: &Value, key: &str| of["attributes"][key].clone();
    assert_eq!(
        (said(tool, "throughline.workflow"), said(tool, "throughline.correlation_id")),
        ("refund".into(), "order-7".into())
    );
    assert_eq!(tool["trace_id"], run["trace_id"]);
    // Was it resumed from what was kept?
    assert_eq!(said(run, "throughline.resumed"), 1, "{run:#}");
    assert_eq!(said(tool, "throughline.resumed"), Value::Null);
    // Which transition led to an action?
    let transition = by_id(&tool["parent_span_id"]);
    assert_eq!(
        (said(transition, "state.from"), said(transition, "state.to")),
        ("placed".into(), "refunded".into())
    );
    // Which decision triggered a call that is not below it?
    let decision = linked(tool, "decided_by");
    assert_eq!(said(&decision, "throughline.decision.choice"), "refund");
    assert_ne!(tool["parent_span_id"], decision["span_id"]);
    // Did an action that changes something guard against being repeated?
    assert_eq!(said(tool, "idempotency_key"), "refund-order-7");
    // Was an effect undone, undone in part, or left in doubt?
    for (step, effect) in
        [("stage:reserve", "happened"), ("stage:bill", "happened"), ("stage:ship", "in_doubt")]
    {
        assert_eq!(said(span(step), "throughline.effect"), effect, "{step}");
    }
    for (undo, step, effect) in [
        ("compensate:reserve", "stage:reserve", "undone"),
        ("compensate:bill", "stage:bill", "partly_undone"),
    ] {
        let undo = span(undo);
        assert_eq!(said(undo, "throughline.effect"), effect);
        assert_eq!(linked(undo, "compensates")["name"], step);
    }
    let undone: Vec<_> = spans.iter().filter(|line| line["name"] == "compensate:ship").collect();
    assert_eq!(undone, [&Value::Null; 0], "nobody undid what is in doubt");
}
