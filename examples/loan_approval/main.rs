//! A loan service that tells its own story.
//!
//! It starts a real axum service on loopback, sends itself applications over the socket, lets some of them fail, and then
//! asks the library what happened. Run it with `cargo run --release --example loan_approval`; with `--serve` it stays up
//! for curl and the command `throughline`.

mod agent;
mod application;
mod clients;
mod saga;
mod service;
mod story;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use throughline::query::Style;
use throughline::{Redaction, SqliteStore, Throughline};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let serve = match std::env::args().nth(1).as_deref() {
        None | Some("--demo") => false,
        Some("--serve") => true,
        Some(other) => bail!("`{other}` means nothing here: run it with --demo, or with --serve"),
    };
    // One line for each panic that the service survives; the whole of it is in the story.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a step panicked (as it is meant to): {}", panic.payload_as_str().unwrap_or("?"));
    }));

    let database = fresh_database()?;
    let throughline = Throughline::builder("loan-service")
        .store(SqliteStore::new(&database))
        .redaction(Redaction::standard().pseudonym_key("only for this example"))
        .build()?;
    let (app, desk) = service::app(&throughline);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let seen = clients::send_applications(address, &desk).await?;

    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    story::tell(&throughline, &seen, &database, &style).await?;
    if serve {
        println!("\nServing on http://{address} until Ctrl-C. Try:\n");
        println!(
            "  curl -si http://{address}/loans -H 'content-type: application/json' -d '{}'",
            clients::sample()
        );
        std::future::pending::<()>().await;
    }

    // The application on the desk is decided, and everything ends.
    desk.decide_all();
    seen.waiting.await?;
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    if !report.is_complete() {
        bail!("not everything was delivered: {report}");
    }
    Ok(())
}

/// A database of this run alone, below the folder in which cargo builds.
fn fresh_database() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target =
        executable.ancestors().find(|folder| folder.ends_with("target")).unwrap_or(Path::new("target"));
    let folder = target.join("loan_approval");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} is in use", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    let database = folder.join("traces.db");
    let here = std::env::current_dir()?;
    Ok(database.strip_prefix(here).map(Path::to_owned).unwrap_or(database))
}
