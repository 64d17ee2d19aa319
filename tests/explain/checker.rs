//! Recomputes each sentence of a verdict from the events that it names.

use std::collections::HashMap;

use throughline::event::TraceEvent;
use throughline::query::{Says, Statement};

/// The events that a verdict may name, by their ids.
pub(crate) type Events<'e> = HashMap<String, &'e TraceEvent>;

/// Says which sentence does not follow from its events.
pub(crate) fn check(statements: &[Statement], events: &Events<'_>) -> Result<(), String> {
    for statement in statements {
        let named: Option<Vec<&TraceEvent>> =
            statement.events.iter().map(|id| events.get(id.as_str()).copied()).collect();
        let named = named.ok_or_else(|| format!("an event of {statement:?} does not exist"))?;
        if !follows(statement, &named, events) {
            return Err(format!("{statement:?} does not follow from {named:#?}"));
        }
    }
    Ok(())
}

fn follows(statement: &Statement, events: &[&TraceEvent], all: &Events<'_>) -> bool {
    let [first, others @ ..] = events else { return false };
    let text = &statement.text;
    let quotes = |event: &TraceEvent| event.error.as_ref().is_none_or(|error| text.contains(&*error.message));
    let failed = |event: &TraceEvent| event.status.as_str() == "failed";
    let dropped = |event: &TraceEvent| event.status.as_str() == "cancelled";
    let begins_before = |event: &TraceEvent, other: &TraceEvent| event.order() < other.order();
    match statement.says {
        Says::Symptom => (failed(first) || first.status.as_str() == "cancelled") && quotes(first),
        Says::Origin if first.status.as_str() == "cancelled" => text.ends_with("was dropped first"),
        Says::Origin => quotes(first),
        Says::Recorded => failed(first) && text.contains(&*first.event_type),
        Says::SameErrorBeside => {
            failed(first)
                && failed(events[1])
                && first.error.as_ref().map(|error| &error.message)
                    == events[1].error.as_ref().map(|error| &error.message)
        }
        Says::Independent => failed(first) && failed(events[1]) && quotes(first),
        Says::HiddenFailure => {
            first.status.as_str() == "success" && (failed(events[1]) || dropped(events[1]))
        }
        Says::GivenUp => dropped(first) && first.parent_span_id == Some(events[1].span_id),
        Says::EmptyOutput => first.status.as_str() == "success" && begins_before(first, events[1]),
        Says::Fallback => first.has_tag("fallback") && quotes(first),
        Says::SameErrorTolerated => failed(first) && failed(events[1]) && begins_before(first, events[1]),
        Says::CopedWith => failed(first) && quotes(first) && first.parent_span_id == Some(events[1].span_id),
        Says::EarlierAttempt if dropped(first) => text.contains("was given up"),
        Says::EarlierAttempt if text.ends_with("in the same way each time") => {
            text.starts_with(&*first.event_type)
                && text.contains(&format!(" was tried {} times", events.len()))
                && events.iter().all(|event| failed(event) && event.event_type == first.event_type)
        }
        Says::EarlierAttempt => failed(first) && quotes(first),
        Says::Decision => first.has_tag("decision") && begins_before(first, events[1]),
        Says::LimitReached => says_of_nothing(first),
        // In each run the same went wrong.
        Says::PutUpWith => others.iter().all(|event| {
            event.trace_id != first.trace_id
                && event.status == first.status
                && event.event_type == first.event_type
                && text.starts_with(&*event.event_type)
        }),
        Says::AtWork => first.status.as_str() == "pending" && text.contains(" has been at work for "),
        Says::Missing => true,
        // Of what failed in another run this one knows whose error it ended with, and what it began.
        Says::Child => failed(first) && others.iter().all(|event| names_child(text, event)),
        Says::Process => first.status.as_str() == "pending" && text.contains(&first.instance.to_string()),
        Says::Differs => differs(text, first, others, all),
        _ => false,
    }
}

/// Whether a number in the event is zero, which is what is said of a limit.
fn says_of_nothing(event: &TraceEvent) -> bool {
    let data = serde_json::to_string(&event.data).unwrap();
    event.attrs.iter().any(|(_, value)| value == "0") || data.contains(":0")
}

/// Whether an event began a run that a text calls by its workflow and its key.
fn names_child(text: &str, event: &TraceEvent) -> bool {
    let data = event.data.as_ref().unwrap();
    let named = ["workflow", "key"].into_iter().filter_map(|field| data.get(field)?.as_str());
    event.event_type == "child:began" && named.into_iter().all(|name| text.contains(name))
}

/// What an event says of a kind of fact, behind whose name a sentence says the place.
fn recorded(kind: &str, event: &TraceEvent, pointer: &str) -> Option<String> {
    let data = || event.data.clone().map(serde_json::Value::Object);
    let value = match kind {
        "input" | "output" => data()?.get(kind)?.pointer(pointer).cloned(),
        "data" => data()?.pointer(pointer).cloned(),
        "choice" => return Some(data()?.get(kind)?.as_str()?.to_owned()),
        "tags" => return Some(event.tags.join(", ")),
        _ => None,
    };
    value.map(|value| value.to_string())
}

/// Whether an event of this run says the one thing, and those of good runs the other.
fn differs(text: &str, here: &TraceEvent, good: &[&TraceEvent], all: &Events<'_>) -> bool {
    let is_of_others = good.iter().all(|event| event.trace_id != here.trace_id);
    if let Some((name, values)) = text.split_once(' ').filter(|(_, values)| values.contains(" → ")) {
        let Some((usual, rest)) = values.split_once(" → ") else { return false };
        let Some((now, _)) = rest.split_once(" since ") else { return false };
        if let Some((place, usual)) = usual.rsplit_once(": ") {
            let pointer = place.find('/').map_or("", |at| &place[at..]);
            let says = |event: &TraceEvent| recorded(name, event, pointer);
            return is_of_others
                && says(here).as_deref() == Some(now)
                && good.iter().all(|event| says(event).as_deref() == Some(usual));
        }
        return is_of_others
            && here.attrs.get(name) == Some(now)
            && good.iter().all(|event| event.attrs.get(name) == Some(usual));
    }
    let began_as = |event: &TraceEvent, name: &str| event.seq == 0 && name.starts_with(&*event.event_type);
    let have_step = |trace: &TraceEvent, name: &str| {
        all.values().any(|event| event.trace_id == trace.trace_id && began_as(event, name))
    };
    if let Some((name, _)) = text.split_once(" is missing, which ") {
        return is_of_others && !have_step(here, name) && good.iter().all(|event| began_as(event, name));
    }
    if let Some((name, _)) = text.split_once(" succeeded in ") {
        let is_of_it = |event: &TraceEvent| name.starts_with(&*event.event_type);
        let succeeded = |event: &TraceEvent| event.status.as_str() == "success";
        return is_of_it(here)
            && !succeeded(here)
            && good.iter().all(|event| is_of_it(event) && succeeded(event));
    }
    if let Some((name, _)) = text.split_once(" is new: ") {
        return began_as(here, name) && good.iter().all(|run| !have_step(run, name));
    }
    if let Some((_, name)) = text.split_once(" good run at ") {
        return began_as(here, name);
    }
    let Some((name, times)) = text.split_once(": ") else { return false };
    let took = |event: &TraceEvent| event.duration_us.unwrap_or(u64::MAX);
    times.contains(" usually, ")
        && name.starts_with(&*here.event_type)
        && good.iter().all(|event| name.starts_with(&*event.event_type) && took(event) * 3 <= took(here))
}
