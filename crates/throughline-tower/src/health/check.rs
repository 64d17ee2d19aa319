//! [`Check`], the description of one check.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::{BoxError, BoxFuture, Text, Throughline};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::runner::{Answer, CheckRunner};
use super::{HealthBuildError, builtin, disk, memory};

/// Kubernetes waits one second for a probe by default: a slower check could not be named any more.
const TIMEOUT: Duration = Duration::from_millis(800);
const TTL: Duration = Duration::from_secs(2);
/// Nobody probes a service so rarely.
const LONGEST: Duration = Duration::from_secs(60 * 60);
const LONGEST_NAME: usize = 64;

/// Which probes a check counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gate {
    /// For readiness.
    Ready,
    /// For startup: until it has passed once, the service has not started and is not ready; after that it is not run
    /// any more.
    Startup,
    /// For both.
    Both,
}

/// Something that health depends on, and how it is checked.
///
/// By default a check is required, counts for readiness alone (restarting a process does not bring back what was down
/// when it started), has 800 ms to answer, and its result is kept for 2 s.
#[must_use = "a check does nothing before it is added to a HealthBuilder"]
pub struct Check {
    pub(super) name: Text,
    timeout: Duration,
    ttl: Duration,
    required: bool,
    gate: Gate,
    kind: Kind,
}

enum Kind {
    Ask(Ask),
    Store,
    Feed,
    Memory { limit: f64 },
}

/// What a check does when it runs.
pub(super) enum Ask {
    Waiting(Arc<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>),
    Blocking(Arc<dyn Fn() -> Answer + Send + Sync>),
}

impl Ask {
    pub(super) fn waiting<F, Fut>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self::Waiting(Arc::new(move || Box::pin(ask())))
    }

    /// Runs it, on a task or a thread of its own.
    pub(super) fn start(&self, runtime: &Handle) -> JoinHandle<Answer> {
        match self {
            Self::Waiting(ask) => {
                let ask = Arc::clone(ask);
                runtime.spawn(async move { ask().await })
            }
            Self::Blocking(look) => {
                let look = Arc::clone(look);
                runtime.spawn_blocking(move || look())
            }
        }
    }
}

impl Check {
    /// A check of your own. When it times out, its future is dropped. What its error says goes through the redactor before
    /// anybody sees it.
    ///
    /// ```
    /// # use throughline_tower::health::Check;
    /// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
    /// let check = Check::new("postgres", || async { ping().await });
    /// let check = Check::new("model", || async { Err::<(), _>("not loaded yet") });
    /// ```
    pub fn new<F, Fut, E>(name: impl Into<Text>, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let ask = move || {
            let asked = ask();
            async move { asked.await.map(|()| None).map_err(Into::into) }
        };
        Self::of(name, Kind::Ask(Ask::waiting(ask)))
    }

    /// A check of your own that blocks its thread. It runs where blocking is allowed. If it times out, the check fails,
    /// and does not run again until that run has returned.
    pub fn blocking<F, E>(name: impl Into<Text>, ask: F) -> Self
    where
        F: Fn() -> Result<(), E> + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        Self::looking(name, move || ask().map(|()| None).map_err(Into::into))
    }

    /// `store`: that the durable store answers a small read, and that events do not wait for it: it fails when the store
    /// has taken none for five seconds although some are pending.
    pub fn store() -> Self {
        Self::of("store", Kind::Store)
    }

    /// `feed`: that the live feed can be watched, and has dropped nothing since the check last ran. Informative,
    /// since nobody waits for a feed.
    pub fn feed() -> Self {
        Self::of("feed", Kind::Feed).informative()
    }

    /// `memory`: that the share of memory in use is below `limit`, as in 0.9. Of the container's limit (cgroup v2 or v1,
    /// counted as the kubelet does: without the page cache that can be dropped), else of the machine.
    pub fn memory(limit: f64) -> Self {
        Self::of("memory", Kind::Memory { limit })
    }

    /// `disk`: that so many bytes are free, for processes that are not root, on the disk that contains `path`.
    pub fn disk_space(path: impl Into<PathBuf>, min_free_bytes: u64) -> Self {
        let path = path.into();
        Self::looking("disk", move || disk::look(&path, min_free_bytes))
    }

    /// That no more than `limit` items wait in a queue; the closure says how many do.
    pub fn queue<F, Fut, E>(name: impl Into<Text>, limit: u64, depth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<u64, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let ask = move || {
            let depth = depth();
            async move { builtin::check_depth(depth.await.map_err(Into::into)?, limit) }
        };
        Self::of(name, Kind::Ask(Ask::waiting(ask)))
    }

    fn of(name: impl Into<Text>, kind: Kind) -> Self {
        Self { name: name.into(), timeout: TIMEOUT, ttl: TTL, required: true, gate: Gate::Ready, kind }
    }

    fn looking(name: impl Into<Text>, look: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self::of(name, Kind::Ask(Ask::Blocking(Arc::new(look))))
    }

    /// Renames it: what probes, logs and the label `check` of the metrics say.
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    /// How long it has to answer; an hour if this is longer. The prober has to wait a little longer, or it never learns which
    /// check it was.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// How long its result is kept, good or bad; at most an hour. With zero it runs for every probe, still one run at a
    /// time.
    pub fn keep_for(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// If it fails, the service is only degraded: the response stays 200 and names it.
    pub fn informative(mut self) -> Self {
        self.required = false;
        self
    }

    /// If it fails, the response is 503.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Which probes it counts for.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    pub(super) fn into_runner(self, throughline: &Throughline) -> Result<CheckRunner, HealthBuildError> {
        let name = self.name.to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(HealthBuildError::BadName { name });
        }
        if self.timeout.is_zero() {
            return Err(HealthBuildError::ZeroTimeout { name });
        }
        if self.ttl > LONGEST {
            return Err(HealthBuildError::LongTtl { name, ttl: self.ttl });
        }
        let ask = match self.kind {
            Kind::Ask(ask) => ask,
            Kind::Store => {
                let fix = "add .store(..) to the Throughline, or leave Check::store() out";
                builtin::store(throughline).ok_or(HealthBuildError::NothingToAsk { name, fix })?
            }
            Kind::Feed => {
                let fix = "add .feed(..) to the Throughline, or leave Check::feed() out";
                builtin::feed(throughline).ok_or(HealthBuildError::NothingToAsk { name, fix })?
            }
            Kind::Memory { limit } if limit > 0.0 && limit <= 1.0 => {
                Ask::Blocking(Arc::new(move || memory::look(limit)))
            }
            Kind::Memory { limit } => return Err(HealthBuildError::BadShare { name, limit }),
        };
        Ok(CheckRunner::new(
            self.name,
            ask,
            (self.timeout, self.ttl),
            (self.required, self.gate),
            throughline,
        ))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .field("keep_for", &self.ttl)
            .field("required", &self.required)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
