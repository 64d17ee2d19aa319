//! What the HTTP layer adds to a request with traces, metrics, logs and Sentry on, beside what a service takes for that today.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use throughline_core::{MemoryStore, Throughline};
use throughline_log::{Format, Logs, Output};
use throughline_metrics::Prometheus;
use throughline_otel::Otlp;
use throughline_sentry::Sentry;
use throughline_tower::{LayerExt as _, Traced};
use tracing::{Dispatch, Instrument as _};
use tracing_subscriber::layer::SubscriberExt as _;

use super::export::collector;
use super::{Bench, SIGNALS};
use crate::duel::{Samples, by_turns, nanos_each};
use crate::peers::lean_stack::LeanStack;
use crate::report::{Line, Target, time};
use crate::requests::{bare, serve};

const REQUESTS: usize = 5_000;
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

/// A step in each request, so that there is something to export: ours is exported only if something happened in it.
fn ours() -> Router {
    let answer = async |Traced(ctx): Traced| {
        let step = ctx.trace_infallible("stage:price", async { "granted" });
        step.await.unwrap_or("not recorded")
    };
    Router::new().route("/loans/{id}", get(answer))
}

fn theirs() -> Router {
    let answer = async || async { "granted" }.instrument(tracing::info_span!("stage:price")).await;
    Router::new().route("/loans/{id}", get(answer))
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (collector, runtime) = (collector()?, &bench.single);
    let sentry = Sentry::builder().dsn("http://key@127.0.0.1:1/1").build()?;
    let _client = sentry.init();
    let stack = LeanStack::around(theirs())?;
    let serving = |router: Router| nanos_each(REQUESTS, || runtime.block_on(serve(router, REQUESTS)));
    let [bare, ours, stack] = by_turns(
        SIGNALS,
        21,
        [
            Box::new(|| serving(bare())),
            Box::new(|| {
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
                let subscriber = tracing_subscriber::registry()
                    .with(logs.layer(throughline.redactor()))
                    .with(sentry.layer());
                let dispatch = Dispatch::new(subscriber);
                let nanos = tracing::dispatcher::with_default(&dispatch, || {
                    serving(ours().layer(throughline.layer()))
                });
                drop(dispatch);
                tracing::callsite::rebuild_interest_cache();
                let report = runtime.block_on(throughline.shutdown(SOON));
                anyhow::ensure!(report.is_complete(), "everything is exported: {report}");
                nanos
            }),
            Box::new(|| stack.during(|| serving(stack.router.clone()))?),
        ],
    )?;
    let added = |side: &Samples| side.less(&bare);
    let (ours, stack) = (added(&ours), added(&stack));
    let parts = "request ids, axum-tracing-opentelemetry 0.42 (batch), axum-prometheus 0.10, sentry-tower 0.49, EnvFilter";
    Ok(vec![Line {
        what: "what is added to a request with a step, every signal on".to_owned(),
        ours: time(ours.median()),
        peer: format!("{parts}: {}", time(stack.median())),
        value: ours.ratio_to(&stack),
        target: Target::RatioAtMost(0.5),
    }])
}
