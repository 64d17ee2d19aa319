//! Entries of a stream, as they are read.

use redis::streams::StreamId;
use redis::{FromRedisValue, Value, from_redis_value};
use throughline_model::ReadError;

use crate::place::EntryId;

/// What the place of an event ends with if it was emitted elsewhere: numbers of its instance are missing for good reason.
pub(crate) const INGESTED: &str = "+";

/// One entry: the events of a group, in order.
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) events: Vec<Numbered>,
}

/// An event as it stands in an entry.
pub(crate) struct Numbered {
    /// Its number in the feed.
    pub(crate) n: u64,
    /// Whether it was emitted elsewhere, so that nothing follows from its number in its instance.
    pub(crate) is_ingested: bool,
    pub(crate) json: Vec<u8>,
}

impl Entry {
    pub(crate) fn read(entry: &StreamId) -> Result<Self, ReadError> {
        let damaged = |what: &str| ReadError::Damaged {
            reason: format!(
                "the entry {} of the Redis stream {what}; does something else write to the keys of this feed?",
                entry.id
            ),
            source: None,
        };
        let id = entry.id.parse().map_err(|_| damaged("has an id of another kind"))?;
        let mut events = Vec::new();
        for (field, value) in &entry.map {
            let Value::BulkString(lines) = value else {
                return Err(damaged("has a value that is not a text"));
            };
            let (mut numbers, mut lines) = (numbers(field), lines.split(|byte| *byte == b'\n'));
            loop {
                match (numbers.next(), lines.next()) {
                    (Some(Some((n, is_ingested))), Some(json)) => {
                        events.push(Numbered { n, is_ingested, json: json.to_vec() });
                    }
                    (None, None) => break,
                    _ => return Err(damaged("has a field that does not say which events are in it")),
                }
            }
        }
        events.sort_unstable_by_key(|event| event.n);
        Ok(Self { id, events })
    }
}

/// The numbers of the events in a field, and whether they were emitted elsewhere, from its name: the number of the first event
/// of the group, and the places in the group. `None` is one that can't be read.
fn numbers(field: &str) -> impl Iterator<Item = Option<(u64, bool)>> {
    let (first, places) = field.split_once(':').unwrap_or_default();
    let first = first.parse::<u64>().ok();
    places.split(',').map(move |place| {
        let (place, is_ingested) = match place.strip_suffix(INGESTED) {
            Some(place) => (place, true),
            None => (place, false),
        };
        Some((first?.checked_add(place.parse().ok()?)?, is_ingested))
    })
}

/// A value of a response, or its default if it is of another type.
pub(crate) fn value<T: FromRedisValue + Default>(value: Option<Value>) -> T {
    value.and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
}
