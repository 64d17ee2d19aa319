//! Payloads: every key and value, at any depth.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::PayloadFinding;
use crate::finding::Reason;
use crate::holder::Holder;
use crate::keys::{Named, SecretKind};
use crate::notes::Notes;
use crate::redactor::{KeyClass, Rules};
use crate::scan::Reading;
use crate::{judge, limit, marker, numbers};

/// Deeper than this nothing is kept: the walk must not exhaust the stack, and readers of JSON stop soon after.
const DEPTH: usize = 100;

/// So many keys of a payload may have secrets in them and keep what is around. Where there are more, somebody plays with the
/// redactor, and the others are hidden altogether.
const DIRTY_KEYS: usize = 32;

/// Whether the allow-list, if there is one, is about these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Payload,
    DenyList,
}

/// Redacts the fields of an object, then cuts them to the limit.
pub(crate) fn redact(rules: &Rules, fields: &mut Map<String, Value>, scope: Scope) {
    if rules.scanner().is_off {
        return;
    }
    let mut walk = Walk { rules, bound: 0, dirty_keys: 0, notes: None };
    walk.object(fields, 0, scope == Scope::DenyList || !rules.has_allow_list());
    if walk.bound > rules.payload_limit() {
        limit::fit(fields, rules.payload_limit(), &|text| rules.scanner().hits(text, Reading::Prose));
    }
}

/// What [`redact`] would hide in a payload, whatever its size.
pub(crate) fn explain(rules: &Rules, fields: &Map<String, Value>) -> Vec<PayloadFinding> {
    if rules.scanner().is_off {
        return Vec::new();
    }
    let mut walk = Walk { rules, bound: 0, dirty_keys: 0, notes: Some(Notes::default()) };
    walk.object(&mut fields.clone(), 0, !rules.has_allow_list());
    walk.notes.map(Notes::findings).unwrap_or_default()
}

struct Walk<'r> {
    rules: &'r Rules,
    /// At least as many bytes as the JSON has.
    bound: usize,
    /// How many keys were redacted so far.
    dirty_keys: usize,
    /// What was hidden so far, if somebody wants to know.
    notes: Option<Notes>,
}

/// Why a value is hidden altogether.
#[derive(Clone, Copy)]
enum Why<'k> {
    /// It stands under this name, or beside it.
    Name(&'k str),
    /// Its key is not on the allow-list.
    NotAllowed,
}

impl Walk<'_> {
    fn object(&mut self, fields: &mut Map<String, Value>, depth: usize, readable: bool) {
        self.bound += 2;
        let (mut name, mut has_value) = (None, false);
        let mut redacted_keys = Vec::new();
        for (place, (key, value)) in fields.iter_mut().enumerate() {
            let class = self.rules.known_class(key).unwrap_or_else(|| {
                let keeps_rest = self.dirty_keys < DIRTY_KEYS;
                let (class, redacted) = self.rules.classify_new(key, keeps_rest, self.notes.is_none());
                self.dirty_keys += usize::from(redacted.is_some());
                redacted_keys.extend(redacted.map(|redacted| (place, redacted)));
                class
            });
            if self.notes.is_some() {
                let redacted = redacted_keys.last().filter(|(of, _)| *of == place).map(|(_, key)| key);
                self.enter(|| redacted.unwrap_or(key).clone());
                if redacted.is_some() {
                    self.note_key(key, self.dirty_keys <= DIRTY_KEYS);
                }
            }
            self.bound += limit::most_bytes(key) + 2;
            match class {
                KeyClass::Sensitive | KeyClass::Weak(_) | KeyClass::Fact
                    if says_nothing(value) || value.as_object().is_some_and(judge::is_schema) =>
                {
                    self.value(value, depth + 1, readable);
                }
                KeyClass::Sensitive if is_too_short(value) => self.value(value, depth + 1, readable),
                KeyClass::Weak(named) if !looks_the_part(value, named) => {
                    self.value(value, depth + 1, readable);
                }
                KeyClass::Sensitive | KeyClass::Weak(_) | KeyClass::Fact => self.hide(value, Why::Name(key)),
                KeyClass::Allowed => self.value(value, depth + 1, true),
                KeyClass::Plain => self.value(value, depth + 1, readable),
                KeyClass::HoldsName => {
                    let said = value.as_str().filter(|said| self.names_secret(said));
                    name = said.map(str::to_owned).or(name);
                    self.value(value, depth + 1, readable);
                }
                KeyClass::HoldsValue => {
                    has_value = true;
                    self.value(value, depth + 1, readable);
                }
            }
            self.leave();
        }
        if let Some(name) = name.filter(|_| has_value) {
            for (key, value) in fields.iter_mut().filter(|(key, _)| Holder::of(key) == Some(Holder::Value)) {
                self.enter(|| key.clone());
                self.hide(value, Why::Name(&name));
                self.leave();
            }
        }
        if !redacted_keys.is_empty() {
            self.rename(fields, redacted_keys);
        }
    }

    fn value(&mut self, value: &mut Value, depth: usize, readable: bool) {
        match value {
            Value::Array(_) | Value::Object(_) if depth >= DEPTH => {
                if let Some(notes) = &mut self.notes {
                    let reason = Reason::Other("it is nested too deep".to_owned());
                    notes.value(&Value::Null, marker::kind(marker::TOO_DEEP), reason);
                }
                discard(std::mem::replace(value, Value::String(marker::TOO_DEEP.to_owned())));
                self.bound += limit::most_bytes(marker::TOO_DEEP);
            }
            Value::Object(fields) => self.object(fields, depth, readable),
            Value::Array(items) => {
                self.bound += 2 + items.len();
                let named = self.named_by_item_before(items);
                let mut named = named.into_iter().peekable();
                for place in 0..items.len() {
                    self.enter(|| place.to_string());
                    let (before, rest) = items.split_at_mut(place);
                    let named = named.next_if_eq(&place).and(before.last());
                    match (named.and_then(Value::as_str), &mut rest[0]) {
                        (Some(name), item) => self.hide(item, Why::Name(name)),
                        (None, item) => self.value(item, depth + 1, readable),
                    }
                    self.leave();
                }
            }
            _ if !readable => self.hide(value, Why::NotAllowed),
            Value::String(text) => {
                let scanner = self.rules.scanner();
                let cleaned = match &mut self.notes {
                    None => scanner.clean(text, Reading::Prose),
                    Some(notes) => {
                        notes.text(text, &scanner.hits_in(text, Reading::Prose));
                        scanner.clean_uncounted(text, Reading::Prose)
                    }
                };
                if let Cow::Owned(redacted) = cleaned {
                    *text = redacted;
                }
                self.bound += limit::most_bytes(text);
            }
            Value::Number(number) => {
                if !self.rules.scanner().is_for_credentials() && is_card(number) {
                    let reason = || Reason::Other("its check digits".to_owned());
                    self.note(&Value::Number(number.clone()), marker::CARD, reason);
                    *value = Value::String(marker::CARD.to_owned());
                }
                self.bound += 32;
            }
            Value::Bool(_) | Value::Null => self.bound += 5,
        }
    }

    /// The places of the items that the ones before name: `["Authorization", "x"]`, `["--password", "x", "-v"]`, and of a flat
    /// list of headers.
    fn named_by_item_before(&self, items: &[Value]) -> Vec<usize> {
        let flag = |text: &str| text.strip_prefix("--").is_some_and(|name| self.names_secret(name));
        let is_name = |value: &Value| {
            value.as_str().is_some_and(|text| judge::is_word(text) && self.names_secret(text))
        };
        if let [Value::String(name), value] = items
            && !name.starts_with('-')
        {
            return if self.names_secret(name) && !is_name(value) { vec![1] } else { Vec::new() };
        }
        let has_headers = is_list_of_headers(items);
        let is_named = |(place, pair): (usize, &[Value])| {
            let [Value::String(name), Value::String(value)] = pair else { return None };
            let is_header = has_headers
                && place.is_multiple_of(2)
                && self.names_secret(name)
                && (value.contains(' ') || judge::looks_secret(value));
            let is_option = (flag(name) && !value.starts_with('-'))
                || (name == "-p" && judge::is_password_of_flag(value));
            (is_option || is_header).then_some(place + 1)
        };
        items.windows(2).enumerate().filter_map(is_named).collect()
    }

    fn names_secret(&self, name: &str) -> bool {
        let scanner = self.rules.scanner();
        let named = scanner.keys.classify_name(name).filter(|named| named.is_head && !named.is_weak);
        // `[redacted:ssn]` stood for a number, and names nothing.
        named.is_some() && scanner.marks.in_text(name).next().is_none()
    }

    /// Puts a mark in place of a value, whatever it is; nothing is hidden by hiding `null`.
    fn hide(&mut self, value: &mut Value, why: Why<'_>) {
        let is_hidden = match value {
            Value::Null => true,
            Value::String(text) => self.rules.scanner().marks.is_mark(text),
            _ => false,
        };
        if !is_hidden {
            self.note(value, marker::REDACTED, || match why {
                Why::Name(name) => Reason::Name(name.to_owned()),
                Why::NotAllowed => Reason::Other("its key is not on the list of those that stay".to_owned()),
            });
            match value {
                // A buffer that is much larger than the mark would be kept for nothing.
                Value::String(text) if text.capacity() <= 64 => marker::REDACTED.clone_into(text),
                _ => discard(std::mem::replace(value, Value::String(marker::REDACTED.to_owned()))),
            }
        }
        // The longest mark is that of a pattern.
        self.bound += limit::most_bytes(marker::REDACTED) + marker::LONGEST_NAME;
    }

    /// Notes that a value is hidden altogether, or counts it where nobody wants to know more.
    fn note(&mut self, value: &Value, mark: &str, reason: impl FnOnce() -> Reason) {
        match &mut self.notes {
            None => self.rules.scanner().counts.add(mark),
            Some(notes) => notes.value(value, marker::kind(mark), reason()),
        }
    }

    /// The walk goes to a field or an item.
    fn enter(&mut self, place: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.enter(place());
        }
    }

    fn leave(&mut self) {
        if let Some(notes) = &mut self.notes {
            notes.leave();
        }
    }

    /// Notes what is hidden of a key, or that it is hidden altogether.
    fn note_key(&mut self, key: &str, keeps_rest: bool) {
        let Some(notes) = &mut self.notes else { return };
        if keeps_rest {
            notes.text(key, &self.rules.scanner().hits_in(key, Reading::Name));
        } else {
            let reason = Reason::Other("a key with a secret in it, of too many".to_owned());
            notes.value(&Value::String(key.to_owned()), marker::kind(marker::REDACTED), reason);
        }
    }

    /// Puts the redacted keys in place, each of which is known by the place of its field, in order. Those that become the
    /// same are numbered.
    fn rename(&mut self, fields: &mut Map<String, Value>, redacted: Vec<(usize, String)>) {
        let mut redacted = redacted.into_iter().peekable();
        let mut same: HashMap<String, usize> = HashMap::new();
        let mut renamed = Map::new();
        for (place, (key, value)) in std::mem::take(fields).into_iter().enumerate() {
            let clean = redacted.next_if(|(of, _)| *of == place).map_or(key, |(_, clean)| clean);
            let mut entry = renamed.entry(clean);
            if let Entry::Occupied(taken) = &entry {
                let clean = taken.key().clone();
                let count = same.entry(clean.clone()).or_insert(1);
                while matches!(entry, Entry::Occupied(_)) {
                    *count += 1;
                    entry = renamed.entry(format!("{clean} ({count})"));
                }
            }
            self.bound += limit::most_bytes(entry.key());
            entry.or_insert(value);
        }
        *fields = renamed;
    }
}

/// Whether a list has names and values of headers by turns: `["Host", "x", "X-Api-Key", "y"]`.
fn is_list_of_headers(items: &[Value]) -> bool {
    let is_name = |item: &Value| {
        let name = item.as_str().map(str::as_bytes).unwrap_or_default();
        name.first().is_some_and(u8::is_ascii_uppercase)
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    items.len() >= 4 && items.len().is_multiple_of(2) && items.iter().step_by(2).all(is_name)
}

/// Whether a value says that there is none: nothing is hidden by hiding it.
fn says_nothing(value: &Value) -> bool {
    value.as_str().is_some_and(|text| judge::is_nothing(text, SecretKind::Fact))
}

/// Whether a value is neither a password nor somebody's number, whatever its key says: a yes or a no, or so small a number.
fn is_too_short(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Number(number) => number.as_f64().is_some_and(|float| float.abs() < 100.0),
        _ => false,
    }
}

/// Whether a value looks like what its key may mean: the `address` of somebody or of a server.
fn looks_the_part(value: &Value, named: Named) -> bool {
    match value {
        Value::String(text) => judge::looks_the_part(text, named),
        _ if !named.is_weak => !is_too_short(value),
        // `{"seed": 1622650073}`
        Value::Number(_) if named.kind == SecretKind::Ambiguous => false,
        Value::Number(number) => number.as_f64().is_some_and(|float| float.abs() >= 1e6),
        Value::Array(_) => true,
        Value::Object(_) | Value::Bool(_) | Value::Null => false,
    }
}

fn is_card(number: &Number) -> bool {
    if let Some(number) = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)) {
        return numbers::is_card(number);
    }
    // Smaller than a card number, or beyond 2^53, where a float has no digits of its own to give away.
    const CARDS: RangeInclusive<f64> = 1e11..=9_007_199_254_740_992.0;
    number
        .as_f64()
        .map(f64::abs)
        .is_some_and(|float| CARDS.contains(&float) && float.fract() == 0.0 && numbers::is_card(float as u64))
}

/// Drops a value level by level: its own destructor would take stack for each.
fn discard(value: Value) {
    if !matches!(value, Value::Array(_) | Value::Object(_)) {
        return;
    }
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}
