//! Payloads: every key and value of a JSON object, and its size.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{MARKER, Redactor};

/// Deeper than this nothing is kept: no answer needs it, and the walk must not exhaust the stack.
const DEPTH: usize = 64;
const TOO_DEEP: &str = "[cut: nested too deep]";

/// How large a payload may be.
pub(super) struct Limits {
    bytes: usize,
}

impl Limits {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes }
    }
}

pub(super) fn redact(redactor: &Redactor, data: &mut Map<String, Value>) {
    let mut walk = Walk { redactor, size: 0 };
    walk.object(data, 0);
    let limit = redactor.0.limits.bytes;
    if walk.size > limit {
        // An eighth is left for the markers, so that what was cut once is not cut again.
        Cut { left: limit - limit / 8 }.object(data);
    }
}

struct Walk<'a> {
    redactor: &'a Redactor,
    /// About how many bytes it has as JSON: never less than three quarters of it for plain text.
    size: usize,
}

impl Walk<'_> {
    fn object(&mut self, object: &mut Map<String, Value>, depth: usize) {
        let rules = &self.redactor.0;
        self.size += 2;
        let mut renamed = false;
        for (key, value) in object.iter_mut() {
            self.size += key.len() + 4;
            let (hits, telling) = self.judge(key);
            renamed |= hits;
            if telling && !value.is_null() {
                *value = Value::String(MARKER.to_owned());
                self.size += MARKER.len() + 2;
            } else {
                let allowed = rules.allowed.as_ref().is_none_or(|allowed| allowed.contains(key));
                self.value(value, depth + 1, allowed);
            }
        }
        if renamed {
            let entries = std::mem::take(object).into_iter();
            *object = entries.map(|(key, value)| (self.redactor.text(&key).into_owned(), value)).collect();
        }
    }

    /// Whether a key is telling by its shape, and whether what stands under it must go.
    fn judge(&self, key: &str) -> (bool, bool) {
        let rules = &self.redactor.0;
        if rules.clean_keys.is(key) {
            return (false, false);
        }
        let judged = (rules.shapes.hits(key, &rules.keys), rules.keys.is_telling(key));
        if judged == (false, false) {
            rules.clean_keys.remember(key);
        }
        judged
    }

    fn value(&mut self, value: &mut Value, depth: usize, allowed: bool) {
        match value {
            Value::Object(_) | Value::Array(_) if depth >= DEPTH => {
                discard(std::mem::replace(value, Value::String(TOO_DEEP.to_owned())));
                self.size += TOO_DEEP.len() + 2;
            }
            Value::Object(object) => self.object(object, depth),
            Value::Array(items) => {
                self.size += 2 + items.len();
                items.iter_mut().for_each(|item| self.value(item, depth + 1, allowed));
            }
            Value::Null => self.size += 4,
            value if !allowed => {
                *value = Value::String(MARKER.to_owned());
                self.size += MARKER.len() + 2;
            }
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redactor.text(text) {
                    *text = redacted;
                }
                self.size += text.len() + 2;
            }
            Value::Bool(_) => self.size += 5,
            Value::Number(number) => {
                self.size += 20;
                // A card number may be a number.
                if number.as_u64().is_some_and(|number| number >= 1_000_000_000_000) {
                    let text = number.to_string();
                    if let Cow::Owned(redacted) = self.redactor.text(&text) {
                        *value = Value::String(redacted);
                    }
                }
            }
        }
    }
}

/// Drops a value level by level: its own destructor would need stack for each.
fn discard(value: Value) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(object) => left.extend(object.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

/// Keeps what comes first and cuts the rest.
struct Cut {
    left: usize,
}

impl Cut {
    /// The room that a marker takes.
    const MARKER: usize = 48;

    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn object(&mut self, object: &mut Map<String, Value>) {
        self.take(2);
        let (mut cut, mut bytes) = (Vec::new(), 0);
        for (key, value) in object.iter_mut() {
            if self.left < key.len() + Self::MARKER {
                bytes += key.len() + size_of(value);
                cut.push(key.clone());
            } else {
                self.take(key.len() + 4);
                self.value(value);
            }
        }
        if !cut.is_empty() {
            let marker = format!("[cut: {} fields, about {bytes} bytes]", cut.len());
            cut.iter().for_each(|key| {
                object.remove(key);
            });
            object.insert("[cut]".to_owned(), Value::String(marker));
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Object(object) => self.object(object),
            Value::Array(items) => {
                self.take(2);
                let mut kept = 0;
                while kept < items.len() && self.left >= Self::MARKER {
                    self.take(1);
                    self.value(&mut items[kept]);
                    kept += 1;
                }
                if kept < items.len() {
                    let bytes: usize = items[kept..].iter().map(size_of).sum();
                    let marker = format!("[cut: {} items, about {bytes} bytes]", items.len() - kept);
                    items.truncate(kept);
                    items.push(Value::String(marker));
                }
            }
            Value::String(text) => {
                if text.len() + 2 > self.left {
                    let keep = text.floor_char_boundary(self.left.saturating_sub(Self::MARKER));
                    let marker = format!("…[cut: {} bytes]", text.len() - keep);
                    text.truncate(keep);
                    text.push_str(&marker);
                }
                self.take(text.len() + 2);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.take(20),
        }
    }
}

/// About how many bytes a value has as JSON. Its depth is bounded by then.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + 4 + size_of(value)).sum(),
        Value::Array(items) => items.iter().map(|item| 1 + size_of(item)).sum(),
        Value::String(text) => text.len() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}
