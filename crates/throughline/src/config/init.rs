//! Switching on what was configured.

use std::fmt;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use throughline_core::{BuildError, DeliveryReport, Throughline};

use super::{ConfigError, ObservabilityConfig, vain};
use crate::env::EnvError;

/// How long the guard waits for what is pending when it is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Switches on what the environment asks for: the store, the feed, metrics, logs, traces, Sentry. Keep what it returns in `main`: dropped, it
/// delivers what is pending, for which all parts together have five seconds.
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
    warnings.extend(vain::without_features(&config.settings, vain::is_compiled));
    let builder = config.emitter()?;

    #[cfg(feature = "otel")]
    let exports = super::traces::exports(&config.settings)?;
    #[cfg(not(feature = "otel"))]
    if super::metrics::are_exported(&config.settings) {
        return Err(InitError::Feature { what: "metrics over OTLP", feature: "otel" });
    }
    #[cfg(feature = "otel")]
    let lines = exports.as_ref().filter(|exports| exports.lines).map(|exports| exports.otlp.log_lines());

    #[cfg(feature = "log")]
    let logs = match config.logs() {
        Some(settings) => {
            let logs = settings.builder(config.service())?;
            #[cfg(feature = "otel")]
            let logs = match &lines {
                Some(lines) => logs.export(lines.clone()),
                None => logs,
            };
            Some(logs.build()?)
        }
        None => None,
    };
    #[cfg(feature = "log")]
    let builder = match &logs {
        Some(logs) => builder.sink(logs.story()),
        None => builder,
    };

    #[cfg(all(feature = "metrics", feature = "axum"))]
    let page = config.metrics();
    #[cfg(feature = "metrics")]
    let prometheus = {
        #[cfg(feature = "axum")]
        let has_page = page.is_some();
        #[cfg(not(feature = "axum"))]
        let has_page = false;
        #[cfg(feature = "otel")]
        let is_exported = exports.as_ref().is_some_and(|exports| exports.metrics);
        #[cfg(not(feature = "otel"))]
        let is_exported = false;
        (has_page || is_exported).then(throughline_metrics::Prometheus::new)
    };
    #[cfg(feature = "metrics")]
    let builder = match &prometheus {
        Some(prometheus) => builder.metrics(prometheus),
        None => builder,
    };
    #[cfg(feature = "metrics")]
    let run_metrics = prometheus.as_ref().and_then(|_| super::metrics::run_interval(&config.settings));

    #[cfg(feature = "otel")]
    let builder = match exports {
        Some(exports) => {
            #[cfg(feature = "metrics")]
            let builder = match prometheus.clone().filter(|_| exports.metrics) {
                Some(prometheus) => builder.sink(exports.otlp.metrics(prometheus)),
                None => builder,
            };
            let builder = match lines {
                Some(lines) => builder.sink(lines),
                None => builder,
            };
            if exports.traces { builder.sink(exports.otlp) } else { builder }
        }
        None => builder,
    };

    #[cfg(feature = "sentry")]
    let sentry = config.sentry().map(|settings| settings.reporter()).transpose()?;
    #[cfg(feature = "sentry")]
    let builder = match &sentry {
        Some(sentry) => builder.sink(sentry.clone()),
        None => builder,
    };

    let throughline = builder.build().map_err(|error| match error {
        BuildError::NoDestination => InitError::NothingOn,
        error => InitError::Build(error),
    })?;

    #[cfg(feature = "metrics")]
    if let Some(interval) = run_metrics {
        let measuring = throughline.measure_runs(interval);
        // Where the system starts no thread, the service does without.
        let thread = std::thread::Builder::new().name("throughline-runs".to_owned());
        if let Err(error) = thread.spawn(|| block_on(measuring)) {
            warnings.push(format!("open runs are not measured: {error}"));
        }
    }

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
        page: match page.zip(prometheus) {
            Some((settings, prometheus)) => Some(super::metrics::Page::serve(&settings, prometheus)?),
            None => None,
        },
        throughline,
        until: Mutex::default(),
        warnings,
        #[cfg(feature = "sentry")]
        sentry: sentry.map(|sentry| sentry.init()),
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
    /// Until when somebody waits who has shut it down.
    until: Mutex<Option<Instant>>,
    #[cfg(feature = "log")]
    logs: Option<throughline_log::Logs>,
    #[cfg(all(feature = "metrics", feature = "axum"))]
    page: Option<super::metrics::Page>,
    #[cfg(feature = "log")]
    _measured: Option<throughline_core::metrics::CollectorGuard>,
    warnings: Vec<String>,
    #[cfg(feature = "sentry")]
    sentry: Option<throughline_sentry::SentryGuard>,
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
    /// is then done already, or has what is left of this time.
    pub fn shutdown(&self, timeout: Duration) -> DeliveryReport {
        let began = Instant::now();
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = began.checked_add(timeout);
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
    /// Delivers what is pending and closes all parts, within one time limit for them all: that of the last shutdown, if there was
    /// one.
    fn drop(&mut self) {
        let asked = *self.until.get_mut().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let until = asked.unwrap_or_else(|| now + PATIENCE);
        let left = || until.saturating_duration_since(Instant::now());
        self.shutdown(left());
        #[cfg(all(feature = "metrics", feature = "axum"))]
        if let Some(page) = &mut self.page {
            page.close(left());
        }
        // Last: what the others report on their way is sent.
        #[cfg(feature = "sentry")]
        if let Some(sentry) = self.sentry.take() {
            sentry.close(left());
        }
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
