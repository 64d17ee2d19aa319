//! The sidecar: three functions behind one router.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use throughline::{LayerExt as _, Throughline, Traced};
use tokio::net::{TcpListener, UnixListener};

/// A payment, as it is sent for processing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) account: String,
    pub(crate) category: String,
    pub(crate) cents: u64,
    pub(crate) note: String,
}

/// What is known of many payments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) cents_by_category: BTreeMap<String, u64>,
    pub(crate) checksum: u64,
}

/// A sidecar that is served on two sockets and can be called in process too.
pub(crate) struct Sidecar {
    pub(crate) router: Router,
    pub(crate) origin: String,
    pub(crate) socket: PathBuf,
    _folder: TempDir,
}

impl Sidecar {
    /// Serves the functions. One layer around the router is all that it takes: it continues the caller's trace and says
    /// how long the function took, whatever the transport is.
    pub(crate) async fn start(throughline: &Throughline) -> anyhow::Result<Self> {
        let router = Router::new()
            .route("/functions/process-data", post(process_data))
            .route("/functions/is-known", post(is_known))
            .route("/functions/history", post(history))
            .layer(throughline.layer());

        let over_tcp = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", over_tcp.local_addr()?);
        let app = router.clone();
        tokio::spawn(async move { axum::serve(over_tcp, app).await });

        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("sidecar.sock");
        let over_socket = UnixListener::bind(&socket)?;
        let app = router.clone();
        tokio::spawn(async move { axum::serve(over_socket, app).await });

        Ok(Self { router, origin, socket, _folder: folder })
    }
}

/// Real work: sums up, and proves that it has seen every record.
async fn process_data(
    Traced(ctx): Traced,
    Json(records): Json<Vec<Record>>,
) -> Result<Json<Summary>, String> {
    let summing = ctx.trace_infallible("stage:sum-up", async {
        let mut sums = BTreeMap::new();
        for record in &records {
            *sums.entry(record.category.clone()).or_default() += record.cents;
        }
        sums
    });
    let cents_by_category = summing.await.map_err(|not_started| not_started.to_string())?;
    let checking = ctx.trace_infallible("stage:checksum", async {
        records.iter().map(checksum).fold(0, u64::wrapping_add)
    });
    let checksum = checking.await.map_err(|not_started| not_started.to_string())?;
    Ok(Json(Summary { cents_by_category, checksum }))
}

/// [FNV-1a](http://www.isthe.com/chongo/tech/comp/fnv/), often enough to take a while.
fn checksum(record: &Record) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let once = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    (0..100).fold(BASIS, |hash, _| record.account.bytes().fold(hash, once))
}

/// Hardly any work.
async fn is_known(Json(account): Json<String>) -> Json<bool> {
    Json(account.starts_with("account-"))
}

/// A large answer: all payments of an account.
async fn history(Json(account): Json<String>) -> Json<Vec<Record>> {
    let record = |n: u64| Record {
        account: account.clone(),
        category: ["rent", "food", "travel"][n as usize % 3].to_owned(),
        cents: 100 + n,
        note: format!("payment {n}"),
    };
    Json((0..1_000).map(record).collect())
}
