//! A collector that misbehaves as it is told to, on a socket of this process.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a collector says of each batch of spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Yes,
    /// It never answers.
    Nothing,
    /// This, with a `Retry-After` in seconds if there is one.
    Status(u16, Option<u64>),
    /// It takes half of the spans.
    Half,
    /// It takes no more than so many at once.
    AtMost(usize),
}

pub(crate) struct Collector {
    shared: Arc<Shared>,
    port: u16,
    server: JoinHandle<()>,
}

struct Shared {
    says: Mutex<VecDeque<Says>>,
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<ResourceSpans>>,
    /// The status that it answers to log records.
    says_of_records: Mutex<StatusCode>,
    records: Mutex<Vec<LogRecord>>,
    asked_of_records: Mutex<Vec<Instant>>,
    metrics: Mutex<Vec<Metric>>,
    asked: Mutex<Vec<Instant>>,
    sizes: Mutex<Vec<usize>>,
}

impl Collector {
    /// Says this of every batch.
    pub(crate) async fn start(says: Says) -> Self {
        Self::start_with([says]).await
    }

    /// Says these of one batch after the other, and the last of all others.
    pub(crate) async fn start_with(says: impl IntoIterator<Item = Says>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            says: Mutex::new(says.into_iter().collect()),
            spans: Mutex::default(),
            resources: Mutex::default(),
            says_of_records: Mutex::new(StatusCode::OK),
            records: Mutex::default(),
            asked_of_records: Mutex::default(),
            metrics: Mutex::default(),
            asked: Mutex::default(),
            sizes: Mutex::default(),
        });
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(records))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, port, server }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Says this from now on.
    pub(crate) fn says(&self, says: Says) {
        *self.shared.says.lock().unwrap() = [says].into();
    }

    /// Answers this status to log records from now on.
    pub(crate) fn says_of_records(&self, status: u16) {
        *self.shared.says_of_records.lock().unwrap() = StatusCode::from_u16(status).unwrap();
    }

    /// The metrics that it took.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.shared.metrics.lock().unwrap().clone()
    }

    /// The log records that it took.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.shared.records.lock().unwrap().clone()
    }

    /// When it was asked to take log records.
    pub(crate) fn asked_of_records(&self) -> Vec<Instant> {
        self.shared.asked_of_records.lock().unwrap().clone()
    }

    /// The spans that it was asked to take, with their resources.
    pub(crate) fn resources(&self) -> Vec<ResourceSpans> {
        self.shared.resources.lock().unwrap().clone()
    }

    /// What it took.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.spans.lock().unwrap().clone()
    }

    /// When it was asked.
    pub(crate) fn asked(&self) -> Vec<Instant> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many spans the batches had that it took.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.shared.sizes.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn traces(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.asked.lock().unwrap().push(Instant::now());
    let mut bytes = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut bytes).unwrap();
    } else {
        bytes.extend_from_slice(&body);
    }
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    shared.resources.lock().unwrap().extend(request.resource_spans.iter().cloned());
    let of_resources = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let spans: Vec<_> = of_resources.flat_map(|scope| scope.spans).collect();
    let rejected = match answer(&shared, spans.len()).await {
        Ok(rejected) => rejected,
        Err(response) => return response,
    };
    let taken = spans.len() - rejected;
    shared.sizes.lock().unwrap().push(taken);
    shared.spans.lock().unwrap().extend(spans.into_iter().take(taken));
    let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: rejected as i64,
        error_message: "half is enough".to_owned(),
    });
    ExportTraceServiceResponse { partial_success }.encode_to_vec().into_response()
}

/// How many of so many it rejects, or what it answers instead of taking any.
async fn answer(shared: &Shared, count: usize) -> Result<usize, Response> {
    let says = {
        let mut says = shared.says.lock().unwrap();
        if says.len() > 1 { says.pop_front().unwrap() } else { says[0] }
    };
    match says {
        Says::Nothing => std::future::pending().await,
        Says::Status(status, after) => {
            let status = StatusCode::from_u16(status).unwrap();
            let after = after.map(|seconds| [("retry-after", seconds.to_string())]);
            Err(match after {
                Some(headers) => (status, headers).into_response(),
                None => status.into_response(),
            })
        }
        Says::AtMost(most) if count > most => Err(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        Says::Half => Ok(count / 2),
        Says::Yes | Says::AtMost(_) => Ok(0),
    }
}

/// Metrics that have one data point each.
async fn metrics(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
    let of_resources = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let metrics: Vec<_> = of_resources.flat_map(|scope| scope.metrics).collect();
    match answer(&shared, metrics.len()).await {
        Ok(rejected) => {
            let taken = metrics.len() - rejected;
            shared.metrics.lock().unwrap().extend(metrics.into_iter().take(taken));
            let partial_success = (rejected > 0).then(|| ExportMetricsPartialSuccess {
                rejected_data_points: rejected as i64,
                error_message: "half is enough".to_owned(),
            });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec().into_response()
        }
        Err(response) => response,
    }
}

async fn records(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    shared.asked_of_records.lock().unwrap().push(Instant::now());
    let status = *shared.says_of_records.lock().unwrap();
    if status.is_success() {
        let request = ExportLogsServiceRequest::decode(&*body).unwrap();
        let of_scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        shared.records.lock().unwrap().extend(of_scopes.flat_map(|scope| scope.log_records));
    }
    status
}

/// A port at which nobody listens: free a moment ago.
pub(crate) async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// How long something may take that either happens soon or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
