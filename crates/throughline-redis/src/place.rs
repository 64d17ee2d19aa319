//! Where an event stands in a feed: what a cursor says.

use std::fmt;
use std::str::FromStr;

use throughline_model::{Cursor, InstanceId, ReadError};

/// The id of an entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct EntryId {
    ms: u64,
    seq: u64,
}

impl EntryId {
    /// Before every entry.
    pub(crate) const START: Self = Self { ms: 0, seq: 0 };

    /// The id right before this one.
    pub(crate) fn before(self) -> Self {
        match self {
            Self { ms: 0, seq: 0 } => self,
            Self { ms, seq: 0 } => Self { ms: ms - 1, seq: u64::MAX },
            Self { ms, seq } => Self { ms, seq: seq - 1 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for EntryId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { ms: ms.parse()?, seq: seq.parse()? })
    }
}

/// The place of an event. The same in the stream of all events and in that of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Tells the feed from another under the same keys: one whose data was lost, or of another server.
    pub(crate) feed: InstanceId,
    /// The entry that the event is in.
    pub(crate) entry: EntryId,
    /// The number of the event in the feed, from 1.
    pub(crate) n: u64,
}

impl Place {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::new(format!("redis:{}:{}:{}", self.feed, self.entry, self.n))
    }

    /// Reads a cursor.
    pub(crate) fn read(cursor: &Cursor) -> Result<Self, ReadError> {
        let read = || {
            let mut parts = cursor.as_str().strip_prefix("redis:")?.split(':');
            let place = Self {
                feed: parts.next()?.parse().ok()?,
                entry: parts.next()?.parse().ok()?,
                n: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(place)
        };
        read().ok_or_else(|| cursor.foreign("this feed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_back_the_place_that_it_was_made_of() {
        let place = Place {
            feed: InstanceId::from_u64(7),
            entry: EntryId { ms: 1_772_323_200_000, seq: u64::MAX },
            n: u64::MAX,
        };
        assert_eq!(Place::read(&place.cursor()).unwrap(), place);
        for nonsense in
            ["redis:", "redis:0000000000000007:1-1", "redis:0000000000000007:1-:1", "redis:7:1-1:1"]
        {
            assert!(Place::read(&Cursor::new(nonsense)).is_err(), "{nonsense}");
        }
        let longer = format!("{}:1", place.cursor().as_str());
        assert!(Place::read(&Cursor::new(longer)).is_err());
    }

    #[test]
    fn nothing_lies_between_an_id_and_the_one_before() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert_eq!(id("5-3").before(), id("5-2"));
        assert_eq!(id("5-0").before(), id(&format!("4-{}", u64::MAX)));
        assert_eq!(EntryId::START.before(), EntryId::START);
    }
}
