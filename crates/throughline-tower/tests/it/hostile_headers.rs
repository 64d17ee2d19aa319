//! What malformed and hostile headers get, on a real socket; `docs/propagation.md` has the same table.

use std::fmt::Write as _;
use std::path::Path;

use axum::Json;
use axum::routing::get;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use throughline_core::{Link, Propagation, Relation, TraceId};
use throughline_tower::{LayerExt as _, Traced, extract, inject};

use crate::support::{Server, Story};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What is sent, and what it gets.
struct Case {
    what: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    gets: &'static str,
}

fn case(what: &'static str, headers: &[(&'static str, &[u8])], gets: &'static str) -> Case {
    Case { what, headers: headers.iter().map(|(name, value)| (*name, value.to_vec())).collect(), gets }
}

fn parent(what: &'static str, value: &str, gets: &'static str) -> Case {
    case(what, &[("traceparent", value.as_bytes())], gets)
}

fn state(what: &'static str, value: &[u8], gets: &'static str) -> Case {
    case(what, &[("traceparent", PARENT.as_bytes()), ("tracestate", value)], gets)
}

fn baggage(what: &'static str, value: &[u8], gets: &'static str) -> Case {
    case(what, &[("baggage", value)], gets)
}

fn list(members: usize, member: impl Fn(usize) -> String) -> Vec<u8> {
    (0..members).map(member).collect::<Vec<_>>().join(",").into_bytes()
}

fn cases() -> Vec<(&'static str, Vec<Case>)> {
    let with = |from: &str, to: &str| PARENT.replacen(from, to, 1);
    let traceparents = vec![
        parent("a valid one", PARENT, "continued"),
        parent("whitespace around it", &format!(" \t{PARENT} \t"), "continued"),
        parent("unknown flags (`ff`)", &with("331-01", "331-ff"), "continued"),
        case("none", &[], "new"),
        parent("empty", "", "new"),
        case("two, even if identical", &[("traceparent", PARENT.as_bytes()); 2], "new"),
        parent("upper-case digits", &with("0af7", "0AF7"), "new"),
        parent("an all-zero trace id", &with(TRACE, &"0".repeat(32)), "new"),
        parent("an all-zero parent id", &with("b7ad6b7169203331", &"0".repeat(16)), "new"),
        parent("a trace id that is one digit short", &with("0af7", "af7"), "new"),
        parent("a parent id that is one digit too long", &with("3331-", "33311-"), "new"),
        parent("flags of one digit", &with("331-01", "331-1"), "new"),
        parent("flags with a sign (`+1`)", &with("331-01", "331-+1"), "new"),
        parent("version `00` with more behind it", &format!("{PARENT}-more"), "new"),
        parent("version `ff`", &with("00-", "ff-"), "new"),
        parent("version `0`", &with("00-", "0-"), "new"),
        parent("a later version (`cc`)", &with("00-", "cc-"), "continued"),
        parent("a later version with more behind it", &format!("{}-more", with("00-", "cc-")), "continued"),
        parent(
            "a later version with more that is not separated",
            &format!("{}.more", with("00-", "cc-")),
            "new",
        ),
        parent("100,000 bytes", &"0".repeat(100_000), "new"),
        case("non-ASCII bytes", &[("traceparent", &[0xff; 55])], "new"),
        case("a control character", &[("traceparent", b"00-\x01")], "rejected: 400 Bad Request"),
    ];
    let tracestates = vec![
        state("a valid one", b"foo=1,bar=2", "continued, tracestate `foo=1,bar=2`"),
        case("a valid one without a `traceparent`", &[("tracestate", b"foo=1")], "new"),
        state("empty members and whitespace", b" foo=1 \t,, bar=2 ,", "continued, tracestate `foo=1,bar=2`"),
        case(
            "several headers: joined into one list",
            &[("traceparent", PARENT.as_bytes()), ("tracestate", b"foo=1"), ("tracestate", b"bar=2")],
            "continued, tracestate `foo=1,bar=2`",
        ),
        state("32 members", &list(32, |n| format!("k{n}=1")), "continued, tracestate of 32 members"),
        state("33 members", &list(33, |n| format!("k{n}=1")), "continued"),
        state("a duplicate key", b"foo=1,bar=2,foo=3", "continued, tracestate `foo=1,bar=2,foo=3`"),
        state("an upper-case key", b"foo=1,BAR=2", "continued"),
        state("a key with a space", b"foo =1", "continued"),
        state("a key with two `@`", b"foo@bar@baz=1", "continued, tracestate `foo@bar@baz=1`"),
        state("a key that begins with `@`", b"@foo=1,bar=2", "continued"),
        state("a key of 257 bytes", format!("{}=1", "z".repeat(257)).as_bytes(), "continued"),
        state("a value of 257 bytes", format!("z={}", "1".repeat(257)).as_bytes(), "continued"),
        state("an empty value", b"foo=", "continued"),
        state("a value with `=`", b"foo=bar=baz", "continued"),
        state("not a key-value pair", b"foo", "continued"),
        state("non-ASCII bytes", b"foo=\xc3\xa9", "continued"),
        state("10,000 members", &list(10_000, |n| format!("k{n}=1")), "continued"),
        state(
            "valid, but longer than 512 bytes: long members are dropped first, then the last",
            &list(12, |n| format!("k{n:02}={}", "1".repeat(if n == 0 { 200 } else { 60 }))),
            "continued, tracestate of 7 members",
        ),
    ];
    let large = |bytes: usize| format!("a={},b=1", "x".repeat(bytes - 2)).into_bytes();
    let baggages = vec![
        baggage("valid ones", b"tenant=acme%20bank , user=7", "new, baggage `tenant=acme%20bank,user=7`"),
        baggage("properties", b"tenant=acme;ttl=60;hidden", "new, baggage `tenant=acme;ttl=60;hidden`"),
        baggage("malformed properties", b"tenant=acme;=60;a b;ttl=60", "new, baggage `tenant=acme;ttl=60`"),
        case(
            "several headers: joined into one list",
            &[("baggage", b"a=1"), ("baggage", b"b=2")],
            "new, baggage `a=1,b=2`",
        ),
        baggage(
            "malformed members among valid ones",
            b"a=1,b,=c,d e=1,f=\"1\",g=%zz,h=2",
            "new, baggage `a=1,h=2`",
        ),
        baggage("a member with non-ASCII bytes", b"a=1,b=\xc3\xa9,c=3", "new, baggage `a=1,c=3`"),
        baggage("encoded octets that are not UTF-8", b"a=%FF", "new, baggage `a=%EF%BF%BD`"),
        baggage("a duplicate name: the last one is kept", b"a=1,a=2", "new, baggage `a=2`"),
        baggage("64 members", &list(64, |n| format!("k{n}=v")), "new, baggage of 64 members"),
        baggage(
            "10,000 members: the first 64 are kept",
            &list(10_000, |n| format!("k{n}=v")),
            "new, baggage of 64 members",
        ),
        baggage("a member of 8,192 bytes: kept", &large(8192), "new, baggage of 1 member"),
        baggage("a member of 8,193 bytes: dropped", &large(8193), "new, baggage `b=1`"),
        baggage(
            "a valid one after 64 KiB of malformed ones: not read that far",
            &[vec![b','; 65_536], b"a=1".to_vec()].concat(),
            "new",
        ),
    ];
    let many = |count| vec![("baggage", b"a=1".to_vec()); count];
    let servers = vec![
        Case { what: "90 headers of `baggage`", headers: many(90), gets: "new, baggage `a=1`" },
        Case {
            what: "10,000 headers of `baggage`",
            headers: many(10_000),
            gets: "rejected: 431 Request Header Fields Too Large",
        },
        Case {
            what: "one header of 1 MB",
            headers: vec![("baggage", vec![b'x'; 1_000_000])],
            gets: "rejected: 431 Request Header Fields Too Large",
        },
        case("a byte 0 in a value", &[("baggage", b"a=\0")], "rejected: 400 Bad Request"),
    ];
    vec![
        ("`traceparent`", traceparents),
        ("`tracestate`", tracestates),
        ("`baggage`", baggages),
        ("What the server itself rejects", servers),
    ]
}

async fn server() -> Server {
    Server::start(|router| {
        router.route("/", get(async |Traced(ctx): Traced| Json(headers(&ctx.propagation()))))
    })
    .await
}

/// What an answer says that is sent along: `traceparent`, `tracestate` and `baggage`.
type Headers = (Option<String>, Option<String>, Option<String>);

fn headers(sent: &Propagation) -> Headers {
    let parent = sent.traceparent.as_ref().map(ToString::to_string);
    (parent, sent.tracestate.as_ref().map(ToString::to_string), sent.baggage_header())
}

fn read(body: &str) -> Propagation {
    let (parent, state, baggage): Headers = serde_json::from_str(body).unwrap();
    Propagation::from_headers(parent.as_deref(), state.as_deref(), baggage.as_deref())
}

/// Sends a request with these headers, as they are, and gives the status line and the body of the answer.
async fn ask(server: &Server, headers: &[(&str, Vec<u8>)]) -> (String, String) {
    let mut request = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n".to_vec();
    for (name, value) in headers {
        request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    request.extend_from_slice(b"\r\n");
    let mut client = server.connect().await;
    client.try_send(&request).await;
    let answer = client.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    (status.to_owned(), body.to_owned())
}

/// What an answer says that the request got.
fn described(status: &str, body: &str) -> String {
    if status != "200 OK" {
        return format!("rejected: {status}");
    }
    let got = read(body);
    let trace_id = got.traceparent.unwrap().trace_id.to_string();
    let mut described = if trace_id == TRACE { "continued" } else { "new" }.to_owned();
    let mut list = |name: &str, list: Option<String>| {
        let Some(list) = list else { return };
        let _ = match list.split(',').count() {
            _ if list.len() <= 40 => write!(described, ", {name} `{list}`"),
            1 => write!(described, ", {name} of 1 member"),
            members => write!(described, ", {name} of {members} members"),
        };
    };
    list("tracestate", got.tracestate.as_ref().map(ToString::to_string));
    list("baggage", got.baggage_header());
    described
}

#[tokio::test]
async fn each_malformed_or_hostile_header_gets_what_the_table_says() {
    let server = server().await;
    for (_, cases) in cases() {
        for Case { what, headers, gets } in cases {
            let (status, body) = ask(&server, &headers).await;
            assert_eq!(described(&status, &body), gets, "{what}");
        }
    }
}

const BEGIN: &str =
    "<!-- BEGIN: made from the tests by `UPDATE_DOCS=1 cargo test -p throughline-tower hostile` -->\n";
const END: &str = "<!-- END -->\n";

#[test]
fn the_table_in_the_docs_is_that_of_the_hostile_headers() {
    let mut table = String::new();
    for (section, cases) in cases() {
        let _ = write!(table, "\n### {section}\n\n| sent | result |\n|---|---|\n");
        for Case { what, gets, .. } in cases {
            let _ = writeln!(table, "| {what} | {gets} |");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/propagation.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = is.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let ought = format!("{before}{BEGIN}{table}\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, ought).unwrap();
    } else {
        let differs = is.lines().zip(ought.lines()).find(|(is, ought)| is != ought);
        assert!(
            is == ought,
            "docs/propagation.md is not what the tests say: {differs:#?}\n\
             regenerate it with\n\n    UPDATE_DOCS=1 cargo test -p throughline-tower hostile\n"
        );
    }
}

fn header_values() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = proptest::sample::select(&["traceparent", "tracestate", "baggage", "x-request-id"][..]);
    let pieces =
        proptest::sample::select(&[PARENT, "00-", "foo=1", "a@b", ",", "=", ";", "%F", "%", " ", "\t"][..]);
    let value = prop_oneof![
        any::<Vec<u8>>(),
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
    ];
    proptest::collection::vec((name, value), 0..8)
}

proptest! {
    #[test]
    fn whatever_headers_say_what_travels_on_is_well_formed(headers in header_values()) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(name), value);
            }
        }
        let read = extract(&map);
        let again = Propagation::from_headers(
            read.traceparent.map(|parent| parent.to_string()).as_deref(),
            read.tracestate.as_deref(),
            read.baggage_header().as_deref(),
        );
        prop_assert_eq!(again, read);
    }
}

#[test]
fn whatever_bytes_arrive_on_a_socket_the_server_answers_and_goes_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(server());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let outcome = runner.run(&header_values(), |headers| {
        let (status, body) = runtime.block_on(ask(&server, &headers));
        // A line break ends a header, and what follows it may be anything but a request.
        prop_assert!(["200 OK", "400 Bad Request"].contains(&&*status), "{status}");
        if status == "200 OK" {
            let _ = described(&status, &body);
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(ask(&server, &[])).0, "200 OK");
    let panics = Story::requests(&server).into_iter().filter(|(series, _)| series.contains("panic"));
    assert_eq!(panics.count(), 0);
}

/// The trace of a loan has an id that can be computed from its key, and a stranger may have guessed it.
#[tokio::test]
async fn a_stranger_writes_into_no_story_of_a_public_endpoint() {
    let story = Story::new();
    let app = axum::Router::new()
        .route("/", get(async |Traced(ctx): Traced| Json(headers(&ctx.propagation()))))
        .layer(story.throughline.layer().public());
    let trace_id = TraceId::from_key("loan-42");
    let request = http::Request::get("/")
        .header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"))
        .header("tracestate", "foo=1")
        .header("baggage", "throughline.correlation_id=loan-42,tenant=acme")
        .header("x-request-id", "req-7")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(app, request).await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "req-7");
    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    let passed_on = read(std::str::from_utf8(&body).unwrap());
    assert_ne!(passed_on.traceparent.unwrap().trace_id, trace_id);
    assert_eq!((&passed_on.tracestate, passed_on.baggage_header()), (&None, None));

    let end = story.request_end().await;
    assert!(
        end.trace_id != trace_id && end.parent_span_id.is_none() && end.correlation_id.is_none(),
        "{end:?}"
    );
    let events = story.events().await;
    let links: Vec<_> = events.iter().flat_map(|event| &event.links).collect();
    let [Link { rel: Relation::CausedBy, trace_id: Some(of), span_id }] = links[..] else {
        panic!("{links:?}")
    };
    assert_eq!((*of, span_id.to_string().as_str()), (trace_id, "b7ad6b7169203331"));
}

#[tokio::test]
async fn what_is_injected_is_what_was_taken() {
    let server = server().await;
    let headers = [("traceparent", PARENT), ("tracestate", "foo=1"), ("baggage", "tenant=acme%20bank")];
    let sent = headers.map(|(name, value)| (name, value.as_bytes().to_vec()));
    let (_, body) = ask(&server, &sent).await;
    let got = read(&body);
    assert_eq!(
        (got.tracestate.as_deref(), got.baggage_header().as_deref()),
        (Some("foo=1"), Some("tenant=acme%20bank"))
    );

    let request = server.throughline.request("test").continue_from(got.clone()).open();
    let mut map = HeaderMap::new();
    inject(request.context(), &mut map);
    assert_eq!(
        (&map["tracestate"], &map["baggage"]),
        (&HeaderValue::from_static("foo=1"), &HeaderValue::from_static("tenant=acme%20bank"))
    );
    assert_eq!(extract(&map).traceparent.unwrap().trace_id, got.traceparent.unwrap().trace_id);
}
