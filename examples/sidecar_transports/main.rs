//! Which layer is slow? An application calls the functions of its sidecar over HTTP, over a Unix socket and directly, and
//! asks where the time goes.
//!
//! ```text
//! cargo run --release --example sidecar_transports              # calls, shows it all, ends
//! cargo run --release --example sidecar_transports -- --serve   # keeps the sidecar up, for curl
//! ```
//!
//! [`sidecar`] is the callee: an axum router with one layer around it, served on two sockets. [`application`] is the
//! caller, and [`demo`] sends the calls and prints what came of them.

mod application;
mod demo;
mod sidecar;

use std::time::Duration;

use anyhow::bail;
use throughline::{MemoryStore, Throughline};

use crate::sidecar::Sidecar;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let serve = match std::env::args().nth(1).as_deref() {
        None | Some("--demo") => false,
        Some("--serve") => true,
        Some(other) => {
            bail!("`{other}` is not a valid argument: run it without arguments, with --demo or with --serve")
        }
    };

    // Two services that keep their traces in one place. They share nothing else.
    let store = MemoryStore::new();
    let theirs = Throughline::builder("sidecar").store(store.clone()).build()?;
    let ours = Throughline::builder("application").store(store).build()?;

    let sidecar = Sidecar::start(&theirs).await?;
    demo::run(&ours, &theirs, &sidecar).await?;

    if serve {
        let body = r#"-H 'content-type: application/json' -d '"account-7"'"#;
        let (origin, socket) = (&sidecar.origin, sidecar.socket.display());
        println!("\nServing until Ctrl-C. Try:\n");
        println!("  curl -si {origin}/functions/is-known {body}");
        println!("  curl -si --unix-socket {socket} http://sidecar/functions/is-known {body}");
        tokio::signal::ctrl_c().await?;
    }
    for side in [ours, theirs] {
        let report = side.shutdown(Duration::from_secs(5)).await;
        if !report.is_complete() {
            bail!("not everything was delivered: {report}");
        }
    }
    Ok(())
}
