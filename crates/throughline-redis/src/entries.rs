//! Entries of a stream, as they are read.

use redis::streams::StreamId;
use redis::{FromRedisValue, Value, from_redis_value};
use throughline_model::ReadError;

use crate::place::EntryId;

/// What a field's name ends with if the event was emitted elsewhere: numbers of its instance are missing for good reason.
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
        let mut events = Vec::with_capacity(entry.map.len());
        for (field, value) in &entry.map {
            let (number, is_ingested) = match field.strip_suffix(INGESTED) {
                Some(number) => (number, true),
                None => (field.as_str(), false),
            };
            let n = number.parse().map_err(|_| damaged("has a field that is not a number"))?;
            let Value::BulkString(json) = value else {
                return Err(damaged("has a value that is not a text"));
            };
            events.push(Numbered { n, is_ingested, json: json.clone() });
        }
        events.sort_unstable_by_key(|event| event.n);
        Ok(Self { id, events })
    }
}

/// A value of a response, or its default if it is of another type.
pub(crate) fn value<T: FromRedisValue + Default>(value: Option<Value>) -> T {
    value.and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
}
