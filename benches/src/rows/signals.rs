//! What the HTTP layer adds to a request with traces, metrics, logs and Sentry on, beside what a service takes for that today.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use throughline_core::{MemoryStore, Throughline};
use throughline_log::{Format, Logs, Output};
use throughline_metrics::Prometheus;
use throughline_otel::Otlp;
use throughline_sentry::Sentry;
use throughline_tower::{LayerExt as _, Traced};
use tokio::runtime::Runtime;
use tracing::{Dispatch, Instrument as _};
use tracing_subscriber::layer::SubscriberExt as _;

use super::export::collector;
use super::{Bench, SIGNALS};
use crate::duel::{Samples, by_turns, nanos_each};
use crate::peers::lean_stack::LeanStack;
use crate::report::{Line, Target, time};
use crate::requests::{PATH, bare, serve};

const REQUESTS: usize = 5_000;
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

/// Where a line is logged in each request.
const LOGGED: &str = "/logged/{id}";

/// A step in each request, so that there is something to export: ours is exported only if something happened in it.
fn ours() -> Router {
    let step = async |Traced(ctx): Traced| {
        let step = ctx.trace_infallible("stage:price", async { "granted" });
        step.await.unwrap_or("not recorded")
    };
    let logged = async |Traced(ctx): Traced| {
        let step = ctx.trace_infallible("stage:price", async {
            tracing::info!(amount = 4200, currency = "EUR", "priced");
            "granted"
        });
        step.await.unwrap_or("not recorded")
    };
    Router::new().route("/loans/{id}", get(step)).route(LOGGED, get(logged))
}

fn theirs() -> Router {
    let step = async || async { "granted" }.instrument(tracing::info_span!("stage:price")).await;
    let logged = async || {
        let step = async {
            tracing::info!(amount = 4200, currency = "EUR", "priced");
            "granted"
        };
        step.instrument(tracing::info_span!("stage:price")).await
    };
    Router::new().route("/loans/{id}", get(step)).route(LOGGED, get(logged))
}

/// Everything on, as a service has it, for one round of requests to a path.
fn with_every_signal(
    runtime: &Runtime,
    collector: SocketAddr,
    sentry: &Sentry,
    path: &str,
) -> anyhow::Result<f64> {
    let prometheus = Prometheus::new();
    let output = Output::writer(std::io::sink());
    let logs = Logs::builder("bench").output(output).format(Format::Json).build()?;
    let otlp = Otlp::new().endpoint(format!("http://{collector}")).capacity(1 << 18);
    let throughline = Throughline::builder("bench")
        .store(MemoryStore::new())
        .metrics(&prometheus)
        .sink(otlp)
        .sink(sentry.clone())
        .sink(logs.story())
        .build()?;
    let subscriber =
        tracing_subscriber::registry().with(logs.layer(throughline.redactor())).with(sentry.layer());
    let dispatch = Dispatch::new(subscriber);
    let nanos = tracing::dispatcher::with_default(&dispatch, || {
        serving(runtime, ours().layer(throughline.layer()), path)
    });
    drop(dispatch);
    tracing::callsite::rebuild_interest_cache();
    let report = runtime.block_on(throughline.shutdown(SOON));
    anyhow::ensure!(report.is_complete(), "everything is exported: {report}");
    nanos
}

fn serving(runtime: &Runtime, router: Router, path: &str) -> anyhow::Result<f64> {
    nanos_each(REQUESTS, || runtime.block_on(serve(router, path, REQUESTS)))
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (collector, runtime) = (collector()?, &bench.single);
    let sentry = Sentry::builder().dsn("http://key@127.0.0.1:1/1").build()?;
    let _client = sentry.init();
    let stack = LeanStack::around(&theirs(), collector)?;
    let (step, logged) = (PATH, "/logged/42");
    let [bare, ours, stack, ours_logged, stack_logged] = by_turns(
        SIGNALS,
        21,
        [
            Box::new(|| serving(runtime, bare(), step)),
            Box::new(|| with_every_signal(runtime, collector, &sentry, step)),
            Box::new(|| stack.during(|router| serving(runtime, router, step))?),
            Box::new(|| with_every_signal(runtime, collector, &sentry, logged)),
            Box::new(|| stack.during_with_logs(|router| serving(runtime, router, logged))?),
        ],
    )?;
    let added = |side: &Samples| side.less(&bare);
    let line = |what: &str, parts: &str, ours: &Samples, peer: &Samples, target| {
        let (ours, peer) = (added(ours), added(peer));
        Line {
            what: what.to_owned(),
            ours: time(ours.median()),
            peer: format!("{parts}: {}", time(peer.median())),
            value: ours.ratio_to(&peer),
            target,
        }
    };
    Ok(vec![
        line(
            "what is added to a request with a step, every signal on",
            "request ids, axum-tracing-opentelemetry 0.42 (batch), axum-prometheus 0.10, sentry-tower 0.49, EnvFilter",
            &ours,
            &stack,
            Target::RatioAtMost(0.5),
        ),
        line(
            "the same, and a line is logged in it",
            "the same, TraceLayer, sentry-tracing 0.49, JSON logs",
            &ours_logged,
            &stack_logged,
            Target::RatioAtMost(0.5),
        ),
    ])
}
