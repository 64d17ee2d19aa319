//! Takes out of events who and where it was: keys, tenants, hosts, users, and whatever else an attribute says that is not
//! technical. The same value is the same pseudonym everywhere, also in another export of the same store.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Map, Value};
use throughline_core::names::attrs;
use throughline_core::{Attrs, Redactor, Text, TraceEvent};

use crate::error::CliError;

/// Attributes that say what happened, and not to whom or where.
const TECHNICAL: &[&str] = &[
    attrs::SAGA,
    attrs::DEPENDENCY,
    attrs::STATE_MACHINE,
    attrs::STATE_FROM,
    attrs::STATE_TO,
    attrs::STATE_TRIGGER,
    attrs::STEP_ID,
    attrs::STEP_TYPE,
    attrs::CAUSED_BY,
    attrs::HTTP_METHOD,
    attrs::HTTP_ROUTE,
    attrs::HTTP_STATUS,
    attrs::SERVER_PORT,
    attrs::FUNCTION,
    attrs::TRANSPORT,
    attrs::QUEUE,
    attrs::CALL_REQUEST_SIZE,
    attrs::CALL_RESPONSE_SIZE,
];
/// Words that a payload field has in its name if its value says who or where.
const PERSONAL: &[&str] =
    &["tenant", "host", "hostname", "user", "username", "customer", "account", "session", "client", "server"];
/// Shorter values are too common to be looked for in texts.
const LEAST: usize = 4;
/// How deep payloads are looked into; none that passed redaction is deeper.
const DEEPEST: usize = 128;

/// Puts pseudonyms in place of values.
pub(crate) struct Anonymous(Redactor);

impl Anonymous {
    /// # Errors
    /// If there is no key to make pseudonyms with.
    pub(crate) fn new(redactor: Redactor) -> Result<Self, CliError> {
        if redactor.pseudonym("").is_none() {
            return Err(CliError::Usage(
                "--anonymise needs a secret to make pseudonyms with, and the store keeps none: set THROUGHLINE_PSEUDONYM_KEY to \
                 16 characters or more"
                    .into(),
            ));
        }
        Ok(Self(redactor))
    }

    /// Takes out of the events of one run who and where it was, wherever it is said.
    pub(crate) fn apply(&self, events: &mut [TraceEvent]) {
        let hidden = Hidden::of(events, self);
        for event in events {
            if let Some(key) = &mut event.correlation_id {
                *key = self.pseudonym(key).into();
            }
            let attr = |(key, value): &(Text, Text)| {
                let value = if is_technical(key) { hidden.replace(value) } else { self.pseudonym(value) };
                (key.clone(), Text::from(value))
            };
            event.attrs = event.attrs.iter().map(attr).collect::<Attrs>();
            for tag in &mut event.tags {
                *tag = hidden.replace(tag).into();
            }
            // The beginning of a type says what it is.
            if let Some((kind, name)) = event.event_type.split_once(':') {
                event.event_type = format!("{kind}:{}", hidden.replace(name)).into();
            }
            if let Some(error) = event.error.as_deref() {
                let mut error = error.clone();
                error.message = hidden.replace(&error.message).into();
                error.chain.iter_mut().for_each(|cause| *cause = hidden.replace(cause).into());
                event.error = Some(error.into());
            }
            for fields in event.data.iter_mut().chain([&mut event.extra]) {
                hidden.replace_in(fields, self, 0);
            }
        }
    }

    fn pseudonym(&self, text: &str) -> String {
        self.0.pseudonym(text).unwrap_or_default()
    }
}

fn is_technical(attribute: &str) -> bool {
    TECHNICAL.contains(&attribute)
}

/// Whether a field of a payload says who or where.
fn is_personal(field: &str) -> bool {
    let mut words = field.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| PERSONAL.contains(&word.to_ascii_lowercase().as_str()))
}

/// What is hidden wherever it is said.
struct Hidden {
    values: Option<AhoCorasick>,
    pseudonyms: Vec<String>,
}

impl Hidden {
    fn of(events: &[TraceEvent], by: &Anonymous) -> Self {
        let mut values: BTreeSet<String> = BTreeSet::new();
        for event in events {
            values.extend(event.correlation_id.iter().map(ToString::to_string));
            let personal = event.attrs.iter().filter(|(key, _)| !is_technical(key));
            values.extend(personal.map(|(_, value)| value.to_string()));
            let error = event.error.iter().flat_map(|error| [&error.message].into_iter().chain(&error.chain));
            error.for_each(|text| values.extend(hosts(text)));
            event.data.iter().for_each(|fields| collect(fields, &mut values));
        }
        values.retain(|value| value.len() >= LEAST);
        let pseudonyms = values.iter().map(|value| by.pseudonym(value)).collect();
        let searcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values);
        Self { values: searcher.ok(), pseudonyms }
    }

    fn replace(&self, text: &str) -> String {
        match &self.values {
            Some(values) => values.replace_all(text, &self.pseudonyms),
            None => text.to_owned(),
        }
    }

    fn replace_in(&self, fields: &mut Map<String, Value>, by: &Anonymous, depth: usize) {
        let is_named = |field: &str| is_personal(field);
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(field, mut value)| {
                match &value {
                    Value::String(text) if is_named(&field) => value = by.pseudonym(text).into(),
                    Value::Number(number) if is_named(&field) => {
                        value = by.pseudonym(&number.to_string()).into();
                    }
                    _ => self.replace_value(&mut value, by, depth),
                }
                (self.replace(&field), value)
            })
            .collect();
    }

    fn replace_value(&self, value: &mut Value, by: &Anonymous, depth: usize) {
        match value {
            _ if depth > DEEPEST => *value = Value::Null,
            Value::String(text) => *text = self.replace(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_value(item, by, depth + 1)),
            Value::Object(fields) => self.replace_in(fields, by, depth + 1),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What a payload says of who and where.
fn collect(fields: &Map<String, Value>, values: &mut BTreeSet<String>) {
    let mut left: Vec<(&str, &Value)> = fields.iter().map(|(field, value)| (field.as_str(), value)).collect();
    while let Some((field, value)) = left.pop() {
        match value {
            Value::String(text) => {
                values.extend(hosts(text));
                if is_personal(field) {
                    values.insert(text.clone());
                }
            }
            Value::Array(items) => left.extend(items.iter().map(|item| (field, item))),
            Value::Object(fields) => left.extend(fields.iter().map(|(field, value)| (field.as_str(), value))),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The hosts in the URLs of a text.
fn hosts(text: &str) -> impl Iterator<Item = String> {
    text.split("://").skip(1).filter_map(|after| {
        let authority =
            after.split(|c: char| c.is_whitespace() || "/?#\"'<>()[]{},;\\".contains(c)).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.split(':').next()?;
        (!host.is_empty()).then(|| host.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use throughline_core::{ErrorInfo, Redaction, SpanId, Timestamp, TraceId};

    use super::*;

    fn event() -> TraceEvent {
        let mut event = TraceEvent::new(
            TraceId::random(),
            SpanId::random(),
            "stage:ship-loan-42",
            Timestamp::now(),
            "loans",
        );
        event.correlation_id = Some("loan-42".into());
        event.attrs =
            Attrs::new().with("tenant", "acme").with(attrs::HTTP_METHOD, "POST").with("shelf", "s-17b");
        event.tags = vec!["of-acme".into(), "urgent".into()];
        let error = ErrorInfo {
            kind: "E".into(),
            message: "no answer of https://user@db7.example.org:8080/x for loan-42".into(),
            chain: vec!["db7.example.org is down".into()],
        };
        event.error = Some(error.into());
        event.data =
            json!({ "input": { "customer_id": 4711, "note": "for acme", "list": ["s-17b"], "loan-42": 1 } })
                .as_object()
                .cloned();
        event
    }

    fn anonymous() -> Anonymous {
        Anonymous::new(Redaction::off().pseudonym_key("a key of sixteen").build().unwrap()).unwrap()
    }

    #[test]
    fn who_and_where_it_was_is_nowhere_and_what_happened_is_there() {
        let mut events = [event()];
        anonymous().apply(&mut events);
        let text = serde_json::to_string(&events).unwrap();
        for gone in ["loan-42", "acme", "db7", "4711", "s-17b"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        for kept in ["stage:ship-", "\"POST\"", "urgent", "no answer of https://", "loans"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn the_same_value_has_the_same_pseudonym_in_another_export() {
        let (mut one, mut other) = ([event()], [event()]);
        anonymous().apply(&mut one);
        anonymous().apply(&mut other);
        assert_eq!(one[0].correlation_id, other[0].correlation_id);
        assert_eq!(one[0].attrs, other[0].attrs);
    }

    #[test]
    fn without_a_secret_nothing_is_anonymous() {
        let refused = Anonymous::new(Redaction::off().build().unwrap()).err().unwrap();
        assert!(refused.to_string().contains("THROUGHLINE_PSEUDONYM_KEY"), "{refused}");
    }
}
