//! A service to copy: a router with one layer around it, probes, metrics on a port of their own, a graceful end.
//!
//! ```text
//! cargo run --example axum_service                                # serves, sends itself requests, shows it all, ends
//! cargo run --example axum_service -- --serve                     # keeps serving, for curl and the program `throughline`
//! cargo run --example axum_service -- --serve --store traces.db   # keeps its traces in this file
//! ```
//!
//! What you would copy is this file, [`app`] and [`bureau`]. [`demo`] shows them at work, and [`stand_in`] is a bureau
//! that can fail.

mod app;
mod bureau;
mod demo;
mod options;
mod stand_in;

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::ensure;
use throughline::health::{Check, Details, Health};
use throughline::metrics::{MetricsServer, Prometheus};
use throughline::{Redaction, SqliteStore, Throughline};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bureau::Bureau;
use crate::options::Options;
use crate::stand_in::StandIn;

/// How long the service still answers after it has said that it is not ready: as long as it takes until nobody sends it
/// new requests any more. Kubernetes and load balancers need some seconds.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::from_args()?;
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    // One line for each panic that the service survives; the whole of it is in the story.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a handler panicked: {}", panic.payload_as_str().unwrap_or("?"));
    }));

    let prometheus = Prometheus::builder().runtime(tokio::runtime::Handle::current()).build()?;
    let throughline = Throughline::builder("offer-service")
        .store(SqliteStore::new(&options.store))
        .redaction(Redaction::standard().pseudonym_key(pseudonym_key()))
        .metrics(&prometheus)
        .build()?;
    let stand_in = StandIn::open().await?;
    // The stand-in is on this machine: no proxy is asked.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let bureau = Bureau::new(&throughline, client, &stand_in.url);
    let health = health(&throughline, &bureau)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    // The probes come after the layer: one that is answered with 503 is no failed request to tell a story about.
    let app = health.add_to(app::router(&throughline, &bureau));
    // Who calls decides who is shown the details of the probes.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());
    let metrics = prometheus.serve((Ipv4Addr::LOCALHOST, options.metrics_port)).await?;

    let running = Running { throughline, health, server, stop, metrics };
    if options.serve {
        println!("offers:  http://{address}/offers   probes: http://{address}/readyz");
        println!(
            "metrics: http://{}/metrics   traces: {}",
            running.metrics.local_addr(),
            options.store.display()
        );
        println!("\n{}\n", demo::to_try_by_hand(address));
        interrupted().await?;
        running.shutdown(DRAIN).await
    } else {
        demo::show(address, running.metrics.local_addr(), &running.throughline, &stand_in).await?;
        running.shutdown(Duration::ZERO).await?;
        demo::say_how_to_look_further(&options.store);
        Ok(())
    }
}

/// What has to be well for the service to take requests.
fn health(throughline: &Throughline, bureau: &Bureau) -> anyhow::Result<Health> {
    let bureau = bureau.clone();
    let health = Health::builder(throughline)
        .check(Check::store())
        .check(Check::new("bureau", move || bureau.clone().ping()).keep_for(Duration::from_millis(250)))
        .check(Check::memory(0.95).informative())
        .details(Details::hidden().unless_loopback())
        .build()?;
    Ok(health)
}

/// Everything that has to be stopped, in the order in which it is.
struct Running {
    throughline: Throughline,
    health: Health,
    server: JoinHandle<std::io::Result<()>>,
    stop: tokio::sync::oneshot::Sender<()>,
    metrics: MetricsServer,
}

impl Running {
    /// First nobody sends requests any more, then those under way are answered, then what is left is delivered; metrics
    /// can be read until the end.
    async fn shutdown(self, drain: Duration) -> anyhow::Result<()> {
        self.health.drain();
        tokio::time::sleep(drain).await;
        drop(self.stop);
        self.server.await??;
        let report = self.throughline.shutdown(Duration::from_secs(10)).await;
        self.metrics.shutdown().await;
        println!("\nShut down: {report}");
        ensure!(report.is_complete(), "not everything was delivered");
        Ok(())
    }
}

/// Ends with Ctrl-C, and with the SIGTERM that Kubernetes sends.
async fn interrupted() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// From a secret store in a real service: with it, who asks for a customer's e-mail address finds their traces.
fn pseudonym_key() -> String {
    std::env::var(throughline::env::THROUGHLINE_PSEUDONYM_KEY)
        .unwrap_or_else(|_| "only for this example".to_owned())
}
