//! How a context crosses process borders: `traceparent`, `tracestate` and baggage.

mod baggage;
mod formats;
mod traceparent;
mod tracestate;

use std::fmt;
use std::sync::Arc;

use super::TraceContext;
use super::span::Run;
use crate::propagators::Propagators;
use crate::sampling::SamplingState;
use throughline_model::{Attrs, Text, names};

pub use traceparent::{ParseTraceParentError, TraceParent};

/// The baggage member that carries the business key.
const CORRELATION_ID: &str = "throughline.correlation_id";
/// The baggage member that carries the id of the request that caused it all.
const REQUEST_ID: &str = "throughline.request_id";
/// The variables of the environment that carry a context.
const TRACEPARENT: &str = "TRACEPARENT";
const TRACESTATE: &str = "TRACESTATE";
const BAGGAGE: &str = "BAGGAGE";
/// The longest id that is taken from a caller, in bytes: every event of a request would carry it.
const ID_LIMIT: usize = 256;

/// What travels with a request or a job, so that the receiver continues the same trace. On the wire these are the
/// headers `traceparent`, `tracestate` and `baggage`, as text; servers, clients and workers read and write them by
/// themselves. A job carries them as `throughline_workflow::Carrier`, which is a field of any format.
///
/// ```
/// # use throughline_core::{Propagation, Throughline, TraceContext, NotRecorded};
/// # async fn example(ctx: TraceContext, throughline: Throughline) -> Result<(), Box<dyn std::error::Error>> {
/// // One process:
/// let sent = ctx.propagation();
/// let (parent, state) = (sent.traceparent.map(|parent| parent.to_string()), sent.tracestate.clone());
/// let baggage = sent.baggage_header();
///
/// // Another:
/// let context = Propagation::from_headers(parent.as_deref(), state.as_deref(), baggage.as_deref());
/// throughline
///     .workflow("disbursement")
///     .continue_from(context)
///     .run(|ctx| async move { Ok::<_, NotRecorded>(()) })
///     .await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Propagation {
    /// Where the sender stands.
    pub traceparent: Option<TraceParent>,
    /// What other tracing systems send along; travels on as it is.
    pub tracestate: Option<Text>,
    /// Names and values that travel along.
    pub baggage: Attrs,
    /// The properties of members of the baggage, by the name of the member, as they came: `ttl=60;hidden`.
    pub baggage_properties: Attrs,
}

/// The names in the baggage alone: what came with a request may be anything.
impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.baggage.iter().map(|(name, _)| name).collect();
        f.debug_struct("Propagation")
            .field("traceparent", &self.traceparent)
            .field("baggage", &names)
            .finish_non_exhaustive()
    }
}

impl Propagation {
    /// Reads the headers `traceparent`, `tracestate` and `baggage`. What is malformed is ignored: the receiver
    /// then begins a trace of its own.
    pub fn from_headers(traceparent: Option<&str>, tracestate: Option<&str>, baggage: Option<&str>) -> Self {
        Self::from_header_values(
            traceparent.map(str::as_bytes),
            tracestate.map(str::as_bytes),
            baggage.map(str::as_bytes),
        )
    }

    /// Reads the values of all headers `traceparent`, `tracestate` and `baggage`, by
    /// [W3C Trace Context, level 2](https://www.w3.org/TR/trace-context-2/) and
    /// [W3C Baggage](https://www.w3.org/TR/baggage/). Their bytes may be anything, and as many as a server takes:
    ///
    /// - Without exactly one valid `traceparent` the receiver begins a trace of its own, and the `tracestate` is void.
    /// - A `tracestate` with anything malformed in it, or more than 32 members, is void.
    /// - Members of the `baggage` that are malformed, or beyond 64 members or 8192 bytes, are left out.
    pub fn from_header_values<'h>(
        traceparent: impl IntoIterator<Item = &'h [u8]>,
        tracestate: impl IntoIterator<Item = &'h [u8]>,
        baggage: impl IntoIterator<Item = &'h [u8]>,
    ) -> Self {
        let mut parents = traceparent.into_iter();
        let parent = parents.next().filter(|_| parents.next().is_none());
        let parent = parent.and_then(|value| traceparent::parse(std::str::from_utf8(ows(value)).ok()?));
        let (baggage, baggage_properties) = baggage::parse(baggage);
        Self {
            traceparent: parent,
            tracestate: parent.and_then(|_| tracestate::parse(tracestate)),
            baggage,
            baggage_properties,
        }
    }

    /// The variables that hand this on to a child process, as
    /// [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/context/env-carriers/) has them: `TRACEPARENT`, `TRACESTATE` and `BAGGAGE`.
    ///
    /// ```
    /// # use std::process::Command;
    /// # fn example(ctx: throughline_core::TraceContext) -> std::io::Result<()> {
    /// let mut child = Command::new("settle").envs(ctx.propagation().variables()).spawn()?;
    /// # drop(child);
    /// # Ok(())
    /// # }
    /// ```
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let parent = self.traceparent.map(|parent| parent.to_string());
        let state = self.tracestate.as_ref().map(ToString::to_string);
        [(TRACEPARENT, parent), (TRACESTATE, state), (BAGGAGE, self.baggage_header())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }

    /// What the parent process has handed on in [such variables](Self::variables), for `continue_from`; empty if it did not.
    pub fn from_environment() -> Self {
        let [parent, state, baggage] =
            [TRACEPARENT, TRACESTATE, BAGGAGE].map(|name| std::env::var(name).ok());
        Self::from_headers(parent.as_deref(), state.as_deref(), baggage.as_deref())
    }

    /// The same with the baggage of another, whose members go before those of the same name here.
    #[must_use]
    pub fn with_baggage_of(mut self, other: &Self) -> Self {
        let is_kept = |(name, _): &&(Text, Text)| other.baggage.get(name).is_none();
        let properties = self.baggage_properties.iter().filter(is_kept).chain(&other.baggage_properties);
        self.baggage_properties = properties.cloned().collect();
        self.baggage = self.baggage.iter().chain(&other.baggage).cloned().collect();
        self
    }

    /// The value of the `baggage` header; `None` if there is nothing to send. Members that do not fit into 8192 bytes,
    /// and names that are none, are left out.
    pub fn baggage_header(&self) -> Option<String> {
        baggage::render(&self.baggage, &self.baggage_properties)
    }

    /// The business key of the run that the sender works for.
    pub(super) fn correlation_id(&self) -> Option<&str> {
        self.baggage.get(CORRELATION_ID).filter(|id| id.len() <= ID_LIMIT)
    }

    /// The request that the sender works for.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.baggage.get(REQUEST_ID).filter(|id| id.len() <= ID_LIMIT)
    }
}

/// What the root of a trace that continues here is tagged with.
pub(super) fn tags_of_child(parent: TraceParent) -> impl Iterator<Item = Text> {
    let unsampled = (!parent.sampled).then_some(names::tags::UNSAMPLED_PARENT);
    [names::tags::REMOTE_PARENT].into_iter().chain(unsampled).map(Text::literal)
}

/// What its caller said of how it samples, for exporters.
pub(super) fn sampling_of_caller(tracestate: Option<&str>) -> Option<String> {
    tracestate.and_then(SamplingState::of_tracestate).map(|state| state.to_string())
}

/// What came, with what is said here of sampling. What the caller said of it is of the caller's trace, and of a run that is
/// exported.
fn sent_tracestate(run: &Run, is_taken: bool) -> Option<Text> {
    let threshold = run.hub.threshold(run.trace_id, !run.is_remote).filter(|_| run.sampled && is_taken);
    if threshold.is_none() && (run.tracestate.is_none() || (is_taken && run.is_remote)) {
        return run.tracestate.clone();
    }
    tracestate::with_threshold(run.tracestate.as_deref(), threshold, run.is_remote)
}

/// A value without the optional whitespace around it
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.3)).
fn ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl TraceContext {
    /// What to send along with an outgoing request or a job. A root that is written lazily is written by this: the
    /// receiver's events will hang on it.
    pub fn propagation(&self) -> Propagation {
        let span = super::current::parent_for(Arc::clone(&self.0));
        let run = &*span.run;
        span.ensure_root_if_there_is_room();
        let baggage = match &run.correlation_id {
            Some(id) => run.baggage.with(CORRELATION_ID, id),
            None => run.baggage.clone(),
        };
        let is_taken = run.hub.samples(run.trace_id);
        Propagation {
            traceparent: Some(TraceParent {
                trace_id: run.trace_id,
                span_id: span.id,
                sampled: run.sampled && is_taken,
                random: run.random,
            }),
            tracestate: sent_tracestate(run, is_taken),
            baggage,
            baggage_properties: run.baggage_properties.clone(),
        }
    }

    /// What to send along with a job: [`propagation`](Self::propagation), and the id of the request that caused it all. Between
    /// servers a header of its own carries that.
    pub fn job_propagation(&self) -> Propagation {
        let mut sent = self.propagation();
        if let Some(id) = self.attrs().get(names::attrs::REQUEST_ID) {
            sent.baggage = sent.baggage.with(REQUEST_ID, id.to_owned());
        }
        sent
    }

    /// In which formats a context travels in the headers of requests.
    pub fn propagators(&self) -> &Propagators {
        &self.0.run.hub.propagators
    }

    /// Whether the run is exported, as far as its caller and the emitter's sinks say.
    pub fn is_sampled(&self) -> bool {
        let run = &self.0.run;
        run.sampled && run.hub.samples(run.trace_id)
    }

    /// The `traceparent` to send along: [`propagation`](Self::propagation) without the rest.
    pub fn traceparent(&self) -> String {
        self.propagation().traceparent.map(|parent| parent.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

    #[test]
    fn tracestate_counts_only_with_a_valid_traceparent() {
        assert!(Propagation::from_headers(Some("rubbish"), Some("a=1"), None).tracestate.is_none());
        assert!(Propagation::from_headers(Some(VALID), Some("a=1"), None).tracestate.is_some());
    }

    #[test]
    fn a_traceparent_that_is_sent_twice_counts_for_nothing() {
        let once = VALID.as_bytes();
        assert!(Propagation::from_header_values([once], [], []).traceparent.is_some());
        assert!(Propagation::from_header_values([once, once], [], []).traceparent.is_none());
    }

    #[test]
    fn whitespace_around_a_traceparent_is_passed_over_and_no_other() {
        let read = |text: &str| Propagation::from_headers(Some(text), None, None).traceparent;
        assert!(read(&format!("\t {VALID} \t")).is_some());
        assert!(read(&format!("\u{a0}{VALID}")).is_none());
        assert!(read(&format!("{VALID}\n")).is_none());
    }

    #[test]
    fn a_business_key_of_any_length_is_not_taken() {
        let read = |length: usize| {
            let baggage = format!("{CORRELATION_ID}={}", "x".repeat(length));
            Propagation::from_headers(None, None, Some(&baggage)).correlation_id().is_some()
        };
        assert!(read(256) && !read(257));
    }

    proptest! {
        #[test]
        fn no_headers_whatsoever_are_too_much(
            parents in proptest::collection::vec(any::<Vec<u8>>(), 0..3),
            states in proptest::collection::vec(any::<Vec<u8>>(), 0..3),
            baggage in proptest::collection::vec(any::<Vec<u8>>(), 0..3),
        ) {
            fn bytes(values: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
                values.iter().map(Vec::as_slice)
            }
            let read = Propagation::from_header_values(bytes(&parents), bytes(&states), bytes(&baggage));
            let again = Propagation::from_headers(
                read.traceparent.map(|parent| parent.to_string()).as_deref(),
                read.tracestate.as_deref(),
                read.baggage_header().as_deref(),
            );
            prop_assert_eq!(again, read);
        }

        #[test]
        fn what_travels_on_from_near_misses_is_valid_again(
            state in "([a-z0-9@_*/-]{0,5}[ =,\t]{0,2}){0,12}",
            baggage in "([a-zA-Z0-9%=;, \t\"é]{0,6}){0,12}",
        ) {
            let read = Propagation::from_headers(Some(VALID), Some(&state), Some(&baggage));
            let (state, baggage) = (read.tracestate.clone(), read.baggage_header());
            let again = Propagation::from_headers(Some(VALID), state.as_deref(), baggage.as_deref());
            prop_assert_eq!(again, read);
        }
    }
}
