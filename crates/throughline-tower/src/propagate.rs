//! The context in HTTP headers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use throughline_core::{Propagation, Propagators, TraceContext, names};

use crate::{REQUEST_ID, RequestId};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Reads `traceparent`, `tracestate` ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)) and `baggage`
/// ([W3C Baggage](https://www.w3.org/TR/baggage/)). What is malformed, or sent twice where that is forbidden, is
/// ignored; [`Propagation::from_header_values`] has the rules.
pub fn extract(headers: &HeaderMap) -> Propagation {
    Propagation::from_header_values(
        values(headers, &TRACEPARENT),
        values(headers, &TRACESTATE),
        values(headers, &BAGGAGE),
    )
}

/// Reads the headers of these formats.
pub fn extract_with(propagators: &Propagators, headers: &HeaderMap) -> Propagation {
    // Most services have the default, for which nothing is copied.
    if *propagators == Propagators::default() {
        return extract(headers);
    }
    propagators.extract(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Writes the context into the headers of an outgoing request, in the formats of its emitter, so that the receiver continues the
/// same trace. Baggage
/// that the request has already stays, and goes before what came along under the same name.
///
/// ```
/// # use throughline_core::TraceContext;
/// # fn example(ctx: TraceContext) {
/// let mut headers = http::HeaderMap::new();
/// throughline_tower::inject(&ctx, &mut headers);
/// # }
/// ```
pub fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    let mut propagation = context.propagation();
    if headers.contains_key(BAGGAGE) {
        let own = Propagation::from_header_values([], [], values(headers, &BAGGAGE));
        propagation = propagation.with_baggage_of(&own);
    }
    if *context.propagators() != Propagators::default() {
        for (name, value) in context.propagators().inject(&propagation) {
            if let Some((name, value)) =
                HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok())
            {
                headers.insert(name, value);
            }
        }
        return;
    }
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
    if headers.contains_key(REQUEST_ID) {
        return;
    }
    // In the attributes it is redacted, and may not be an id any more.
    let id = context.request_id().or_else(|| context.attrs().get(names::attrs::REQUEST_ID));
    if let Some(id) = id.filter(|id| RequestId::is_sound(id.as_bytes()))
        && let Ok(id) = HeaderValue::try_from(id)
    {
        headers.insert(REQUEST_ID, id);
    }
}
