//! A failure in the words of Sentry: an event with its trace, its breadcrumbs and a fingerprint.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sentry::Level;
use sentry::protocol::{
    Breadcrumb, Context, Event, Exception, Frame, Mechanism, SpanStatus, Stacktrace, TraceContext, User,
};
use serde_json::Value;
use throughline_core::names::{attrs, errors};
use throughline_core::{ErrorInfo, SpanId, Status, Timestamp, TraceEvent, TraceId};

use crate::recent::{Entry, Story};

/// How many breadcrumbs Sentry keeps.
const CRUMBS: usize = 100;

/// Where it failed.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) trace: Option<(TraceId, SpanId)>,
    pub(crate) parent_span_id: Option<SpanId>,
    pub(crate) service: Option<String>,
    pub(crate) workflow: Option<String>,
    pub(crate) step: Option<String>,
    /// Facts about the run and the step, by name.
    pub(crate) attrs: Vec<(String, String)>,
}

/// Something that is to be reported.
pub(crate) struct Failure {
    pub(crate) at: SystemTime,
    pub(crate) error: ErrorInfo,
    pub(crate) place: Place,
    pub(crate) story: Story,
    /// Whether code handled it, rather than that it ended a step or a task.
    pub(crate) is_handled: bool,
}

impl Failure {
    /// That of a span which has just ended.
    pub(crate) fn of_span(event: &TraceEvent, error: ErrorInfo, story: Story) -> Self {
        let mut known: Vec<(String, String)> =
            event.attrs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        known.extend(event.correlation_id.iter().map(|key| ("correlation_id".to_owned(), key.to_string())));
        known.extend(event.attempt.map(|attempt| ("attempt".to_owned(), attempt.to_string())));
        let place = Place {
            trace: Some((event.trace_id, event.span_id)),
            parent_span_id: event.parent_span_id,
            service: Some(event.service.to_string()),
            workflow: event.workflow.as_ref().map(ToString::to_string),
            step: Some(event.span_name().into_owned()),
            attrs: known,
        };
        Self { at: time(event.timestamp), error, place, story, is_handled: false }
    }

    /// What failures of one kind have in common: where they happened and the type of the error, and never its text. Where that
    /// is not known, Sentry groups as it does by default.
    pub(crate) fn fingerprint(&self) -> Vec<String> {
        let Place { service, workflow, step, .. } = &self.place;
        let around = workflow.as_ref().or(service.as_ref());
        let kind = self.error.kind.to_string();
        match around.is_none() && step.is_none() {
            true => vec!["{{ default }}".to_owned(), kind],
            false => vec![around.cloned().unwrap_or_default(), step.clone().unwrap_or_default(), kind],
        }
    }

    pub(crate) fn into_event(self, story_url: Option<&str>) -> Event<'static> {
        let fingerprint = self.fingerprint().into_iter().map(Cow::Owned).collect::<Vec<_>>();
        let Self { at, error, place, story, is_handled } = self;
        let is_panic = error.kind == errors::PANIC;
        let Place { trace, parent_span_id, service, workflow, step, attrs: known } = place;
        let attr = |name: &str| known.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let tags = [
            ("workflow", workflow.clone()),
            ("service", service.clone()),
            ("step", step.clone()),
            ("step_type", attr(attrs::STEP_TYPE).or_else(|| step_type(step.as_deref()?))),
            ("tenant", attr(attrs::TENANT)),
            ("error_type", Some(error.kind.to_string())),
        ];
        let mut contexts = BTreeMap::new();
        let mut facts: BTreeMap<String, Value> =
            known.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        if let Some((trace_id, span_id)) = trace {
            let context = TraceContext {
                trace_id: trace_id.to_bytes().into(),
                span_id: span_id.to_u64().to_be_bytes().into(),
                parent_span_id: parent_span_id.map(|parent| parent.to_u64().to_be_bytes().into()),
                op: step.as_deref().and_then(step_type),
                description: step.clone(),
                status: Some(SpanStatus::InternalError),
                ..TraceContext::default()
            };
            contexts.insert("trace".to_owned(), Context::from(context));
            facts.insert("trace_id".to_owned(), trace_id.to_string().into());
            let link = story_url.map(|base| format!("{}/{trace_id}", base.trim_end_matches('/')));
            facts.extend(link.map(|link| ("story".to_owned(), link.into())));
        }
        let path: Vec<Cow<'_, str>> = story.path.iter().map(|event| event.span_name()).collect();
        if !path.is_empty() {
            facts.insert("path".to_owned(), path.join(" > ").into());
        }
        if !facts.is_empty() {
            contexts.insert("throughline".to_owned(), Context::Other(facts));
        }
        let user =
            attr("user").or_else(|| attr("user_id")).map(|id| User { id: Some(id), ..User::default() });
        Event {
            level: if is_panic { Level::Fatal } else { Level::Error },
            fingerprint: fingerprint.into(),
            transaction: workflow.or_else(|| path.first().map(ToString::to_string)),
            logger: Some("throughline".to_owned()),
            timestamp: at,
            user,
            contexts,
            breadcrumbs: crumbs(&story, trace.map(|(_, span)| span)).into(),
            exception: exceptions(&error, step.as_deref(), is_handled).into(),
            tags: tags.into_iter().filter_map(|(key, tag)| Some((key.to_owned(), label(&tag?)?))).collect(),
            ..Event::default()
        }
    }
}

/// What comes before the colon in the name of a step: `stage`, `http`, `ai`.
fn step_type(step: &str) -> Option<String> {
    step.split_once(':').map(|(kind, _)| kind.to_owned())
}

/// A text that Sentry takes as a tag: one line, 200 characters at most.
fn label(text: &str) -> Option<String> {
    let label: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(200).collect();
    (!label.is_empty()).then_some(label)
}

/// The innermost error first, as Sentry has it.
fn exceptions(error: &ErrorInfo, step: Option<&str>, is_handled: bool) -> Vec<Exception> {
    let (message, place) = error.message_and_place();
    let sources = error.chain.iter().rev().map(|message| Exception {
        // Only the texts of sources are known.
        ty: "source".to_owned(),
        value: Some(message.to_string()),
        ..Exception::default()
    });
    let frame = place.map(|(file, line)| Frame {
        filename: Some(file.to_owned()),
        lineno: Some(line.into()),
        function: step.map(str::to_owned),
        in_app: Some(true),
        ..Frame::default()
    });
    let mechanism = Mechanism {
        ty: if error.kind == errors::PANIC { "panic" } else { "generic" }.to_owned(),
        handled: Some(is_handled),
        ..Mechanism::default()
    };
    let own = Exception {
        ty: error.kind.to_string(),
        value: Some(message.to_owned()),
        stacktrace: frame.map(|frame| Stacktrace { frames: vec![frame], ..Stacktrace::default() }),
        mechanism: Some(mechanism),
        ..Exception::default()
    };
    sources.chain([own]).collect()
}

/// The path from the root to what failed, and what happened around it, in the order in which it happened. The end of the
/// span that failed is the event itself.
fn crumbs(story: &Story, failed: Option<SpanId>) -> Vec<Breadcrumb> {
    let kept = story.entries.iter().filter_map(|entry| match entry {
        Entry::Event(event) => Some(event),
        Entry::Log(_) => None,
    });
    let kept: std::collections::HashSet<_> = kept.map(|event| event.id()).collect();
    let is_own_end = |event: &TraceEvent| Some(event.span_id) == failed && event.status == Status::Failed;
    let forgotten = story.path.iter().filter(|event| !kept.contains(&event.id()));
    let forgotten = forgotten.filter(|event| !is_own_end(event)).map(crumb);
    let recent = story.entries.iter().filter_map(|entry| match entry {
        Entry::Event(event) => (!is_own_end(event)).then(|| crumb(event)),
        Entry::Log(line) => Some((**line).clone()),
    });
    let mut crumbs: Vec<_> = forgotten.chain(recent).collect();
    crumbs.sort_by_key(|crumb| crumb.timestamp);
    crumbs.split_off(crumbs.len().saturating_sub(CRUMBS))
}

fn crumb(event: &Arc<TraceEvent>) -> Breadcrumb {
    let took = event.duration_us.map(|us| format!(" after {:?}", Duration::from_micros(us)));
    let took = took.unwrap_or_default();
    let (level, what) = match event.status {
        Status::Pending => (Level::Info, "started".to_owned()),
        Status::Success if event.duration_us.is_some() => (Level::Info, format!("succeeded{took}")),
        Status::Success => (Level::Info, "happened".to_owned()),
        Status::Failed => (Level::Error, format!("failed{took}")),
        Status::Cancelled => (Level::Warning, format!("cancelled{took}")),
    };
    let why = event.error.as_deref().map(|error| format!(": {}: {}", error.kind, error.message));
    Breadcrumb {
        timestamp: time(event.timestamp),
        category: Some(event.span_name().into_owned()),
        level,
        message: Some(what + &why.unwrap_or_default()),
        ..Breadcrumb::default()
    }
}

pub(crate) fn time(timestamp: Timestamp) -> SystemTime {
    let micros = u64::try_from(timestamp.as_micros()).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}
