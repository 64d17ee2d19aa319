//! What a service takes today to have metrics, traces and failures: request ids of `tower-http`, `axum-tracing-opentelemetry` into the
//! SDK's batch processor, `axum-prometheus`, `sentry-tower`, and `EnvFilter`. Nothing leaves the process.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum_prometheus::metrics_exporter_prometheus::PrometheusHandle;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use sentry::{Client, ClientOptions, Envelope, Hub, Transport};
use sentry_tower::{NewSentryLayer, SentryHttpLayer};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tracing::Dispatch;
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

/// The stack around a router.
pub struct LeanStack {
    otel: Otel,
    client: Arc<Client>,
    /// With the stack around it.
    pub router: Router,
    handle: PrometheusHandle,
}

impl LeanStack {
    /// Puts the stack around a router. It installs the recorder of the process: once only.
    ///
    /// # Errors
    /// If there is a recorder already.
    pub fn around(router: Router) -> anyhow::Result<Self> {
        let (metrics, handle) = metrics()?;
        let mut options = ClientOptions::default();
        options.dsn = Some("http://key@127.0.0.1:1/1".parse()?);
        options.transport = Some(Arc::new(|_: &ClientOptions| Arc::new(Dropping) as Arc<dyn Transport>));
        let stack = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(NewSentryLayer::<Request<Body>>::new_from_top())
            .layer(SentryHttpLayer::new())
            .layer(OtelAxumLayer::default())
            .layer(metrics)
            .layer(CatchPanicLayer::new());
        let client = Arc::new(Client::from(options));
        Ok(Self { otel: Otel::start(), client, router: router.layer(stack), handle })
    }

    /// Does some work with the stack switched on, and what it has put off afterwards.
    ///
    /// # Errors
    /// If its exporter does not answer.
    pub fn during<R>(&self, work: impl FnOnce() -> R) -> anyhow::Result<R> {
        let filter = EnvFilter::new("info,otel=trace");
        let subscriber = tracing_subscriber::registry().with(filter).with(self.otel.layer());
        let before = Hub::current().client();
        Hub::current().bind_client(Some(Arc::clone(&self.client)));
        let dispatch = Dispatch::new(subscriber);
        let result = tracing::dispatcher::with_default(&dispatch, work);
        drop(dispatch);
        Hub::current().bind_client(before);
        tracing::callsite::rebuild_interest_cache();
        self.handle.run_upkeep();
        self.otel.flush()?;
        Ok(result)
    }
}

impl std::fmt::Debug for LeanStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeanStack").field("otel", &self.otel).finish_non_exhaustive()
    }
}
