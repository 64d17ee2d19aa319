//! Which runs and events a command is about.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use throughline_core::{Attrs, Filter, RunState, Scope, Status, Timestamp};

use super::moment::parse_moment;
use crate::store::{Pseudonyms, Store};

/// Which events.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct EventFilter {
    /// With an event of this type, or of any type with this prefix: 'stage:*'
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// With an event of this status; repeat to allow several
    #[arg(long, value_name = "STATUS", value_parser = one_of(&STATUSES, Status::as_str))]
    pub(crate) status: Vec<Status>,
    /// With an event that carries this tag; repeat to require several
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// With this attribute; repeat to require several
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_attr)]
    pub(crate) attr: Vec<(String, String)>,
    /// Of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// With this business key (correlation id)
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Of this service
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
}

/// Which runs. Type, status and tag must be met by one event of the run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct RunFilter {
    /// Started at this moment or later: 24h, 7d, 2026-01-01
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) since: Option<Timestamp>,
    /// Started before this moment
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) until: Option<Timestamp>,
    /// Ended in failure: same as --state failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// In this state; repeat to allow several
    #[arg(long, value_name = "STATE", value_parser = one_of(&STATES, RunState::as_str))]
    pub(crate) state: Vec<RunState>,
    #[command(flatten)]
    pub(crate) events: EventFilter,
}

/// Which runs a question across runs is about.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct ScopeArgs {
    /// Started at this moment or later: 24h, 7d, 2026-01-01
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) since: Option<Timestamp>,
    /// Started before this moment
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of this workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
}

impl EventFilter {
    /// The filter as stores know it.
    pub(crate) fn to_filter(&self, pseudonyms: &Pseudonyms) -> Filter {
        let mut filter = Filter::new();
        if let Some(pattern) = &self.event_type {
            filter = filter.event_type(pattern);
        }
        filter.statuses.clone_from(&self.status);
        filter.tags = self.tag.iter().map(|tag| pseudonyms.findable(None, tag).into()).collect();
        filter.attrs = self
            .attr
            .iter()
            .fold(Attrs::new(), |attrs, (key, value)| attrs.with(key, pseudonyms.findable(Some(key), value)));
        filter.scope.workflow = self.workflow.as_ref().map(Into::into);
        filter.correlation_id = self.key.as_ref().map(|key| pseudonyms.findable(None, key).into());
        filter.service = self.service.as_ref().map(Into::into);
        filter
    }
}

impl RunFilter {
    /// The filter as stores know it. Stores know how runs ended, but of those that have not ended, not whether their process
    /// lives; see [`wants`](Self::wants).
    pub(crate) fn to_filter(&self, store: &Store) -> Filter {
        let mut filter = self.events.to_filter(store.pseudonyms());
        filter.scope.since = self.since;
        filter.scope.until = self.until;
        filter.states(&self.states())
    }

    /// Whether a run is in one of the states that are asked for.
    pub(crate) fn wants(&self, state: RunState) -> bool {
        let states = self.states();
        states.is_empty() || states.contains(&state)
    }

    /// Whether anything at all is asked for, so that "nothing found" is not "nothing there".
    pub(crate) fn is_any(&self, store: &Store) -> bool {
        self.to_filter(store) == Filter::new() && self.states().is_empty()
    }

    fn states(&self) -> Vec<RunState> {
        self.state.iter().copied().chain(self.failed.then_some(RunState::Failed)).collect()
    }
}

impl ScopeArgs {
    /// The scope as stores know it.
    pub(crate) fn to_scope(&self) -> Scope {
        let mut scope = Scope::all();
        scope.since = self.since;
        scope.until = self.until;
        scope.workflow = self.workflow.as_ref().map(Into::into);
        scope
    }

    /// Whether all runs are meant.
    pub(crate) fn is_all(&self) -> bool {
        self.to_scope() == Scope::all()
    }
}

fn parse_attr(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected KEY=VALUE, as in tenant=acme".into()),
    }
}

const STATUSES: [Status; 4] = [Status::Pending, Status::Success, Status::Failed, Status::Cancelled];
const STATES: [RunState; 6] = [
    RunState::Running,
    RunState::Interrupted,
    RunState::Unfinished,
    RunState::Succeeded,
    RunState::Failed,
    RunState::Cancelled,
];

/// Reads one of these by its name. Help and completions know the names.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: impl Fn(T) -> &'static str + Copy + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    let unknown = |text: String| format!("`{text}` is not one of these");
    PossibleValuesParser::new(all.iter().map(move |one| name(*one)))
        .try_map(move |text| all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| unknown(text)))
}
