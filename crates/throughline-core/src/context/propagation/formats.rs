//! Reading and writing a context in the formats that a service has chosen.

mod b3;
mod jaeger;

use super::{Propagation, baggage, traceparent, tracestate};
use crate::propagators::{Propagator, Propagators};

impl Propagators {
    /// Reads the headers of a request, whose names are in lower case. What is malformed, or sent twice where that is forbidden, is
    /// ignored.
    pub fn extract<'h>(&self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Propagation {
        let mut seen = Seen::default();
        headers.into_iter().for_each(|(name, value)| seen.note(name, value));
        let mut found = Propagation::default();
        for propagator in &self.0 {
            let parent = match propagator {
                Propagator::TraceContext => {
                    let parent = only(&seen.traceparent);
                    parent
                        .and_then(traceparent::parse)
                        .map(|parent| (parent, tracestate::parse(seen.tracestate.iter().copied())))
                }
                Propagator::Baggage => {
                    let (baggage, properties) = baggage::parse(seen.baggage.iter().copied());
                    found = found.with_baggage_of(&Propagation {
                        baggage,
                        baggage_properties: properties,
                        ..Propagation::default()
                    });
                    None
                }
                // A reader of one of them reads both, as OpenTelemetry has it.
                Propagator::B3 | Propagator::B3Multi => {
                    let single = only(&seen.b3).and_then(b3::parse);
                    single.or_else(|| b3::parse_many(&seen)).map(|parent| (parent, None))
                }
                Propagator::Jaeger => {
                    let baggage = jaeger::parse_baggage(&seen.uberctx);
                    found = found.with_baggage_of(&Propagation { baggage, ..Propagation::default() });
                    only(&seen.uber_trace_id).and_then(jaeger::parse).map(|parent| (parent, None))
                }
            };
            if let Some((parent, state)) = parent {
                (found.traceparent, found.tracestate) = (Some(parent), state);
            }
        }
        found
    }

    /// What to send: names in lower case, and values.
    pub fn inject(&self, sent: &Propagation) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for propagator in &self.0 {
            match (propagator, sent.traceparent) {
                (Propagator::TraceContext, Some(parent)) => {
                    headers.push(("traceparent".to_owned(), parent.to_string()));
                    let state = sent.tracestate.as_ref();
                    headers.extend(state.map(|state| ("tracestate".to_owned(), state.to_string())));
                }
                (Propagator::B3, Some(parent)) => headers.push(("b3".to_owned(), b3::write(parent))),
                (Propagator::B3Multi, Some(parent)) => headers.extend(b3::write_many(parent)),
                (Propagator::Jaeger, parent) => {
                    headers.extend(parent.map(|parent| ("uber-trace-id".to_owned(), jaeger::write(parent))));
                    headers.extend(jaeger::write_baggage(&sent.baggage));
                }
                (Propagator::Baggage, _) => {
                    headers.extend(sent.baggage_header().map(|baggage| ("baggage".to_owned(), baggage)));
                }
                (_, None) => {}
            }
        }
        headers
    }
}

/// The headers that any of the formats has.
#[derive(Default)]
struct Seen<'h> {
    traceparent: Vec<&'h [u8]>,
    tracestate: Vec<&'h [u8]>,
    baggage: Vec<&'h [u8]>,
    b3: Vec<&'h [u8]>,
    b3_trace: Vec<&'h [u8]>,
    b3_span: Vec<&'h [u8]>,
    b3_sampled: Vec<&'h [u8]>,
    b3_flags: Vec<&'h [u8]>,
    uber_trace_id: Vec<&'h [u8]>,
    uberctx: Vec<(&'h str, &'h [u8])>,
}

impl<'h> Seen<'h> {
    fn note(&mut self, name: &'h str, value: &'h [u8]) {
        let values = match name {
            "traceparent" => &mut self.traceparent,
            "tracestate" => &mut self.tracestate,
            "baggage" => &mut self.baggage,
            "b3" => &mut self.b3,
            "x-b3-traceid" => &mut self.b3_trace,
            "x-b3-spanid" => &mut self.b3_span,
            "x-b3-sampled" => &mut self.b3_sampled,
            "x-b3-flags" => &mut self.b3_flags,
            "uber-trace-id" => &mut self.uber_trace_id,
            name => {
                self.uberctx.extend(name.strip_prefix("uberctx-").map(|name| (name, value)));
                return;
            }
        };
        values.push(value);
    }
}

/// The value of a header that may be sent once.
fn only<'h>(values: &[&'h [u8]]) -> Option<&'h str> {
    match values {
        [value] => std::str::from_utf8(super::ows(value)).ok(),
        _ => None,
    }
}

/// A number of at most so many hex digits, with zeros in front.
fn padded(digits: &str, length: usize) -> Option<String> {
    let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_hex && digits.len() <= length).then(|| format!("{:0>length$}", digits.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
