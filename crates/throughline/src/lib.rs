//! Throughline tells the story of every workflow run: what happened, why it failed, whether the compensation worked,
//! why the agent chose B, what is running now.
//!
//! Put one layer around the router and `ctx.trace(..)` around the steps:
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use throughline::{LayerExt as _, NotRecorded, SqliteStore, Throughline, Traced};
//!
//!
//! async fn apply(Traced(ctx): Traced, Json(amount): Json<u32>) -> Result<String, String> {
//!     let score = ctx.trace("stage:credit-check", async { score(amount).await }).await;
//!     score.map_err(|not_started| not_started.to_string())?
//! }
//!
//! async fn score(amount: u32) -> Result<String, String> {
//!     if amount < 50_000 { Ok("granted".to_owned()) } else { Err("too much".to_owned()) }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("traces.db");
//! let throughline = Throughline::builder("loan-service").store(SqliteStore::new(path)).build()?;
//! let app: Router = Router::new().route("/loans", post(apply)).layer(throughline.layer());
//! # let _ = app;
//! # throughline.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Then ask: `throughline why TRACE`, `throughline list --failed --since 24h`, or in code
//! [`Throughline::query`] and its [`explain`](TraceQuery::explain).
//!
//! This crate is a façade: it re-exports the heart, `throughline-core`, and by feature the crates around it.
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `sqlite` | [`SqliteStore`], the embedded durable store | yes |
//! | `tower` | [`ServerLayer`] and [`ClientLayer`], and propagation in HTTP headers | yes |
//! | `axum` | [`Traced`], the extractor, and routers for probes and `/metrics`; includes `tower` | yes |
//! | `health` | [`health::Health`], probes: live, ready, startup | yes |
//! | `metrics` | [`Prometheus`], a recorder with exemplars, and `/metrics` | yes |
//! | `workflow` | [`WorkflowLayer`], [`StepLayer`], [`JobLayer`], [`QueueDepth`], [`StateMachine`] | yes |
//! | `apalis` | jobs of apalis workers; includes `workflow` | no |
//! | `reqwest`, `reqwest-middleware` | the client layer for these | no |
//! | `transports` | [`transport::Caller`]: functions called over HTTP, a Unix socket or in process | no |
//! | `testing` | `throughline::testing`: conformance suites, tree snapshots | no |

pub mod env;

pub use throughline_core::*;
#[cfg(feature = "metrics")]
pub use throughline_metrics::*;
#[cfg(feature = "sqlite")]
pub use throughline_sqlite::*;
#[cfg(feature = "tower")]
pub use throughline_tower::*;
#[cfg(feature = "workflow")]
pub use throughline_workflow::*;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
