//! A service for the row `service`, a process of its own: `throughline-service ours|plain FOLDER`. It prints its address and
//! serves until its standard input is closed.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use axum::routing::{get, post};
use rusqlite::{Connection, params};
use throughline_benches::load::payload;
use throughline_core::{MemoryFeed, Throughline};
use throughline_metrics::Prometheus;
use throughline_sqlite::SqliteStore;
use throughline_tower::{HandlerError, LayerExt as _, Traced};
use tokio::net::TcpListener;

const STEPS: [&str; 3] = ["stage:validate", "stage:credit-check", "stage:price-offer"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [side, folder] = &arguments[..] else { bail!("usage: throughline-service ours|plain FOLDER") };
    let path = Path::new(folder).join(format!("{side}.db"));
    let mut throughline = None;
    let router = match side.as_str() {
        "ours" => {
            let prometheus = Prometheus::new();
            let builder = Throughline::builder("loan-service").store(SqliteStore::new(path));
            let built = builder.feed(MemoryFeed::new()).metrics(&prometheus).build()?;
            let router = routes(post(three_steps)).layer(built.layer());
            throughline = Some(built);
            router
        }
        "plain" => {
            let rows = Rows::create(&path)?;
            routes(post(async move || rows.write_three().await))
        }
        other => bail!("there is no `{other}`: ours or plain"),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    axum::serve(listener, router).with_graceful_shutdown(async move { drop(closed.await) }).await?;
    if let Some(throughline) = throughline {
        let report = throughline.shutdown(Duration::from_secs(10)).await;
        ensure!(report.is_complete(), "events were lost or are pending: {report:?}");
    }
    Ok(())
}

fn routes(loans: axum::routing::MethodRouter) -> Router {
    Router::new().route("/loans", loans).route("/rates", get(async || "granted"))
}

async fn three_steps(Traced(ctx): Traced) -> Result<&'static str, HandlerError> {
    for step in STEPS {
        ctx.step(step).input(&payload()).run_infallible(async |_| ()).await?;
    }
    Ok("granted")
}

/// A table that a service keeps by itself, of what it did.
#[derive(Clone)]
struct Rows(Arc<Mutex<Connection>>);

impl Rows {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE step (id INTEGER PRIMARY KEY, name TEXT NOT NULL, payload TEXT NOT NULL,
                                at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Each row is on the disk before the next step begins.
    async fn write_three(&self) -> String {
        for step in STEPS {
            let rows = self.clone();
            let written = tokio::task::spawn_blocking(move || rows.write(step));
            if !matches!(written.await, Ok(Ok(()))) {
                return "refused".to_owned();
            }
        }
        "granted".to_owned()
    }

    fn write(&self, step: &str) -> anyhow::Result<()> {
        let payload = serde_json::to_string(&payload())?;
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut insert = connection.prepare_cached("INSERT INTO step (name, payload) VALUES (?1, ?2)")?;
        insert.execute(params![step, payload]).context("a row")?;
        Ok(())
    }
}
