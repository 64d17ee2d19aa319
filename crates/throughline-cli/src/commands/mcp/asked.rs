//! What the tools are asked: their parameters, which are those of the commands of the same kind.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::{RunState, SpanId, Status, Timestamp};

use super::answer::{FEWEST, MAX_TOKENS, MOST};
use super::resources;
use crate::args::{EventFilter, RunFilter, ScopeArgs, parse_duration, parse_moment};

/// Why a question can't be answered as it is: what is wrong, and what is right.
pub(super) type Wrong = String;

/// The state of a run.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Running,
    Interrupted,
    Unfinished,
    Succeeded,
    Failed,
    Cancelled,
}

/// The status of an event.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EventStatus {
    Pending,
    Success,
    Failed,
    Cancelled,
}

/// Of `find_runs`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Runs {
    /// Started at this moment or later: 24h or 7d (ago), 2026-01-01, 2026-01-01T09:30:00Z
    since: Option<String>,
    /// Started before this moment
    until: Option<String>,
    /// In one of these states; all by default
    state: Vec<State>,
    /// Of this workflow
    workflow: Option<String>,
    /// Of this service
    service: Option<String>,
    /// With this business key
    key: Option<String>,
    /// With an event of this type, or of all types with a prefix: stage:*
    event_type: Option<String>,
    /// With an event of one of these statuses; together with event_type and tags it is one event that has all
    event_status: Vec<EventStatus>,
    /// With an event that carries all of these tags
    tags: Vec<String>,
    /// With these attributes, such as {"tenant": "acme"}
    attributes: BTreeMap<String, String>,
    /// Leave out HTTP requests that ran no workflow
    pub(super) no_http: bool,
    /// At most so many runs; 20 by default
    #[schemars(range(min = 1))]
    pub(super) limit: Option<usize>,
    /// Continue after this cursor, which the previous page ended with
    pub(super) after: Option<String>,
}

/// Of tools about one run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRun {
    /// The run: its id, the beginning of its id, its key, or the id of the request that caused it
    pub(super) run: String,
}

/// Of `show_run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartOfRun {
    /// The run: its id, the beginning of its id, its key, or the id of the request that caused it
    pub(super) run: String,
    /// Only this span and what is inside it: an id of 16 hex digits; the whole run by default
    #[serde(default)]
    span: Option<String>,
    /// Only the spans directly inside it that come after this one: to see more of a long list
    #[serde(default)]
    after: Option<String>,
}

/// Of `show_span`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanOfRun {
    /// The run: its id, the beginning of its id, its key, or the id of the request that caused it
    pub(super) run: String,
    /// The span: an id of 16 hex digits, as show_run has it
    span: String,
}

/// Of `decisions`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Decisions {
    /// The run; if it is left out, the choices of all runs are compared
    pub(super) run: Option<String>,
    /// Without a run: of runs that started at this moment or later: 24h or 7d (ago), 2026-01-01
    since: Option<String>,
    /// Without a run: of runs that started before this moment
    until: Option<String>,
    /// Without a run: of this workflow
    workflow: Option<String>,
}

/// Of `running` and `safe_to_deploy`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Open {
    /// A run is stuck if nothing has happened in it for this long, such as 10m, which is the default
    stuck_after: Option<String>,
    /// At most so many runs; 50 by default
    #[schemars(range(min = 1))]
    pub(super) limit: Option<usize>,
    /// Continue after this cursor, which the previous page ended with
    pub(super) after: Option<String>,
}

/// Of `stats`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stats {
    /// Of runs that started at this moment or later: 24h or 7d (ago), 2026-01-01, 2026-01-01T09:30:00Z
    since: Option<String>,
    /// Of runs that started before this moment
    until: Option<String>,
    /// Of this workflow
    workflow: Option<String>,
    /// At most so many rows in each table; 10 by default
    #[schemars(range(min = 1))]
    pub(super) limit: Option<usize>,
}

/// Of `diff` and `first_divergence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TwoRuns {
    /// The run: its id, the beginning of its id, its key, or the id of the request that caused it
    pub(super) run: String,
    /// The run to compare it with; by default the last good run of its workflow
    #[serde(default)]
    pub(super) with: Option<String>,
}

impl Runs {
    /// Whether runs are looked for by what not everybody may see.
    pub(super) fn is_by_attribute_or_tag(&self) -> bool {
        !self.tags.is_empty() || !self.attributes.is_empty()
    }

    pub(super) fn filter(&self) -> Result<RunFilter, Wrong> {
        let state = |state: &State| match state {
            State::Running => RunState::Running,
            State::Interrupted => RunState::Interrupted,
            State::Unfinished => RunState::Unfinished,
            State::Succeeded => RunState::Succeeded,
            State::Failed => RunState::Failed,
            State::Cancelled => RunState::Cancelled,
        };
        let status = |status: &EventStatus| match status {
            EventStatus::Pending => Status::Pending,
            EventStatus::Success => Status::Success,
            EventStatus::Failed => Status::Failed,
            EventStatus::Cancelled => Status::Cancelled,
        };
        Ok(RunFilter {
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
            failed: false,
            state: self.state.iter().map(state).collect(),
            events: EventFilter {
                event_type: self.event_type.clone(),
                status: self.event_status.iter().map(status).collect(),
                tag: self.tags.clone(),
                attr: self.attributes.clone().into_iter().collect(),
                workflow: self.workflow.clone(),
                key: self.key.clone(),
                service: self.service.clone(),
            },
        })
    }
}

impl PartOfRun {
    pub(super) fn span(&self) -> Result<Option<SpanId>, Wrong> {
        self.span.as_deref().map(|id| span("span", id)).transpose()
    }

    pub(super) fn after(&self) -> Result<Option<SpanId>, Wrong> {
        self.after.as_deref().map(|id| span("after", id)).transpose()
    }
}

impl SpanOfRun {
    pub(super) fn span(&self) -> Result<SpanId, Wrong> {
        span("span", &self.span)
    }
}

impl Decisions {
    pub(super) fn scope(&self) -> Result<ScopeArgs, Wrong> {
        scope(self.since.as_deref(), self.until.as_deref(), self.workflow.as_ref())
    }
}

impl Stats {
    pub(super) fn scope(&self) -> Result<ScopeArgs, Wrong> {
        scope(self.since.as_deref(), self.until.as_deref(), self.workflow.as_ref())
    }
}

impl Open {
    pub(super) fn stuck_after(&self) -> Result<Duration, Wrong> {
        let text = self.stuck_after.as_deref().unwrap_or("10m");
        parse_duration(text).map_err(|error| format!("stuck_after: {error}"))
    }
}

fn scope(since: Option<&str>, until: Option<&str>, workflow: Option<&String>) -> Result<ScopeArgs, Wrong> {
    Ok(ScopeArgs {
        since: moment("since", since)?,
        until: moment("until", until)?,
        workflow: workflow.cloned(),
    })
}

fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Wrong> {
    text.map(parse_moment).transpose().map_err(|error| format!("{name}: {error}"))
}

fn span(name: &str, id: &str) -> Result<SpanId, Wrong> {
    let named = resources::span_of(id);
    named
        .as_deref()
        .unwrap_or(id)
        .parse()
        .map_err(|_| format!("{name}: expected the id of a span, 16 hex digits; show_run has them"))
}

/// A number of rows, of which there has to be one.
pub(super) fn limit(limit: Option<usize>, usual: usize) -> Result<usize, Wrong> {
    match limit {
        Some(0) => Err("limit: expected a number of at least 1".into()),
        limit => Ok(limit.unwrap_or(usual)),
    }
}

/// Takes the number of tokens that an answer may have out of what a tool was asked.
pub(super) fn max_tokens(arguments: &mut serde_json::Map<String, serde_json::Value>) -> Result<usize, Wrong> {
    let Some(asked) = arguments.remove("max_tokens") else { return Ok(MAX_TOKENS) };
    let asked = asked.as_u64().and_then(|tokens| usize::try_from(tokens).ok());
    asked.filter(|tokens| (FEWEST..=MOST).contains(tokens)).ok_or_else(|| {
        format!("max_tokens: expected a number from {FEWEST} to {MOST}; without it, {MAX_TOKENS}")
    })
}
