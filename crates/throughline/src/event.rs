//! The event and what it is made of: ids, time, status, attributes, links, and the [names] that have a meaning.
//!
//! ```
//! use throughline::event::{SpanId, Status, Timestamp, TraceEvent, TraceId, names};
//!
//! let (run, root) = (TraceId::from_key("loan-42"), SpanId::random());
//! let mut event = TraceEvent::new(run, root, names::WORKFLOW_STARTED, Timestamp::now(), "loan-service");
//! event.status = Status::Pending;
//! println!("{}", serde_json::to_string(&event)?);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! The public JSON is described by `docs/event.schema.json`.

pub use throughline_core::{
    PanicId, catch_recorded, describe_panic, panic_begins, panic_place, panics_are_recorded_here, to_payload,
};
pub use throughline_model::{
    Attrs, ErrorInfo, EventId, InstanceId, Link, Moment, ParseIdError, ParseStatusError, ParseTimestampError,
    Relation, SCHEMA_VERSION, SpanId, Status, Text, Timestamp, TraceEvent, TraceId, names,
};
