//! Recomputes each sentence of a verdict from the events that it names.

use std::collections::HashMap;

use throughline::event::TraceEvent;
use throughline::query::{Says, Statement};

use crate::scenario::Played;

/// Says which sentence does not follow from its events.
pub(crate) fn check(played: &Played) -> Result<(), String> {
    let events: HashMap<String, &TraceEvent> = played
        .query
        .spans()
        .flat_map(|span| span.events())
        .map(|event| (event.id().to_string(), event))
        .collect();
    for statement in &played.explanation.statements {
        let named: Option<Vec<&TraceEvent>> =
            statement.events.iter().map(|id| events.get(id.as_str()).copied()).collect();
        let named = named.ok_or_else(|| format!("an event of {statement:?} does not exist"))?;
        if !follows(statement, &named) {
            return Err(format!("{statement:?} does not follow from {named:#?}"));
        }
    }
    Ok(())
}

fn follows(statement: &Statement, events: &[&TraceEvent]) -> bool {
    let [first, ..] = events else { return false };
    let text = &statement.text;
    let quotes = |event: &TraceEvent| event.error.as_ref().is_none_or(|error| text.contains(&*error.message));
    let failed = |event: &TraceEvent| event.status.as_str() == "failed";
    let begins_before = |event: &TraceEvent, other: &TraceEvent| event.order() < other.order();
    match statement.says {
        Says::Symptom => (failed(first) || first.status.as_str() == "cancelled") && quotes(first),
        Says::Origin => quotes(first),
        Says::Recorded => failed(first) && text.contains(&*first.event_type),
        Says::Independent => failed(first) && failed(events[1]) && quotes(first),
        Says::HiddenFailure => first.status.as_str() == "success" && failed(events[1]),
        Says::Fallback => first.has_tag("fallback") && quotes(first),
        Says::SameErrorTolerated => failed(first) && failed(events[1]) && begins_before(first, events[1]),
        Says::CopedWith => failed(first) && quotes(first) && first.parent_span_id == Some(events[1].span_id),
        Says::EarlierAttempt => failed(first) && quotes(first),
        Says::Decision => first.has_tag("decision") && begins_before(first, events[1]),
        Says::LimitReached | Says::Missing => true,
        _ => false,
    }
}
