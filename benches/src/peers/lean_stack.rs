//! What a service takes today to have metrics, traces and failures: request ids of `tower-http`, `axum-tracing-opentelemetry` into the
//! SDK's batch processor and the exporter of `opentelemetry-otlp`, `axum-prometheus`, `sentry-tower`, and `EnvFilter`; and to have
//! logs as well, its `TraceLayer`, `sentry-tracing` and the JSON of `tracing-subscriber`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum_prometheus::metrics_exporter_prometheus::PrometheusHandle;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use sentry::{Client, ClientOptions, Envelope, Hub, Transport};
use sentry_tower::{NewSentryLayer, SentryHttpLayer};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::{Dispatch, Level};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::otel::Otel;
use super::tower_stack::metrics;

/// Takes what Sentry is sent, and drops it.
struct Dropping;

impl Transport for Dropping {
    fn send_envelope(&self, envelope: Envelope) {
        drop(std::hint::black_box(envelope));
    }
}

/// The stack around a router, without and with logs.
pub struct LeanStack {
    otel: Otel,
    client: Arc<Client>,
    lean: Router,
    with_logs: Router,
    handle: PrometheusHandle,
}

impl LeanStack {
    /// Puts the stack around a router, and exports to a collector that speaks HTTP. It installs the recorder of the process: once
    /// only.
    ///
    /// # Errors
    /// If there is a recorder already, or an exporter can't be made.
    pub fn around(router: &Router, collector: SocketAddr) -> anyhow::Result<Self> {
        let (metrics, handle) = metrics()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("http://{collector}/v1/traces"))
            .build()?;
        let mut options = ClientOptions::default();
        options.dsn = Some("http://key@127.0.0.1:1/1".parse()?);
        options.transport = Some(Arc::new(|_: &ClientOptions| Arc::new(Dropping) as Arc<dyn Transport>));
        let trace = TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().level(Level::INFO));
        // The same but for a layer, which has a type of its own.
        macro_rules! around {
            ($($logs:expr)?) => {{
                let stack = ServiceBuilder::new()
                    .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                    .layer(PropagateRequestIdLayer::x_request_id())
                    .layer(NewSentryLayer::<Request<Body>>::new_from_top())
                    .layer(SentryHttpLayer::new().enable_transaction())
                    .layer(OtelAxumLayer::default())
                    $(.layer($logs))?
                    .layer(metrics.clone())
                    .layer(CatchPanicLayer::new());
                router.clone().layer(stack)
            }};
        }
        let (lean, with_logs) = (around!(), around!(trace));
        let client = Arc::new(Client::from(options));
        Ok(Self { otel: Otel::exporting_to(exporter), client, lean, with_logs, handle })
    }

    /// Does some work with the stack switched on, and what it has put off afterwards.
    ///
    /// # Errors
    /// If its exporter does not answer.
    pub fn during<R>(&self, work: impl FnOnce(Router) -> R) -> anyhow::Result<R> {
        let subscriber = tracing_subscriber::registry().with(filter()).with(self.otel.layer());
        self.under(Dispatch::new(subscriber), || work(self.lean.clone()))
    }

    /// The same with logs, which go nowhere.
    ///
    /// # Errors
    /// If its exporter does not answer.
    #[expect(deprecated, reason = "it is what services have, and its successors do the same in two layers")]
    pub fn during_with_logs<R>(&self, work: impl FnOnce(Router) -> R) -> anyhow::Result<R> {
        let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
        let subscriber = tracing_subscriber::registry()
            .with(filter())
            .with(self.otel.layer())
            .with(sentry_tracing::layer())
            .with(lines);
        self.under(Dispatch::new(subscriber), || work(self.with_logs.clone()))
    }

    fn under<R>(&self, dispatch: Dispatch, work: impl FnOnce() -> R) -> anyhow::Result<R> {
        let before = Hub::current().client();
        Hub::current().bind_client(Some(Arc::clone(&self.client)));
        let result = tracing::dispatcher::with_default(&dispatch, work);
        drop(dispatch);
        Hub::current().bind_client(before);
        tracing::callsite::rebuild_interest_cache();
        self.handle.run_upkeep();
        self.otel.flush()?;
        Ok(result)
    }
}

/// As services have it: `axum-tracing-opentelemetry` makes its spans at the level `trace`.
fn filter() -> EnvFilter {
    EnvFilter::new("info,otel=trace")
}

impl std::fmt::Debug for LeanStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeanStack").field("otel", &self.otel).finish_non_exhaustive()
    }
}
