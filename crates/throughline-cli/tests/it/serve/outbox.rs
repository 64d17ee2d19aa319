//! Pages that show what waits in an outbox.

use serde_json::Value;
use throughline_core::{Instance, InstanceId, SpoolConfig as _};
use throughline_sqlite::SqliteSpool;

use super::Serving;
use crate::outbox::{failed, leave};
use crate::sandbox::Sandbox;

/// The answer to a question of the pages.
fn ask(serving: &Serving, question: &str) -> Value {
    let answer = serving.get(&format!("/api/{question}"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn what_waits_in_an_outbox_is_on_the_pages_as_if_it_were_in_the_store_and_as_what_waits() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("spool.db");
    let events = failed("loan-42");
    leave(&file, &events[2..]).await;
    // The beginning of the run is in the store.
    let log: String = events[..2].iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    sandbox.write("log.jsonl", log);
    sandbox.see(&["import", "log.jsonl"]);

    let without = Serving::begin(&sandbox, &[]);
    assert_ne!(ask(&without, "runs")["runs"][0]["state"], "failed");
    assert_eq!(ask(&without, "library")["outbox"], Value::Null);

    let serving = Serving::begin(&sandbox, &["--outbox", "spool.db"]);
    let listed = ask(&serving, "runs?state=failed");
    assert_eq!(listed["runs"], sandbox.json(&["list", "--failed", "--outbox", "spool.db"])["runs"]);
    assert_eq!(listed["runs"][0]["cause"]["name"], "stage:score", "{listed}");
    let story = ask(&serving, &format!("runs/{}", events[0].trace_id));
    assert!(story.to_string().contains("no bureau answers"), "{story}");
    let outbox = &ask(&serving, "library")["outbox"];
    assert_eq!((&outbox["usage"]["events"], &outbox["error"]), (&2.into(), &Value::Null), "{outbox}");
    assert_eq!(outbox["oldest"], events[2].timestamp.to_string());

    // The service goes on while pages are looked at: what it pushes, and what its store refuses, is there at the next look.
    let spool = SqliteSpool::new(&file).open(Instance::new(InstanceId::random(), "loan-service"));
    let spool = spool.await.unwrap();
    let more: Vec<_> = failed("loan-43").into_iter().map(std::sync::Arc::new).collect();
    spool.push(&more).await.unwrap();
    let first = spool.peek(1).await.unwrap().remove(0);
    spool.set_aside(first.position, "it is too large").await.unwrap();
    let outbox = &ask(&serving, "library")["outbox"];
    assert_eq!(outbox["usage"]["events"], 1 + more.len(), "{outbox}");
    assert_eq!(outbox["refused"][0]["reason"], "it is too large", "{outbox}");
    assert_eq!(ask(&serving, "runs?key=loan-43")["runs"][0]["state"], "failed");
}

#[tokio::test]
async fn an_outbox_is_shown_without_a_store_and_one_that_is_not_there_is_named() {
    let sandbox = Sandbox::with_sagas();
    leave(&sandbox.path("spool.db"), &failed("loan-42")).await;
    let alone = Serving::begin(&sandbox, &["--store", "", "--outbox", "spool.db"]);
    assert_eq!(ask(&alone, "runs")["runs"][0]["correlation_id"], "loan-42");
    assert_eq!(ask(&alone, "counts")["failed"]["hits"], 1);
    assert_eq!(ask(&alone, "library")["outbox"]["usage"]["events"], 4);

    let refused = sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--outbox", "nowhere.db"]);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("there is no file nowhere.db"), "{}", refused.stderr);
}
