//! What the values of a payload say.

use serde_json::Value;

use super::headline::list;

/// The values of a payload, as people say them: `code 51, reason closed`.
pub(crate) fn facts(data: &serde_json::Map<String, Value>, most: usize) -> String {
    let said = data.iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some(format!("{key} {text}")),
        Value::Number(_) | Value::Bool(_) => Some(format!("{key} {value}")),
        _ => None,
    });
    list(said, most)
}

/// Whether a name is that of what remains of a limit, as in `x-ratelimit-remaining`: not of work, as in `items_remaining`.
pub(super) fn is_limit(name: &str) -> bool {
    speaks_of(name, REMAINING) && ["limit", "quota", "budget"].iter().any(|word| speaks_of(name, word))
}

const REMAINING: &str = "remaining";

/// Whether a name has a word in it, in letters of whatever case.
fn speaks_of(name: &str, word: &str) -> bool {
    name.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// The names in a payload, of the inner objects, too.
fn names(data: &serde_json::Map<String, Value>) -> impl Iterator<Item = &str> {
    let mut open = vec![data.iter()];
    std::iter::from_fn(move || {
        while let Some(fields) = open.last_mut() {
            match fields.next() {
                Some((key, value)) => {
                    open.extend(value.as_object().map(|inner| inner.iter()));
                    return Some(key.as_str());
                }
                None => drop(open.pop()),
            }
        }
        None
    })
}

/// What a payload says of limits: the names of their numbers, from the outermost object down, and how much remained.
pub(super) fn limits_in(data: &serde_json::Map<String, Value>) -> Vec<(String, f64)> {
    const MOST: usize = 256;
    // Of nearly all payloads this is all that has to be known.
    if !names(data).take(MOST).any(|name| speaks_of(name, REMAINING)) {
        return Vec::new();
    }
    let (mut found, mut open, mut seen) = (Vec::new(), vec![(String::new(), data)], 0);
    while let Some((path, fields)) = open.pop() {
        // Beside a limit stands what remains of it.
        let of_a_limit = fields.keys().any(|key| ["limit", "quota", "budget"].contains(&key.as_str()));
        for (key, value) in fields {
            seen += 1;
            if seen > MOST {
                return found;
            }
            let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Object(inner) => open.push((name, inner)),
                Value::Number(number) if is_limit(&name) || of_a_limit && key == "remaining" => {
                    found.extend(number.as_f64().map(|remaining| (name, remaining)));
                }
                _ => {}
            }
        }
    }
    found
}

/// Values that say which thing is meant: texts, numbers, and those in objects and lists.
pub(super) fn values(value: &Value) -> Vec<&Value> {
    const MOST: usize = 64;
    let (mut found, mut open) = (Vec::new(), vec![value]);
    while let Some(value) = open.pop().filter(|_| found.len() < MOST) {
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            Value::String(text) if text.len() > 2 => found.push(value),
            Value::Number(number) if !matches!(number.as_i64(), Some(-1..=1)) => found.push(value),
            _ => {}
        }
    }
    found
}

/// Whether a value is what code gives back that has nothing to give back.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// Whether there is nothing in an output: it is an empty text or list, or an object in which all lists are empty and all else
/// are numbers and flags, as in `{"hits": [], "took_ms": 3}`.
pub(crate) fn holds_nothing(output: &Value) -> bool {
    match output {
        Value::Object(fields) => {
            let is_beside = |value: &Value| matches!(value, Value::Number(_) | Value::Bool(_));
            is_empty(output)
                || fields.values().any(Value::is_array)
                    && fields.values().all(|value| is_empty(value) || is_beside(value))
        }
        Value::Array(_) | Value::String(_) => is_empty(output),
        _ => false,
    }
}

/// Whether a step was given the `null` that is an output, or that one of its fields is.
pub(super) fn is_given_null(input: &Value, output: &Value) -> bool {
    let is_null = |value: &Value| value.is_null();
    match (input, output) {
        (Value::Object(fields), Value::Null) => fields.values().any(is_null),
        (Value::Array(items), Value::Null) => items.iter().any(is_null),
        (Value::Object(given), Value::Object(fields)) => {
            fields.iter().any(|(name, value)| value.is_null() && given.get(name).is_some_and(is_null))
        }
        (input, output) => input.is_null() && output.is_null(),
    }
}

pub(super) fn short(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
