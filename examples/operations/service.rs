//! The loan service, its users, and the world that it depends on.

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use throughline::delivery::{DeliveryReport, DestinationReport};
use throughline::event::Text;
use throughline::metrics::{CollectorGuard, Prometheus};
use throughline::worker::{Carrier, Job, JobLayer, QueueDepth};
use throughline::{HandlerError, LayerExt as _, NotRecorded, SqliteStore, Throughline, TraceContext, Traced};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What the queue is called, how much it holds, and how many payouts are ordered by how many clients, so that the alert on it fires.
const QUEUE: &str = "payouts";
const PLACES: usize = 5_000;
const PAYOUTS: usize = 1_120;
const CLIENTS: usize = 16;
/// How many payouts are made at once.
const WORKERS: usize = 2;
/// How often somebody asks for a loan.
const PACE: Duration = Duration::from_millis(50);
/// How long the bureau takes when it is slow.
const SLOW: Duration = Duration::from_millis(2_300);

/// How the credit bureau does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bureau {
    IsWell,
    IsSlow,
    Refuses,
}

/// What the service depends on, and what can be wrong with it.
pub(crate) struct World {
    bureau: watch::Sender<Bureau>,
    bank_is_open: watch::Sender<bool>,
}

impl World {
    pub(crate) fn bureau_is(&self, how: Bureau) {
        self.bureau.send_replace(how);
    }

    pub(crate) fn bank_is_open(&self, open: bool) {
        self.bank_is_open.send_replace(open);
    }
}

/// What handlers need. Cheap to clone.
#[derive(Clone)]
struct Desk {
    bureau: watch::Receiver<Bureau>,
    payouts: mpsc::Sender<Payout>,
}

/// A job for the workers.
struct Payout {
    context: Carrier,
}

impl Job for Payout {
    fn job_type(&self) -> Text {
        "payout".into()
    }

    fn carrier(&self) -> Carrier {
        self.context.clone()
    }

    fn may_be_retry(&self) -> bool {
        false
    }
}

/// Why there is no loan.
#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("the credit bureau refuses to answer")]
    BureauRefuses,
    #[error("the signature server does not answer")]
    NotSigned,
    #[error("the treasury is frozen, and releases no reservation")]
    Frozen,
    #[error("no more payouts can wait")]
    QueueIsFull,
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// The running service.
pub(crate) struct Service {
    throughline: Throughline,
    address: SocketAddr,
    client: reqwest::Client,
    store: PathBuf,
    world: World,
    workers: Vec<JoinHandle<()>>,
    _depth: CollectorGuard,
}

impl Service {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let store = folder.join("traces.db");
        let metrics = Prometheus::new();
        let throughline =
            Throughline::builder("loan-service").store(SqliteStore::new(&store)).metrics(&metrics).build()?;
        let world =
            World { bureau: watch::Sender::new(Bureau::IsWell), bank_is_open: watch::Sender::new(true) };
        let (payouts, queue) = mpsc::channel(PLACES);
        let depth = {
            let payouts = payouts.downgrade();
            QueueDepth::on_collect(&throughline, QUEUE, move || {
                let payouts = payouts.upgrade()?;
                Some((payouts.max_capacity() - payouts.capacity()) as u64)
            })
        };
        let workers = workers(&throughline, queue, &world);

        let app = Router::new()
            .route("/loans", get(loan))
            .route("/contracts", post(sign))
            .route("/payouts", post(pay_out))
            .with_state(Desk { bureau: world.bureau.subscribe(), payouts })
            .layer(throughline.layer());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(axum::serve(listener, metrics.add_to(app)).into_future());
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { throughline, address, client, store, world, workers, _depth: depth })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Whether somebody who asks for a loan gets one.
    pub(crate) async fn is_well(&self) -> anyhow::Result<()> {
        let answer = self.client.get(format!("http://{}/loans", self.address)).send().await?;
        ensure!(answer.status().is_success(), "the service answers with {}", answer.status());
        Ok(())
    }

    /// People who ask for loans, whatever became of the ones before.
    pub(crate) fn users(&self) -> JoinHandle<()> {
        let (client, url) = (self.client.clone(), format!("http://{}/loans", self.address));
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            loop {
                pace.tick().await;
                // What they are answered is measured by the service.
                tokio::spawn(client.get(&url).send());
            }
        })
    }

    /// Asks for contracts that nobody can sign.
    pub(crate) async fn sign_what_fails(&self) -> anyhow::Result<()> {
        for _ in 0..3 {
            let answer = self.client.post(format!("http://{}/contracts", self.address)).send().await?;
            ensure!(answer.status().is_server_error(), "a contract was signed: {}", answer.status());
        }
        Ok(())
    }

    /// Orders more payouts than may wait.
    pub(crate) async fn order_payouts(&self) -> anyhow::Result<()> {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (client, url) = (self.client.clone(), format!("http://{}/payouts", self.address));
            clients.spawn(async move {
                for _ in 0..PAYOUTS / CLIENTS {
                    let status = client.post(&url).send().await?.status();
                    ensure!(status == StatusCode::ACCEPTED, "a payout was answered with {status}");
                }
                anyhow::Ok(())
            });
        }
        while let Some(ordered) = clients.join_next().await {
            ordered??;
        }
        Ok(())
    }

    /// Moves the file of the store away, or back.
    pub(crate) fn move_store(&self, away: bool) -> std::io::Result<()> {
        let elsewhere = self.store.with_extension("away");
        if away { std::fs::rename(&self.store, elsewhere) } else { std::fs::rename(elsewhere, &self.store) }
    }

    pub(crate) async fn shutdown(self) -> anyhow::Result<DeliveryReport> {
        self.workers.iter().for_each(JoinHandle::abort);
        let report = self.throughline.shutdown(Duration::from_secs(10)).await;
        // What could not be recorded while the store was away was refused, and is counted as dropped.
        let is_accounted_for = |account: &DestinationReport| account.balances() && account.pending == 0;
        ensure!(report.destinations.iter().all(is_accounted_for), "events are unaccounted for: {report}");
        Ok(report)
    }
}

async fn loan(State(desk): State<Desk>, Traced(ctx): Traced) -> Result<&'static str, HandlerError> {
    let bureau = *desk.bureau.borrow();
    let score = ctx.trace("stage:credit-check", async {
        if bureau == Bureau::IsSlow {
            tokio::time::sleep(SLOW).await;
        }
        if bureau == Bureau::Refuses { Err(LoanError::BureauRefuses) } else { Ok(734) }
    });
    Ok(if score.await?? > 700 { "3.2 %\n" } else { "5.9 %\n" })
}

async fn sign(Traced(ctx): Traced) -> Result<(), HandlerError> {
    let saga = ctx.saga("loan-approval").steps(2).run(|saga| async move {
        saga.step("stage:reserve-funds")
            .resource("reservation r-42")
            .compensate(|(), _ctx| async { Err::<(), _>(LoanError::Frozen) })
            .run(|(), _ctx| async { Ok::<_, LoanError>(()) })
            .await??;
        saga.trace("stage:sign-contract", async { Err::<(), _>(LoanError::NotSigned) }).await?
    });
    Ok(saga.await??)
}

async fn pay_out(State(desk): State<Desk>, Traced(ctx): Traced) -> Result<StatusCode, HandlerError> {
    ctx.dependency("queue", QUEUE, async {
        let payout = Payout { context: Carrier::current() };
        desk.payouts.try_send(payout).map_err(|_| LoanError::QueueIsFull)
    })
    .await??;
    Ok(StatusCode::ACCEPTED)
}

/// Workers that take payouts from the queue, one at a time.
fn workers(throughline: &Throughline, queue: mpsc::Receiver<Payout>, world: &World) -> Vec<JoinHandle<()>> {
    let queue = std::sync::Arc::new(tokio::sync::Mutex::new(queue));
    let work = || {
        let (layer, queue) = (JobLayer::new(throughline, QUEUE), queue.clone());
        let bank = world.bank_is_open.subscribe();
        tokio::spawn(async move {
            let _up = layer.worker();
            loop {
                let Some(payout) = queue.lock().await.recv().await else { return };
                let bank = bank.clone();
                // A payout that fails is recorded; the worker takes the next one.
                let _ = layer.run(payout, |_| transfer(bank)).await;
            }
        })
    };
    (0..WORKERS).map(|_| work()).collect()
}

/// Waits until the bank takes the transfer.
async fn transfer(mut bank: watch::Receiver<bool>) -> anyhow::Result<()> {
    let ctx = TraceContext::current().context("a job has a context")?;
    let taken = ctx.trace("stage:transfer", async move { bank.wait_for(|open| *open).await.map(drop) });
    Ok(taken.await??)
}
