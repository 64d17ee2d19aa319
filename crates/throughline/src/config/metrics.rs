//! What the variables say about metrics.

use throughline_core::names::env::{
    METRICS_ENABLED, OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT,
};

use super::settings::Settings;

const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
const DEFAULT_PORT: u16 = 9464;

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSettings {
    /// The host.
    pub host: String,
    /// The port; any that is free if it is 0.
    pub port: u16,
}

impl MetricsSettings {
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if settings.is_disabled() {
            return None;
        }
        let by_name = exporter_is_on(settings);
        let by_switch = settings.switch(METRICS_ENABLED);
        let named = settings.parse(OTEL_EXPORTER_PROMETHEUS_PORT).filter(|_| {
            // `METRICS_PORT` does not turn on what `METRICS_ENABLED` turns off.
            by_switch != Some(false) || is_standard_port(settings)
        });
        let default = (by_name == Some(true) || by_switch == Some(true)).then_some(DEFAULT_PORT);
        let port = named.or(default).filter(|_| by_name != Some(false))?;
        let host = settings.get(OTEL_EXPORTER_PROMETHEUS_HOST).unwrap_or("localhost");
        Some(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }
}

/// Whether OTel's variable turns the page on or off; `None` if it does not say.
fn exporter_is_on(settings: &Settings) -> Option<bool> {
    let exporters = settings.get(EXPORTER)?;
    let has = |name: &str| exporters.split(',').any(|exporter| exporter.trim() == name);
    if has("prometheus") { Some(true) } else { has("none").then_some(false) }
}

fn is_standard_port(settings: &Settings) -> bool {
    settings.set_by(OTEL_EXPORTER_PROMETHEUS_PORT) == Some(OTEL_EXPORTER_PROMETHEUS_PORT)
}

/// Variables that say the opposite of each other.
pub(super) fn contradictions(settings: &Settings) -> Option<String> {
    let switch = settings.switch(METRICS_ENABLED)?;
    let standard = match exporter_is_on(settings) {
        Some(on) => (on, EXPORTER),
        None if is_standard_port(settings) => (true, OTEL_EXPORTER_PROMETHEUS_PORT),
        None => return None,
    };
    let (on, by) = standard;
    (switch != on).then(|| {
        let value = settings.get(by).unwrap_or_default();
        format!("{METRICS_ENABLED}={switch} is ignored: {by}={value} takes precedence; unset one of them")
    })
}

#[cfg(all(feature = "metrics", feature = "axum"))]
pub(super) use page::Page;

#[cfg(all(feature = "metrics", feature = "axum"))]
mod page {
    //! The page of metrics, on a thread and a runtime of its own: whatever runtime the service has, or none.

    use std::io;
    use std::net::{SocketAddr, ToSocketAddrs as _};
    use std::sync::mpsc;
    use std::thread::JoinHandle;

    use throughline_metrics::{Prometheus, ServeError};
    use tokio::sync::oneshot;

    use super::MetricsSettings;
    use crate::config::InitError;

    /// Serves metrics until it is dropped.
    pub(in crate::config) struct Page {
        address: SocketAddr,
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
    }

    impl Page {
        pub(in crate::config) fn serve(
            settings: &MetricsSettings,
            prometheus: Prometheus,
        ) -> Result<Self, InitError> {
            let MetricsSettings { host, port } = settings;
            let refused = |source| InitError::Metrics { address: format!("{host}:{port}"), source };
            let address = (host.as_str(), *port).to_socket_addrs().map_err(refused)?.next();
            let address = address.ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
            let (stop, stopped) = oneshot::channel();
            let (say, said) = mpsc::channel();
            let serve = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    match prometheus.serve(address).await {
                        Ok(server) => {
                            let _ = say.send(Ok(server.local_addr()));
                            // The end of the other side is the sign to stop.
                            let _ = stopped.await;
                            server.shutdown().await;
                        }
                        Err(ServeError::Listen { source, .. }) => drop(say.send(Err(source))),
                        Err(error) => drop(say.send(Err(io::Error::other(error)))),
                    }
                }),
                Err(error) => drop(say.send(Err(error))),
            };
            let thread = std::thread::Builder::new()
                .name("throughline-metrics".to_owned())
                .spawn(serve)
                .map_err(refused)?;
            let gone = || Err(io::Error::other("the thread that serves it has ended"));
            let address = said.recv().unwrap_or_else(|_| gone()).map_err(refused)?;
            Ok(Self { address, stop: Some(stop), thread: Some(thread) })
        }

        pub(in crate::config) fn address(&self) -> SocketAddr {
            self.address
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            drop(self.stop.take());
            if let Some(thread) = self.thread.take() {
                // What it panicked with has been said by the hook.
                let _ = thread.join();
            }
        }
    }
}
