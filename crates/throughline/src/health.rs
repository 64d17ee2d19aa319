//! Probes: is the process alive, is it ready for traffic, has it started?
//!
//! | path | runs | 503 means |
//! |---|---|---|
//! | `/health/live`, `/livez` | no checks | never sent; no response at all means that the process hangs: restart it |
//! | `/health/ready`, `/readyz` | the checks of [`Gate::Ready`] | a required check failed: send no traffic |
//! | `/health/startup` | the checks of [`Gate::Startup`], until they have all passed once | not started yet: wait |
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline::health::{Check, Health};
//! use throughline::{LayerExt as _, MemoryStore, Throughline};
//!
//! # async fn ping_database() -> Result<(), std::io::Error> { Ok(()) }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let health = Health::builder(&throughline)
//!     .check(Check::store())
//!     .check(Check::new("postgres", || async { ping_database().await }))
//!     .build()?;
//! let app = Router::new().route("/offer", get(|| async { "granted" })).layer(throughline.layer());
//! // After the layer, so that a probe answered with 503 is not recorded as a failed request.
//! let app: Router = health.add_to(app);
//! # Ok(())
//! # }
//! ```

pub use throughline_tower::health::{
    Check, CheckReport, Details, Gate, Health, HealthBody, HealthBuildError, HealthBuilder, HealthReport,
    HealthService, HealthStatus, Probe,
};
