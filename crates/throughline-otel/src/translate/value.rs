//! Attributes, and values that are cut to a length.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

/// What stands at the end of a value that was cut.
const CUT: &str = "…";

/// Attributes, each key once; the last value counts.
#[derive(Debug)]
pub(crate) struct Attributes {
    pairs: Vec<KeyValue>,
    limit: usize,
}

impl Attributes {
    /// With values of so many bytes at most.
    pub(crate) fn new(limit: usize) -> Self {
        Self { pairs: Vec::new(), limit }
    }

    /// One pair, whose value is short.
    pub(crate) fn of_text(key: &str, text: &str) -> KeyValue {
        pair(key, Value::StringValue(text.to_owned()))
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        self.set(key, Value::StringValue(cut(text, self.limit)));
    }

    pub(crate) fn optional(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(crate) fn number(&mut self, key: &str, number: i64) {
        self.set(key, Value::IntValue(number));
    }

    pub(crate) fn list<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        let values: Vec<_> = texts.map(|item| text(item, self.limit)).collect();
        if !values.is_empty() {
            self.set(key, Value::ArrayValue(ArrayValue { values }));
        }
    }

    /// What is neither a text, a number nor a truth value stands as JSON: few back ends show anything that is nested.
    pub(crate) fn json(&mut self, key: &str, json: &serde_json::Value) {
        match json {
            serde_json::Value::Null => {}
            serde_json::Value::Bool(value) => self.set(key, Value::BoolValue(*value)),
            serde_json::Value::String(value) => self.text(key, value),
            serde_json::Value::Number(value) => match (value.as_i64(), value.as_f64()) {
                (Some(value), _) => self.number(key, value),
                (None, Some(value)) => self.set(key, Value::DoubleValue(value)),
                (None, None) => self.text(key, &value.to_string()),
            },
            nested => self.text(key, &nested.to_string()),
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        match self.pairs.iter_mut().find(|pair| pair.key == key) {
            Some(pair) => pair.value = Some(AnyValue { value: Some(value) }),
            None => self.pairs.push(pair(key, value)),
        }
    }
}

impl From<Attributes> for Vec<KeyValue> {
    fn from(attributes: Attributes) -> Self {
        attributes.pairs
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A text as a value.
pub(crate) fn text(text: &str, limit: usize) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(cut(text, limit))) }
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    format!("{}{CUT}", &text[..end])
}
