//! What callers are told when a call gives no result.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use throughline_core::{ErrorInfo, Status, names};
use throughline_tower::transport::{CallError, Caller};

use super::{Callee, within};
use crate::side::{Side, dead_origin};

/// An error's text without what is different each time.
fn text(error: &CallError) -> String {
    let text = error.to_string().replace(error.callee().address.as_str(), "ADDRESS");
    match error.problem().and_then(|problem| problem.trace_id) {
        Some(id) => text.replace(&id.to_string(), "TRACE"),
        None => text,
    }
}

async fn failed<T: std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static>(
    caller: &Caller,
    function: &str,
) -> CallError {
    caller.call::<_, T>(function, &()).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_without_a_result_is_reported_with_what_the_callee_said() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let caller = &callee.callers[1];
    insta::assert_snapshot!(
        text(&failed::<u64>(caller, "som").await),
        @"`som` over ipc at ADDRESS does not exist: /functions/som responded with 404; check the name and the path (Caller::route)"
    );
    insta::assert_snapshot!(
        text(&failed::<u64>(caller, "refuse").await),
        @"`refuse` over ipc at ADDRESS refused the call with 422 Unprocessable Entity: no such loan"
    );
    let busy = failed::<u64>(caller, "busy").await;
    assert!(busy.is_retryable());
    insta::assert_snapshot!(text(&busy), @"`busy` over ipc at ADDRESS failed with 503 Service Unavailable: too much to do");
    insta::assert_snapshot!(
        text(&failed::<u64>(caller, "text").await),
        @"the response of `text` over ipc at ADDRESS is not JSON that can be read as u64: expected ident at line 1 column 2 (its content type is text/plain; charset=utf-8)"
    );
    insta::assert_snapshot!(
        text(&failed::<u64>(caller, "name").await),
        @r#"the response of `name` over ipc at ADDRESS is not JSON that can be read as u64: invalid type: string "…", expected u64 at line 1 column 14 (its content type is application/json)"#
    );
    insta::assert_snapshot!(
        text(&failed::<u64>(caller, "sum?x=1").await),
        @"`sum?x=1` over ipc at ADDRESS was not called: the name of a function may have letters, digits and `-_.:/` only, since it becomes part of the path"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_too_late_says_how_to_get_it() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    for caller in callee.callers.iter().cloned() {
        let large = failed::<String>(&caller.clone().response_limit(1_000), "large").await;
        assert!(matches!(large, CallError::TooLarge { limit: 1_000, .. }), "{large}");
        let late = failed::<String>(&caller.timeout(Duration::from_millis(50)), "hang").await;
        assert!(matches!(late, CallError::TimedOut { .. }) && late.is_retryable(), "{late}");
        if late.callee().transport.as_str() == "direct" {
            insta::assert_snapshot!(text(&late), @"`hang` over direct in ADDRESS did not respond within 50ms: see what it is doing (`throughline running`), or give it more time with .timeout(..)");
            insta::assert_snapshot!(text(&large), @"the response of `large` over direct in ADDRESS is larger than 1000 bytes: raise .response_limit(..), or paginate the response");
        }
    }
}

#[tokio::test]
async fn a_callee_that_panics_answers_with_its_trace_which_is_the_callers() {
    for transport in 0..3 {
        let (here, there) = (Side::new("caller"), Side::new("callee"));
        let callee = Callee::of(&here, &there).await;
        let caller = &callee.callers[transport];
        let error = within(&here, failed::<u64>(caller, "panic")).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(
                text(&error).replace(caller.transport().as_str(), "TRANSPORT").replace(" at ", " in "),
                @"`panic` over TRANSPORT in ADDRESS failed with 500 Internal Server Error; see `throughline why TRACE`"
            );
        }
        let call = here.end_of(&format!("dependency:{}", caller.transport())).await;
        assert_eq!(error.problem().unwrap().trace_id, Some(call.trace_id));
        assert_eq!(
            (call.status, call.error.as_ref().unwrap().kind.as_str()),
            (Status::Failed, "CallError::Failed")
        );
        let root = there.end_of(names::HTTP_REQUEST).await;
        assert_eq!(root.error.unwrap().kind, names::errors::PANIC);
    }
}

#[tokio::test]
async fn a_panic_of_a_callee_without_a_layer_goes_on_in_a_direct_caller_and_is_recorded() {
    let here = Side::new("caller");
    async fn fail() {
        panic!("nobody catches this")
    }
    let router = axum::Router::new().route("/functions/panic", axum::routing::post(fail));
    let caller = Caller::direct(&here.throughline, router);
    let run = here
        .throughline
        .workflow("test")
        .run(move |_| async move { caller.call::<_, ()>("panic", &()).await });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    let call = here.end_of("dependency:direct").await;
    assert_eq!(call.error.map(|error| error.kind), Some(ErrorInfo::of_panic(&"x").kind));
    let outcome = "throughline_call_duration_seconds{function=panic,transport=direct,outcome=panicked}";
    assert!(here.recorded("call_duration").contains_key(outcome));
}

#[tokio::test]
async fn an_unreachable_callee_is_reported_with_how_to_fix_it() {
    let here = Side::new("caller");
    let dead = Caller::http(&here.throughline, &dead_origin().await).unwrap();
    let error = failed::<u64>(&dead, "sum").await;
    assert!(error.is_retryable());
    insta::assert_snapshot!(text(&error), @"`sum` over http at ADDRESS cannot be reached: Connection refused (os error 111); start the callee, or check the address and the port");

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let caller = Caller::ipc(&here.throughline, &socket);
    insta::assert_snapshot!(text(&failed::<u64>(&caller, "sum").await), @"`sum` over ipc at ADDRESS cannot be reached: No such file or directory (os error 2); there is no such socket: start the callee, or check the path");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    insta::assert_snapshot!(text(&failed::<u64>(&caller, "sum").await), @"`sum` over ipc at ADDRESS cannot be reached: Connection refused (os error 111); the socket is there but nobody listens on it: a callee that died left it behind");
}

/// A callee that answers its first call with these bytes and dies.
fn dying(answer: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        connection.write_all(answer).unwrap();
    });
    origin
}

#[tokio::test]
async fn a_callee_that_dies_before_or_in_its_answer_is_not_taken_for_one_that_was_not_there() {
    let here = Side::new("caller");
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,"] {
        let caller = Caller::http(&here.throughline, &dying(answer)).unwrap();
        let error = failed::<u64>(&caller, "sum").await;
        assert!(matches!(error, CallError::BrokenOff { .. }), "{error}");
        assert!(text(&error).ends_with("; did the callee crash?"), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_called_is_refused_at_once_without_its_password() {
    let here = Side::new("caller");
    let refused = |origin: &str| Caller::http(&here.throughline, origin).unwrap_err().to_string();
    insta::assert_snapshot!(refused("https://127.0.0.1"), @"https://127.0.0.1 cannot be reached by Caller::http, which speaks plain HTTP: pass a client that speaks TLS to Caller::http_through");
    insta::assert_snapshot!(refused("http://ada:hunter2@127.0.0.1/"), @"`127.0.0.1/` is not an origin such as http://127.0.0.1:3000: it must be a scheme, a host and optionally a port; the path belongs in Caller::route, credentials in a header of your own client (Caller::http_through)");
    for origin in ["127.0.0.1:3000", "http://127.0.0.1:3000/functions", "http://127.0.0.1?x=1", ""] {
        assert!(refused(origin).contains("is not an origin"), "{origin}");
    }
}
