//! Texts from a store, made fit to be shown.

use std::borrow::Cow;

use serde_json::{Map, Value};
use throughline_core::{ErrorInfo, Text, TraceEvent, TraceId};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character may make a terminal do something: controls of both sets, line separators, and those that
/// turn the direction of writing around.
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// A text in which nothing makes a terminal do anything: what might is shown as a sign for itself.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let sign = |c: char| match c {
        '\0'..='\u{1F}' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7F}' => '␡',
        c if is_harmful(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(sign).collect()
}

/// Makes every text of some events clean, so that whatever is made of them is.
pub(crate) fn clean_events(events: &mut [TraceEvent]) {
    events.iter_mut().for_each(clean_event);
}

fn clean_event(event: &mut TraceEvent) {
    clean_text(&mut event.event_type);
    clean_text(&mut event.service);
    event.workflow.iter_mut().for_each(clean_text);
    event.correlation_id.iter_mut().for_each(clean_text);
    event.tags.iter_mut().for_each(clean_text);
    if event.attrs.iter().any(|(key, value)| key.contains(is_harmful) || value.contains(is_harmful)) {
        event.attrs = event.attrs.iter().map(|(key, value)| (clean(key), clean(value))).collect();
    }
    if let Some(error) = &mut event.error {
        let ErrorInfo { kind, message, chain } = &mut **error;
        [kind, message].into_iter().chain(chain).for_each(clean_text);
    }
    event.data.iter_mut().for_each(clean_object);
    clean_object(&mut event.extra);
}

fn clean_text(text: &mut Text) {
    if let Cow::Owned(cleaned) = clean(text) {
        *text = cleaned.into();
    }
}

fn clean_object(object: &mut Map<String, Value>) {
    if object.keys().any(|key| key.contains(is_harmful)) {
        *object =
            std::mem::take(object).into_iter().map(|(key, value)| (clean(&key).into(), value)).collect();
    }
    object.values_mut().for_each(clean_value);
}

fn clean_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cleaned) = clean(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean_value),
        Value::Object(object) => clean_object(object),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The beginning of an id, long enough to be told from others by a person and accepted by every command.
pub(crate) fn short_id(id: TraceId) -> String {
    let mut id = id.to_string();
    id.truncate(12);
    id
}

/// A text of at most this many columns; what is cut leaves an ellipsis.
pub(super) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut room = columns.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    });
    Cow::Owned(kept.chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{SpanId, Timestamp};

    #[test]
    fn what_a_terminal_might_obey_becomes_a_sign() {
        assert_eq!(clean("\u{1b}[31mred\u{7f}\u{9b}0m\nnext"), "␛[31mred␡\u{FFFD}0m␊next");
        assert_eq!(clean("harmless é 漢"), "harmless é 漢");
    }

    #[test]
    fn no_text_of_an_event_is_forgotten() {
        let dirty = "x\u{1b}]0;title\u{7}";
        let json = serde_json::json!({
            "trace_id": TraceId::from_key("k"),
            "span_id": SpanId::from_u64(1),
            "timestamp": Timestamp::default(),
            "event_type": dirty,
            "service": dirty,
            "workflow": dirty,
            "correlation_id": dirty,
            "tags": [dirty],
            "attrs": { dirty: dirty },
            "error": { "type": dirty, "message": dirty, "chain": [dirty] },
            "data": { dirty: [{ dirty: dirty }] },
            "extra_field": dirty,
        });
        let mut events = [serde_json::from_value::<TraceEvent>(json).unwrap()];
        clean_events(&mut events);
        let text = serde_json::to_string(&events).unwrap();
        assert!(!text.contains("\\u001b") && !text.contains("\\u0007"), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_cut_by_columns() {
        assert_eq!(fit("activity", 8), "activity");
        assert_eq!(fit("activity", 5), "acti…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
    }
}
