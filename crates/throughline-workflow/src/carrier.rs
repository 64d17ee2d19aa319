//! [`Carrier`], the context on its way through a queue.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use throughline_core::{Propagation, Timestamp, TraceContext};

/// The names of a carrier's fields, in headers and in the metadata of jobs.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";
const ENQUEUED_AT: &str = "enqueued_at";

/// The context that travels in a job, so that the producer's run continues in the worker: `traceparent`, `tracestate`
/// ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)) and `baggage`
/// ([W3C Baggage](https://www.w3.org/TR/baggage/)) as text, and when the job was put into the queue.
///
/// Make it with [`Carrier::current`] where the job is enqueued. It can be a field of the job, whatever format the queue
/// writes, or be written into the job's metadata as [pairs](Self::pairs) of texts. A worker may find anything in it: what
/// is malformed is ignored, and the job starts a trace of its own. Reading one from JSON never fails, since a job must not
/// be lost because its context was damaged.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use throughline_core::TraceContext;
/// use throughline_workflow::Carrier;
///
/// #[derive(Serialize, Deserialize)]
/// struct Payout {
///     loan: String,
///     #[serde(default)]
///     context: Carrier,
/// }
///
/// # type Error = Box<dyn std::error::Error + Send + Sync>;
/// # async fn push(_: String) -> Result<(), Error> { Ok(()) }
/// # async fn example(ctx: TraceContext) -> Result<(), Error> {
/// ctx.dependency("queue", "payouts", async {
///     // Here the call to the queue is the current span: it becomes the parent of the job.
///     let job = Payout { loan: "loan-42".into(), context: Carrier::current() };
///     push(serde_json::to_string(&job)?).await
/// })
/// .await??;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carrier {
    wire: Wire,
}

/// A carrier as it is written.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Wire {
    traceparent: Option<String>,
    tracestate: Option<String>,
    baggage: Option<String>,
    enqueued_at: Option<Timestamp>,
}

/// Without the values of the baggage: they may be anything.
impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field(TRACEPARENT, &self.traceparent)
            .field(ENQUEUED_AT, &self.enqueued_at)
            .finish_non_exhaustive()
    }
}

impl Carrier {
    /// Of the [current](TraceContext::current) context; outside every run it has the time alone.
    pub fn current() -> Self {
        TraceContext::current().as_ref().map_or_else(|| Self::with(&Propagation::default()), Self::of)
    }

    /// Of a context. If the root of the context's run is written lazily, this writes it.
    pub fn of(context: &TraceContext) -> Self {
        Self::with(&context.job_propagation())
    }

    fn with(propagation: &Propagation) -> Self {
        Self {
            wire: Wire {
                traceparent: propagation.traceparent.as_ref().map(ToString::to_string),
                tracestate: propagation.tracestate.as_ref().map(ToString::to_string),
                baggage: propagation.baggage_header(),
                enqueued_at: Some(Timestamp::now()),
            },
        }
    }

    /// What the worker continues from; what is malformed is ignored.
    pub fn propagation(&self) -> Propagation {
        let Wire { traceparent, tracestate, baggage, .. } = &self.wire;
        Propagation::from_headers(traceparent.as_deref(), tracestate.as_deref(), baggage.as_deref())
    }

    /// When the job was put into the queue, by the producer's clock.
    pub fn enqueued_at(&self) -> Option<Timestamp> {
        self.wire.enqueued_at
    }

    /// The carrier as pairs of names and texts, for the metadata or the headers of a job.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let Wire { traceparent, tracestate, baggage, enqueued_at } = self.wire.clone();
        let enqueued_at = enqueued_at.map(|at| at.to_string());
        [(TRACEPARENT, traceparent), (TRACESTATE, tracestate), (BAGGAGE, baggage), (ENQUEUED_AT, enqueued_at)]
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)))
    }

    /// Reads the pairs back; `get` finds the text under a name.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let text = |name| get(name).map(str::to_owned);
        let enqueued_at = get(ENQUEUED_AT).and_then(|at| at.parse().ok());
        let (traceparent, tracestate, baggage) = (text(TRACEPARENT), text(TRACESTATE), text(BAGGAGE));
        Self { wire: Wire { traceparent, tracestate, baggage, enqueued_at } }
    }
}

impl Serialize for Carrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_map(self.pairs());
        }
        // Formats that do not describe themselves need every field.
        self.wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Carrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(Self { wire: Wire::deserialize(deserializer)? });
        }
        let found = Found::deserialize(deserializer)?;
        Ok(Self::from_pairs(|name| match &found {
            Found::Map(fields) => match fields.iter().find(|(own, _)| own == name) {
                Some((_, Field::Text(text))) => Some(text.as_str()),
                _ => None,
            },
            Found::Other(_) => None,
        }))
    }
}

/// Whatever is in the place of a carrier.
#[derive(Deserialize)]
#[serde(untagged)]
enum Found {
    Map(#[serde(deserialize_with = "fields")] Vec<(String, Field)>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Other(IgnoredAny),
}

/// The fields that a carrier may have; of one that comes twice the last counts.
fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Field)>, D::Error> {
    struct Fields;
    impl<'de> serde::de::Visitor<'de> for Fields {
        type Value = Vec<(String, Field)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the context of a job")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some((name, field)) = map.next_entry::<String, Field>()? {
                if [TRACEPARENT, TRACESTATE, BAGGAGE, ENQUEUED_AT].contains(&name.as_str()) {
                    fields.retain(|(known, _)| *known != name);
                    fields.push((name, field));
                }
            }
            Ok(fields)
        }
    }
    deserializer.deserialize_map(Fields)
}
