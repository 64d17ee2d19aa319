//! `throughline outbox` and `--outbox`: what waits for its store.

use std::path::Path;
use std::sync::Arc;

use throughline_core::testing::run;
use throughline_core::{Instance, InstanceId, SpoolConfig, TraceEvent};
use throughline_sqlite::SqliteSpool;

use crate::sandbox::Sandbox;

/// What a process left in its outbox.
pub(crate) async fn leave(file: &Path, events: &[TraceEvent]) {
    let spool = SqliteSpool::new(file).capacity_bytes(64 << 20);
    let spool = spool.open(Instance::new(InstanceId::random(), "loan-service")).await.unwrap();
    let events: Vec<_> = events.iter().cloned().map(Arc::new).collect();
    spool.push(&events).await.unwrap();
    spool.close().await.unwrap();
}

/// A run that failed.
pub(crate) fn failed(key: &str) -> Vec<TraceEvent> {
    let mut run = run("loan-approval").key(key);
    let step = run.begin("stage:score");
    run.fail(step, "Timeout", "no bureau answers");
    run.fail_run("Timeout", "no bureau answers");
    run.events()
}

#[tokio::test]
async fn what_waits_in_an_outbox_is_explained_without_its_store_and_with_it() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("spool.db");
    let events = failed("loan-42");
    leave(&file, &events[2..]).await;
    let outbox = file.to_str().unwrap();

    // Its beginning is in the store.
    let log: String = events[..2].iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    sandbox.write("log.jsonl", log);
    sandbox.see(&["import", "log.jsonl"]);
    assert_eq!(sandbox.run(&["why", "loan-42"]).code, 1, "it has not failed yet");
    let why = sandbox.see(&["why", "loan-42", "--outbox", outbox]);
    assert!(why.contains("stage:score failed with Timeout: no bureau answers"), "{why}");
    let failed = sandbox.json(&["list", "--failed", "--outbox", outbox]);
    assert_eq!(failed["runs"].as_array().unwrap().len(), 1, "{failed}");

    // The store alone counts, which is said.
    let stats = sandbox.run(&["stats", "--outbox", outbox]);
    assert_eq!(
        stats.stderr,
        "throughline: no run in the store has ended; 2 events wait in the outbox and are not counted\n"
    );
    let stats = sandbox.run(&["stats", "--since", "1h", "--outbox", outbox]);
    assert!(
        stats.stderr.contains("in this time range has ended; try an earlier --since; 2 events wait"),
        "{}",
        stats.stderr
    );
    let decisions = sandbox.run(&["decisions", "--outbox", outbox]);
    assert!(
        decisions.stderr.ends_with("made a decision; 2 events wait in the outbox and are not counted\n"),
        "{}",
        decisions.stderr
    );
    let other: String =
        self::failed("loan-41").iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    sandbox.write("other.jsonl", other);
    sandbox.see(&["import", "other.jsonl"]);
    let stats = sandbox.see(&["stats", "--outbox", outbox]);
    assert!(
        stats.starts_with("1 of 1 ended run failed")
            && stats.ends_with("\n\n2 events wait in the outbox and are not counted\n"),
        "{stats}"
    );
    assert_eq!(sandbox.json(&["stats", "--outbox", outbox])["uncounted"], 2);

    // Without a store the rest of it is all there is.
    let list = sandbox.run(&["list", "--store", "", "--outbox", outbox]);
    assert!(list.stdout.contains("loan-42"), "{}", list.stdout);
}

#[tokio::test]
async fn an_outbox_says_what_waits_and_its_store_gets_it_by_request() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("spool.db");
    leave(&file, &[failed("loan-42"), failed("loan-43")].concat()).await;

    let said = sandbox.run(&["outbox", "spool.db"]);
    assert_eq!(said.code, 1, "events wait: {}", said.stderr);
    assert!(
        said.stdout.starts_with("spool.db: 8 events of 2 runs wait for the store, the oldest for "),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("of 64.00 MiB)"), "{}", said.stdout);
    assert!(said.stdout.contains("loan-43"), "{}", said.stdout);
    let one = sandbox.run(&["outbox", "spool.db", "--limit", "1"]);
    assert!(one.stdout.contains("… and 1 more run; use --limit"), "{}", one.stdout);
    let json = sandbox.run(&["outbox", "spool.db", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["events"], &json["waiting_runs"], &json["refused"]), (&8.into(), &2.into(), &0.into()));

    let said = sandbox.run(&["outbox", "spool.db", "--deliver"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(said.stdout, "spool.db: nothing waits; it has room for 64.00 MiB\n");
    let failed = sandbox.json(&["list", "--failed"]);
    assert_eq!(failed["runs"].as_array().unwrap().len(), 2, "{failed}");
}

#[tokio::test]
async fn what_the_store_refused_is_named_with_the_reason() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("spool.db");
    let events = failed("loan-42");
    leave(&file, &events).await;
    let spool =
        SqliteSpool::new(&file).open(Instance::new(InstanceId::random(), "loan-service")).await.unwrap();
    for spooled in spool.peek(2).await.unwrap() {
        spool.set_aside(spooled.position, "it is too large").await.unwrap();
    }
    spool.remove_through(u64::MAX).await.unwrap();
    // While its process has it open.
    let said = sandbox.see(&["outbox", "spool.db", "--limit", "1"]);
    let expected = format!(
        "\nThe store refused 2 events:\n  {} stage:score: it is too large\n  … and 1 more\n",
        events[1].id()
    );
    assert!(said.ends_with(&expected), "{said}");
    let busy = sandbox.run(&["outbox", "spool.db", "--deliver"]);
    assert_eq!(busy.code, 3);
    assert!(busy.stderr.contains("is in use by another process (loan-service"), "{}", busy.stderr);
}

#[test]
fn a_file_that_is_no_outbox_is_named() {
    let sandbox = Sandbox::empty();
    sandbox.write("notes.txt", "not a database, but long enough to look like one");
    for (args, complaint) in [
        (&["outbox", "spool.db"][..], "there is no file spool.db"),
        (&["outbox", "spool.db", "--deliver"], "there is no file spool.db"),
        (&["list", "--outbox", "spool.db", "--store", ""], "there is no file spool.db"),
        (&["outbox", "notes.txt"], "notes.txt is not a SQLite database"),
    ] {
        let said = sandbox.run(args);
        assert_eq!(said.code, 3, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(complaint), "{args:?}: {}", said.stderr);
        assert!(!sandbox.path("spool.db").exists(), "{args:?} created it");
    }
}
