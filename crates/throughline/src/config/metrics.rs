//! What the variables say about metrics.

#[cfg(feature = "metrics")]
use std::time::Duration;

use throughline_core::env::has_exporter;
use throughline_core::env::otlp::METRICS;
#[cfg(feature = "metrics")]
use throughline_core::names::env::THROUGHLINE_RUN_METRICS_INTERVAL;
use throughline_core::names::env::{
    METRICS_ENABLED, OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT,
};

use super::settings::Settings;
use super::traces::has_otlp;

const EXPORTER: &str = METRICS.exporter;
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
    let has = |name| settings.get(EXPORTER).is_some_and(|list| has_exporter(list, name));
    if has("prometheus") { Some(true) } else { has("none").then_some(false) }
}

/// How often open runs are measured; `None` if they are not.
#[cfg(feature = "metrics")]
pub(super) fn run_interval(settings: &Settings) -> Option<Duration> {
    let interval = settings.parse(THROUGHLINE_RUN_METRICS_INTERVAL).unwrap_or(60_000);
    (interval > 0).then(|| Duration::from_millis(interval))
}

/// Whether metrics are sent to a collector.
pub(super) fn are_exported(settings: &Settings) -> bool {
    !settings.is_disabled() && has_otlp(settings, EXPORTER) == Some(true)
}

/// Whether somebody said that there is to be no page.
pub(super) fn is_turned_off(settings: &Settings) -> bool {
    let is_said = exporter_is_on(settings) == Some(false) || settings.switch(METRICS_ENABLED) == Some(false);
    is_said && MetricsSettings::of(settings).is_none()
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
    use std::time::Duration;

    use throughline_metrics::{MetricsServer, Prometheus, ServeError};
    use tokio::sync::oneshot;

    use super::MetricsSettings;
    use crate::config::InitError;

    /// Serves metrics until it is closed.
    pub(in crate::config) struct Page {
        address: SocketAddr,
        /// How long answers that are in progress may take then.
        stop: Option<oneshot::Sender<Duration>>,
        thread: Option<JoinHandle<()>>,
    }

    impl Page {
        pub(in crate::config) fn serve(
            settings: &MetricsSettings,
            prometheus: Prometheus,
        ) -> Result<Self, InitError> {
            let MetricsSettings { host, port } = settings;
            let refused = |source| InitError::Metrics { address: format!("{host}:{port}"), source };
            let addresses: Vec<_> = (host.as_str(), *port).to_socket_addrs().map_err(refused)?.collect();
            let (stop, stopped) = oneshot::channel();
            let (say, said) = mpsc::channel();
            let serve = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    match listen(&prometheus, &addresses).await {
                        Ok((address, servers)) => {
                            let _ = say.send(Ok(address));
                            let patience = stopped.await.unwrap_or_default();
                            let stopping = async {
                                for server in servers {
                                    server.shutdown().await;
                                }
                            };
                            let _ = tokio::time::timeout(patience, stopping).await;
                        }
                        Err(error) => drop(say.send(Err(error))),
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

        /// Serves no more; answers that are in progress have so much time.
        pub(in crate::config) fn close(&mut self, patience: Duration) {
            if let Some(stop) = self.stop.take() {
                let _ = stop.send(patience);
            }
            if let Some(thread) = self.thread.take() {
                // What it panicked with has been said by the hook.
                let _ = thread.join();
            }
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            self.close(Duration::ZERO);
        }
    }

    /// Listens on all addresses of a host, on one port: a client that connects to `localhost` takes one of them. Of a machine that lacks
    /// a kind of addresses, on the others.
    async fn listen(
        prometheus: &Prometheus,
        addresses: &[SocketAddr],
    ) -> io::Result<(SocketAddr, Vec<MetricsServer>)> {
        let (mut servers, mut missing) = (Vec::<MetricsServer>::new(), io::ErrorKind::NotFound.into());
        let mut known: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            if known.contains(address) {
                continue;
            }
            known.push(*address);
            let mut address = *address;
            let is_chosen = address.port() != 0;
            if let Some(first) = servers.first() {
                address.set_port(first.local_addr().port());
            }
            match prometheus.serve(address).await {
                Ok(server) => servers.push(server),
                // Somebody else would answer to the same name.
                Err(ServeError::Listen { source, .. })
                    if is_chosen && source.kind() == io::ErrorKind::AddrInUse =>
                {
                    return Err(source);
                }
                Err(ServeError::Listen { source, .. }) => missing = source,
                Err(error) => missing = io::Error::other(error),
            }
        }
        match servers.first().map(MetricsServer::local_addr) {
            Some(address) => Ok((address, servers)),
            None => Err(missing),
        }
    }

    #[cfg(test)]
    mod tests {
        use std::net::TcpStream;

        use super::*;

        #[test]
        fn a_page_is_served_at_every_address_of_its_host_on_one_port() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0", "[::1]:0"];
            let addresses: Vec<SocketAddr> =
                addresses.into_iter().map(|address| address.parse().unwrap()).collect();
            let is_there = |address: &&SocketAddr| std::net::TcpListener::bind(address).is_ok();
            let there: Vec<_> = addresses.iter().filter(is_there).copied().collect();
            runtime.block_on(async {
                let (served, servers) = listen(&Prometheus::new(), &addresses).await.unwrap();
                for mut address in there {
                    address.set_port(served.port());
                    assert!(TcpStream::connect(address).is_ok(), "{address}");
                }
                // Nobody shares the name with another.
                let (mut taken, free) = (served, "127.0.0.3:0".parse::<SocketAddr>().unwrap());
                taken.set_ip(addresses[1].ip());
                let free = SocketAddr::new(free.ip(), served.port());
                let error = listen(&Prometheus::new(), &[free, taken]).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                drop(servers);
            });
        }
    }
}
