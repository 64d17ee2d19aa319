//! XES attributes, and how they are kept as JSON.
//!
//! What JSON has is plain JSON: `"AMOUNT_REQ": "20000"`, `"score": 0.5`; so is a date, a text that reads as
//! one. What JSON lacks is an object that says so:
//! `{"xes:type": "list", "xes:values": [{"item": 1}, {"item": 2}]}`. Nothing is lost on the way back but the
//! order of attributes, which has no meaning in XES.

use serde_json::{Map, Value};
use throughline_core::names::data::xes as fields;

use super::time;

/// What is under one key several times, which XES forbids and some logs have.
pub(super) const REPEATED: &str = "repeated";

/// One attribute of a log, a run, an event or another attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// The value as the log has it; empty for lists and containers.
    pub(crate) text: String,
    /// What a list or a container holds.
    pub(crate) values: Vec<Attribute>,
    /// The attributes of the attribute.
    pub(crate) children: Vec<Attribute>,
}

/// The kinds of attributes in the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Date,
    Int,
    Float,
    Boolean,
    Id,
    List,
    Container,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::String,
        Self::Date,
        Self::Int,
        Self::Float,
        Self::Boolean,
        Self::Id,
        Self::List,
        Self::Container,
    ];

    /// The name of the XML element.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Date => "date",
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Id => "id",
            Self::List => "list",
            Self::Container => "container",
        }
    }

    pub(crate) fn parse(element: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == element)
    }

    /// Whether the kind has contents rather than a value.
    pub(crate) const fn is_collection(self) -> bool {
        matches!(self, Self::List | Self::Container)
    }
}

impl Attribute {
    /// An attribute that is no more than a value.
    pub(crate) fn new(key: impl Into<String>, kind: Kind, text: impl Into<String>) -> Self {
        Self { key: key.into(), kind, text: text.into(), values: Vec::new(), children: Vec::new() }
    }

    /// An attribute of this JSON, under no key; of several under one key the first.
    pub(super) fn of(value: &Value) -> Self {
        let mut several = Vec::new();
        Self::from_json("", value, &mut several);
        several.into_iter().next().unwrap_or_else(|| Self::new("", Kind::String, ""))
    }

    fn to_json(&self) -> Value {
        if self.children.is_empty()
            && let Some(plain) = self.plain()
        {
            return plain;
        }
        let mut object = Map::new();
        object.insert(fields::TYPE.into(), self.kind.as_str().into());
        if self.kind.is_collection() {
            object.insert(fields::VALUES.into(), self.values.iter().map(one_field).collect());
        } else {
            object.insert(fields::VALUE.into(), self.text.as_str().into());
        }
        if !self.children.is_empty() {
            object.insert(fields::ATTRIBUTES.into(), to_json(&self.children).into());
        }
        object.into()
    }

    /// The value as JSON has it, if reading it back gives the same attribute.
    fn plain(&self) -> Option<Value> {
        let text = &self.text;
        match self.kind {
            Kind::String => (!is_date(text)).then(|| text.as_str().into()),
            Kind::Date => is_date(text).then(|| text.as_str().into()),
            Kind::Int => text.parse::<i64>().ok().filter(|int| int.to_string() == *text).map(Value::from),
            Kind::Float => exact_float(text),
            Kind::Boolean => match text.as_str() {
                "true" => Some(true.into()),
                "false" => Some(false.into()),
                _ => None,
            },
            Kind::Id | Kind::List | Kind::Container => None,
        }
    }

    /// The attributes that are kept under a key: one, or several where the log repeats itself.
    fn from_json(key: &str, value: &Value, to: &mut Vec<Self>) {
        if let Value::Object(object) = value
            && let Some(Value::String(kind)) = object.get(fields::TYPE)
        {
            let values = object.get(fields::VALUES).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if kind == REPEATED {
                values.iter().for_each(|value| Self::from_json(key, value, to));
                return;
            }
            if let Some(kind) = Kind::parse(kind) {
                let text = object.get(fields::VALUE).map_or_else(String::new, text_of);
                let mut attribute = Self::new(key, kind, text);
                attribute.values = values.iter().filter_map(Value::as_object).flat_map(from_json).collect();
                let children = object.get(fields::ATTRIBUTES).and_then(Value::as_object);
                attribute.children = children.map(from_json).unwrap_or_default();
                to.push(attribute);
                return;
            }
        }
        to.push(Self::of_plain(key, value));
    }

    /// Any JSON as an attribute: what a service put into the data of an event has no XES types.
    fn of_plain(key: &str, value: &Value) -> Self {
        match value {
            Value::Null => Self::new(key, Kind::String, ""),
            Value::Bool(bool) => Self::new(key, Kind::Boolean, bool.to_string()),
            Value::Number(number) if number.is_i64() => Self::new(key, Kind::Int, number.to_string()),
            Value::Number(number) => Self::new(key, Kind::Float, number.to_string()),
            Value::String(text) if is_date(text) => Self::new(key, Kind::Date, text),
            Value::String(text) => Self::new(key, Kind::String, text),
            Value::Array(items) => {
                let mut list = Self::new(key, Kind::List, "");
                items.iter().for_each(|item| Self::from_json(key, item, &mut list.values));
                list
            }
            Value::Object(object) => {
                let mut container = Self::new(key, Kind::Container, "");
                container.values = from_json(object);
                container
            }
        }
    }
}

fn one_field(attribute: &Attribute) -> Value {
    Value::Object(Map::from_iter([(attribute.key.clone(), attribute.to_json())]))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A float that JSON writes with these digits: `1.10` and what has more digits than a float holds stay texts.
fn exact_float(text: &str) -> Option<Value> {
    let float: f64 = text.parse().ok()?;
    let json = serde_json::Number::from_f64(float)?;
    // What serde_json reads may be off in the last digit.
    (json.to_string() == text && serde_json::from_str::<f64>(text).ok()? == float).then(|| json.into())
}

/// Whether a text reads as a date.
pub(crate) fn is_date(text: &str) -> bool {
    // Most texts are no dates: a look at two characters spares them the parser.
    let bytes = text.as_bytes();
    bytes.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-' && time::instant(text).is_some()
}

/// Attributes as the fields of a JSON object.
pub(crate) fn to_json(attributes: &[Attribute]) -> Map<String, Value> {
    let mut object = Map::new();
    for attribute in attributes {
        let value = attribute.to_json();
        match object.get_mut(&attribute.key) {
            None => {
                object.insert(attribute.key.clone(), value);
            }
            Some(Value::Object(several)) if several.get(fields::TYPE) == Some(&REPEATED.into()) => {
                if let Some(Value::Array(values)) = several.get_mut(fields::VALUES) {
                    values.push(value);
                }
            }
            Some(first) => {
                let values = vec![first.take(), value];
                *first = Value::Object(Map::from_iter([
                    (fields::TYPE.to_owned(), REPEATED.into()),
                    (fields::VALUES.to_owned(), values.into()),
                ]));
            }
        }
    }
    object
}

/// The fields of a JSON object as attributes: the inverse of [`to_json`].
pub(crate) fn from_json(object: &Map<String, Value>) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(object.len());
    object.iter().for_each(|(key, value)| Attribute::from_json(key, value, &mut attributes));
    attributes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scalar() -> impl Strategy<Value = Attribute> {
        let kind = prop_oneof![
            ("[a-z :<&\"']{0,12}").prop_map(|text| (Kind::String, text)),
            Just((Kind::String, "2011-10-01T00:38:44.546+02:00".to_owned())),
            Just((Kind::Date, "2011-10-01T00:38:44.546+02:00".to_owned())),
            Just((Kind::Date, "some day".to_owned())),
            any::<i64>().prop_map(|int| (Kind::Int, int.to_string())),
            Just((Kind::Int, "007".to_owned())),
            any::<i32>().prop_map(|int| (Kind::Float, format!("{}", f64::from(int) / 8.0 + 0.0625))),
            any::<f64>().prop_map(|float| (Kind::Float, Value::from(float).to_string())),
            Just((Kind::Float, "NaN".to_owned())),
            "-?[0-9]{1,20}\\.[0-9]{0,20}(E[0-9])?".prop_map(|float| (Kind::Float, float)),
            any::<bool>().prop_map(|bool| (Kind::Boolean, bool.to_string())),
            Just((Kind::Id, "5a1f".to_owned())),
        ];
        ("[a-c]", kind).prop_map(|(key, (kind, text))| Attribute::new(key, kind, text))
    }

    /// Any attribute, nested a few levels deep, with keys that repeat.
    pub(crate) fn any_attribute() -> impl Strategy<Value = Attribute> {
        scalar().prop_recursive(3, 12, 3, |inner| {
            let several = proptest::collection::vec(inner, 0..3);
            (scalar(), several.clone(), several, 0..3).prop_map(
                |(mut attribute, values, children, collection)| {
                    if collection > 0 {
                        attribute.kind = if collection == 1 { Kind::List } else { Kind::Container };
                        attribute.text.clear();
                        attribute.values = values;
                    }
                    // What is in a container is its contents.
                    if attribute.kind != Kind::Container {
                        attribute.children = children;
                    }
                    attribute
                },
            )
        })
    }

    /// Attributes in the order that JSON keeps them in: by key, lists as they are.
    pub(crate) fn sorted(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        for attribute in &mut attributes {
            attribute.children = sorted(std::mem::take(&mut attribute.children));
            for value in &mut attribute.values {
                *value = sorted(vec![value.clone()]).remove(0);
            }
        }
        attributes
    }

    proptest! {
        #[test]
        fn attributes_survive_json(attributes in proptest::collection::vec(any_attribute(), 0..5)) {
            let json = Value::Object(to_json(&attributes)).to_string();
            let read: Map<String, Value> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(from_json(&read), sorted(attributes));
        }
    }

    #[test]
    fn what_json_has_is_plain_json() {
        let attributes = [
            Attribute::new("AMOUNT_REQ", Kind::String, "20000"),
            Attribute::new("REG_DATE", Kind::Date, "2011-10-01T00:38:44.546+02:00"),
            Attribute::new("cost", Kind::Float, "19.944"),
            Attribute::new("parts", Kind::Int, "3"),
        ];
        insta::assert_json_snapshot!(to_json(&attributes), @r#"
        {
          "AMOUNT_REQ": "20000",
          "REG_DATE": "2011-10-01T00:38:44.546+02:00",
          "cost": 19.944,
          "parts": 3
        }
        "#);
    }
}
