//! The context in HTTP headers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use throughline_core::{Propagation, TraceContext, names};

use crate::REQUEST_ID;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Reads `traceparent`, `tracestate` ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)) and `baggage`
/// ([W3C Baggage](https://www.w3.org/TR/baggage/)). What is malformed, or sent twice where that is forbidden, is passed
/// over; [`Propagation::from_header_values`] says how.
pub fn extract(headers: &HeaderMap) -> Propagation {
    fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
        headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }
    Propagation::from_header_values(
        values(headers, &TRACEPARENT),
        values(headers, &TRACESTATE),
        values(headers, &BAGGAGE),
    )
}

/// Writes the context into the headers of an outgoing request, so that the receiver goes on in the same trace.
///
/// ```
/// # use throughline_core::TraceContext;
/// # fn example(ctx: TraceContext) {
/// let mut headers = http::HeaderMap::new();
/// throughline_tower::inject(&ctx, &mut headers);
/// # }
/// ```
pub fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    let propagation = context.propagation();
    let traceparent = propagation.traceparent.map(|parent| parent.to_string());
    let tracestate = propagation.tracestate.as_ref().map(|state| state.to_string());
    let values =
        [(TRACEPARENT, traceparent), (TRACESTATE, tracestate), (BAGGAGE, propagation.baggage_header())];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Writes the context into the headers of an outgoing request, with the id of the request that it serves; an id that is
/// there already stays.
pub(crate) fn inject_all(context: &TraceContext, headers: &mut HeaderMap) {
    inject(context, headers);
    if let Some(id) = context.attrs().get(names::attrs::REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(id)
    {
        headers.entry(REQUEST_ID).or_insert(id);
    }
}
