//! Throughline tells the story of every workflow run: what happened, why it failed, whether the compensation worked,
//! why the agent chose B, and what is running now.
//!
//! Put one layer around the router and wrap each step in `ctx.trace(..)`:
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use throughline::{HandlerError, LayerExt as _, SqliteStore, Throughline, Traced};
//!
//! async fn apply(Traced(ctx): Traced, Json(amount): Json<u32>) -> Result<String, HandlerError> {
//!     // The first `?` is for a step that never ran, the second for the step's own error.
//!     Ok(ctx.trace("stage:credit-check", credit_check(amount)).await??)
//! }
//!
//! async fn credit_check(amount: u32) -> Result<String, std::io::Error> {
//!     if amount < 50_000 { Ok("granted".to_owned()) } else { Err(std::io::Error::other("too much")) }
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
//! Then query the store: `throughline why TRACE`, `throughline list --failed --since 24h`, or in code
//! [`Throughline::query`] and its [`explain`](TraceQuery::explain).
//!
//! This crate is a façade: the names that every user needs are at its root, the others are in modules.
//!
//! | module | contents | feature, if any |
//! |---|---|---|
//! | [`context`] | steps, events, decisions, child workflows; propagation | |
//! | [`saga`] | steps that are undone if a later one fails | |
//! | [`delivery`] | the builder, durability, retries, the delivery report | |
//! | [`event`] | the event, its ids, the names with a meaning | |
//! | [`store`] | stores, filters and pagination, and the contracts of stores and spools | `sqlite` for [`SqliteStore`], `postgres` for `PostgresStore`, `cosmos` for `CosmosStore` |
//! | [`feed`] | events as they happen: feeds, watchers, sinks | `redis`, `redis-cluster`, `redis-sentinel`, `redis-tls` |
//! | [`query`] | queries about one run, and its state | `render` for results as text |
//! | [`analytics`] | queries across runs | |
//! | [`redact`] | redaction of personal data and credentials | |
//! | [`metrics`] | the metrics catalogue, the Prometheus recorder, `/metrics` | `metrics`, `axum` |
//! | `sentry` | failures and panics as reports to Sentry | `sentry` |
//! | `log` | structured logs, a JSON object a line | `log`, `log-files` |
//! | `http` | layers for servers and clients, the axum extractor | `tower`, `axum`, `reqwest`, `reqwest-middleware` |
//! | `health` | probes: live, ready, startup | `health` |
//! | `browser` | what browsers see: Web Vitals, failures in pages, clicks that begin traces | `browser`, `source-maps` |
//! | `worker` | workers and executors, queue depth, state machines, rate limits | `workflow`, `apalis` |
//! | `otel` | export over OTLP to what a team has open already | `otel`, `otel-grpc`, `otel-tls` |
//! | `viewer` | web pages of runs, as a router to nest in the service | `viewer` |
//! | `transport` | calls to functions over HTTP, a Unix socket or in process | `transports` |
//! | [`config`] | everything that environment variables say, and switching it on | |
//! | [`env`](mod@env) | an emitter from environment variables | |
//! | `testing` | trees for snapshots, faulty stores, conformance suites | `testing` |
//!
//! All features except `apalis`, `browser`, `log-files`, `otel` and its kin, `redis` and its kin, `reqwest`, `reqwest-middleware`, `sentry`,
//! `source-maps`, `transports`, `viewer` and `testing` are on by default; the README says how many crates each one adds.

pub mod analytics;
#[cfg(feature = "browser")]
pub mod browser;
pub mod config;
pub mod context;
pub mod delivery;
pub mod env;
pub mod event;
pub mod feed;
#[cfg(feature = "health")]
pub mod health;
#[cfg(feature = "tower")]
pub mod http;
#[cfg(feature = "log")]
pub mod log;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
pub mod query;
pub mod redact;
pub mod saga;
#[cfg(feature = "sentry")]
pub mod sentry;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "transports")]
pub mod transport;
#[cfg(feature = "viewer")]
pub mod viewer;
#[cfg(feature = "workflow")]
pub mod worker;

pub use throughline_core::{MemoryStore, NotRecorded, Throughline, TraceContext};
pub use throughline_model::TraceId;
pub use throughline_query::TraceQuery;
pub use throughline_redact::Redaction;
#[cfg(feature = "sqlite")]
pub use throughline_sqlite::SqliteStore;
#[cfg(feature = "tower")]
pub use throughline_tower::LayerExt;
#[cfg(feature = "axum")]
pub use throughline_tower::{HandlerError, Traced};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
