//! One request and its answer, until the last byte.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, StatusCode};
use throughline_core::metrics::GaugeGuard;
use throughline_core::{
    CancelledBy, ErrorInfo, RequestSpan, TraceContext, TraceParent, catch_recorded, names,
};

use super::{Arrival, Labels};
use crate::{ServerTiming, grpc};

/// A request that is being answered. However it ends, it ends once: it is measured, and its span says how. Dropped before,
/// the client has disconnected.
///
/// Boxed wherever it is kept, for it goes from future to future and from body to body.
pub(crate) struct Exchange {
    span: Option<RequestSpan>,
    context: TraceContext,
    active: Option<GaugeGuard>,
    pub(super) arrival: Arrival,
    status: Option<StatusCode>,
    /// What the response itself says about a failure.
    failure: Option<Failure>,
    /// Whether the server has all of the content, and only asks for what may follow it.
    is_out: bool,
}

/// How an exchange ends.
pub(crate) enum Outcome {
    /// The last byte of the response was handed to the server.
    Complete,
    /// The client went away.
    Cancelled,
    /// The handler or the body panicked.
    Panicked(ErrorInfo),
    /// The body was cut off.
    BodyFailed(ErrorInfo),
    /// The service gave no answer at all.
    ServiceFailed,
}

struct Failure {
    /// The metric's `error_type`.
    label: String,
    error: ErrorInfo,
}

impl Exchange {
    /// The service inside is called.
    pub(super) fn new(span: RequestSpan, arrival: Arrival) -> Box<Self> {
        let Labels { method, scheme, .. } = arrival.labels;
        Box::new(Self {
            context: span.context().clone(),
            span: Some(span),
            active: Some(arrival.shared.measures.active.with([method, scheme]).hold()),
            arrival,
            status: None,
            failure: None,
            is_out: false,
        })
    }

    /// How long it waited and was worked on so far.
    pub(super) fn timing(&self) -> ServerTiming {
        let Arrival { asked, taken, .. } = &self.arrival;
        ServerTiming { queue: taken.saturating_duration_since(*asked), app: taken.elapsed() }
    }

    /// What clients are told of the trace, if they are told anything.
    pub(super) fn trace(&self) -> Option<String> {
        let context = Some(&self.context).filter(|_| self.arrival.tells_trace)?;
        let mut served = TraceParent::new(context.trace_id(), context.span_id());
        served.sampled = context.is_sampled();
        Some(format!("trace;desc={served}"))
    }

    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Runs a part of the handler or of its body: in the context of the request, and its panics are caught.
    pub(crate) fn guard<T>(&self, part: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
        catch_recorded(|| self.context.scope(part))
    }

    /// Drops what is left of the handler or of its body, because nobody asks for the rest.
    pub(crate) fn give_up(&self, drop: impl FnOnce()) -> Result<(), Box<dyn Any + Send>> {
        self.guard(|| match self.is_out {
            true => drop(),
            false => CancelledBy::ClientGone.while_dropping(drop),
        })
    }

    /// Whether a server asks for the end of a body, even if it has all the bytes that it was promised.
    pub(crate) fn is_asked_to_the_end(&self) -> bool {
        self.arrival.is_framed
    }

    /// The server has all that was promised. A client that does not wait for more has not hung up.
    pub(crate) fn content_is_out(&mut self) {
        self.is_out = true;
    }

    /// The head of the response is there, and perhaps what made the handler fail.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap, cause: Option<ErrorInfo>) {
        self.status = Some(status);
        if status.is_server_error() {
            let reason = status.canonical_reason().unwrap_or("failed");
            self.failure = Some(Failure {
                label: status.as_str().to_owned(),
                error: cause.unwrap_or_else(|| error(format!("http:{}", status.as_str()), reason)),
            });
        } else if status == StatusCode::OK {
            self.look_for_grpc_status(headers);
        }
    }

    /// gRPC says how a call ended in the trailers, or in the head if nothing else follows.
    pub(crate) fn look_for_grpc_status(&mut self, fields: &HeaderMap) {
        if let Some(code) = grpc::failure_in(fields).filter(|code| code.is_fault) {
            self.failure = Some(Failure {
                error: error(code.label.to_owned(), code.name),
                label: code.label.to_owned(),
            });
        }
    }

    /// The exchange is over.
    pub(crate) fn end(mut self: Box<Self>, outcome: Outcome) {
        self.end_once(outcome);
    }

    fn end_once(&mut self, outcome: Outcome) {
        let Some(mut span) = self.span.take() else { return };
        if let Some(status) = &self.status {
            span.answered_with(names::attrs::HTTP_STATUS, Cow::Borrowed(status.as_str()));
        }
        let failure = self.failure.take();
        let failed = |label: &str, error| Some(Failure { label: label.to_owned(), error });
        let failure = match outcome {
            Outcome::Complete => failure,
            Outcome::Panicked(error) => failed(names::errors::PANIC, error),
            Outcome::BodyFailed(error) => failed("body", error),
            Outcome::ServiceFailed => {
                failed("service", error("service".to_owned(), "the service failed before it answered"))
            }
            // That the client did not wait for the end of an error does not make it another one.
            Outcome::Cancelled if failure.is_some() || self.is_out => failure,
            Outcome::Cancelled => {
                drop(span);
                return self.measure("cancelled");
            }
        };
        match failure {
            Some(Failure { label, error }) => {
                span.fail(error);
                self.measure(&label);
            }
            None => {
                span.succeed();
                self.measure("");
            }
        }
    }

    fn measure(&mut self, error_type: &str) {
        self.active = None;
        let Arrival { shared, labels: Labels { method, scheme, version, route }, taken, .. } = &self.arrival;
        let status = self.status.as_ref().map_or("", StatusCode::as_str);
        let series =
            shared.measures.duration.with([method, scheme, route.label(), status, error_type, version]);
        if self.arrival.is_handshake {
            let outcome = match (self.status, error_type) {
                (_, "cancelled") => "cancelled",
                (Some(StatusCode::SWITCHING_PROTOCOLS), "") => "accepted",
                // Over HTTP/2 there is nothing to switch.
                (Some(status), "") if status.is_success() && *method == "CONNECT" => "accepted",
                (_, "") => "refused",
                _ => "failed",
            };
            shared.measures.upgrades.with([route.label(), outcome]).increment(1);
        }
        let took = taken.elapsed();
        if self.context.is_recorded() {
            // So that the measurement can name the run as its example.
            self.context.scope(|| series.record_duration(took));
        } else {
            series.record_duration(took);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end_once(Outcome::Cancelled);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("context", &self.context)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

fn error(kind: String, message: &'static str) -> ErrorInfo {
    ErrorInfo { kind: kind.into(), message: message.into(), chain: Vec::new() }
}
