//! A measurement names the run that it comes from, if that is recorded.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt as _;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use throughline_core::metrics::{Exemplar, Metrics};
use throughline_core::{MemoryStore, Throughline};
use throughline_tower::{LayerExt as _, Traced};
use tower::ServiceExt as _;

/// Notes whose run each request is measured for.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Option<Exemplar>>>>);

impl HistogramFn for Noting {
    fn record(&self, _seconds: f64) {
        self.0.lock().unwrap().push(Exemplar::current());
    }
}

impl Recorder for Noting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match key.name() {
            "http_server_request_duration_seconds" => Histogram::from_arc(Arc::new(self.clone())),
            _ => Histogram::noop(),
        }
    }
}

#[tokio::test]
async fn a_recorded_request_is_the_example_of_its_measurement_and_another_is_not() {
    let noting = Noting::default();
    let builder = Throughline::builder("test").store(MemoryStore::new());
    let throughline = builder.metrics(Metrics::to(noting.clone())).build().unwrap();
    let recorded = async |Traced(ctx): Traced| {
        ctx.trace_infallible("stage:a", async {}).await.unwrap();
        ctx.trace_id().to_string()
    };
    let app = Router::new().route("/recorded", get(recorded)).route("/plain", get(async || "plain"));
    let app = app.layer(throughline.layer());
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let trace_id = ask("/recorded").await;
    ask("/plain").await;
    let noted = noting.0.lock().unwrap().clone();
    assert_eq!(noted.len(), 2);
    assert_eq!(noted[0].unwrap().trace_id.to_string(), trace_id);
    assert_eq!(noted[1], None);
}
