use throughline_model::Attrs;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What is read of these headers: trace, span and whether it is sampled.
fn read(propagators: &str, headers: &[(&str, &str)]) -> Option<(String, String, bool)> {
    let propagators: Propagators = propagators.parse().unwrap();
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    let parent = propagators.extract(headers).traceparent?;
    Some((parent.trace_id.to_string(), parent.span_id.to_string(), parent.sampled))
}

fn is(trace: &str, span: &str, sampled: bool) -> Option<(String, String, bool)> {
    Some((trace.to_owned(), span.to_owned(), sampled))
}

#[test]
fn b3_is_read_from_one_header() {
    let short = format!("0000000000000000{SPAN}");
    for (value, expected) in [
        (format!("{TRACE}-{SPAN}"), is(TRACE, SPAN, true)),
        (format!("{TRACE}-{SPAN}-1"), is(TRACE, SPAN, true)),
        (format!("{TRACE}-{SPAN}-d"), is(TRACE, SPAN, true)),
        (format!("{TRACE}-{SPAN}-0"), is(TRACE, SPAN, false)),
        (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"), is(TRACE, SPAN, true)),
        (format!("{SPAN}-{SPAN}-0"), is(&short, SPAN, false)),
        (format!(" {TRACE}-{SPAN}-1\t"), is(TRACE, SPAN, true)),
        (format!("{}-{SPAN}-1", TRACE.to_uppercase()), is(TRACE, SPAN, true)),
        // A decision without a trace.
        ("0".to_owned(), None),
        ("d".to_owned(), None),
        (String::new(), None),
        (TRACE.to_owned(), None),
        (format!("{TRACE}-{SPAN}-2"), None),
        (format!("{TRACE}-{SPAN}-1-xyz"), None),
        (format!("{TRACE}-{SPAN}-1-{SPAN}-1"), None),
        (format!("{}-{SPAN}-1", &TRACE[1..]), None),
        (format!("{TRACE}-{}-1", &SPAN[1..]), None),
        (format!("{}-{SPAN}-1", "0".repeat(32)), None),
        (format!("{TRACE}-{}-1", "0".repeat(16)), None),
        (format!("+{}-{SPAN}-1", &TRACE[1..]), None),
    ] {
        assert_eq!(read("b3", &[("b3", &value)]), expected, "{value}");
        assert_eq!(read("b3multi", &[("b3", &value)]), expected, "{value}");
        assert_eq!(read("tracecontext,baggage,jaeger", &[("b3", &value)]), None);
    }
    let value = format!("{TRACE}-{SPAN}");
    assert_eq!(read("b3", &[("b3", &value), ("b3", &value)]), None, "sent twice");
}

#[test]
fn b3_is_read_from_many_headers() {
    let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    let with = |more: &[(&'static str, &'static str)]| [&ids[..], more].concat();
    for (headers, expected) in [
        (with(&[]), is(TRACE, SPAN, true)),
        (with(&[("x-b3-sampled", "1")]), is(TRACE, SPAN, true)),
        (with(&[("x-b3-sampled", "true")]), is(TRACE, SPAN, true)),
        (with(&[("x-b3-sampled", "0")]), is(TRACE, SPAN, false)),
        (with(&[("x-b3-sampled", "false")]), is(TRACE, SPAN, false)),
        (with(&[("x-b3-sampled", "0"), ("x-b3-flags", "1")]), is(TRACE, SPAN, true)),
        (with(&[("x-b3-sampled", "0"), ("x-b3-flags", "0")]), is(TRACE, SPAN, false)),
        (with(&[("x-b3-parentspanid", "anything")]), is(TRACE, SPAN, true)),
        (with(&[("x-b3-sampled", "maybe")]), None),
        (with(&[("x-b3-sampled", "1"), ("x-b3-sampled", "0")]), None),
        (with(&[("x-b3-spanid", SPAN)]), None),
        (ids[..1].to_vec(), None),
        (ids[1..].to_vec(), None),
        (vec![("x-b3-sampled", "1")], None),
    ] {
        assert_eq!(read("b3multi", &headers), expected, "{headers:?}");
        assert_eq!(read("b3", &headers), expected, "{headers:?}");
        assert_eq!(read("tracecontext,jaeger", &headers), None);
    }
    let single = format!("{TRACE}-00000000000000ff-0");
    assert_eq!(read("b3multi", &with(&[])), is(TRACE, SPAN, true));
    let both = [&ids[..], &[("b3", single.as_str())]].concat();
    assert_eq!(read("b3multi", &both), is(TRACE, "00000000000000ff", false), "one header goes before many");
}

#[test]
fn jaeger_is_read() {
    for (value, expected) in [
        (format!("{TRACE}:{SPAN}:0:1"), is(TRACE, SPAN, true)),
        (format!("{TRACE}:{SPAN}:0:0"), is(TRACE, SPAN, false)),
        (format!("{TRACE}:{SPAN}:{SPAN}:3"), is(TRACE, SPAN, true)),
        (format!("{TRACE}:{SPAN}::01"), is(TRACE, SPAN, true)),
        (format!("{TRACE}%3A{SPAN}%3A0%3A1"), is(TRACE, SPAN, true)),
        ("abc:1f:0:1".to_owned(), is("00000000000000000000000000000abc", "000000000000001f", true)),
        (String::new(), None),
        (format!("{TRACE}:{SPAN}:0"), None),
        (format!("{TRACE}:{SPAN}:0:1:1"), None),
        (format!("{TRACE}:{SPAN}:0:"), None),
        (format!("{TRACE}:{SPAN}:0:100"), None),
        (format!("{TRACE}:{SPAN}:x:1"), None),
        (format!("0{TRACE}:{SPAN}:0:1"), None),
        ("0:0:0:1".to_owned(), None),
        (format!("{TRACE}:-{}:0:1", &SPAN[1..]), None),
        (format!("{TRACE}%3{SPAN}"), None),
    ] {
        assert_eq!(read("jaeger", &[("uber-trace-id", &value)]), expected, "{value}");
        assert_eq!(read("tracecontext,b3", &[("uber-trace-id", &value)]), None);
    }
    let propagators: Propagators = "jaeger".parse().unwrap();
    let headers = [("uberctx-tenant", "acme%20corp"), ("uberctx-bad", "a%zz"), ("baggage", "other=1")];
    let found = propagators.extract(headers.map(|(name, value)| (name, value.as_bytes())));
    assert_eq!((found.baggage.get("tenant"), found.baggage.len()), (Some("acme corp"), 1));
}

#[test]
fn of_several_formats_the_last_that_is_there_counts() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let b3 = format!("{TRACE}-00000000000000ff-0");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "a=1"), ("b3", b3.as_str())];
    assert_eq!(read("tracecontext,b3", &headers), is(TRACE, "00000000000000ff", false));
    assert_eq!(read("b3,tracecontext", &headers), is(TRACE, SPAN, true));
    assert_eq!(read("tracecontext,b3,jaeger", &headers[..2]), is(TRACE, SPAN, true));
    assert_eq!(read("none", &headers), None);
    let state = |propagators: &str| {
        let propagators: Propagators = propagators.parse().unwrap();
        propagators.extract(headers.map(|(name, value)| (name, value.as_bytes()))).tracestate
    };
    assert!(state("b3,tracecontext").is_some());
    assert!(state("tracecontext,b3").is_none(), "it belongs to another parent");
}

#[test]
fn what_is_sent_is_read_by_the_same_format_as_it_was() {
    for sampled in [true, false] {
        let sent = Propagation {
            traceparent: Some(super::super::TraceParent {
                trace_id: TRACE.parse().unwrap(),
                span_id: SPAN.parse().unwrap(),
                sampled,
                random: false,
            }),
            tracestate: Some("a=1".into()),
            baggage: Attrs::new().with("tenant", "acme, corp"),
            ..Propagation::default()
        };
        for (name, expected) in [
            ("tracecontext", &["traceparent", "tracestate"][..]),
            ("baggage", &["baggage"]),
            ("b3", &["b3"]),
            ("b3multi", &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]),
            ("jaeger", &["uber-trace-id", "uberctx-tenant"]),
            ("none", &[]),
        ] {
            let propagators: Propagators = name.parse().unwrap();
            let headers = propagators.inject(&sent);
            let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, expected, "{name}");
            let read =
                propagators.extract(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
            let has_parent = !["baggage", "none"].contains(&name);
            assert_eq!(read.traceparent, sent.traceparent.filter(|_| has_parent), "{name}: {headers:?}");
            let has_baggage = ["baggage", "jaeger"].contains(&name);
            assert_eq!(
                read.baggage.get("tenant"),
                has_baggage.then_some("acme, corp"),
                "{name}: {headers:?}"
            );
            assert_eq!(propagators.to_string(), name);
        }
    }
}
