//! Spans that others make, with the API of OpenTelemetry and with `tracing-opentelemetry`: in our traces, below ours and above them, and
//! redacted.

use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde_json::Value;
use throughline_core::{BoxError, MemoryStore, Redaction, Throughline};
use throughline_otel::bridge::{self, Redacting};
use throughline_otel::{OpenSpans, Sampler};
use tracing::Instrument as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

use crate::delivered::otlp;
use crate::receiver::{Over, Receiver, is_there};

const CANARY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const SOON: Duration = Duration::from_secs(30);

/// Their own pipeline, to the same receiver.
fn provider(receiver: &Receiver) -> SdkTracerProvider {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(receiver.endpoint());
    let redactor = Redaction::standard().build().unwrap();
    SdkTracerProvider::builder()
        .with_batch_exporter(Redacting::new(exporter.build().unwrap(), redactor))
        .build()
}

fn subscriber(tracer: SdkTracer) -> impl tracing::Subscriber + Send + Sync {
    let theirs = tracing_opentelemetry::layer().with_tracer(tracer);
    tracing_subscriber::registry()
        .with(bridge::layer())
        .with(theirs.with_filter(filter_fn(|metadata| !bridge::is_own(metadata))))
}

fn spans_are_sent(provider: &SdkTracerProvider) {
    provider.force_flush().unwrap();
}

fn named<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    let found: Vec<_> = spans.iter().filter(|span| span["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

fn is_below(spans: &[Value], child: &str, parent: &str) {
    let (child, parent) = (named(spans, child), named(spans, parent));
    assert_eq!(child["trace_id"], parent["trace_id"], "{child:#} {parent:#}");
    assert_eq!(child["parent_span_id"], parent["span_id"], "{child:#} {parent:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_others_hang_below_ours_and_ours_below_theirs_and_none_has_a_secret_in_it() {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(Over::Grpc);
    let provider = provider(&receiver);
    let tracer = provider.tracer("theirs");
    let _default = tracing::subscriber::set_default(subscriber(tracer.clone()));
    let exporter = otlp(Over::Grpc, &receiver).open_spans(OpenSpans::Hidden);
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(exporter).build().unwrap();

    // Theirs around ours, and theirs in ours, by `tracing` and by the API.
    let outer = tracer.start("theirs outside");
    let _outer = Context::current_with_span(outer).attach();
    let run = throughline.workflow("loan-approval").continue_from(bridge::propagation());
    let run = run.run(|ctx| async move {
        let step = ctx.step("stage:score").run(|ctx| async move {
            let query = tracing::info_span!("their query", db.password = CANARY, rows = 3);
            let inner = async {
                tracing::info!(api_key = CANARY, "their event with {CANARY}");
                ctx.trace("stage:inner", async {
                    // A parent of ours that was never entered by anything of theirs.
                    let mut span = tracer.span_builder("their call").start(&tracer);
                    span.set_attribute(KeyValue::new(
                        "http.request.header.authorization",
                        format!("Bearer {CANARY}"),
                    ));
                    span.set_attribute(KeyValue::new(
                        "tokens",
                        opentelemetry::Value::Array(vec![StringValue::from(CANARY)].into()),
                    ));
                    span.add_event("sent", vec![KeyValue::new("body", format!("api_key={CANARY}"))]);
                    span.set_status(Status::error(format!("refused api_key={CANARY}")));
                    span.end();
                    tokio::task::yield_now().await;
                    Ok::<_, BoxError>(())
                })
                .await
            };
            let _ = inner.instrument(query).await?;
            // Behind the step in it, this one is current again.
            drop(tracer.start("their last"));
            Ok::<_, BoxError>(())
        });
        step.await??;
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    drop(_outer);
    drop(tracer_of_root(&provider));

    assert!(throughline.shutdown(SOON).await.is_complete());
    tokio::task::spawn_blocking(move || spans_are_sent(&provider)).await.unwrap();
    let spans = receiver.spans(8);
    assert_eq!(spans.len(), 8, "our own are not exported twice: {spans:#?}");
    is_below(&spans, "workflow:loan-approval", "theirs outside");
    is_below(&spans, "stage:score", "workflow:loan-approval");
    is_below(&spans, "their query", "stage:score");
    is_below(&spans, "stage:inner", "stage:score");
    is_below(&spans, "their call", "stage:inner");
    is_below(&spans, "their last", "stage:score");
    let alone = named(&spans, "theirs alone");
    assert_eq!(alone["parent_span_id"], "", "what is made outside of runs has no parent: {alone:#}");
    assert_ne!(alone["trace_id"], named(&spans, "stage:score")["trace_id"]);

    let got = format!("{:?}", receiver.once(|_| true));
    assert!(!got.contains(CANARY), "{got}");
    let query = named(&spans, "their query");
    assert_eq!(query["attributes"]["rows"], 3, "what is no secret is as it was: {query:#}");
    assert!(query["events"][0]["name"].as_str().unwrap().starts_with("their event"), "{query:#}");
    assert_eq!(named(&spans, "their call")["status"], 2);
}

/// A span outside of all others.
fn tracer_of_root(provider: &SdkTracerProvider) -> impl Sized {
    provider.tracer("theirs").build(SpanBuilder::from_name("theirs alone"))
}

#[tokio::test]
async fn spans_of_others_in_a_run_that_is_not_sampled_are_not_exported_either() {
    let exporter = opentelemetry_sdk::trace::InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let tracer = provider.tracer("theirs");
    let _default = tracing::subscriber::set_default(subscriber(tracer.clone()));
    for (ratio, expected) in [(0.0, 0), (1.0, 1)] {
        let otlp =
            throughline_otel::Otlp::new().endpoint("http://127.0.0.1:1").sampler(Sampler::Ratio(ratio));
        let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
        let tracer = tracer.clone();
        let run =
            throughline.workflow("w").run_infallible(|_| async move { drop(tracer.start("their call")) });
        run.await.unwrap();
        throughline.shutdown(Duration::from_millis(10)).await;
        assert_eq!(exporter.get_finished_spans().unwrap().len(), expected, "{ratio}");
    }
    assert!(bridge::propagation().traceparent.is_none(), "there is no span here");
}
