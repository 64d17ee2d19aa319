//! Redaction of what came from a log: what is hidden keeps its kind, so that a column of numbers stays one of numbers.

use serde_json::{Map, Value, json};
use throughline_core::TraceEvent;
use throughline_core::names::data::xes as fields;
use throughline_core::names::tags;

use super::attribute::{Attribute, Kind, REPEATED, is_date};
use super::runs;

/// Redacts an event. Of an XES attribute whose value is hidden the kind is kept.
pub(crate) fn redact(event: &mut TraceEvent, redact: impl FnOnce(&mut TraceEvent)) {
    let is_of_log = runs::is_activity(event) || event.has_tag(tags::SYNTHESISED);
    let before = event.data.clone().filter(|_| is_of_log);
    redact(event);
    if let (Some(before), Some(after)) = (before, &mut event.data) {
        keep_in_object(&before, after);
    }
}

fn keep_in_object(before: &Map<String, Value>, after: &mut Map<String, Value>) {
    for (key, before) in before {
        // The text of a typed value stands beside its kind.
        if key != fields::TYPE
            && key != fields::VALUE
            && let Some(after) = after.get_mut(key)
        {
            keep(before, after);
        }
    }
}

fn keep(before: &Value, after: &mut Value) {
    match (before, &mut *after) {
        (Value::Object(before), Value::Object(after)) => keep_in_object(before, after),
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).for_each(|(before, after)| keep(before, after));
        }
        (Value::Object(repeated), Value::String(_))
            if repeated.get(fields::TYPE) == Some(&REPEATED.into()) =>
        {
            let values = repeated.get(fields::VALUES).and_then(Value::as_array);
            let hidden = values.into_iter().flatten().map(|before| {
                let mut hidden = after.clone();
                keep(before, &mut hidden);
                hidden
            });
            *after = json!({ fields::TYPE: REPEATED, fields::VALUES: hidden.collect::<Vec<_>>() });
        }
        (before, Value::String(mark)) if before != &Value::String(mark.clone()) => {
            let kind = Attribute::of(before).kind;
            *after = match kind {
                Kind::String => return,
                Kind::Date if is_date(mark) => return,
                Kind::List | Kind::Container => {
                    json!({ fields::TYPE: kind.as_str(), fields::VALUES: [{ "": mark }] })
                }
                _ => json!({ fields::TYPE: kind.as_str(), fields::VALUE: mark }),
            };
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Redaction, SpanId, Timestamp, TraceId, redact_event};

    use super::*;
    use crate::xes::attribute::{from_json, to_json};

    #[test]
    fn what_is_hidden_keeps_its_kind() {
        let mut iban = Attribute::new("iban", Kind::Int, "12345678");
        iban.children.push(Attribute::new("checked", Kind::Boolean, "true"));
        let mut phones = Attribute::new("phone", Kind::List, "");
        phones.values.push(Attribute::new("home", Kind::Int, "12345678"));
        let mut person = Attribute::new("person", Kind::Container, "");
        person.values.push(Attribute::new("dateOfBirth", Kind::Date, "1815-12-10T00:00:00Z"));
        let attributes = vec![
            Attribute::new("amount", Kind::Float, "4111111111111111"),
            Attribute::new("gender", Kind::Boolean, "true"),
            Attribute::new("gender", Kind::String, "female"),
            iban,
            Attribute::new("note", Kind::String, "write to ada@example.org"),
            person,
            phones,
            Attribute::new("pin", Kind::Float, "0.25"),
            Attribute::new("score", Kind::Float, "0.5"),
            Attribute::new("when", Kind::Date, "2026-01-01T00:00:00+02:00"),
        ];
        let (trace, span) = (TraceId::from_key("1"), SpanId::from_u64(1).unwrap());
        let mut event = TraceEvent::new(trace, span, "activity:A", Timestamp::from_micros(0), "import");
        event.data = Some(to_json(&attributes));
        let redactor = Redaction::standard().build().unwrap();
        redact(&mut event, |event| redact_event(&redactor, event));
        let once = event.clone();
        redact(&mut event, |event| redact_event(&redactor, event));
        assert_eq!(event, once, "redaction is idempotent");
        let kept: Vec<String> = from_json(event.data.as_ref().unwrap())
            .iter()
            .map(|attribute| {
                let inner: Vec<_> = attribute
                    .values
                    .iter()
                    .map(|inner| format!("{} {}", inner.kind.as_str(), inner.text))
                    .collect();
                format!(
                    "{} {} {}{}",
                    attribute.key,
                    attribute.kind.as_str(),
                    attribute.text,
                    inner.join(", ")
                )
            })
            .collect();
        insta::assert_snapshot!(kept.join("\n"));
    }
}
