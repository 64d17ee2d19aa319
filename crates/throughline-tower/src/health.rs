//! Health checks for probes: is the process alive, is it ready for traffic, has it started?
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline_core::{MemoryStore, Throughline};
//! use throughline_tower::LayerExt as _;
//! use throughline_tower::health::{Check, Health};
//!
//! # async fn ping_database() -> Result<(), std::io::Error> { Ok(()) }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let health = Health::builder(&throughline)
//!     .check(Check::store())
//!     .check(Check::new("postgres", || async { ping_database().await }))
//!     .check(Check::memory(0.9).informative())
//!     .build()?;
//!
//! let app = Router::new().route("/offer", get(|| async { "granted" })).layer(throughline.layer());
//! // After the layer, so that a probe answered with 503 is not recorded as a failed request.
//! let app: Router = health.add_to(app);
//! # Ok(())
//! # }
//! ```
//!
//! | path | runs | 503 means |
//! |---|---|---|
//! | `/health/live`, `/livez` | no check | never sent; no response at all means that the process hangs: restart it |
//! | `/health/ready`, `/readyz` | the checks of [`Gate::Ready`] | a required check fails: send no traffic |
//! | `/health/startup` | the checks of [`Gate::Startup`], until they have all passed once | not started yet: keep waiting |
//!
//! In Kubernetes, with a `timeoutSeconds` above the longest [timeout](Check::timeout) of a check:
//!
//! ```yaml
//! startupProbe:   { httpGet: { path: /health/startup, port: 3000 }, periodSeconds: 2, failureThreshold: 60 }
//! livenessProbe:  { httpGet: { path: /livez, port: 3000 }, periodSeconds: 10, failureThreshold: 3 }
//! readinessProbe: { httpGet: { path: /readyz, port: 3000 }, periodSeconds: 5, failureThreshold: 2 }
//! ```
//!
//! However many probes arrive, a check runs at most once at a time and its result is cached. Checks run concurrently, each
//! in a separate task: one that hangs, panics or fails affects no other check.

mod builtin;
mod check;
mod details;
mod disk;
mod memory;
mod report;
mod runner;
mod service;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throughline_core::Throughline;

pub use check::{Check, Gate};
pub use details::Details;
pub use report::{CheckReport, HealthReport, HealthStatus};
pub use service::{HealthBody, HealthService};

use runner::CheckRunner;

/// What a probe checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// Whether the process is alive. It runs no check: a restart does not bring back a dependency that is down.
    Live,
    /// Whether it is ready for traffic.
    Ready,
    /// Whether it has started.
    Startup,
}

/// The health checks of a service; cheap to clone. Created by [`Health::builder`].
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    checks: Vec<Arc<CheckRunner>>,
    details: Details,
    started: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    /// A builder for the health checks of a service.
    pub fn builder(throughline: &Throughline) -> HealthBuilder {
        HealthBuilder { throughline: throughline.clone(), checks: Vec::new(), details: Details::hidden() }
    }

    /// Answers a probe, as the endpoints do. Checks run on the Tokio runtime that this is called on; without one they fail
    /// and say so. Their timeouts do not need that runtime's timers.
    pub async fn report(&self, probe: Probe) -> HealthReport {
        let inner = &*self.0;
        let started = inner.started.load(Ordering::Acquire);
        let counts = |gate: Gate| match probe {
            Probe::Live => false,
            Probe::Startup => !started && gate != Gate::Ready,
            // What has to be done before traffic comes is not done yet.
            Probe::Ready => gate != Gate::Startup || !started,
        };
        // All are in flight before the first is waited for.
        let counted = inner.checks.iter().filter(|check| counts(check.gate));
        let results: Vec<_> = counted.map(|check| (check, check.fresh())).collect();
        let mut checks = Vec::with_capacity(results.len());
        let mut starts = probe != Probe::Live && !started;
        for (check, result) in results {
            let result = result.wait().await;
            starts &= check.gate == Gate::Ready || !check.required || result.outcome.is_ok();
            checks.push(CheckReport::new(check, &result));
        }
        if starts {
            inner.started.store(true, Ordering::Release);
        }
        HealthReport::new(checks, probe == Probe::Ready && inner.draining.load(Ordering::Acquire))
    }

    /// From now on the service is not ready, whatever its checks say: the first thing to do in a graceful shutdown, so
    /// that no more traffic is sent while the requests in flight are answered. It stays alive.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// The endpoints, as a service for any HTTP server. It answers `GET` and `HEAD` of the five paths, and 404 to any
    /// other.
    pub fn service(&self) -> HealthService {
        HealthService::new(self.clone())
    }

    /// Adds the endpoints to a router that has the tracing layer around it already: probes are neither measured nor
    /// traced, and everything else stays as it is.
    #[cfg(feature = "axum")]
    pub fn add_to<S: Clone + Send + Sync + 'static>(&self, router: axum::Router<S>) -> axum::Router<S> {
        let service = self.service();
        service::PATHS.iter().fold(router, |router, (path, _)| router.route_service(path, service.clone()))
    }

    /// The endpoints alone, for a port of their own or to be nested. To have them beside the routes of a service, see
    /// [`add_to`](Self::add_to): a router that is merged brings its answer to unknown paths along, and that of this one
    /// is not traced.
    #[cfg(feature = "axum")]
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        self.add_to(axum::Router::new())
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("checks", &self.0.checks.iter().map(|check| check.name.as_str()).collect::<Vec<_>>())
            .field("details", &self.0.details)
            .finish_non_exhaustive()
    }
}

/// Configures the health checks of a service; no check runs before the first probe.
///
/// If the [`Throughline`] measures, each check shows as
/// [`HEALTH_CHECK_STATUS`](throughline_core::metrics::catalogue::HEALTH_CHECK_STATUS) and
/// [`HEALTH_CHECK_DURATION`](throughline_core::metrics::catalogue::HEALTH_CHECK_DURATION), as of its last run.
#[must_use = "no check runs before build()"]
pub struct HealthBuilder {
    throughline: Throughline,
    checks: Vec<Check>,
    details: Details,
}

impl HealthBuilder {
    /// Adds a check.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Who sees more than the names of failing checks; [nobody](Details::hidden) by default.
    pub fn details(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// When two checks share a name, a name is invalid, a check can never pass or never run, or the token for the details
    /// is empty.
    pub fn build(self) -> Result<Health, HealthBuildError> {
        self.details.validate()?;
        let mut checks: Vec<Arc<CheckRunner>> = Vec::with_capacity(self.checks.len());
        for check in self.checks {
            if checks.iter().any(|other| other.name == check.name) {
                return Err(HealthBuildError::DuplicateName { name: check.name.to_string() });
            }
            checks.push(Arc::new(check.into_runner(&self.throughline)?));
        }
        let inner = Inner {
            checks,
            details: self.details,
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        };
        Ok(Health(Arc::new(inner)))
    }
}

impl fmt::Debug for HealthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthBuilder")
            .field("checks", &self.checks)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

/// Why a [`Health`] could not be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthBuildError {
    /// Two checks have one name.
    #[error("two health checks are named `{name}`: rename one with .name(..)")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A name can't be shown to probes or be a label of metrics.
    #[error("`{name}` is not a valid name for a health check: use 1 to 64 letters, digits, `-`, `_` or `.`")]
    BadName {
        /// The name.
        name: String,
    },
    /// A check would always time out.
    #[error("the timeout of the health check `{name}` must be greater than zero")]
    ZeroTimeout {
        /// The check.
        name: String,
    },
    /// A check would hardly ever run again.
    #[error("the health check `{name}` keeps its result for {ttl:?}: .keep_for(..) must be at most one hour")]
    LongTtl {
        /// The check.
        name: String,
        /// For how long.
        ttl: Duration,
    },
    /// A limit is not a share.
    #[error("the limit of the health check `{name}` must be above 0 and at most 1, as in 0.9, got {limit}")]
    BadShare {
        /// The check.
        name: String,
        /// What was given.
        limit: f64,
    },
    /// The check is about something that the emitter does not have.
    #[error("the health check `{name}` has nothing to check: {fix}")]
    NothingToAsk {
        /// The check.
        name: String,
        /// How to fix it.
        fix: &'static str,
    },
    /// Anybody could guess the token.
    #[error("the token for health details is empty: pass a secret to Details::unless_bearer(..), or omit it")]
    EmptyToken,
}
