//! [`Filter`]: which events or runs to find.

use crate::{Attrs, RunState, Scope, Status, Text, TraceEvent};

/// Which events or runs to find; everything that is set must hold. The default matches all.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// When, and of which workflow.
    pub scope: Scope,
    /// One of these, if any are named.
    pub statuses: Vec<Status>,
    /// The type of the event.
    pub event_type: Option<TypeMatch>,
    /// All of these.
    pub tags: Vec<Text>,
    /// All of these.
    pub attrs: Attrs,
    /// The business key.
    pub correlation_id: Option<Text>,
    /// The service that emitted it.
    pub service: Option<Text>,
    /// Of runs: one of these is how they ended, if any are named; see [`RunState::outcome`]. Of events it says nothing.
    pub outcomes: Vec<Status>,
}

/// How an event type is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeMatch {
    /// It is this.
    Exact(Text),
    /// It begins with this.
    Prefix(Text),
}

impl TypeMatch {
    /// Reads `stage:*` as a prefix and anything else as the exact type.
    pub fn parse(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned().into()),
            None => Self::Exact(pattern.to_owned().into()),
        }
    }

    /// Whether an event type matches.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

impl Filter {
    /// Matches everything.
    pub fn new() -> Self {
        Self::default()
    }
    /// Within this time and workflow: of an event its own, of a run those of its summary.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
    /// With this status; if called several times, with any of them.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }
    /// Of this type, or of all types with a prefix: `stage:*`.
    #[must_use]
    pub fn event_type(mut self, pattern: &str) -> Self {
        self.event_type = Some(TypeMatch::parse(pattern));
        self
    }
    /// With this tag; if called several times, with all of them.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.tags.push(tag.into());
        self
    }
    /// With this attribute; if called several times, with all of them.
    #[must_use]
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.attrs = self.attrs.with(key, value);
        self
    }
    /// Of the run with this business key.
    #[must_use]
    pub fn correlation_id(mut self, key: impl Into<Text>) -> Self {
        self.correlation_id = Some(key.into());
        self
    }
    /// Of this service.
    #[must_use]
    pub fn service(mut self, service: impl Into<Text>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Runs that ended so, or have not ended: [`Status::Pending`]. If called several times, any of these.
    #[must_use]
    pub fn outcome(mut self, outcome: Status) -> Self {
        self.outcomes.push(outcome);
        self
    }

    /// Runs in one of these states, as far as stores keep them: of runs that have not ended, a store finds all.
    #[must_use]
    pub fn states(mut self, states: &[RunState]) -> Self {
        for outcome in states.iter().map(|state| state.outcome()) {
            if !self.outcomes.contains(&outcome) {
                self.outcomes.push(outcome);
            }
        }
        self
    }

    /// Whether a run that is in this state may match.
    pub fn matches_state(&self, state: RunState) -> bool {
        self.outcomes.is_empty() || self.outcomes.contains(&state.outcome())
    }

    /// Whether an event matches.
    pub fn matches(&self, event: &TraceEvent) -> bool {
        self.scope.contains(event.timestamp, event.workflow.as_ref())
            && self.matches_kind(event)
            && self.attrs.iter().all(|(key, value)| event.attrs.get(key) == Some(value))
            && same(&self.correlation_id, &event.correlation_id)
            && self.service.as_ref().is_none_or(|service| *service == event.service)
    }

    /// Whether an event matches by status, type and tags: the part of a filter that one event of a run must meet.
    pub fn matches_kind(&self, event: &TraceEvent) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&event.status))
            && self.event_type.as_ref().is_none_or(|wanted| wanted.matches(&event.event_type))
            && self.tags.iter().all(|tag| event.has_tag(tag))
    }
}

fn same(wanted: &Option<Text>, found: &Option<Text>) -> bool {
    wanted.is_none() || wanted == found
}
