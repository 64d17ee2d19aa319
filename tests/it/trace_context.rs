//! The cases of the W3C's validation suite for trace context, written from the standard
//! (<https://www.w3.org/TR/trace-context-2/>), driven over real sockets through the harness service.

#[path = "../trace_context_harness/service.rs"]
mod service;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use throughline::context::TraceParent;
use throughline::event::SpanId;
use throughline::{MemoryStore, Throughline};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the callers of the table below send.
const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

/// The harness service, and a callback of ours.
struct Harness {
    service: SocketAddr,
    callback: String,
    called: mpsc::UnboundedReceiver<HeaderMap>,
    throughline: Throughline,
}

/// What the callback was sent.
struct Received {
    parent: TraceParent,
    /// The whole list, if any was sent.
    state: Option<String>,
}

impl Harness {
    async fn start() -> Self {
        let throughline = Throughline::builder("harness").store(MemoryStore::new()).build().unwrap();
        let service = serve(service::router(&throughline)).await;
        let (tx, called) = mpsc::unbounded_channel();
        let callback = post(move |headers: HeaderMap| {
            let sent = tx.send(headers);
            async move { sent.unwrap() }
        });
        let callback = format!("http://{}/callback", serve(Router::new().route("/callback", callback)).await);
        Self { service, callback, called, throughline }
    }

    /// Posts the calls with these headers, byte for byte, as no client library would, and returns the status line.
    async fn post(&self, headers: &[(&str, &[u8])], calls: &Value) -> String {
        let body = calls.to_string();
        let mut request = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.service,
            body.len()
        )
        .into_bytes();
        for (name, value) in headers {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend([b"\r\n", body.as_bytes()].concat());
        let mut socket = TcpStream::connect(self.service).await.unwrap();
        socket.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let answered = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        answered.expect("the service answers").unwrap();
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    async fn received(&mut self) -> Received {
        let called = tokio::time::timeout(PATIENCE, self.called.recv()).await;
        let headers = called.expect("the service calls back").unwrap();
        let texts = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        let parents: Vec<_> = texts("traceparent").collect();
        assert_eq!(parents.len(), 1, "{headers:?}");
        let states: Vec<_> = texts("tracestate").collect();
        Received {
            parent: parents[0].parse().unwrap(),
            state: (!states.is_empty()).then(|| states.join(",")),
        }
    }

    async fn ask(&mut self, headers: &[(&str, &[u8])]) -> Received {
        let status = self.post(headers, &json!([{ "url": self.callback, "arguments": [] }])).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{headers:?}");
        let received = self.received().await;
        assert_eq!(self.called.len(), 0, "called once");
        received
    }
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Whether the service continued the caller's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// In the trace of [`PARENT`].
    Continued,
    /// In one of its own.
    New,
}
use Trace::{Continued, New};

/// Values of one or more `traceparent` headers, and what becomes of the trace. `T` stands for the trace id of [`PARENT`],
/// `P` for its parent id.
const TRACEPARENTS: &[(&str, &[&str], Trace)] = &[
    ("none", &[], New),
    ("valid", &["00-T-P-01"], Continued),
    ("not sampled", &["00-T-P-00"], Continued),
    ("all flags", &["00-T-P-ff"], Continued),
    ("empty", &[""], New),
    ("twice the same", &["00-T-P-01", "00-T-P-01"], New),
    ("two", &["00-12345678901234567890123456789011-P-01", "00-T-P-01"], New),
    ("two in one", &["00-T-P-01,00-T-P-01"], New),
    // Versions.
    ("version 00 with a dot behind", &["00-T-P-01."], New),
    ("version 00 with more", &["00-T-P-01-what-the-future-brings"], New),
    ("version 00 with an empty more", &["00-T-P-01-"], New),
    ("a later version", &["cc-T-P-01"], Continued),
    ("a later version with more", &["cc-T-P-01-what-the-future-brings"], Continued),
    ("a later version with a dot behind", &["cc-T-P-01.what-the-future-brings"], New),
    ("version ff", &["ff-T-P-01"], New),
    ("illegal version .0", &[".0-T-P-01"], New),
    ("illegal version 0.", &["0.-T-P-01"], New),
    ("upper case version", &["CC-T-P-01"], New),
    ("long version", &["000-T-P-01"], New),
    ("short version", &["0-T-P-01"], New),
    // Trace ids.
    ("zero trace id", &["00-00000000000000000000000000000000-P-01"], New),
    ("illegal trace id, in front", &["00-.2345678901234567890123456789012-P-01"], New),
    ("illegal trace id, behind", &["00-1234567890123456789012345678901.-P-01"], New),
    ("upper case trace id", &["00-1234567890123456789012345678901A-P-01"], New),
    ("long trace id", &["00-123456789012345678901234567890123-P-01"], New),
    ("short trace id", &["00-1234567890123456789012345678901-P-01"], New),
    // Parent ids.
    ("zero parent id", &["00-T-0000000000000000-01"], New),
    ("illegal parent id, in front", &["00-T-.234567890123456-01"], New),
    ("illegal parent id, behind", &["00-T-123456789012345.-01"], New),
    ("upper case parent id", &["00-T-123456789012345A-01"], New),
    ("long parent id", &["00-T-12345678901234567-01"], New),
    ("short parent id", &["00-T-123456789012345-01"], New),
    // Flags.
    ("illegal flags .0", &["00-T-P-.0"], New),
    ("illegal flags 0.", &["00-T-P-0."], New),
    ("flags with a sign", &["00-T-P-+1"], New),
    ("long flags", &["00-T-P-001"], New),
    ("short flags", &["00-T-P-1"], New),
    ("no flags", &["00-T-1234567890123456"], New),
    // Whitespace around a header's value is no part of it (RFC 9110, 5.5).
    ("spaces around", &["  00-T-P-01  "], Continued),
    ("tabs and spaces around", &["\t 00-T-P-01 \t"], Continued),
    ("a space within", &["00 -T-P-01"], New),
];
#[tokio::test]
async fn a_traceparent_is_continued_if_it_is_valid_and_replaced_if_it_is_not() {
    let mut harness = Harness::start().await;
    let mut parents = HashSet::<SpanId>::new();
    for (case, values, expected) in TRACEPARENTS {
        let written = |value: &&str| value.replace('T', TRACE).replace('P', "1234567890123456");
        let values: Vec<_> = values.iter().map(written).collect();
        let headers: Vec<_> = values.iter().map(|value| ("traceparent", value.as_bytes())).collect();
        let received = harness.ask(&headers).await;
        let trace = if received.parent.trace_id.to_string() == TRACE { Continued } else { New };
        assert_eq!(trace, *expected, "{case}: {values:?} became {}", received.parent);
        assert!(parents.insert(received.parent.span_id), "{case}: every call has a parent of its own");
        assert!(received.parent.to_string().starts_with("00-"), "{case}: the version is ours");
    }
    assert!(!parents.iter().any(|parent| parent.to_string() == "1234567890123456"));
}

#[tokio::test]
async fn header_names_are_matched_in_any_case_and_only_as_a_whole() {
    let mut harness = Harness::start().await;
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        let received = harness.ask(&[(name, PARENT.as_bytes()), ("TraceState", b"foo=1")]).await;
        assert_eq!(received.parent.trace_id.to_string(), TRACE, "{name}");
        assert_eq!(received.state.as_deref(), Some("foo=1"));
    }
    for name in ["trace-parent", "trace.parent", "trace_parent"] {
        let received = harness.ask(&[(name, PARENT.as_bytes())]).await;
        assert_ne!(received.parent.trace_id.to_string(), TRACE, "{name}");
    }
    for name in ["trace-state", "trace.state"] {
        let received = harness.ask(&[("traceparent", PARENT.as_bytes()), (name, b"foo=1")]).await;
        assert_eq!(received.state, None, "{name}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_ascii_are_no_trace_context() {
    let mut harness = Harness::start().await;
    let parent = "00-1234567890123456789012345678901é-1234567890123456-01";
    let received = harness.ask(&[("traceparent", parent.as_bytes()), ("tracestate", b"foo=1")]).await;
    assert_eq!((received.parent.trace_id.to_string() == TRACE, received.state), (false, None));
    for state in [&b"foo=\xff"[..], "foo=é".as_bytes(), b"foo=1,\x80"] {
        let received = harness.ask(&[("traceparent", PARENT.as_bytes()), ("tracestate", state)]).await;
        assert_eq!(
            (received.parent.trace_id.to_string().as_str(), received.state),
            (TRACE, None),
            "{state:?}"
        );
    }
}

/// Values of one or more `tracestate` headers beside a valid `traceparent`, and the list that travels on. A list that is
/// malformed anywhere must be dropped as a whole, and the traceparent kept.
fn tracestates() -> Vec<(&'static str, Vec<String>, Option<String>)> {
    let key = |length: usize| "z".repeat(length);
    let members = |range: std::ops::RangeInclusive<u32>| {
        range.map(|number| format!("bar{number:02}={number:02}")).collect::<Vec<_>>().join(",")
    };
    let all_of_a_key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let all_of_a_value: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    let kept = |case, values: &[&str], list: &str| {
        (case, values.iter().map(ToString::to_string).collect(), Some(list.to_owned()))
    };
    let dropped =
        |case, values: &[&str]| (case, values.iter().map(ToString::to_string).collect(), None::<String>);
    vec![
        dropped("none", &[]),
        kept("one member", &["foo=1"], "foo=1"),
        kept("two members in their order", &["foo=1,bar=2"], "foo=1,bar=2"),
        dropped("empty", &[""]),
        kept("empty behind", &["foo=1", ""], "foo=1"),
        kept("empty in front", &["", "foo=1"], "foo=1"),
        kept("empty members", &["foo=1,,bar=2,"], "foo=1,bar=2"),
        kept(
            "several headers are one list",
            &["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            "foo=1,bar=2,rojo=1,congo=2,baz=3",
        ),
        // Duplicates: the sender's fault.
        kept("the same member twice", &["foo=1,foo=1"], "foo=1,foo=1"),
        kept("the same key twice", &["foo=1,foo=2"], "foo=1,foo=2"),
        kept("the same member in two headers", &["foo=1", "foo=1"], "foo=1,foo=1"),
        kept("the same key in two headers", &["foo=1", "foo=2"], "foo=1,foo=2"),
        // Characters.
        kept(
            "every character",
            &[&format!("{all_of_a_key}={all_of_a_value}")],
            &format!("{all_of_a_key}={all_of_a_value}"),
        ),
        kept(
            "a tenant",
            &[&format!("{all_of_a_key}@a-z0-9_-*/={all_of_a_value}")],
            &format!("{all_of_a_key}@a-z0-9_-*/={all_of_a_value}"),
        ),
        kept("a tenant that begins with a digit", &["0tenant@vendor=1"], "0tenant@vendor=1"),
        dropped("a space in a key", &["foo =1"]),
        dropped("upper case in a key", &["FOO=1"]),
        dropped("a dot in a key", &["foo.bar=1"]),
        dropped("no key", &["=1"]),
        dropped("no value", &["foo=,bar=3"]),
        dropped("no equals sign", &["foo,bar=3"]),
        dropped("two equals signs", &["foo=bar=baz"]),
        dropped("an at sign in front", &["@foo=1,bar=2"]),
        kept("an at sign at the end", &["foo@=1,bar=2"], "foo@=1,bar=2"),
        kept("two at signs in a row", &["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
        kept("two at signs", &["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
        // Whitespace around members is no part of them.
        kept("spaces and tabs around", &["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        kept("tabs and spaces around", &["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        kept("whitespace at both ends", &["\t foo=1 \t"], "foo=1"),
        kept("a space within a value", &["foo=a b"], "foo=a b"),
        dropped("a tab within a value", &["foo=a\tb"]),
        // Limits.
        kept("32 members", &[&members(1..=10), &members(11..=20), &members(21..=32)], &members(1..=32)),
        dropped("33 members", &[&members(1..=10), &members(11..=20), &members(21..=33)]),
        kept("a key of 256", &["foo=1", &format!("{}=1", key(256))], &format!("foo=1,{}=1", key(256))),
        dropped("a key of 257", &["foo=1", &format!("{}=1", key(257))]),
        kept(
            "a tenant of 241, a system of 14",
            &[&format!("{}@{}=1", key(241), key(14))],
            &format!("{}@{}=1", key(241), key(14)),
        ),
        kept("a tenant of 242", &[&format!("{}@v=1", key(242))], &format!("{}@v=1", key(242))),
        kept("a system of 15", &[&format!("t@{}=1", key(15))], &format!("t@{}=1", key(15))),
        dropped("a tenant and a system of 257 in all", &["foo=1", &format!("{}@v=1", key(255))]),
        kept("a value of 256", &[&format!("foo={}", key(256))], &format!("foo={}", key(256))),
        dropped("a value of 257", &["bar=1", &format!("foo={}", key(257))]),
        kept(
            "512 in all",
            &[&format!("a={},b={}", key(253), key(254))],
            &format!("a={},b={}", key(253), key(254)),
        ),
        kept(
            "beyond 512 the long members go first",
            &["a=1", &format!("b={}", key(256)), &format!("c={}", key(250)), "d=2"],
            &format!("a=1,b={},d=2", key(256)),
        ),
    ]
}

#[tokio::test]
async fn a_tracestate_travels_on_if_it_is_valid_and_is_dropped_if_it_is_not() {
    let mut harness = Harness::start().await;
    for (case, values, expected) in tracestates() {
        let states = values.iter().map(|value| ("tracestate", value.as_bytes()));
        let headers: Vec<_> = [("traceparent", PARENT.as_bytes())].into_iter().chain(states).collect();
        let received = harness.ask(&headers).await;
        assert_eq!(received.parent.trace_id.to_string(), TRACE, "{case}: the traceparent is kept");
        assert_eq!(received.state, expected, "{case}: {values:?}");
    }
}

#[tokio::test]
async fn a_tracestate_without_a_valid_traceparent_is_dropped() {
    let mut harness = Harness::start().await;
    for parent in [None, Some("00-00000000000000000000000000000000-1234567890123456-01"), Some("00")] {
        let parent = parent.iter().map(|parent| ("traceparent", parent.as_bytes()));
        let headers: Vec<_> = parent.chain([("tracestate", &b"foo=1,bar=2"[..])]).collect();
        let received = harness.ask(&headers).await;
        assert_eq!(received.state, None, "{headers:?}");
    }
}

#[tokio::test]
async fn several_calls_and_calls_through_the_service_itself_are_one_trace_with_a_parent_each() {
    let mut harness = Harness::start().await;
    let callback = json!({ "url": harness.callback, "arguments": [] });
    let service = format!("http://{}/again", harness.service);
    let nested =
        json!({ "url": service, "arguments": [callback, { "url": service, "arguments": [callback] }] });
    for (header, continued) in [(Some(PARENT), true), (None, false), (Some("rubbish"), false)] {
        let headers: Vec<_> = header.iter().map(|parent| ("traceparent", parent.as_bytes())).collect();
        let status = harness.post(&headers, &json!([callback, callback, nested])).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        let (mut traces, mut parents) = (HashSet::new(), HashSet::new());
        for _ in 0..4 {
            let received = harness.received().await;
            traces.insert(received.parent.trace_id);
            parents.insert(received.parent.span_id);
        }
        assert_eq!((traces.len(), parents.len()), (1, 4));
        assert_eq!(traces.iter().next().unwrap().to_string() == TRACE, continued);

        // What the callbacks were given as their parents are spans in the store.
        let trace = *traces.iter().next().unwrap();
        assert!(harness.throughline.flush(PATIENCE).await.is_complete());
        let events = harness.throughline.reader().unwrap().trace(trace).await.unwrap();
        let spans: HashSet<_> = events.iter().map(|event| event.span_id).collect();
        assert!(parents.is_subset(&spans), "{parents:?} {spans:?}");
    }
}

#[tokio::test]
async fn the_service_calls_nobody_but_this_machine() {
    let harness = Harness::start().await;
    for url in ["http://192.0.2.1/", "http://example.org/", "ftp://[2001:db8::1]/", "nonsense", "::"] {
        let status = harness.post(&[], &json!([{ "url": url, "arguments": [] }])).await;
        assert_eq!(status, "HTTP/1.1 400 Bad Request", "{url}");
    }
    let status = harness.post(&[], &json!({ "url": "no array" })).await;
    assert_eq!(status, "HTTP/1.1 422 Unprocessable Entity");
}
