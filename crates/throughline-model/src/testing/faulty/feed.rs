//! [`FaultyFeed`], a feed that fails on demand.

use std::fmt;
use std::sync::Arc;

use super::CallFaults;
use crate::{AppendError, BoxFuture, FeedConfig, Instance, LiveFeed, OpenError, TraceEvent, TraceStream};

/// Wraps a feed that fails when its [`FeedFaults`] say so. Who watches it sees what was published.
///
/// ```
/// use throughline_model::FeedConfig;
/// use throughline_model::testing::FaultyFeed;
///
/// # fn example(feed: impl FeedConfig) {
/// let feed = FaultyFeed::around(feed);
/// let faults = feed.faults();
/// faults.publish().hold();
/// // Hand `feed` to the emitter, let the workflow run, and then:
/// assert_eq!(faults.publish().attempts(), 0);
/// # }
/// ```
pub struct FaultyFeed {
    inner: Box<dyn FeedConfig>,
    faults: FeedFaults,
}

impl FaultyFeed {
    /// Wraps a feed, which works as it does until a fault is planned.
    pub fn around(feed: impl FeedConfig) -> Self {
        let faults = FeedFaults { open: CallFaults::new(), publish: CallFaults::new() };
        Self { inner: Box::new(feed), faults }
    }

    /// The handle that says when to fail.
    pub fn faults(&self) -> FeedFaults {
        self.faults.clone()
    }
}

impl fmt::Debug for FaultyFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFeed").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl FeedConfig for FaultyFeed {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let (inner, faults) = (self.inner.open(instance), self.faults.clone());
        Box::pin(async move {
            let inner = faults.open.meet(inner).await?;
            Ok(Arc::new(OpenFaultyFeed { inner, faults }) as Arc<dyn LiveFeed>)
        })
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        self.inner.open_stream()
    }
}

/// Says when a [`FaultyFeed`] fails, and counts its calls. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct FeedFaults {
    open: CallFaults<OpenError>,
    publish: CallFaults,
}

impl FeedFaults {
    /// What [`FeedConfig::open`] meets.
    pub fn open(&self) -> &CallFaults<OpenError> {
        &self.open
    }

    /// What [`LiveFeed::publish`] meets.
    pub fn publish(&self) -> &CallFaults {
        &self.publish
    }
}

struct OpenFaultyFeed {
    inner: Arc<dyn LiveFeed>,
    faults: FeedFaults,
}

impl LiveFeed for OpenFaultyFeed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(self.faults.publish.meet(self.inner.publish(events)))
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        self.inner.stream()
    }
}
