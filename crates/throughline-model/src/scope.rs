//! [`Scope`]: when, and of which workflow.

use crate::{Text, Timestamp};

/// The scope of a query across runs. Queries about runs use the start and the workflow of the run's summary; queries about
/// events (rates by type, stages, spans) use those of each event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// Started at this moment or later.
    pub since: Option<Timestamp>,
    /// Started before this moment.
    pub until: Option<Timestamp>,
    /// Of this workflow.
    pub workflow: Option<Text>,
}

impl Scope {
    /// All runs.
    pub fn all() -> Self {
        Self::default()
    }
    /// At this moment or later.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }
    /// Before this moment.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }
    /// Of this workflow.
    #[must_use]
    pub fn workflow(mut self, workflow: impl Into<Text>) -> Self {
        self.workflow = Some(workflow.into());
        self
    }

    /// Whether it contains a moment and a workflow.
    pub fn contains(&self, moment: Timestamp, workflow: Option<&Text>) -> bool {
        self.since.is_none_or(|since| moment >= since)
            && self.until.is_none_or(|until| moment < until)
            && self.workflow.as_ref().is_none_or(|wanted| Some(wanted) == workflow)
    }
}
