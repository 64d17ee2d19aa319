//! What the inspector shows.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use throughline_core::query::Style;
use throughline_tower::LayerExt as _;
use throughline_tower::transport::{Caller, Inspector};

use super::{Callee, within};
use crate::side::{Side, dead_origin};

/// What was written, for everybody.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CARD: &str = "4111 1111 1111 1111";

fn telling(side: &Side) -> Router {
    let answer = async |Json(loan): Json<Value>| {
        let cookie = [("set-cookie", "session=s3cr3t-cookie; HttpOnly")];
        (cookie, Json(json!({ "paid with": loan["note"], "password": "hunter2", "sum": 42 })))
    };
    Router::new().route("/functions/pay", post(answer)).layer(side.throughline.layer())
}

fn loan() -> Value {
    json!({ "note": format!("card {CARD}"), "ssn": "078-05-1120", "amount": 25_000, "evil": "\u{1b}[2J" })
}

#[tokio::test]
async fn no_secret_of_either_side_is_shown_over_any_transport() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::serve(&here, telling(&there)).await;
    for caller in callee.callers.iter().cloned() {
        let written = Written::default();
        let caller = caller.inspector(&Inspector::to_writer(written.clone(), Style::plain()));
        let answer: Value = within(&here, caller.call("pay", &loan())).await.unwrap();
        assert!(answer.to_string().contains(CARD), "or this test proves nothing");
        let text = written.text();
        for secret in [CARD, "1111 1111", "078-05-1120", "hunter2", "s3cr3t-cookie", "\u{1b}"] {
            assert!(!text.contains(secret), "{secret:?} in {text}");
        }
        for shown in
            ["traceparent: 00-", "25000", "\"sum\":42", "server-timing: queue;dur=", "[redacted:card]"]
        {
            assert!(text.contains(shown), "{shown:?} not in {text}");
        }
    }
}

#[tokio::test]
async fn a_call_reads_well() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let written = Written::default();
    let callee = Callee::serve(&here, telling(&there)).await;
    let caller = callee.callers[1].clone();
    let caller = caller.inspector(&Inspector::to_writer(written.clone(), Style::plain()));
    let _: Value = within(&here, caller.call("pay", &loan())).await.unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/\S+/callee\.sock", "/run/callee.sock");
    settings.add_filter(r"\d+(\.\d+)? (ns|µs|ms)", "TIME");
    settings.add_filter(r"dur=[\d.]+", "dur=MS");
    settings.add_filter(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID");
    settings.add_filter(r"[0-9a-f]{32}", "ID");
    settings.add_filter(r"-[0-9a-f]{16}-", "-SPAN-");
    settings.add_filter(r"date: .+", "date: DATE");
    settings.bind(|| {
        insta::assert_snapshot!(written.text(), @r#"
    → pay over ipc · socket /run/callee.sock · POST /functions/pay
      accept: application/json
      content-type: application/json
      traceparent: 00-ID-SPAN-03
      {"amount":25000,"evil":"\u001b[2J","note":"card [redacted:card]","ssn":"[redacted]"}  89 B
    ← success · 200 · TIME: serialize TIME, transport TIME, queue TIME, callee TIME, deserialize TIME
      content-length: 70
      content-type: application/json
      date: DATE
      server-timing: queue;dur=MS, app;dur=MS
      set-cookie: [redacted]
      x-request-id: UUID
      {"paid with":"card [redacted:card]","password":"[redacted]","sum":42}  70 B
      trace ID
    "#);
    });
}

#[tokio::test]
async fn a_call_without_an_answer_is_shown_too() {
    let here = Side::new("caller");
    let written = Written::default();
    let caller = Caller::http(&here.throughline, &dead_origin().await).unwrap();
    let caller = caller.inspector(&Inspector::to_writer(written.clone(), Style::ansi()));
    caller.call::<_, Value>("pay", &loan()).await.unwrap_err();
    let text = written.text();
    assert!(text.contains("\u{1b}[31m← unreachable\u{1b}[0m") && !text.contains(CARD), "{text}");
}

#[tokio::test]
async fn an_inspector_that_panics_harms_no_call_not_even_one_that_panics_too() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let inspector = Inspector::new(|_| panic!("cannot show this"));
    let caller = Caller::direct(&here.throughline, telling(&there)).inspector(&inspector);
    caller.call::<_, Value>("pay", &loan()).await.unwrap();

    async fn fail() {
        panic!("nobody catches this")
    }
    let bare = Router::new().route("/functions/fail", post(fail));
    let caller = Caller::direct(&here.throughline, bare).inspector(&inspector);
    let call = tokio::spawn(async move { caller.call::<_, ()>("fail", &()).await });
    assert!(call.await.unwrap_err().is_panic());
}
