//! What redaction does with an event, field by field. How texts and payloads are redacted is the business of
//! [`throughline_redact`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use throughline_redact::Redactor;

use throughline_model::{Attrs, ErrorInfo, Link, Relation, Text, TraceEvent};

/// Redacts in place everything in an event that can carry text. Doing it twice changes nothing more.
///
/// Free text keeps what is around a secret; what must stay findable (`correlation_id`, `attrs`, tags) is replaced as a
/// whole, see [`Redactor::findable`]. Contexts do this themselves: this is for events that come from elsewhere, such as
/// those that are imported.
///
/// ```
/// use throughline_core::{Redaction, SpanId, Timestamp, TraceEvent, TraceId, redact_event};
///
/// let redactor = Redaction::standard().build()?;
/// let (trace_id, span_id) = (TraceId::from_key("loan-42"), SpanId::random());
/// let mut event = TraceEvent::new(trace_id, span_id, "mail:sent", Timestamp::now(), "loans");
/// event.tags = vec!["urgent".into(), "ada@example.org".into()];
/// redact_event(&redactor, &mut event);
/// assert_eq!(event.tags, ["urgent", "[redacted]"]);
/// # Ok::<(), throughline_core::RedactionError>(())
/// ```
pub fn redact_event(redactor: &Redactor, event: &mut TraceEvent) {
    own_texts(redactor, event);
    name(redactor, &mut event.event_type);
    name(redactor, &mut event.service);
    if let Some(workflow) = &mut event.workflow {
        name(redactor, workflow);
    }
    tags(redactor, &mut event.tags);
    if !event.attrs.is_empty() {
        event.attrs = attrs(redactor, &event.attrs);
    }
    if let Some(id) = &mut event.correlation_id {
        replace(id, |id| redactor.findable(None, id));
    }
}

/// As [`redact_event`], and adds up what was put in place of something, by [kind](Redactor::marks).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use throughline_core::{Redaction, SpanId, Timestamp, TraceEvent, TraceId, redact_event_counted};
///
/// let redactor = Redaction::standard().build()?;
/// let (trace_id, span_id) = (TraceId::from_key("loan-42"), SpanId::random());
/// let mut event = TraceEvent::new(trace_id, span_id, "mail:sent", Timestamp::now(), "loans");
/// event.data = serde_json::json!({ "to": "ada@example.org", "pin": 1234 }).as_object().cloned();
/// let mut counts = BTreeMap::new();
/// redact_event_counted(&redactor, &mut event, &mut counts);
/// assert_eq!(counts, BTreeMap::from([("email".to_owned(), 1), ("key".to_owned(), 1)]));
/// # Ok::<(), throughline_core::RedactionError>(())
/// ```
pub fn redact_event_counted(redactor: &Redactor, event: &mut TraceEvent, counts: &mut BTreeMap<String, u64>) {
    let before = marks(redactor, event);
    redact_event(redactor, event);
    for (kind, count) in marks(redactor, event) {
        // What is hidden as a whole may have had marks in it.
        let new = count.saturating_sub(before.get(&kind).copied().unwrap_or(0));
        if new > 0 {
            *counts.entry(kind).or_default() += new;
        }
    }
}

fn marks(redactor: &Redactor, event: &TraceEvent) -> BTreeMap<String, u64> {
    let mut marks: BTreeMap<String, u64> = BTreeMap::new();
    each_text(event, &mut |text| {
        redactor.marks(text).for_each(|kind| *marks.entry(kind.to_owned()).or_default() += 1);
    });
    marks
}

/// Visits everything in an event that can carry text.
fn each_text(event: &TraceEvent, visit: &mut dyn FnMut(&str)) {
    let texts = [
        Some(&event.event_type),
        Some(&event.service),
        event.workflow.as_ref(),
        event.correlation_id.as_ref(),
    ];
    texts.into_iter().flatten().chain(&event.tags).for_each(|text| visit(text));
    event.links.iter().for_each(|link| visit(link.rel.as_str()));
    for (key, value) in &event.attrs {
        visit(key);
        visit(value);
    }
    if let Some(ErrorInfo { kind, message, chain }) = event.error.as_deref() {
        [kind, message].into_iter().chain(chain).for_each(|text| visit(text));
    }
    // Not by recursion: a payload may be of any depth before it is redacted.
    let mut values: Vec<&Value> = Vec::new();
    for (key, value) in event.data.iter().flatten().chain(&event.extra) {
        visit(key);
        values.push(value);
    }
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) => visit(text),
            Value::Array(items) => values.extend(items),
            Value::Object(fields) => {
                for (key, value) in fields {
                    visit(key);
                    values.push(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// As [`redact_event`], without what a context has redacted once for all its events: their names, `attrs`, tags and
/// `correlation_id`.
pub(crate) fn own_texts(redactor: &Redactor, event: &mut TraceEvent) {
    // Every field is named, here and below, so that a new one does not compile until it is said here what redaction
    // does with it.
    let TraceEvent {
        error,
        data,
        links,
        extra,
        // Redacted by the caller.
        event_type: _,
        service: _,
        workflow: _,
        attrs: _,
        tags: _,
        correlation_id: _,
        // Ids, numbers, times and enumerations: no text.
        v: _,
        trace_id: _,
        span_id: _,
        seq: _,
        parent_span_id: _,
        parent_trace_id: _,
        timestamp: _,
        instance: _,
        n: _,
        status: _,
        duration_us: _,
        attempt: _,
        step_index: _,
        step_total: _,
    } = event;
    if let Some(error) = error {
        error_info(redactor, error);
    }
    if let Some(data) = data {
        redactor.payload(data);
    }
    for Link { rel, trace_id: _, span_id: _ } in links {
        if let Relation::Other(other) = rel {
            name(redactor, other);
        }
    }
    if !extra.is_empty() {
        redactor.unknown_fields(extra);
    }
}

/// Redacts a name: of an event, a service, a workflow.
#[inline]
pub(crate) fn name(redactor: &Redactor, name: &mut Text) {
    replace(name, |name| redactor.name(name));
}

/// Redacts tags.
pub(crate) fn tags(redactor: &Redactor, tags: &mut [Text]) {
    for tag in tags {
        replace(tag, |tag| redactor.findable(None, tag));
    }
}

/// Redacts an error: its type as a name, its messages as free text, which may be as long as what somebody else's
/// server answered.
pub(crate) fn error_info(redactor: &Redactor, error: &mut ErrorInfo) {
    let ErrorInfo { kind, message, chain } = error;
    name(redactor, kind);
    for message in std::iter::once(message).chain(chain) {
        replace(message, |message| redactor.message(message));
    }
}

/// Redacts attributes, keys and values. Clean ones keep sharing their allocation.
pub(crate) fn attrs(redactor: &Redactor, attrs: &Attrs) -> Attrs {
    let is_clean = |(key, value): &(Text, Text)| {
        matches!(
            (redactor.findable_key(key), redactor.findable(Some(key), value)),
            (Cow::Borrowed(_), Cow::Borrowed(_))
        )
    };
    if attrs.iter().all(is_clean) {
        return attrs.clone();
    }
    attrs
        .iter()
        .map(|(key, value)| (redactor.findable_key(key), redactor.findable(Some(key), value)))
        .collect()
}

/// Puts the redacted text in place, if it differs.
#[inline]
fn replace(text: &mut Text, redact: impl for<'t> FnOnce(&'t str) -> Cow<'t, str>) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted.into();
    }
}

#[cfg(test)]
mod tests;
