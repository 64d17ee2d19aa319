//! Takes out of events who and where it was: keys, tenants, hosts, users, and whatever else an attribute says that is not
//! technical. The same value is the same pseudonym everywhere, also in another export of the same store.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
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
                hidden.replace_in(fields, self, 0, false);
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
    words(field).any(|word| {
        let word = word.to_ascii_lowercase();
        PERSONAL.contains(&word.as_str())
            || word.strip_suffix('s').is_some_and(|word| PERSONAL.contains(&word))
    })
}

/// Whether a field of a payload says of several who or where they are: `users`, `byUsers`.
fn is_plural(field: &str) -> bool {
    words(field).any(|word| {
        let word = word.to_ascii_lowercase();
        word.strip_suffix('s').is_some_and(|word| PERSONAL.contains(&word))
    })
}

/// The words of a name in any of the usual spellings: `customer_id`, `customer-id`, `customerId`, `CUSTOMER_ID`, `customerID`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|part| {
        let bytes = part.as_bytes();
        let begins = move |at: &usize| {
            let (before, here, after) = (bytes[at - 1], bytes[*at], bytes.get(at + 1));
            here.is_ascii_uppercase()
                && (!before.is_ascii_uppercase() || after.is_some_and(u8::is_ascii_lowercase))
        };
        let mut from = 0;
        let ends = (1..bytes.len()).filter(begins).chain([bytes.len()]);
        ends.map(move |end| &part[std::mem::replace(&mut from, end)..end])
    })
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
            event.data.iter().chain([&event.extra]).for_each(|fields| collect(fields, &mut values));
        }
        values.retain(|value| value.len() >= LEAST);
        let pseudonyms = values.iter().map(|value| by.pseudonym(value)).collect();
        let searcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values);
        Self { values: searcher.ok(), pseudonyms }
    }

    fn replace(&self, text: &str) -> String {
        let Some(values) = &self.values else { return text.to_owned() };
        let (mut out, mut copied, mut from) = (String::with_capacity(text.len()), 0, 0);
        while let Some(found) = values.find(Input::new(text).span(from..text.len())) {
            if is_part_of_number(text, found.range()) {
                from = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            out.push_str(&text[copied..found.start()]);
            out.push_str(&self.pseudonyms[found.pattern()]);
            (copied, from) = (found.end(), found.end());
        }
        out.push_str(&text[copied..]);
        out
    }

    /// Replaces what is hidden in fields, and everything in those that say who or where, or are within one that does.
    fn replace_in(&self, fields: &mut Map<String, Value>, by: &Anonymous, depth: usize, is_within: bool) {
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(field, mut value)| {
                let (is_personal, is_table) = (is_within || is_personal(&field), is_plural(&field));
                match &mut value {
                    // A table of users has their names for keys.
                    Value::Object(rows) if is_personal && is_table && depth < DEEPEST => {
                        let rows_of = std::mem::take(rows).into_iter();
                        *rows = rows_of
                            .map(|(key, mut row)| {
                                self.replace_value(&mut row, by, depth + 1, true);
                                (by.pseudonym(&key), row)
                            })
                            .collect();
                    }
                    value => self.replace_value(value, by, depth, is_personal),
                }
                (self.replace(&field), value)
            })
            .collect();
    }

    fn replace_value(&self, value: &mut Value, by: &Anonymous, depth: usize, is_within: bool) {
        match value {
            _ if depth > DEEPEST => *value = Value::Null,
            Value::String(text) if is_within => *value = by.pseudonym(text).into(),
            Value::String(text) => *text = self.replace(text),
            Value::Number(number) => {
                let text = number.to_string();
                if is_within || self.replace(&text) != text {
                    *value = by.pseudonym(&text).into();
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.replace_value(item, by, depth + 1, is_within));
            }
            Value::Object(fields) => self.replace_in(fields, by, depth + 1, is_within),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// Whether what was found is a number within a longer one, which is another.
fn is_part_of_number(text: &str, found: Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    bytes[found.clone()].iter().all(u8::is_ascii_digit)
        && (is_digit(found.end) || found.start.checked_sub(1).is_some_and(is_digit))
}

/// What a payload says of who and where.
fn collect(fields: &Map<String, Value>, values: &mut BTreeSet<String>) {
    let mut left = Vec::new();
    add_fields(fields, false, &mut left, values);
    while let Some((is_within, value)) = left.pop() {
        match value {
            Value::String(text) => {
                values.extend(hosts(text));
                if is_within {
                    values.insert(text.clone());
                }
            }
            Value::Number(number) if is_within => {
                values.insert(number.to_string());
            }
            Value::Array(items) => left.extend(items.iter().map(|item| (is_within, item))),
            Value::Object(fields) => add_fields(fields, is_within, &mut left, values),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What is left to be looked at of fields: each value, and whether it is within what is personal.
fn add_fields<'a>(
    fields: &'a Map<String, Value>,
    is_within: bool,
    left: &mut Vec<(bool, &'a Value)>,
    values: &mut BTreeSet<String>,
) {
    for (field, value) in fields {
        let is_within = is_within || is_personal(field);
        if let Value::Object(rows) = value
            && is_within
            && is_plural(field)
        {
            values.extend(rows.keys().cloned());
        }
        left.push((is_within, value));
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
    fn names_in_any_spelling_say_who_it_was_and_so_does_all_that_is_within_them() {
        let mut event = event();
        event.data = json!({
            "customerId": 471_100, "userName": "ada-l", "clientIDs": ["c-0815", 99_821], "hostName": "box-77",
            "SESSION_KEY": "s-abcd", "customer": { "name": "Lovelace", "home": { "town": "Ockham" }, "since": 1835 },
            "note": "471100 and Ockham, but not 4711001", "ref": 471_100, "amount": 71_500, "hostile": "kept-1", "us": "kept-2",
        })
        .as_object()
        .cloned();
        let error = ErrorInfo {
            kind: "E".into(),
            message: "no limit for customer 471100 of box-77".into(),
            chain: Vec::new(),
        };
        event.error = Some(error.into());
        let mut events = [event];
        anonymous().apply(&mut events);
        let text = serde_json::to_string(&events).unwrap();
        for gone in [
            "ada-l",
            "c-0815",
            "99821",
            "box-77",
            "s-abcd",
            "Lovelace",
            "Ockham",
            "1835",
            ":471100",
            "r 471100 ",
        ] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        for kept in ["71500", "kept-1", "kept-2", "but not 4711001", "no limit for customer "] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn the_keys_of_a_table_of_those_who_it_was_are_gone_too() {
        let mut event = event();
        event.data = json!({ "users": { "ada-l": { "visits": 3 } }, "user": { "role": "admin-7" }, "note": "of ada-l" })
            .as_object()
            .cloned();
        let mut events = [event];
        anonymous().apply(&mut events);
        let text = serde_json::to_string(&events).unwrap();
        assert!(!text.contains("ada-l") && !text.contains("admin-7"), "{text}");
        for kept in ["\"users\"", "\"visits\"", "\"role\""] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let data = events[0].data.as_ref().unwrap();
        let key = data["users"].as_object().unwrap().keys().next().unwrap();
        assert_eq!(data["note"], format!("of {key}"), "the same everywhere");
    }

    #[test]
    fn a_name_is_taken_apart_in_any_spelling() {
        for (name, expected) in [
            ("customer_id", "customer id"),
            ("customerId", "customer Id"),
            ("customerID", "customer ID"),
            ("HTTPServerName", "HTTP Server Name"),
            ("x-user.name", "x user name"),
            ("größe_user", "gr  e user"),
            ("", ""),
        ] {
            assert_eq!(words(name).collect::<Vec<_>>().join(" "), expected, "{name}");
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
