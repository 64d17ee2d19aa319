//! What was measured of one call.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use throughline_core::{Text, TraceId};

use super::Transport;
use crate::split::Split;

/// A part of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The caller made the request: serialised the input, wrote the headers.
    Serialize,
    /// The round trip less what the callee says that it took: connecting, sockets, HTTP, routing, the response's body.
    Transport,
    /// The request waited in the callee.
    Queue,
    /// The callee worked on it.
    Callee,
    /// All of the round trip, of a callee that does not say how long it took.
    RoundTrip,
    /// The caller read the response.
    Deserialize,
}

impl Part {
    /// All parts, in the order in which they happen.
    pub const ALL: [Self; 6] =
        [Self::Serialize, Self::Transport, Self::Queue, Self::Callee, Self::RoundTrip, Self::Deserialize];

    /// The part in a word, as in the label `part`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serialize => "serialize",
            Self::Transport => "transport",
            Self::Queue => "queue",
            Self::Callee => "callee",
            Self::RoundTrip => "round_trip",
            Self::Deserialize => "deserialize",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallOutcome {
    /// It was answered.
    Success,
    /// It was not made, because its start could not be recorded or its input could not be serialized.
    NotSent,
    /// There was no connection.
    Unreachable,
    /// The response took too long.
    TimedOut,
    /// There is no such function.
    NoSuchFunction,
    /// The callee refused it (4xx).
    Rejected,
    /// The callee failed (5xx).
    Failed,
    /// The response was cut off, is too large, or is not what was asked for.
    BadAnswer,
    /// The caller gave up and dropped the call.
    Cancelled,
    /// The caller panicked: a callee in the same process without a layer around it did.
    Panicked,
}

impl CallOutcome {
    /// The outcome in a word, as in the label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotSent => "not_sent",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::NoSuchFunction => "no_such_function",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::BadAnswer => "bad_answer",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }

    /// Whether it counts as a failure: neither a success nor abandoned.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Success | Self::Cancelled)
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the time of a call went. The caller's clock measured all but [`callee`](Self::callee).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CallTimes {
    /// Until the request was ready.
    #[serde(rename = "serialize_us", serialize_with = "micros")]
    pub serialize: Duration,
    /// From then until the response was there, its body included.
    #[serde(rename = "round_trip_us", serialize_with = "micros")]
    pub round_trip: Duration,
    /// What of the round trip was the callee's, if it said so.
    pub callee: Option<CalleeTimes>,
    /// Until the response was read.
    #[serde(rename = "deserialize_us", serialize_with = "micros")]
    pub deserialize: Duration,
}

/// What a callee says that it took. Together no longer than the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CalleeTimes {
    /// While the request waited.
    #[serde(rename = "queue_us", serialize_with = "micros")]
    pub queue: Duration,
    /// While it was worked on.
    #[serde(rename = "app_us", serialize_with = "micros")]
    pub app: Duration,
}

impl CallTimes {
    /// From the first to the last.
    pub fn total(&self) -> Duration {
        self.serialize + self.round_trip + self.deserialize
    }

    /// The parts, in their order; they add up to the [total](Self::total). A round trip of which the callee said nothing
    /// is one part.
    pub fn parts(&self) -> impl Iterator<Item = (Part, Duration)> {
        let round_trip = match self.callee {
            Some(CalleeTimes { queue, app }) => {
                let queue = queue.min(self.round_trip);
                let app = app.min(self.round_trip.saturating_sub(queue));
                let transport = self.round_trip.saturating_sub(queue).saturating_sub(app);
                [Some((Part::Transport, transport)), Some((Part::Queue, queue)), Some((Part::Callee, app))]
            }
            None => [Some((Part::RoundTrip, self.round_trip)), None, None],
        };
        let (first, last) = ((Part::Serialize, self.serialize), (Part::Deserialize, self.deserialize));
        [first].into_iter().chain(round_trip.into_iter().flatten()).chain([last])
    }
}

impl From<Split> for CalleeTimes {
    fn from(split: Split) -> Self {
        Self { queue: split.queue, app: split.callee }
    }
}

/// What was measured of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallRecord {
    /// The function.
    pub function: Text,
    /// How it was called.
    pub transport: Transport,
    /// What became of it.
    pub outcome: CallOutcome,
    /// Where the time went, as far as the call came.
    pub times: CallTimes,
    /// The size of the request's body, in bytes.
    pub request_bytes: u64,
    /// The size of the response's body, in bytes; 0 if none came.
    pub response_bytes: u64,
    /// The trace that the call belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
}

impl CallRecord {
    /// A successful call with empty bodies.
    pub fn new(function: impl Into<Text>, transport: Transport, times: CallTimes) -> Self {
        Self {
            function: function.into(),
            transport,
            outcome: CallOutcome::Success,
            times,
            request_bytes: 0,
            response_bytes: 0,
            trace_id: None,
        }
    }

    /// What became of it.
    #[must_use]
    pub fn outcome(mut self, outcome: CallOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The sizes of the bodies of the request and of the response, in bytes.
    #[must_use]
    pub fn sizes(mut self, request: u64, response: u64) -> Self {
        (self.request_bytes, self.response_bytes) = (request, response);
        self
    }
}

/// Microseconds with three decimals.
pub(super) fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_nanos() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(times: &CallTimes) -> Duration {
        times.parts().map(|(_, took)| took).sum()
    }

    proptest! {
        #[test]
        fn the_parts_of_a_call_add_up_whatever_the_callee_claims(
            own in 0_u64..1_000_000_000, round_trip in 0_u64..1_000_000_000,
            claims in proptest::option::of((0_u64..2_000_000_000, 0_u64..2_000_000_000)),
        ) {
            let nanos = Duration::from_nanos;
            let callee = claims.map(|(queue, app)| CalleeTimes { queue: nanos(queue), app: nanos(app) });
            let times = CallTimes { serialize: nanos(own), round_trip: nanos(round_trip), callee, deserialize: nanos(own / 2) };
            prop_assert_eq!(sum(&times), times.total());
        }
    }

    #[test]
    fn a_round_trip_of_which_the_callee_says_nothing_is_one_part() {
        let times = CallTimes { round_trip: Duration::from_millis(1), ..CallTimes::default() };
        let parts: Vec<_> = times.parts().map(|(part, _)| part).collect();
        assert_eq!(parts, [Part::Serialize, Part::RoundTrip, Part::Deserialize]);
    }
}
