//! An HTTP service that puts jobs into a queue, and a worker that does them: one trace from the request to the last step.
//!
//! It starts a real axum service and a real [apalis](https://docs.rs/apalis) worker on Redis, sends itself orders over
//! HTTP, lets the bank fail once, and then tells what happened. Run it with
//! `cargo run --example apalis_worker -- --demo`. It needs the program `redis-server`, of which it starts one of its own
//! on a Unix socket; `--redis URL` names another that runs already. With `--serve` it stays up for curl and the command
//! `throughline`.

mod clients;
mod queue;
mod redis_server;
mod service;
mod story;
mod worker;

use std::future::IntoFuture as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use throughline::metrics::Prometheus;
use throughline::query::Style;
use throughline::worker::QueueDepth;
use throughline::{SqliteStore, Throughline};
use tokio::net::TcpListener;

struct Arguments {
    redis: Option<String>,
    serve: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let (redis, url) = match arguments.redis {
        Some(url) => (None, url),
        None => {
            let server = redis_server::Server::start()?;
            let url = server.url();
            (Some(server), url)
        }
    };
    let queue = queue::open(&url).await?;

    // Two services, as they would be two processes. They share a store: together they record one run.
    let database = fresh_database()?;
    let metrics = Prometheus::new();
    let api = Throughline::builder("loan-api").store(SqliteStore::new(&database)).build()?;
    let payer =
        Throughline::builder("payout-worker").store(SqliteStore::new(&database)).metrics(&metrics).build()?;

    let depth = {
        let queue = queue.clone();
        let depth = QueueDepth::of(queue::NAME, move || queue::waiting(queue.clone()));
        // Every 15 seconds would do for a service; here they are over before that.
        depth.every(Duration::from_millis(50)).start(&payer)?
    };

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = service::app(&api, queue.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    // There is no worker yet, so the queue fills; then one comes, and it is emptied.
    let orders = clients::send_orders(address).await?;
    queue::until(&depth, |waiting| waiting >= orders.len() as u64).await?;
    println!("{} payouts ordered over HTTP; each was answered with 202, and waits to be paid:", orders.len());
    story::print_metrics(&metrics, &["throughline_queue_depth"]);
    let worker = worker::start(&payer, queue);
    worker.wait_for(orders.len()).await?;
    queue::until(&depth, |waiting| waiting == 0).await?;

    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    story::tell([&api, &payer], &metrics, &orders, &database, &style).await?;
    if arguments.serve {
        println!("\nServing on http://{address} until Ctrl-C. Try:\n");
        println!(
            "  curl -si http://{address}/payouts -H 'content-type: application/json' -d '{}'",
            clients::SAMPLE
        );
        tokio::signal::ctrl_c().await?;
    }

    // First nobody orders any more, then the worker finishes its job, then the remaining events are delivered.
    drop(stop);
    server.await??;
    worker.stop().await?;
    drop(depth);
    for throughline in [api, payer] {
        let report = throughline.shutdown(Duration::from_secs(10)).await;
        if !report.is_complete() {
            bail!("not everything was delivered: {report}");
        }
    }
    drop(redis);
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut arguments = Arguments { redis: None, serve: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--demo" => {}
            "--serve" => arguments.serve = true,
            "--redis" => {
                let url = words.next();
                arguments.redis = Some(url.context("--redis wants a URL, as in redis://127.0.0.1:6379/")?);
            }
            other => {
                bail!("`{other}` is not a valid argument: run it with --demo or --serve, and --redis URL")
            }
        }
    }
    Ok(arguments)
}

/// A database of this run alone. It outlives the run, for the commands that look further.
fn fresh_database() -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("apalis_worker-").tempdir()?.keep();
    Ok(folder.join("traces.db"))
}
