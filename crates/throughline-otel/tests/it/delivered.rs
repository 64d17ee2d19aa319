//! Every step of a run arrives with the ids, the parent, the links and the status that the store has.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::{
    BoxError, DeliveryReport, MemoryStore, NotRecorded, Propagation, Throughline, TraceContext,
};
use throughline_model::names::tags;
use throughline_model::{Relation, Status, TraceEvent};
use throughline_otel::{Exceptions, OpenSpans, Otlp, Protocol};

use crate::receiver::{Over, Receiver, is_there};

const CANARY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn otlp(over: Over, receiver: &Receiver) -> Otlp {
    let protocol = match over {
        Over::Http => Protocol::Http,
        Over::Grpc => Protocol::Grpc,
    };
    Otlp::new().protocol(protocol).endpoint(receiver.endpoint()).header("x-api-key", "from-the-test")
}

fn failed(text: &str) -> BoxError {
    text.into()
}

/// A run with something of all that there is.
async fn story(throughline: &Throughline) {
    let caller = Propagation::from_headers(
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        None,
        None,
    );
    let remote = throughline.workflow("remote").continue_from(caller);
    remote
        .run(|ctx| async move { ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await? })
        .await
        .unwrap()
        .unwrap();

    let run = throughline.workflow("loan-approval").key("loan-42").attr("tenant", "acme").attempt(2).steps(3);
    let ended = run
        .run(|ctx| async move {
            ctx.event("business:applied", json!({ "amount": 5000, "api_key": CANARY })).await?;
            let decision = ctx
                .decision("ai:route")
                .consider("auto", 0.3)
                .consider("manual", 0.7)
                .choose("manual")
                .confidence(0.7)
                .decider("risk-rules-7")
                .field("gen_ai.request.model", "small-1")
                .await?;
            let first = ctx.step("stage:score").decided_by(&decision).input(&json!({ "password": CANARY }));
            let mut first_span = None;
            let score = first.run(|ctx| {
                first_span = Some(ctx.span_id());
                async move { Err::<(), _>(failed(&format!("the bureau refused api_key={CANARY}"))) }
            });
            let _ = score.await?;
            let again = ctx.step("stage:score").attempt(2).retry_of(first_span.unwrap());
            again.run_infallible(nested).await?;
            let _ = ctx.dependency("db", "postgres", async { Ok::<_, BoxError>(()) }).await?;
            let dropped = ctx.trace_infallible("stage:given-up", std::future::pending::<()>());
            let _ = tokio::time::timeout(Duration::from_millis(5), dropped).await;
            ctx.saga("booking")
                .run(|saga| async move {
                    saga.step("stage:reserve")
                        .input(7_u32)
                        .compensate(|_, _ctx| async { Ok::<_, BoxError>(()) })
                        .run(|_, _ctx| async { Ok::<_, BoxError>(()) })
                        .await??;
                    saga.trace("stage:pay", async { Err::<(), _>(failed("no funds")) }).await?
                })
                .await??;
            Ok::<_, BoxError>(())
        })
        .await
        .unwrap();
    assert!(ended.is_err());
}

async fn nested(ctx: TraceContext) {
    ctx.event("business:noted", "inside").await.unwrap();
    let other = ctx.child_workflow("notify").key("mail-7");
    other.run(|_| async { Ok::<_, NotRecorded>(()) }).await.unwrap().unwrap();
}

/// The events of each span in the store.
fn by_span(events: &[TraceEvent]) -> BTreeMap<(String, String), Vec<&TraceEvent>> {
    let mut spans: BTreeMap<_, Vec<&TraceEvent>> = BTreeMap::new();
    for event in events {
        spans.entry((event.trace_id.to_string(), event.span_id.to_string())).or_default().push(event);
    }
    spans
}

fn is_point(of_span: &[&TraceEvent]) -> bool {
    matches!(of_span, [only] if only.status != Status::Pending)
}

fn nanos(event: &TraceEvent) -> u64 {
    event.timestamp.as_micros() as u64 * 1000
}

/// Compares what arrived of a span with what the store has of it.
fn is_equal(span: &Value, of_span: &[&TraceEvent]) {
    let (first, last) = (of_span[0], of_span[of_span.len() - 1]);
    let is_here = first.parent_trace_id.is_none_or(|trace| trace == first.trace_id);
    let parent = first.parent_span_id.filter(|_| is_here).map(|id| id.to_string()).unwrap_or_default();
    assert_eq!(span["parent_span_id"], parent, "{span:#}");
    assert_eq!(span["name"], *first.span_name(), "{span:#}");
    assert_eq!(span["attributes"]["throughline.status"], last.status.as_str(), "{span:#}");
    let is_error = last.status == Status::Failed;
    assert_eq!(span["status"], if is_error { 2 } else { 0 }, "{span:#}");
    let error = last.error.as_ref().filter(|_| is_error);
    assert_eq!(span["attributes"]["error.type"].as_str(), error.map(|error| &*error.kind), "{span:#}");
    assert_eq!(span["start"].as_u64(), Some(nanos(first)), "{span:#}");
    assert_eq!(span["end"].as_u64(), Some(nanos(last)), "{span:#}");
    let remote = if first.has_tag(tags::REMOTE_PARENT) { 0x301 } else { 0x101 };
    assert_eq!(span["flags"], remote, "{span:#}");
    let mut links: Vec<_> = of_span
        .iter()
        .flat_map(|event| event.links.iter().map(|link| (link.trace_id.unwrap_or(event.trace_id), link)))
        .map(|(trace, link)| json!([link.rel.as_str(), trace.to_string(), link.span_id.to_string()]))
        .collect();
    links.sort_by_key(Value::to_string);
    links.dedup();
    let mut arrived: Vec<_> = span["links"].as_array().unwrap().iter().collect();
    arrived.sort_by_key(|link| link.to_string());
    let mut arrived: Vec<_> = arrived
        .into_iter()
        .map(|link| json!([link["attributes"]["throughline.rel"], link["trace_id"], link["span_id"]]))
        .collect();
    arrived.sort_by_key(Value::to_string);
    assert_eq!(arrived, links, "{span:#}");
}

fn every_event_is_delivered(report: &DeliveryReport) {
    let otlp = report.destinations.iter().find(|destination| destination.name == "otlp").unwrap();
    assert!(otlp.balances() && otlp.accepted > 0, "{report}");
    assert_eq!((otlp.delivered, otlp.pending, otlp.dropped()), (otlp.accepted, 0, 0), "{report}");
}

async fn what_is_stored_is_what_arrives(over: Over) {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(over);
    let store = MemoryStore::new();
    let otlp = otlp(over, &receiver).gzip(over == Over::Grpc);
    let throughline =
        Throughline::builder("loans").version("1.4.1").store(store.clone()).sink(otlp).build().unwrap();
    story(&throughline).await;
    every_event_is_delivered(&throughline.shutdown(SOON).await);

    let events = store.events();
    let stored = by_span(&events);
    let points: Vec<_> =
        stored.values().filter(|of_span| is_point(of_span)).map(|of_span| of_span[0]).collect();
    // What has a beginning and an end, and what others refer to, is a span.
    let is_mere = |event: &&&TraceEvent| event.links.is_empty() && !event.has_tag(tags::DECISION);
    let mere = points.iter().filter(is_mere).count();
    let spans = receiver.spans(stored.len() - mere);
    assert_eq!(spans.len(), stored.len() - mere, "{spans:#?}");
    let mut relations = Vec::new();
    for span in &spans {
        let id = |key: &str| span[key].as_str().unwrap().to_owned();
        let of_span = &stored[&(id("trace_id"), id("span_id"))];
        is_equal(span, of_span);
        relations.extend(of_span.iter().flat_map(|event| event.links.iter().map(|link| link.rel.clone())));
    }
    use Relation::{CausedBy, Compensates, DecidedBy, FailedBy, RetryOf};
    for relation in [CausedBy, Compensates, DecidedBy, FailedBy, RetryOf] {
        assert!(relations.contains(&relation), "the story has no {relation:?}");
    }
    // A mere point is an event of the span around it.
    for point in points.iter().filter(is_mere) {
        let parent = point.parent_span_id.unwrap().to_string();
        let around = spans.iter().find(|span| span["span_id"] == parent.as_str()).unwrap();
        let is_it = |event: &&Value| event["attributes"]["throughline.span_id"] == point.span_id.to_string();
        let event = around["events"].as_array().unwrap().iter().find(is_it).unwrap();
        assert_eq!((&event["name"], event["time"].as_u64()), (&json!(*point.event_type), Some(nanos(point))));
    }
    let has_headers = |line: &Value| line["of"]["x-api-key"] == "from-the-test";
    // The receiver over HTTP does not show them.
    let everything = receiver.once(|lines| over == Over::Http || lines.iter().any(has_headers));
    let text = serde_json::to_string(&everything).unwrap();
    assert!(!text.contains(CANARY) && text.contains("5000"), "{text}");
    decisions_and_effects_are_told(&spans);
    if over == Over::Grpc {
        let resource = &spans[0]["resource"];
        assert_eq!(resource["service.name"], "loans");
        assert_eq!(resource["service.version"], "1.4.1");
        assert!(resource["process.pid"].is_u64() && resource["host.name"].is_string(), "{resource:#}");
    }
}

/// What a reader of the exported data alone wants to know of decisions, effects and compensations.
fn decisions_and_effects_are_told(spans: &[Value]) {
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let linked = |span: &Value, relation: &str| {
        let links = span["links"].as_array().unwrap();
        let link = links.iter().find(|link| link["attributes"]["throughline.rel"] == relation).unwrap();
        spans.iter().find(|span| span["span_id"] == link["span_id"]).unwrap().clone()
    };
    // What was decided, between what, how surely and by whom?
    let decision = named("ai:route")[0];
    let said = |key: &str| decision["attributes"][key].clone();
    assert_eq!(said("throughline.decision.choice"), "manual");
    assert!(said("throughline.decision.alternatives").as_str().unwrap().contains("auto"));
    assert_eq!(said("throughline.decision.confidence"), 0.7);
    assert_eq!(
        (said("gen_ai.agent.name"), said("gen_ai.request.model")),
        (json!("risk-rules-7"), json!("small-1"))
    );
    // What followed from it?
    let scores = named("stage:score");
    let (first, again): (Vec<_>, Vec<_>) = scores.iter().partition(|span| span["status"] == 2);
    assert_eq!(linked(first[0], "decided_by")["span_id"], decision["span_id"]);
    // What was tried again?
    assert_eq!(linked(again[0], "retry_of")["span_id"], first[0]["span_id"]);
    // Which effect happened, and was it undone?
    let reserved = named("stage:reserve")[0];
    assert_eq!(reserved["attributes"]["throughline.effect"], "happened");
    let undone = named("compensate:reserve")[0];
    assert_eq!(undone["attributes"]["throughline.effect"], "undone");
    assert_eq!(linked(undone, "compensates")["span_id"], reserved["span_id"]);
    // What brought the run down?
    let run = named("workflow:loan-approval")[0];
    let mut failed = linked(run, "failed_by");
    while failed["links"]
        .as_array()
        .unwrap()
        .iter()
        .any(|link| link["attributes"]["throughline.rel"] == "failed_by")
    {
        failed = linked(&failed, "failed_by");
    }
    assert_eq!(failed["name"], "stage:pay");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_what_arrives_over_http() {
    what_is_stored_is_what_arrives(Over::Http).await;
}

#[tokio::test]
async fn what_is_stored_is_what_arrives_over_grpc() {
    what_is_stored_is_what_arrives(Over::Grpc).await;
}

async fn an_open_step_is_seen(over: Over, open_spans: OpenSpans) {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(over);
    let otlp = otlp(over, &receiver).open_spans(open_spans);
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    let (is_open, opened) = tokio::sync::oneshot::channel();
    let run = throughline.workflow("slow").run_infallible(|ctx| async move {
        ctx.step("stage:long")
            .run_infallible(|ctx| async move {
                is_open.send((ctx.trace_id().to_string(), ctx.span_id().to_string())).unwrap();
                std::future::pending::<()>().await;
            })
            .await
    });
    let run = tokio::spawn(run);
    let (trace, span) = opened.await.unwrap();
    let is_it = move |line: &Value| {
        let id = if open_spans == OpenSpans::LogRecord { &line["span_id"] } else { &line["parent_span_id"] };
        line["trace_id"] == trace.as_str()
            && *id == span.as_str()
            && line["attributes"]["throughline.status"] == "pending"
            && line["attributes"]["throughline.event_type"] == "stage:long"
    };
    let began = std::time::Instant::now();
    let receiver = tokio::task::spawn_blocking(move || {
        receiver.once(|lines| lines.iter().any(&is_it));
        receiver
    });
    let receiver = receiver.await.unwrap();
    // The span itself is not sent before it ends.
    let lines = receiver.once(|_| true);
    assert!(!lines.iter().any(|line| line["signal"] == "span" && line["name"] == "stage:long"), "{lines:#?}");
    assert!(began.elapsed() < Duration::from_secs(5), "before a batch is due: {:?}", began.elapsed());
    run.abort();
    let _ = run.await;
    every_event_is_delivered(&throughline.shutdown(SOON).await);
}

#[tokio::test]
async fn an_open_step_is_seen_as_a_log_record_over_http() {
    an_open_step_is_seen(Over::Http, OpenSpans::LogRecord).await;
}

#[tokio::test]
async fn an_open_step_is_seen_as_a_log_record_over_grpc() {
    an_open_step_is_seen(Over::Grpc, OpenSpans::LogRecord).await;
}

#[tokio::test]
async fn an_open_step_is_seen_as_a_pending_span_over_grpc() {
    an_open_step_is_seen(Over::Grpc, OpenSpans::PendingSpan).await;
}

#[tokio::test]
async fn an_error_is_told_in_full_where_it_began_and_nowhere_else() {
    if !is_there() {
        return;
    }
    for (exceptions, records, events) in
        [(Exceptions::LogRecords, 1, 0), (Exceptions::SpanEvents, 0, 1), (Exceptions::Both, 1, 1)]
    {
        let receiver = Receiver::start(Over::Grpc);
        let otlp = otlp(Over::Grpc, &receiver).exceptions(exceptions).open_spans(OpenSpans::Hidden);
        let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
        let run = throughline.workflow("w").run(|ctx| async move {
            ctx.trace("stage:fails", async { Err::<(), _>(failed("no funds")) }).await?
        });
        assert!(run.await.unwrap().is_err());
        throughline.shutdown(SOON).await;
        let is_record = |line: &&Value| line["event_name"] == "exception";
        let lines = receiver.once(|lines| {
            let spans = lines.iter().filter(|line| line["signal"] == "span").count();
            spans == 2 && lines.iter().filter(is_record).count() >= records
        });
        let logs: Vec<_> = lines.iter().filter(is_record).collect();
        let spans = lines.iter().filter(|line| line["signal"] == "span");
        let told: Vec<_> = spans.flat_map(|span| span["events"].as_array().unwrap()).collect();
        assert_eq!((logs.len(), told.len()), (records, events), "{exceptions:?}: {lines:#?}");
        for said in logs.into_iter().chain(told) {
            assert_eq!(said["attributes"]["exception.message"], "no funds");
        }
    }
}
