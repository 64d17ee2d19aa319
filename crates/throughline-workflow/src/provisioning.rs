//! [`Provisioning`]: how resources are created, and whether they are healthy.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use throughline_core::metrics::{Counter, Histogram, catalogue};
use throughline_core::{Status, StepError, Text, Throughline, TraceContext, TraceFuture, names};
use tokio::time::Instant;

use crate::outcome::{Observed, Observer};

/// Records how resources of one kind are created, and whether they are healthy: sandboxes, virtual machines, tenants'
/// databases. Cheap to clone.
///
/// ```
/// use throughline_core::{BoxError, Throughline, TraceContext};
/// use throughline_workflow::Provisioning;
///
/// # struct Sandbox;
/// # impl Sandbox {
/// #     async fn boot() -> Result<Self, BoxError> { Ok(Self) }
/// #     async fn ping(&self) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # async fn example(throughline: Throughline, ctx: TraceContext) -> Result<(), BoxError> {
/// let sandboxes = Provisioning::new(&throughline, "sandbox");
///
/// let sandbox = sandboxes.create(&ctx, Sandbox::boot()).await??;
/// sandboxes.health_check(sandbox.ping()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Provisioning(Arc<Kind>);

struct Kind {
    event_type: Text,
    created: ByOutcome<Histogram>,
    checked: ByOutcome<Counter>,
}

/// A series for each way in which something ends.
struct ByOutcome<I> {
    success: I,
    failed: I,
    cancelled: I,
}

impl<I> ByOutcome<I> {
    fn new(series: impl Fn(&str) -> I) -> Self {
        let of = |status: Status| series(status.as_str());
        Self { success: of(Status::Success), failed: of(Status::Failed), cancelled: of(Status::Cancelled) }
    }

    fn of(&self, status: Status) -> &I {
        match status {
            Status::Success => &self.success,
            Status::Failed => &self.failed,
            _ => &self.cancelled,
        }
    }
}

impl Provisioning {
    /// Resources of one kind. `kind` is a word such as `sandbox`.
    pub fn new(throughline: &Throughline, kind: &str) -> Self {
        let meter = throughline.meter();
        let durations = meter.histogram(&catalogue::PROVISIONING_DURATION);
        let checks = meter.counter(&catalogue::RESOURCE_HEALTH_CHECKS);
        Self(Arc::new(Kind {
            event_type: format!("{}{kind}", names::PROVISION_PREFIX).into(),
            created: ByOutcome::new(|outcome| durations.with([kind, outcome])),
            checked: ByOutcome::new(|outcome| checks.with([kind, outcome])),
        }))
    }

    /// Creates a resource: a step of the run (`provision:sandbox`), whose duration is measured by its outcome. A panic counts
    /// as failed; a future that is dropped before its end counts as cancelled.
    pub fn create<F, T, E, K>(
        &self,
        ctx: &TraceContext,
        future: F,
    ) -> TraceFuture<impl Future<Output = Result<T, E>> + use<F, T, E, K>, Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let creation = Creation { kind: Arc::clone(&self.0), began: None };
        ctx.trace(self.0.event_type.clone(), Observed::new(future, creation))
    }

    /// Checks whether a resource is healthy; returns what the check says. Counted by outcome, as
    /// [`create`](Self::create) is.
    ///
    /// There are many checks, and a run that shows each of them is hard to read: they are counted, not recorded. One that
    /// matters can be [traced](TraceContext::trace) separately.
    pub fn health_check<F, T, E>(&self, check: F) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        Observed::new(check, Check { kind: Arc::clone(&self.0) })
    }
}

impl fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioning").finish_non_exhaustive()
    }
}

/// Measures the creation of a resource.
struct Creation {
    kind: Arc<Kind>,
    began: Option<Instant>,
}

impl Observer for Creation {
    fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    fn end(&mut self, status: Status) {
        let took = self.began.map(|began| began.elapsed()).unwrap_or_default();
        self.kind.created.of(status).record_duration(took);
    }
}

/// Counts a health check.
struct Check {
    kind: Arc<Kind>,
}

impl Observer for Check {
    fn end(&mut self, status: Status) {
        self.kind.checked.of(status).increment(1);
    }
}
