//! A loan service that tells its own story.
//!
//! It starts a real axum service on loopback, sends itself applications over the socket, lets some of them fail, and then
//! asks the library what happened. Run it with `cargo run --release --example loan_approval`; with `--serve` it stays up
//! for a browser, curl and the command `throughline`.

mod agent;
mod application;
mod clients;
mod saga;
mod service;
mod story;

use std::future::IntoFuture as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use throughline::feed::MemoryFeed;
use throughline::query::Style;
use throughline::viewer::Viewer;
use throughline::{Redaction, SqliteStore, Throughline};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let serve = match std::env::args().nth(1).as_deref() {
        None | Some("--demo") => false,
        Some("--serve") => true,
        Some(other) => bail!("`{other}` is not a valid argument: run it with --demo, or with --serve"),
    };
    // One line for each panic that the service survives; the whole of it is in the story.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a step panicked (as it is meant to): {}", panic.payload_as_str().unwrap_or("?"));
    }));

    let database = fresh_database()?;
    let throughline = Throughline::builder("loan-service")
        .store(SqliteStore::new(&database))
        .feed(MemoryFeed::new())
        .redaction(Redaction::standard().pseudonym_key("only for this example"))
        .build()?;
    let (app, desk) = service::app(&throughline);
    // After the service's layer: looking at runs makes none.
    let app = app.nest_service("/throughline", Viewer::of(&throughline).build()?.router());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    let seen = clients::send_applications(address, &desk).await?;

    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    story::tell(&throughline, &seen, &database, &style).await?;
    if serve {
        println!("\nServing on http://{address} until Ctrl-C. The runs are shown at\n");
        println!("  http://{address}/throughline\n\nand one more is made by\n");
        println!(
            "  curl -si http://{address}/loans -H 'content-type: application/json' -d '{}'",
            clients::sample()
        );
        tokio::signal::ctrl_c().await?;
    }

    // The application on the desk is decided, and everything ends.
    desk.decide_all();
    seen.waiting.await?;
    drop(stop);
    server.await??;
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    if !report.is_complete() {
        bail!("not everything was delivered: {report}");
    }
    Ok(())
}

/// A database of this run alone. It outlives the run, for the commands that look further.
fn fresh_database() -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("loan_approval-").tempdir()?.keep();
    Ok(folder.join("traces.db"))
}
