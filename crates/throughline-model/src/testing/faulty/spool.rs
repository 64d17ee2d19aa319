//! [`FaultySpool`], a spool that fails on demand.

use std::fmt;
use std::sync::Arc;

use super::CallFaults;
use crate::{
    AppendError, BoxFuture, Instance, OpenError, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled,
    TraceEvent,
};

/// Wraps a spool that fails when its [`SpoolFaults`] say so.
///
/// ```
/// use throughline_model::testing::{FaultySpool, MemorySpool};
///
/// let spool = FaultySpool::around(MemorySpool::new());
/// let faults = spool.faults();
/// faults.remove_through().lose_next(1);
/// // Hand `spool` to the emitter, let the workflow run, and then:
/// assert_eq!(faults.push().attempts(), 0);
/// ```
pub struct FaultySpool {
    inner: Box<dyn SpoolConfig>,
    faults: SpoolFaults,
}

impl FaultySpool {
    /// Wraps a spool, which works as it does until a fault is planned.
    pub fn around(spool: impl SpoolConfig) -> Self {
        let faults = SpoolFaults {
            open: CallFaults::new(),
            push: CallFaults::new(),
            peek: CallFaults::new(),
            remove_through: CallFaults::new(),
            set_aside: CallFaults::new(),
        };
        Self { inner: Box::new(spool), faults }
    }

    /// The handle that says when to fail.
    pub fn faults(&self) -> SpoolFaults {
        self.faults.clone()
    }
}

impl fmt::Debug for FaultySpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySpool").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl SpoolConfig for FaultySpool {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        let (inner, faults) = (self.inner.open(instance), self.faults.clone());
        Box::pin(async move {
            let inner = faults.open.meet(inner).await?;
            Ok(Arc::new(OpenFaultySpool { inner, faults }) as Arc<dyn Spool>)
        })
    }
}

/// Says when a [`FaultySpool`] fails, and counts its calls. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct SpoolFaults {
    open: CallFaults<OpenError>,
    push: CallFaults,
    peek: CallFaults,
    remove_through: CallFaults,
    set_aside: CallFaults,
}

impl SpoolFaults {
    /// What [`SpoolConfig::open`] meets.
    pub fn open(&self) -> &CallFaults<OpenError> {
        &self.open
    }

    /// What [`Spool::push`] meets.
    pub fn push(&self) -> &CallFaults {
        &self.push
    }

    /// What [`Spool::peek`] meets.
    pub fn peek(&self) -> &CallFaults {
        &self.peek
    }

    /// What [`Spool::remove_through`] meets.
    pub fn remove_through(&self) -> &CallFaults {
        &self.remove_through
    }

    /// What [`Spool::set_aside`] meets.
    pub fn set_aside(&self) -> &CallFaults {
        &self.set_aside
    }
}

struct OpenFaultySpool {
    inner: Arc<dyn Spool>,
    faults: SpoolFaults,
}

impl Spool for OpenFaultySpool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(self.faults.push.meet(self.inner.push(events)))
    }

    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>> {
        Box::pin(self.faults.peek.meet(self.inner.peek(limit)))
    }

    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.faults.remove_through.meet(self.inner.remove_through(position)))
    }

    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(self.faults.set_aside.meet(self.inner.set_aside(position, reason)))
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>> {
        self.inner.usage()
    }

    fn reader(&self) -> Arc<dyn SpoolReader> {
        self.inner.reader()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.close()
    }
}
