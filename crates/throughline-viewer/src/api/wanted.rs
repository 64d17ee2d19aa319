//! [`Wanted`], what a request asks for.

use throughline_core::names::data;
use throughline_core::{
    Cursor, Filter, RunState, RunSummary, Scope, Timestamp, TraceEvent, TraceId, TypeMatch, Veil,
};

use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// How many runs a page has, unless somebody asks for more or fewer, and at most.
const LIMIT: usize = 50;
const MOST: usize = 200;

/// What a filter of runs consists of.
macro_rules! filters {
    ($($more:literal),*) => {
        &[
            "since", "until", "workflow", "service", "key", "type", "tag", "attr", "choice", "cause", "error", "q"
            $(, $more)*
        ]
    };
}

/// Which runs a request is about.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// These runs, whatever else is asked.
    pub(crate) ids: Vec<TraceId>,
    pub(crate) states: Vec<RunState>,
    pub(crate) view: Option<View>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) workflow: Option<String>,
    service: Option<String>,
    key: Option<String>,
    event_type: Option<String>,
    tags: Vec<String>,
    attrs: Vec<(String, String)>,
    /// What was chosen in a decision.
    choice: Option<String>,
    /// The type of the event that a run failed because of, and of its error.
    cause: Option<String>,
    error: Option<String>,
    /// What any text of a run is to contain, in upper or lower case.
    pub(crate) text: Option<String>,
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
}

/// What no filter of a store finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Runs in which nothing has happened for a while.
    Stuck,
    /// Runs that left behind what nobody undid.
    Orphaned,
}

impl Wanted {
    /// What the filters of a list and of its counts are.
    pub(crate) const FILTERS: &[&str] = filters!();
    /// What a list takes.
    pub(crate) const LIST: &[&str] = filters!("id", "state", "view", "after", "limit");

    /// What these parameters ask for, to somebody with this access; all have to be among those that are known.
    pub(crate) fn of(parameters: Parameters, access: Access, known: &[&str]) -> Result<Self, Problem> {
        let mut wanted = Self { limit: LIMIT, ..Self::default() };
        for (name, value) in parameters.only(known)? {
            match name.as_str() {
                "id" => wanted.ids = ids(&value)?,
                "state" => wanted.states = value.split(',').map(state).collect::<Result<_, _>>()?,
                "view" => wanted.view = Some(view(&value)?),
                "since" => wanted.since = Some(moment(&name, &value)?),
                "until" => wanted.until = Some(moment(&name, &value)?),
                "workflow" => wanted.workflow = Some(value),
                "service" => wanted.service = Some(value),
                "key" => wanted.key = Some(value),
                "type" => wanted.event_type = Some(value),
                // Otherwise who may not see them could try out their values.
                "attr" | "tag" if access != Access::All => {
                    return Err(Problem::forbidden(
                        "you may not see attributes and tags, nor search for them",
                    ));
                }
                "choice" if access != Access::All => {
                    return Err(Problem::forbidden("you may not see choices, nor search for them"));
                }
                "choice" => wanted.choice = Some(value),
                "tag" => wanted.tags.push(value),
                "attr" => wanted.attrs.push(attr(&value)?),
                "cause" => wanted.cause = Some(value),
                "error" => wanted.error = Some(value),
                "q" => wanted.text = Some(value),
                "after" => wanted.after = Some(Cursor::new(value)),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    wanted.limit = limit.ok_or_else(|| {
                        Problem::bad_request(format!("`limit` is a number from 1 to {MOST}"))
                    })?;
                }
                // What is left is known, and says nothing of runs.
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// When, and of which workflow.
    pub(crate) fn scope(&self) -> Scope {
        let mut scope = Scope::all();
        (scope.since, scope.until) = (self.since, self.until);
        scope.workflow = self.workflow.as_deref().map(|workflow| workflow.to_owned().into());
        scope
    }

    /// The filter as stores know it. Stores know how runs ended, but of those that have not ended, not whether their process
    /// lives.
    pub(crate) fn filter(&self, veil: &Veil) -> Filter {
        let mut filter = Filter::new().scope(self.scope());
        // What a run failed because of is an event of it, of which stores know the type.
        match (&self.event_type, &self.cause) {
            (Some(pattern), _) => filter = filter.event_type(pattern),
            (None, Some(cause)) => filter.event_type = Some(TypeMatch::Exact(cause.clone().into())),
            (None, None) => {}
        }
        for tag in &self.tags {
            filter = filter.tag(veil.findable(None, tag).into_owned());
        }
        for (key, value) in &self.attrs {
            filter = filter.attr(key.clone(), veil.findable(Some(key), value).into_owned());
        }
        if let Some(key) = &self.key {
            filter = filter.correlation_id(veil.findable(None, key).into_owned());
        }
        if let Some(service) = &self.service {
            filter = filter.service(service.clone());
        }
        filter.states(&self.states)
    }

    /// Whether it is about runs of a time and a workflow, whatever else is in them: what stores count.
    pub(crate) fn is_scope(&self) -> bool {
        let of_runs = [&self.service, &self.key, &self.text, &self.cause, &self.error];
        of_runs.iter().all(|wanted| wanted.is_none()) && !self.asks_for_events()
    }

    /// Whether the events of a run have to be read to know whether it is wanted.
    pub(crate) fn asks_for_events(&self) -> bool {
        self.event_type.is_some()
            || self.cause.is_some()
            || !self.tags.is_empty()
            || !self.attrs.is_empty()
            || self.asks_for_a_choice()
    }

    /// Whether what a run failed because of has to be known to know whether it is wanted.
    pub(crate) fn asks_why(&self) -> bool {
        self.cause.is_some() || self.error.is_some() || self.text.is_some()
    }

    /// Whether it is about runs in which something was chosen, which no filter of a store finds.
    pub(crate) fn asks_for_a_choice(&self) -> bool {
        self.choice.is_some()
    }

    /// Whether one of the events, all of a run, is a decision of the type that is asked for with the choice that is asked for.
    pub(crate) fn has_choice<'e>(&self, events: impl IntoIterator<Item = &'e TraceEvent>) -> bool {
        let Some(choice) = &self.choice else { return true };
        let of_type = self.event_type.as_deref().map(TypeMatch::parse);
        events.into_iter().any(|event| {
            of_type.as_ref().is_none_or(|of_type| of_type.matches(&event.event_type))
                && event.data.as_ref().and_then(|data| data.get(data::CHOICE)?.as_str()) == Some(choice)
        })
    }

    /// Whether a run is in one of the states that are asked for, failed because of what is asked for, and has the text in it.
    pub(crate) fn wants(&self, run: &RunSummary) -> bool {
        (self.states.is_empty() || self.states.contains(&run.state))
            && self.has_cause(run)
            && self.text.as_ref().is_none_or(|text| has_text(run, &text.to_lowercase()))
    }

    /// Whether a run counts where it is counted what runs failed because of, as
    /// [hot spots](throughline_core::TraceAnalytics::hot_spots) are.
    fn has_cause(&self, run: &RunSummary) -> bool {
        if self.cause.is_none() && self.error.is_none() {
            return true;
        }
        let failure = run.cause.as_ref().or(run.first_failure.as_ref());
        failure.filter(|_| run.state == RunState::Failed).is_some_and(|failure| {
            let error = failure.error.as_ref().map(|error| error.kind.as_str());
            self.cause.as_deref().is_none_or(|cause| *failure.event_type == *cause)
                && self.error.as_deref().is_none_or(|wanted| Some(wanted) == error)
        })
    }
}

/// Whether what a list shows of a run contains a text, which is in lower case.
fn has_text(run: &RunSummary, text: &str) -> bool {
    let failures = run.cause.iter().chain(&run.first_failure);
    let errors = failures.clone().filter_map(|failure| failure.error.as_ref());
    let texts = [run.correlation_id.as_ref(), run.workflow.as_ref(), Some(&run.service)];
    texts
        .into_iter()
        .flatten()
        .chain(run.root.iter().map(|root| &root.name))
        .chain(failures.map(|failure| &failure.name))
        .chain(errors.flat_map(|error| [&error.kind, &error.message]))
        .any(|found| found.to_lowercase().contains(text))
        || run.trace_id.to_string().starts_with(text)
}

fn ids(text: &str) -> Result<Vec<TraceId>, Problem> {
    let ids: Option<Vec<TraceId>> = text.split(',').map(|id| id.parse().ok()).collect();
    ids.filter(|ids| ids.len() <= MOST).ok_or_else(|| {
        Problem::bad_request(format!("`id` is up to {MOST} ids of runs, each of 32 hex digits, with commas"))
    })
}

fn state(name: &str) -> Result<RunState, Problem> {
    const STATES: [RunState; 6] = [
        RunState::Running,
        RunState::Interrupted,
        RunState::Unfinished,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
    ];
    STATES.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
        Problem::bad_request(
            "`state` is one or more of running, interrupted, unfinished, succeeded, failed and cancelled, with commas",
        )
    })
}

fn view(name: &str) -> Result<View, Problem> {
    match name {
        "stuck" => Ok(View::Stuck),
        "orphaned" => Ok(View::Orphaned),
        _ => Err(Problem::bad_request("`view` is stuck or orphaned")),
    }
}

fn moment(name: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request(format!("`{name}` is a time such as 2026-11-29T02:10:00Z, not what was sent"))
    })
}

fn attr(text: &str) -> Result<(String, String), Problem> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Problem::bad_request("`attr` is a name and a value, as in tenant=acme")),
    }
}
