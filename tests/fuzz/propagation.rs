//! `traceparent`, `tracestate` and `baggage`.

use throughline_core::Propagation;
use throughline_fuzz::{Target, fuzz, growth};

const TRACEPARENT: Target = Target::new(
    "traceparent",
    &[
        "00",
        "-",
        "ff",
        "cc",
        "01",
        "0",
        "+",
        "F",
        " ",
        "\t",
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    ],
);
const TRACESTATE: Target =
    Target::new("tracestate", &["a", "a=1", "=", ",", "@", " ", "\t", ",,", "*/_-", "A", "foo@bar=1,", "é"]);
const BAGGAGE: Target = Target::new(
    "baggage",
    &["a", "a=1", "=", ",", ";", "%", "%41", "%FF", "\"", " ", "\t", ";p=1", "a=1,", "a=1;p;q=2,", "\\", "é"],
);

const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

fn traceparent(value: &[u8]) -> Propagation {
    Propagation::from_header_values([value], [], [])
}

/// Of one header, or of several if there are lines.
fn tracestate(values: &[u8]) -> Propagation {
    Propagation::from_header_values([PARENT], values.split(|byte| *byte == b'\n'), [])
}

fn baggage(values: &[u8]) -> Propagation {
    Propagation::from_header_values([], [], values.split(|byte| *byte == b'\n'))
}

/// What travels on is within the limits, and travels on from the next one as it is.
fn travels_on(read: &Propagation) {
    let sent = |read: &Propagation| {
        let parent = read.traceparent.map(|parent| parent.to_string());
        (parent, read.tracestate.as_ref().map(ToString::to_string), read.baggage_header())
    };
    let (parent, state, baggage) = sent(read);
    assert!(state.as_ref().is_none_or(|state| state.len() <= 512));
    assert!(baggage.as_ref().is_none_or(|baggage| baggage.len() <= 8192));
    let next = Propagation::from_headers(parent.as_deref(), state.as_deref(), baggage.as_deref());
    assert_eq!(sent(&next), (parent, state, baggage));
}

#[test]
fn any_traceparent_is_read_or_ignored() {
    fuzz!(TRACEPARENT, |bytes: &[u8]| travels_on(&traceparent(bytes)));
}

#[test]
fn any_tracestate_travels_on_or_is_dropped() {
    fuzz!(TRACESTATE, |bytes: &[u8]| travels_on(&tracestate(bytes)));
}

#[test]
fn any_baggage_travels_on_as_far_as_it_is_valid() {
    fuzz!(BAGGAGE, |bytes: &[u8]| travels_on(&baggage(bytes)));
}

#[test]
fn reading_a_traceparent_takes_time_linear_in_it() {
    growth!(TRACEPARENT, |bytes: &[u8]| drop(traceparent(bytes)));
}

#[test]
fn reading_a_tracestate_takes_time_linear_in_it() {
    growth!(TRACESTATE, |bytes: &[u8]| drop(tracestate(bytes)));
}

#[test]
fn reading_baggage_takes_time_linear_in_it() {
    growth!(BAGGAGE, |bytes: &[u8]| drop(baggage(bytes)));
}
