//! The loan service of the main example, telling a team's other tools what it does: all of it said by environment variables.
//!
//! Run it with `cargo run --example telemetry -- --demo`. Metrics are served and logs are written to a file, unless the
//! environment says otherwise; traces go to the collector of `OTEL_EXPORTER_OTLP_ENDPOINT`, and failures to the project of
//! `SENTRY_DSN`, if these are set:
//!
//! ```text
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example telemetry -- --demo
//! ```
//!
//! With `OTEL_METRICS_EXPORTER=otlp,prometheus` and `OTEL_LOGS_EXPORTER=otlp` metrics and log lines go to the collector as well.

#[path = "../loan_approval/agent.rs"]
mod agent;
#[path = "../loan_approval/application.rs"]
mod application;
#[path = "../loan_approval/clients.rs"]
#[expect(dead_code, reason = "the main example says more of what the clients saw")]
mod clients;
#[path = "../loan_approval/saga.rs"]
mod saga;
#[path = "../loan_approval/service.rs"]
mod service;

use std::future::IntoFuture as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use throughline::config::{self, LogDestination, Observability, ObservabilityConfig};
use tokio::net::TcpListener;

/// What the demo sets of that which the environment does not say.
fn defaults(folder: &Path) -> [(&'static str, String); 5] {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        ("OTEL_SERVICE_NAME", "loan-service".to_owned()),
        ("THROUGHLINE_STORE", format!("sqlite:{}", file("traces.db"))),
        ("THROUGHLINE_LOG_OUTPUT", format!("file:{}", file("loans.jsonl"))),
        ("THROUGHLINE_PSEUDONYM_KEY", "only for this example".to_owned()),
        ("METRICS_PORT", "0".to_owned()),
    ]
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(other) = std::env::args().nth(1).filter(|argument| argument != "--demo") {
        bail!("`{other}` is not a valid argument: run it with --demo");
    }
    // One line for each panic that the service survives; the whole of it is in the story.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a step panicked (as it is meant to): {}", panic.payload_as_str().unwrap_or("?"));
    }));
    let folder = tempfile::Builder::new().prefix("telemetry-").tempdir()?.keep();
    let mut builder = ObservabilityConfig::builder().or_environment();
    for (name, value) in defaults(&folder) {
        let is_said = config::variables()
            .filter(|(_, variable)| variable.name == name || variable.aliases.contains(&name))
            .flat_map(|(_, variable)| std::iter::once(&variable.name).chain(variable.aliases))
            .any(|name| std::env::var_os(name).is_some());
        if !is_said {
            builder = builder.set(name, value);
        }
    }
    let config = builder.build()?;
    let observability = config::init(&config)?;

    let (app, desk) = service::app(&observability);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());
    let seen = clients::send_applications(address, &desk).await?;
    desk.decide_all();
    seen.waiting.await?;

    let store = match std::env::var_os("THROUGHLINE_STORE") {
        // It may have a password in it.
        Some(_) => "$THROUGHLINE_STORE".to_owned(),
        None => format!("sqlite:{}", folder.join("traces.db").display()),
    };
    println!(
        "The service has answered forty applications. Where to look for one that failed, {}:\n",
        seen.failed
    );
    println!("story    throughline why {} --store {store}", seen.failed);
    where_to_look(&config, &observability).await?;

    drop(stop);
    server.await??;
    let report = tokio::task::spawn_blocking(move || observability.shutdown(Duration::from_secs(10))).await?;
    println!("\nWhat became of the events:");
    for destination in &report.destinations {
        println!(
            "  {}: {} delivered, {} pending, {} dropped",
            destination.name,
            destination.delivered,
            destination.pending,
            destination.dropped()
        );
    }
    // Collectors may be away: that is theirs, and said above.
    let store = report.destinations.first();
    ensure!(store.is_none_or(|store| store.pending == 0), "not everything was stored: {report}");
    Ok(())
}

/// Prints where each signal went.
async fn where_to_look(config: &ObservabilityConfig, observability: &Observability) -> anyhow::Result<()> {
    if let Some(address) = observability.metrics_address() {
        println!("metrics  curl http://{address}/metrics");
        let page = reqwest::Client::builder().no_proxy().build()?;
        let page = page.get(format!("http://{address}/metrics")).send().await?.text().await?;
        let line = page.lines().find(|line| line.starts_with("http_server_request_duration_seconds_count"));
        println!("           {}", line.context("the metrics of requests are on the page")?);
    }
    if let Some(logs) = config.logs() {
        if let Some(lines) = observability.logs() {
            lines.flush(Duration::from_secs(5));
        }
        match logs.output {
            LogDestination::File(path) => println!("logs     {}", path.display()),
            other => println!("logs     {other:?}"),
        }
    }
    match config.traces() {
        Some(traces) => {
            let (host, port) = traces.address().context("the collector has an address")?;
            println!("traces   {host}:{port} over {}", traces.protocol);
        }
        None => println!("traces   set OTEL_EXPORTER_OTLP_ENDPOINT to send them to a collector"),
    }
    for (what, collector) in
        [("metrics ", config.metrics_collector()), ("log lines", config.log_lines_collector())]
    {
        if let Some((host, port)) = collector {
            println!("{what} {host}:{port}");
        }
    }
    match config.sentry().and_then(|sentry| sentry.address()) {
        Some((host, port)) => println!("failures {host}:{port}"),
        None => println!("failures set SENTRY_DSN to report them"),
    }
    for warning in observability.warnings() {
        println!("warning: {warning}");
    }
    Ok(())
}
