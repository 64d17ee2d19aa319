//! [`has_text`]: the search within what was recorded.

use serde_json::Value;
use throughline_core::TraceEvent;

/// Whether anything that an event says contains a text, which is in lower case: names, values and messages as people read them, not
/// the JSON that they are written in.
pub(crate) fn has_text(event: &TraceEvent, text: &str) -> bool {
    let has = |found: &str| found.to_lowercase().contains(text);
    let TraceEvent { event_type, service, workflow, correlation_id, error, attrs, tags, data, extra, .. } =
        event;
    let named = [Some(event_type), Some(service), workflow.as_ref(), correlation_id.as_ref()];
    named.into_iter().flatten().chain(tags).any(|found| has(found))
        || attrs.iter().any(|(key, value)| has(key) || has(value))
        || error.iter().any(|error| {
            has(&error.kind) || has(&error.message) || error.chain.iter().any(|cause| has(cause))
        })
        || data.iter().chain([extra]).any(|fields| {
            // Not by recursion: a payload may be of any depth.
            let mut left: Vec<&Value> = Vec::new();
            let mut in_field = |(key, value): (&String, _)| {
                left.push(value);
                has(key)
            };
            if fields.iter().any(&mut in_field) {
                return true;
            }
            while let Some(value) = left.pop() {
                let is_in = match value {
                    Value::String(found) => has(found),
                    Value::Number(number) => has(&number.to_string()),
                    Value::Bool(found) => has(if *found { "true" } else { "false" }),
                    Value::Array(items) => {
                        left.extend(items);
                        false
                    }
                    Value::Object(fields) => {
                        left.extend(fields.values());
                        fields.keys().any(|key| has(key))
                    }
                    Value::Null => false,
                };
                if is_in {
                    return true;
                }
            }
            false
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use throughline_core::{SpanId, Timestamp, TraceId};

    use super::*;

    #[test]
    fn a_text_is_found_as_people_read_it_and_not_in_how_it_is_written_down() {
        let mut event =
            TraceEvent::new(TraceId::random(), SpanId::random(), "stage:ask", Timestamp::now(), "loans");
        event.data = json!({ "input": { "said": "he said \"no\"\nand left", "amount": 71_500, "urgent": true, "names": ["Åsa"] } })
            .as_object()
            .cloned();
        for found in ["\"no\"", "no\"\nand", "71500", "true", "åsa", "amount", "stage:ask", "loans"] {
            assert!(has_text(&event, found), "{found}");
        }
        // Fields of the record, braces and escapes are nothing that anybody said.
        for absent in ["trace_id", "event_type", "\\\"", "{", "\":", "pending", "null", "\\n"] {
            assert!(!has_text(&event, absent), "{absent}");
        }
    }
}
