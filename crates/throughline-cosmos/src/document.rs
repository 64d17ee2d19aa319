//! The documents of the container.
//!
//! What is searched by stands in fields of its own. An event as a whole is its JSON as a text: the service keeps every
//! number as a double, and would round an id of 64 bits or a 1.0 of a payload.

use serde::{Deserialize, Serialize};
use throughline_model::fold::{Position, RowCause, RowFold, RunRow, RunStanding};
use throughline_model::names::attrs;
use throughline_model::{InstanceId, Status, Text, Timestamp, TraceEvent, TraceId};

use crate::error::Fault;

/// The path of the partition key.
pub(crate) const PARTITION_KEY: &str = "/trace_id";

/// The id of the document of a run.
pub(crate) const RUN: &str = "run";

/// The id of the document of who works on a run.
pub(crate) const CLAIM: &str = "claim";

/// The id of the document of an instance.
pub(crate) const LEASE: &str = "lease";

/// The id and the partition of what belongs to the store as a whole.
pub(crate) const STORE: &str = "store";

/// A moment as a text, in whose order the texts are.
pub(crate) fn sortable(moment: Timestamp) -> String {
    // Negative numbers come first if the sign is turned around.
    format!("{:016x}", moment.as_micros().cast_unsigned() ^ (1 << 63))
}

fn moment(sortable: &str) -> Option<Timestamp> {
    let bits = u64::from_str_radix(sortable.get(..16)?, 16).ok()?;
    Some(Timestamp::from_micros((bits ^ (1 << 63)).cast_signed()))
}

/// The place of an event among all events as a text, in whose order the texts are.
pub(crate) fn place(position: &Position) -> String {
    let Position { timestamp, instance, n, id } = position;
    let (timestamp, instance) = (sortable(*timestamp), instance.to_u64());
    format!("{timestamp}{instance:016x}{n:016x}{}{}{:08x}", id.trace_id, id.span_id, id.seq)
}

/// The place of a run among all runs as a text, in whose order the texts are.
pub(crate) fn place_of_run(started: Timestamp, trace: TraceId) -> String {
    format!("{}{trace}", sortable(started))
}

/// The partition of an instance.
pub(crate) fn partition_of(instance: InstanceId) -> String {
    format!("instance:{instance}")
}

/// What the service says of a document that was written.
#[derive(Debug, Deserialize)]
pub(crate) struct Written {
    #[serde(rename = "_etag")]
    pub(crate) etag: String,
    /// When it was, in seconds since 1970.
    #[serde(rename = "_ts")]
    pub(crate) second: i64,
}

/// An event.
#[derive(Debug, Serialize)]
pub(crate) struct EventDocument<'e> {
    pub(crate) id: String,
    trace_id: TraceId,
    kind: &'static str,
    at: String,
    span: String,
    #[serde(rename = "type")]
    event_type: &'e Text,
    status: &'static str,
    service: &'e Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'e Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'e Text>,
    #[serde(skip_serializing_if = "<[Text]>::is_empty")]
    tags: &'e [Text],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    detached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'e str>,
    /// The id of the first document of its batch.
    batch: String,
    /// How many events the batch has.
    batch_size: usize,
    pub(crate) event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
}

/// The id of the document of an event, which is in the partition of its run.
pub(crate) fn event_id(event: &TraceEvent) -> String {
    format!("{}:{}", event.span_id, event.seq)
}

impl<'e> EventDocument<'e> {
    /// The document of an event, which has this JSON; it is sent in a batch of so many, with this one first.
    pub(crate) fn of(
        event: &'e TraceEvent,
        json: String,
        first: &TraceEvent,
        of: usize,
        ttl: Option<u32>,
    ) -> Self {
        Self {
            id: event_id(event),
            trace_id: event.trace_id,
            kind: "event",
            at: place(&Position::of(event)),
            span: event.span_id.to_string(),
            event_type: &event.event_type,
            status: event.status.as_str(),
            service: &event.service,
            workflow: event.workflow.as_ref(),
            correlation_id: event.correlation_id.as_ref(),
            tags: &event.tags,
            detached: event.is_detached(),
            job: event.attrs.get(attrs::JOB_ID).filter(|_| event.is_detached()),
            batch: event_id(first),
            batch_size: of,
            event: json,
            ttl,
        }
    }
}

/// The event of a document, as queries ask for it.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredEvent {
    event: String,
    pub(crate) batch: String,
    pub(crate) batch_size: usize,
}

impl StoredEvent {
    pub(crate) fn into_event(self) -> Result<TraceEvent, Fault> {
        serde_json::from_str(&self.event)
            .map_err(|error| Fault::Damaged(format!("the field `event` of an event can't be read: {error}")))
    }
}

/// A run as a whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunDocument {
    id: String,
    pub(crate) trace_id: TraceId,
    kind: String,
    /// See [`place_of_run`].
    pub(crate) place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    pub(crate) status: Status,
    /// Whether it has not ended.
    open: bool,
    pub(crate) owner: InstanceId,
    service: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Text>,
    failed: bool,
    pub(crate) compensating: bool,
    /// The rest, as the JSON of a [`RunRow`].
    row: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(rename = "_etag", default, skip_serializing)]
    pub(crate) etag: String,
}

impl RunDocument {
    /// The document of a run that has an event.
    pub(crate) fn of(trace_id: TraceId, fold: &RowFold, ttl: Option<u32>) -> Option<Self> {
        let RunStanding { status, owner } = fold.standing()?;
        // The cause is found from the events when it is shown: each that comes after a failure may be another one.
        let cause = if fold.may_have_cause() { RowCause::Unknown } else { RowCause::None };
        Some(Self {
            id: RUN.to_owned(),
            trace_id,
            kind: RUN.to_owned(),
            place: place_of_run(fold.started()?, trace_id),
            ended: fold.ended().map(sortable),
            status,
            open: status == Status::Pending,
            owner,
            service: fold.head()?.key.service.clone(),
            workflow: fold.workflow().cloned(),
            correlation_id: fold.correlation_id().cloned(),
            failed: fold.first_failure().is_some(),
            compensating: fold.is_compensating(),
            // Writing to a text does not fail: it is maps with text keys, lists, texts and numbers.
            row: serde_json::to_string(&RunRow::of(fold, cause)).ok()?,
            ttl,
            etag: String::new(),
        })
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged(format!("the document `run` of run {} can't be read", self.trace_id))
    }

    pub(crate) fn started(&self) -> Result<Timestamp, Fault> {
        moment(&self.place).ok_or_else(|| self.damaged())
    }

    pub(crate) fn ended(&self) -> Option<Timestamp> {
        self.ended.as_deref().and_then(moment)
    }

    pub(crate) fn row(&self) -> Result<RunRow, Fault> {
        serde_json::from_str(&self.row).map_err(|_| self.damaged())
    }
}

/// An instance: its lease, and in which process it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaseDocument {
    pub(crate) id: String,
    pub(crate) trace_id: String,
    pub(crate) kind: String,
    pub(crate) service: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// Which time it is that the instance is open.
    pub(crate) opening: String,
    pub(crate) opened: String,
    pub(crate) seen: String,
    /// By the clock of the service.
    pub(crate) expires: String,
    pub(crate) closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u32>,
    #[serde(rename = "_etag", default, skip_serializing)]
    pub(crate) etag: String,
}

impl LeaseDocument {
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        !self.closed && moment(&self.expires).is_some_and(|expires| now < expires)
    }

    pub(crate) fn opened_at(&self) -> Option<Timestamp> {
        moment(&self.opened)
    }

    pub(crate) fn seen_at(&self) -> Option<Timestamp> {
        moment(&self.seen)
    }
}

/// Who works on a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClaimDocument {
    pub(crate) id: String,
    pub(crate) trace_id: TraceId,
    pub(crate) kind: String,
    pub(crate) holder: InstanceId,
    /// The opening of its holder in which it was granted; another one has none of these claims.
    pub(crate) opening: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u32>,
    #[serde(rename = "_etag", default, skip_serializing)]
    pub(crate) etag: String,
}

/// What belongs to the store as a whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoreDocument {
    pub(crate) id: String,
    pub(crate) trace_id: String,
    pub(crate) kind: String,
    /// In hex digits.
    pub(crate) secret: String,
    /// -1: it stays for ever.
    pub(crate) ttl: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_moments_are_in_the_order_of_moments() {
        let moments = [i64::MIN, -62_167_219_200_000_000, -1, 0, 1, 1_790_000_000_000_000, i64::MAX];
        let texts: Vec<_> = moments.map(|micros| sortable(Timestamp::from_micros(micros))).into();
        assert!(texts.is_sorted(), "{texts:?}");
        for (text, micros) in texts.iter().zip(moments) {
            assert_eq!(moment(text), Some(Timestamp::from_micros(micros)));
        }
    }
}
