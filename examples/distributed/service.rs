//! A process of the service.

use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use throughline::feed::RedisFeed;
use throughline::store::{Page, PostgresStore};
use throughline::{HandlerError, LayerExt as _, Throughline, Traced};
use tokio::net::TcpListener;

use crate::Destinations;
use crate::loans::{Signer, WORKFLOW, approve, sign};

/// What is posted to `/loans`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Application {
    pub(crate) loan: String,
    /// The address of the process that signs.
    pub(crate) signer: String,
}

/// How often it is looked for runs that another process left.
const LOOK: Duration = Duration::from_millis(200);
/// How often the lease is renewed. In production five seconds do; here nobody wants to wait for three of them.
const LEASE: Duration = Duration::from_millis(300);

/// Serves until the standard input ends, and says its address first.
pub(crate) async fn run(name: &str, destinations: &Destinations) -> anyhow::Result<()> {
    let builder = Throughline::builder("loan-service")
        .version(name.to_owned())
        .feed(RedisFeed::new(&destinations.feed));
    let builder = match destinations.cosmos() {
        Some(store) => builder.store(store.lease_interval(LEASE)),
        None => builder.store(PostgresStore::new(&destinations.store).lease_interval(LEASE)),
    };
    let throughline = builder.build_async().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("{address}");

    let app = Router::new()
        .route("/loans", post(apply))
        .route("/contracts/{loan}", post(contract))
        .with_state(throughline.clone())
        .layer(throughline.layer());
    let resuming = tokio::spawn(resume(throughline.clone(), address.to_string()));
    let ended = async {
        let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Whether it ends or fails: the other end is gone.
        let _ = tokio::task::spawn_blocking(read).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(ended).await?;
    resuming.abort();
    throughline.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// Takes an application; what becomes of it takes longer than the request.
async fn apply(
    State(throughline): State<Throughline>,
    Json(Application { loan, signer }): Json<Application>,
) -> Result<StatusCode, HandlerError> {
    let signer = Signer::at(&throughline, &signer)?;
    let key = loan.clone();
    let run = throughline.workflow(WORKFLOW).key(key).run(|ctx| approve(ctx, loan, signer));
    tokio::spawn(run);
    Ok(StatusCode::ACCEPTED)
}

async fn contract(Traced(ctx): Traced, Path(loan): Path<String>) -> Result<StatusCode, HandlerError> {
    sign(&ctx, &loan).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resumes what other processes left.
async fn resume(throughline: Throughline, address: String) -> anyhow::Result<()> {
    let reader = throughline.reader().context("there is a store")?;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        for run in reader.open_summaries(&Page::first(100)).await?.items {
            let run = run.summary;
            let Some(loan) = run.correlation_id.as_ref().filter(|_| run.waits_to_be_resumed()) else {
                continue;
            };
            let (loan, signer) = (loan.to_string(), Signer::at(&throughline, &address)?);
            // Another process may have been faster.
            if let Err(error) = throughline.resume(run.trace_id).run(|ctx| approve(ctx, loan, signer)).await {
                eprintln!("{}: {error}", run.trace_id);
            }
        }
    }
}
