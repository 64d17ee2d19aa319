//! What Alertmanager calls instead of people: a webhook on loopback.

use std::future::IntoFuture as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What somebody was told.
pub(crate) struct Told {
    pub(crate) receiver: String,
    pub(crate) alert: String,
    /// `firing` or `resolved`.
    pub(crate) status: String,
    pub(crate) summary: String,
}

/// Everybody's phone.
pub(crate) struct Phones {
    url: String,
    calls: UnboundedReceiver<Told>,
    told: Vec<Told>,
}

/// A call, as Alertmanager makes it.
#[derive(Deserialize)]
struct Call {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    status: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    alertname: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
}

impl Phones {
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let (tell, calls) = unbounded_channel();
        let app = Router::new().route("/{receiver}", post(ring)).with_state(tell);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(Self { url, calls, told: Vec::new() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was said since it was last forgotten.
    pub(crate) fn all(&mut self) -> &[Told] {
        while let Ok(told) = self.calls.try_recv() {
            self.told.push(told);
        }
        &self.told
    }

    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// Waits until a receiver is told this of an alert.
    pub(crate) async fn wait_for(
        &mut self,
        alert: &str,
        receiver: &str,
        status: &str,
        patience: Duration,
    ) -> anyhow::Result<&Told> {
        let is_it = |told: &Told| told.alert == alert && told.receiver == receiver && told.status == status;
        let until_told = async {
            while !self.told.iter().any(is_it) {
                let told = self.calls.recv().await.context("the phones are gone")?;
                self.told.push(told);
            }
            anyhow::Ok(())
        };
        let Ok(heard) = tokio::time::timeout(patience, until_told).await else {
            let said =
                self.told.iter().map(|told| format!("{} ({}) to {}", told.alert, told.status, told.receiver));
            let said = said.collect::<Vec<_>>().join(", ");
            bail!("{receiver} was not told within {patience:?} that {alert} is {status}; said was: {said}");
        };
        heard?;
        self.told.iter().find(|told| is_it(told)).context("it was just said")
    }
}

async fn ring(
    Path(receiver): Path<String>,
    State(tell): State<UnboundedSender<Told>>,
    Json(call): Json<Call>,
) {
    for Alert { status, labels, annotations } in call.alerts {
        let told = Told {
            receiver: receiver.clone(),
            alert: labels.alertname,
            status,
            summary: annotations.summary,
        };
        // Nobody listens any more when the demonstration ends.
        let _ = tell.send(told);
    }
}
