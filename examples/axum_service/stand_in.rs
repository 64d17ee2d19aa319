//! The bureau that is asked here: on a port of this process, and it can be switched off.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// A bureau that finds everybody fairly good for their debts.
pub(crate) struct StandIn {
    pub(crate) url: String,
    switched_off: Arc<AtomicBool>,
}

impl StandIn {
    pub(crate) async fn open() -> std::io::Result<Self> {
        let switched_off = Arc::new(AtomicBool::new(false));
        let router = Router::new()
            .route("/ping", get(answer))
            .route("/score", get(answer))
            .with_state(Arc::clone(&switched_off));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, switched_off })
    }

    pub(crate) fn switch(&self, on: bool) {
        self.switched_off.store(!on, Ordering::Relaxed);
    }
}

async fn answer(State(switched_off): State<Arc<AtomicBool>>) -> Result<&'static str, StatusCode> {
    if switched_off.load(Ordering::Relaxed) { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok("734") }
}
