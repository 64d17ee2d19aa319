//! The keys of a feed. All are in one slot of a cluster, so that a group of events is one command to one node.

use throughline_model::TraceId;

/// What the keys of a feed begin with.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{{{prefix}}}") }
    }

    /// The hash with the feed's id and how many events were published.
    pub(crate) fn feed(&self) -> String {
        format!("{}:feed", self.prefix)
    }

    /// The stream of all events.
    pub(crate) fn all(&self) -> String {
        format!("{}:all", self.prefix)
    }

    /// The stream of one run.
    pub(crate) fn run(&self, trace: TraceId) -> String {
        format!("{}:run:{trace}", self.prefix)
    }

    /// The sorted set of roots that have begun and not ended, by when they began.
    pub(crate) fn open(&self) -> String {
        format!("{}:open", self.prefix)
    }
}
