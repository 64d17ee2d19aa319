//! Runs with their timings, by choice.

use serde_json::{Value, json};
use throughline_sentry::Sentry;

use crate::bugsink;
use crate::receiver::{Answer, Receiver};
use crate::{LONG, account, reporting, with};

#[tokio::test]
async fn a_run_is_a_transaction_with_its_steps_as_spans_under_the_ids_of_the_store() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let builder = Sentry::builder().dsn(receiver.dsn()).release("loans@1.4.0").traces_sample_rate(1.0);
    let (throughline, _sentry, _guard) = with(builder);
    let mut ids = (String::new(), String::new());
    let run = throughline.workflow("loan-approval").run_infallible(async |ctx| {
        ids = (ctx.trace_id().to_string(), ctx.span_id().to_string());
        ctx.trace_infallible("stage:score", async {}).await.unwrap();
    });
    run.await.unwrap();
    throughline.flush(LONG).await;
    let mut items = receiver.next_items();
    let text =
        |pointer: &str| items[0].pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert_eq!((text("/contexts/trace/trace_id"), text("/contexts/trace/span_id")), ids);
    assert_eq!(text("/spans/0/parent_span_id"), ids.1);
    assert_eq!(
        ["/transaction", "/spans/0/description", "/spans/0/op", "/release"].map(text),
        ["loan-approval", "stage:score", "stage", "loans@1.4.0"]
    );
    assert_eq!(account(&throughline).delivered, 1);
    if bugsink::is_there() {
        // In an envelope that is said in front of it.
        items[0]["type"] = "transaction".into();
        bugsink::assert_valid(&items);
    }
}

#[tokio::test]
async fn without_being_asked_for_no_run_is_a_transaction() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, _sentry, _guard) = reporting(&receiver.dsn());
    let run = throughline.workflow("loan-approval").run_infallible(async |ctx| {
        ctx.event("business:approved", json!({})).await.unwrap();
    });
    run.await.unwrap();
    throughline.flush(LONG).await;
    assert_eq!((receiver.count(), account(&throughline).accepted), (0, 0));
}
