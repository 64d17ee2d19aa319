//! [`Cursor`], where a page of an answer ended.

use serde::{Deserialize, Serialize};

use crate::fold::Position;
use crate::{EventId, ReadError, RunSummary, Timestamp, TraceEvent, TraceId};

/// Where a page ended: an opaque text to pass to the next call.
///
/// Stores that order events and runs as the contract requires use the encoding here, so that pagination is stable in the
/// same way in every store; a feed may use its own text with [`Cursor::new`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor with a text that its store or feed understands.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place of an event among all events.
    pub fn of_event(event: &TraceEvent) -> Self {
        let Position { timestamp, instance, n, id } = Position::of(event);
        Self(format!("event:{}:{instance}:{n}:{id}", timestamp.as_micros()))
    }

    /// The place of a run among all runs, which are in the order of (start, id).
    pub fn of_run(run: &RunSummary) -> Self {
        Self::at_run(run.started, run.trace_id)
    }

    /// The place of the run that started then and has this id.
    pub fn at_run(started: Timestamp, trace_id: TraceId) -> Self {
        Self(format!("run:{}:{trace_id}", started.as_micros()))
    }

    /// The position that [`of_event`](Self::of_event) encoded.
    ///
    /// # Errors
    /// When it is the cursor of something else.
    pub fn event(&self) -> Result<Position, ReadError> {
        let read = || {
            let mut parts = self.0.strip_prefix("event:")?.split(':');
            let position = Position {
                timestamp: Timestamp::from_micros(parts.next()?.parse().ok()?),
                instance: parts.next()?.parse().ok()?,
                n: parts.next()?.parse().ok()?,
                id: EventId {
                    trace_id: parts.next()?.parse().ok()?,
                    span_id: parts.next()?.parse().ok()?,
                    seq: parts.next()?.parse().ok()?,
                },
            };
            parts.next().is_none().then_some(position)
        };
        read().ok_or_else(|| self.foreign("events"))
    }

    /// The position that [`of_run`](Self::of_run) encoded.
    ///
    /// # Errors
    /// When it is the cursor of something else.
    pub fn run(&self) -> Result<(Timestamp, TraceId), ReadError> {
        let read = || {
            let (started, id) = self.0.strip_prefix("run:")?.split_once(':')?;
            Some((Timestamp::from_micros(started.parse().ok()?), id.parse().ok()?))
        };
        read().ok_or_else(|| self.foreign("runs"))
    }

    /// The error for a cursor that is not one of `what`.
    pub fn foreign(&self, what: &str) -> ReadError {
        let shown: String = self.0.chars().take(64).collect();
        ReadError::InvalidQuery {
            reason: format!("`{shown}` is not a cursor for {what}; pass the `next` of the previous page"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstanceId, Liveness, SpanId};

    #[test]
    fn a_cursor_gives_back_the_place_that_it_was_made_of() {
        let mut event = TraceEvent::new(
            TraceId::from_key("loan-42"),
            SpanId::from_u64(7).unwrap(),
            "stage:score",
            Timestamp::from_micros(-5),
            "loan-service",
        );
        (event.instance, event.n, event.seq) = (InstanceId::from_u64(9), u64::MAX, 3);
        assert_eq!(Cursor::of_event(&event).event().unwrap(), Position::of(&event));
        let run = RunSummary::of([&event], |_| Liveness::Alive).unwrap();
        assert_eq!(Cursor::of_run(&run).run().unwrap(), (run.started, run.trace_id));
    }

    #[test]
    fn a_cursor_of_something_else_is_named_in_the_error() {
        for text in ["", "event:", "event:1:2", "run:1", "run:x:y", "3", "event:1:2:3:4:5:6:7:8"] {
            let cursor = Cursor::new(text);
            assert!(cursor.event().is_err() && cursor.run().is_err(), "{text}");
        }
        let error = Cursor::new("nonsense").event().unwrap_err().to_string();
        assert!(error.contains("`nonsense`") && error.contains("`next`"), "{error}");
    }
}
