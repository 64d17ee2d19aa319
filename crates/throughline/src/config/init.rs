//! Switching on what was configured.

use std::fmt;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use throughline_core::{BuildError, DeliveryReport, Throughline};

use super::{ConfigError, ObservabilityConfig};
use crate::env::EnvError;

/// How long the guard waits for what is pending when it is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Switches on what the environment asks for: the store, the feed, metrics, logs, traces, Sentry. Keep what it returns in `main`: dropped, it
/// delivers what is pending, for which the store, sinks and logs have five seconds.
///
/// It installs the subscriber of the process, so that what is logged is written; if there is one already, that one stays, and a
/// warning says so. With Sentry it installs the client of the process, and a panic hook in front of the one that there is.
/// Nothing else is installed.
///
/// # Errors
/// When variables have values that they can't have, nothing is switched on, or something can't be opened.
pub fn init_from_env() -> Result<Observability, InitError> {
    init(&ObservabilityConfig::from_env()?)
}

/// As [`init_from_env`], with a configuration that is there already.
///
/// # Errors
/// When nothing is switched on, or something can't be opened.
pub fn init(config: &ObservabilityConfig) -> Result<Observability, InitError> {
    let mut warnings = config.warnings().to_vec();
    warnings.extend(without_effect(config));
    let builder = config.emitter()?;

    #[cfg(feature = "log")]
    let logs = match config.logs() {
        Some(settings) => Some(settings.open(config.service())?),
        None => None,
    };
    #[cfg(feature = "log")]
    let builder = match &logs {
        Some(logs) => builder.sink(logs.story()),
        None => builder,
    };

    #[cfg(feature = "otel")]
    let builder = match super::traces::exporter(&config.settings)? {
        Some(otlp) => builder.sink(otlp),
        None => builder,
    };

    #[cfg(feature = "sentry")]
    let sentry = config.sentry().map(|settings| settings.reporter()).transpose()?;
    #[cfg(feature = "sentry")]
    let builder = match &sentry {
        Some(sentry) => builder.sink(sentry.clone()),
        None => builder,
    };

    #[cfg(all(feature = "metrics", feature = "axum"))]
    let page = config.metrics().map(|settings| (settings, throughline_metrics::Prometheus::new()));
    #[cfg(all(feature = "metrics", feature = "axum"))]
    let builder = match &page {
        Some((_, prometheus)) => builder.metrics(prometheus),
        None => builder,
    };

    let throughline = builder.build().map_err(|error| match error {
        BuildError::NoDestination => InitError::NothingOn,
        error => InitError::Build(error),
    })?;

    #[cfg(feature = "log")]
    warnings.extend(logs.as_ref().and_then(|logs| {
        use tracing_subscriber::layer::SubscriberExt as _;

        let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
        #[cfg(feature = "sentry")]
        let subscriber = subscriber.with(sentry.as_ref().map(throughline_sentry::Sentry::layer));
        super::logs::install(subscriber)
    }));
    let observability = Observability {
        #[cfg(feature = "log")]
        _measured: logs.as_ref().map(|logs| logs.measure(throughline.meter())),
        #[cfg(feature = "log")]
        logs,
        #[cfg(all(feature = "metrics", feature = "axum"))]
        page: match page {
            Some((settings, prometheus)) => Some(super::metrics::Page::serve(&settings, prometheus)?),
            None => None,
        },
        throughline,
        warnings,
        #[cfg(feature = "sentry")]
        _sentry: sentry.map(|sentry| sentry.init()),
    };
    for warning in &observability.warnings {
        tracing::warn!(target: "throughline", "{warning}");
    }
    Ok(observability)
}

/// Everything that was switched on. It is the emitter, too, and delivers what is pending when it is dropped.
#[must_use = "dropped, it delivers what is pending, and nothing is recorded any more"]
pub struct Observability {
    throughline: Throughline,
    #[cfg(feature = "log")]
    logs: Option<throughline_log::Logs>,
    #[cfg(all(feature = "metrics", feature = "axum"))]
    page: Option<super::metrics::Page>,
    #[cfg(feature = "log")]
    _measured: Option<throughline_core::metrics::CollectorGuard>,
    warnings: Vec<String>,
    /// Dropped after all others: what they report on their way is sent.
    #[cfg(feature = "sentry")]
    _sentry: Option<throughline_sentry::SentryGuard>,
}

impl Observability {
    /// The emitter.
    pub fn throughline(&self) -> &Throughline {
        &self.throughline
    }

    /// The logs, to change their levels, if lines are written.
    #[cfg(feature = "log")]
    pub fn logs(&self) -> Option<&throughline_log::Logs> {
        self.logs.as_ref()
    }

    /// Where metrics are served, if they are.
    #[cfg(all(feature = "metrics", feature = "axum"))]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.page.as_ref().map(super::metrics::Page::address)
    }

    /// What was configured in vain.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Blocks this thread until what is pending is delivered, at most for this time, and says what became of the events. What is done when this is dropped
    /// is then done already.
    pub fn shutdown(&self, timeout: Duration) -> DeliveryReport {
        #[cfg(feature = "log")]
        let began = std::time::Instant::now();
        let report = block_on(self.throughline.shutdown(timeout));
        #[cfg(feature = "log")]
        if let Some(logs) = &self.logs {
            logs.flush(timeout.saturating_sub(began.elapsed()));
        }
        report
    }
}

impl Deref for Observability {
    type Target = Throughline;

    fn deref(&self) -> &Throughline {
        &self.throughline
    }
}

impl Drop for Observability {
    fn drop(&mut self) {
        self.shutdown(PATIENCE);
    }
}

impl fmt::Debug for Observability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observability")
            .field("throughline", &self.throughline)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Why nothing was switched on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Variables have values that they can't have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A store can't be used as it is configured.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The environment asks for nothing.
    #[error(
        "nothing is switched on: set THROUGHLINE_STORE, as in sqlite:traces.db, THROUGHLINE_FEED, METRICS_PORT, \
         OTEL_EXPORTER_OTLP_ENDPOINT or SENTRY_DSN, or say OTEL_SDK_DISABLED=true"
    )]
    NothingOn,
    /// The emitter can't be built.
    #[error(transparent)]
    Build(BuildError),
    /// Logs can't be written.
    #[cfg(feature = "log")]
    #[error(transparent)]
    Logs(#[from] throughline_log::LogsError),
    /// Failures can't be reported.
    #[cfg(feature = "sentry")]
    #[error(transparent)]
    Sentry(#[from] throughline_sentry::SentryError),
    /// What the variables say needs a feature of this crate that is off.
    #[error("{what} needs the feature `{feature}` of `throughline`: switch it on, or set another value")]
    Feature {
        /// What was asked for.
        what: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// Metrics can't be served.
    #[error(
        "metrics can't be served at {address}: {source}; set OTEL_EXPORTER_PROMETHEUS_PORT to another port, or to 0 for any that is free"
    )]
    Metrics {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What is checked and has no effect, in this version or in this build.
fn without_effect(config: &ObservabilityConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in ["OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER"] {
        let exporters = config.settings.get(name).filter(|_| !config.is_disabled()).unwrap_or_default();
        if exporters.split(',').any(|word| word.trim() == "otlp") {
            warnings
                .push(format!("otlp in {name}={exporters} is ignored: this version does not export them"));
        }
    }
    let propagators = config.settings.get("OTEL_PROPAGATORS").filter(|_| !config.is_disabled());
    if let Some(propagators) = propagators
        && !["tracecontext,baggage", "baggage,tracecontext"].contains(&&*propagators.replace(' ', ""))
    {
        warnings.push(format!(
            "OTEL_PROPAGATORS={propagators} is ignored: a context travels as W3C trace context and baggage"
        ));
    }
    if cfg!(not(feature = "otel")) && config.traces().is_some() {
        warnings.push("traces are not exported: switch on the feature `otel` of `throughline`".to_owned());
    }
    if cfg!(not(feature = "sentry")) && config.sentry().is_some() {
        warnings
            .push("failures are not reported: switch on the feature `sentry` of `throughline`".to_owned());
    }
    if cfg!(not(all(feature = "metrics", feature = "axum"))) && config.metrics().is_some() {
        warnings.push(
            "metrics are not served: switch on the features `metrics` and `axum` of `throughline`".to_owned(),
        );
    }
    if cfg!(not(feature = "log")) && config.settings.get("RUST_LOG").is_some() {
        warnings.push("nothing is logged: switch on the feature `log` of `throughline`".to_owned());
    }
    warnings
}

/// Runs a future on this thread: what shuts down needs no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
