//! What is measured and what is logged, as receivers that others wrote get it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use serde_json::Value;
use throughline::delivery::DeliveryReport;
use throughline::log::{Logs, Output};
use throughline::metrics::Prometheus;
use throughline::otel::{Otlp, Protocol};
use throughline::{LayerExt as _, MemoryStore, NotRecorded, Throughline};
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::otel::receiver::{Over, Receiver, is_there};

const SOON: Duration = Duration::from_secs(30);
const CANARY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

fn otlp(over: Over, receiver: &Receiver) -> Otlp {
    let protocol = if over == Over::Http { Protocol::Http } else { Protocol::Grpc };
    Otlp::new().protocol(protocol).endpoint(receiver.endpoint())
}

/// How many of what a sink has made were delivered, which are all of them.
fn delivered(report: &DeliveryReport, sink: &str) -> u64 {
    let sink = report.destinations.iter().find(|destination| destination.name == sink).unwrap();
    assert!(sink.balances() && sink.delivered == sink.accepted, "{report}");
    sink.delivered
}

async fn what_is_measured_arrives(over: Over) {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(over);
    let prometheus = Prometheus::new();
    let throughline = Throughline::builder("loans")
        .store(MemoryStore::new())
        .metrics(&prometheus)
        .sink(otlp(over, &receiver).metrics(prometheus.clone()))
        .build()
        .unwrap();
    let run = throughline.workflow("loan-approval").attr("tenant", CANARY).run(|ctx| async move {
        ctx.trace("stage:score", async { Ok::<_, NotRecorded>(()) }).await??;
        Ok::<_, NotRecorded>(ctx.trace_id())
    });
    let trace = run.await.unwrap().unwrap();
    let app = Router::new().route("/offers/{id}", get(|| async { "granted" })).layer(throughline.layer());
    let request = Request::get("/offers/7").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    axum::body::to_bytes(response.into_body(), 1024).await.unwrap();

    let count = delivered(&throughline.shutdown(SOON).await, "otlp_metrics") as usize;
    let is_point = |line: &&Value| line["signal"] == "metric";
    let got = receiver.once(|lines| lines.iter().filter(is_point).count() >= count);
    let points: Vec<_> = got.iter().filter(is_point).collect();
    assert_eq!(points.len(), count, "each data point once");
    let named =
        |name: &str| *points.iter().find(|point| point["name"] == name).unwrap_or_else(|| panic!("{name}"));

    let request = named("http.server.request.duration");
    let attributes = &request["attributes"];
    assert_eq!((&request["unit"], &request["kind"]), (&"s".into(), &"histogram".into()));
    assert_eq!(attributes["http.response.status_code"], 200, "a number: {request:#}");
    assert_eq!(
        (&attributes["http.request.method"], &attributes["http.route"]),
        (&"GET".into(), &"/offers/{id}".into())
    );
    assert_eq!(request["count"], 1);
    let (counts, bounds) = (request["counts"].as_array().unwrap(), request["bounds"].as_array().unwrap());
    assert_eq!((counts.len(), counts.iter().filter_map(Value::as_u64).sum::<u64>()), (bounds.len() + 1, 1));
    assert!(request["start"].as_u64() < request["time"].as_u64(), "{request:#}");
    assert_eq!(request["temporality"], 2, "added up since the start");

    let run = named("throughline.workflow_duration");
    assert_eq!(run["exemplars"][0]["trace_id"], trace.to_string(), "{run:#}");
    let active = named("http.server.active_requests");
    assert_eq!((&active["kind"], &active["monotonic"]), (&"sum".into(), &false.into()), "{active:#}");
    let accepted = named("throughline.events_accepted");
    assert_eq!((&accepted["kind"], &accepted["monotonic"]), (&"sum".into(), &true.into()), "{accepted:#}");
    assert!(!format!("{got:?}").contains(CANARY));
    if over == Over::Grpc {
        assert_eq!(request["resource"]["service.name"], "loans");
    }
}

#[tokio::test]
async fn what_is_measured_arrives_by_the_names_of_the_conventions_with_exemplars_over_http() {
    what_is_measured_arrives(Over::Http).await;
}

#[tokio::test]
async fn what_is_measured_arrives_by_the_names_of_the_conventions_with_exemplars_over_grpc() {
    what_is_measured_arrives(Over::Grpc).await;
}

async fn what_is_logged_arrives(over: Over) {
    if !is_there() {
        return;
    }
    let receiver = Receiver::start(over);
    let lines = otlp(over, &receiver).log_lines();
    let logs =
        Logs::builder("loans").output(Output::writer(std::io::sink())).export(lines.clone()).build().unwrap();
    let throughline = Throughline::builder("loans")
        .store(MemoryStore::new())
        .sink(lines)
        .sink(logs.story())
        .build()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
    let _default = tracing::subscriber::set_default(subscriber);
    let run = throughline.workflow("loan-approval").attr("user", "u-7").run(|ctx| async move {
        let error: Box<dyn std::error::Error> = format!("refused api_key={CANARY}").into();
        let ids = ctx.trace_infallible("stage:score", async {
            tracing::error!(target: "loans::offer", error = &*error, amount = 7, password = CANARY, "no offer for {CANARY}");
        });
        ids.await?;
        Ok::<_, NotRecorded>(ctx.trace_id())
    });
    let trace = run.await.unwrap().unwrap().to_string();
    tracing::info!("outside");

    let report = throughline.shutdown(SOON).await;
    let count = delivered(&report, "otlp_logs") as usize;
    assert_eq!(count as u64, logs.report().accepted, "each line that was written");
    let is_record = |line: &&Value| line["signal"] == "log";
    let got = receiver.once(|lines| lines.iter().filter(is_record).count() >= count);
    let of = |target: &str| got.iter().find(|line| line["scope"] == target);
    let said =
        |what: &str| got.iter().find(|line| line["body"].as_str().is_some_and(|body| body.contains(what)));

    let line = said("no offer").unwrap();
    assert_eq!((&line["trace_id"], line["severity"].as_u64()), (&trace.clone().into(), Some(17)), "{line:#}");
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
    let attributes = &line["attributes"];
    assert_eq!((&attributes["amount"], &attributes["user.id"]), (&7.into(), &"u-7".into()), "{line:#}");
    assert_eq!(attributes["throughline.workflow"], "loan-approval");
    assert!(attributes["exception.message"].as_str().unwrap().starts_with("refused"), "{line:#}");
    let outside = said("outside").unwrap();
    assert_eq!((&outside["trace_id"], outside["severity"].as_u64()), (&"".into(), Some(9)), "{outside:#}");
    assert!(said("workflow:loan-approval succeeded").is_some(), "what happens in runs, too: {got:#?}");
    assert!(!format!("{got:?}").contains(CANARY), "{got:#?}");
    if over == Over::Grpc {
        assert!(of("loans::offer").is_some() && of("throughline::story").is_some(), "{got:#?}");
        assert_eq!(line["resource"]["service.name"], "loans");
    }
}

#[tokio::test]
async fn what_is_logged_arrives_with_its_ids_and_redacted_over_http() {
    what_is_logged_arrives(Over::Http).await;
}

#[tokio::test]
async fn what_is_logged_arrives_with_its_ids_and_redacted_over_grpc() {
    what_is_logged_arrives(Over::Grpc).await;
}
