//! `throughline copy`: from one store to another.

use std::process::Stdio;

use serde_json::Value;
use throughline_core::testing::sample_log;

use crate::sandbox::Sandbox;
use crate::services::{end, service, stay};

/// All events of a store.
fn exported(sandbox: &Sandbox, store: &str) -> Vec<String> {
    let said = sandbox.run(&["export", "--store", store]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let mut lines: Vec<_> = said.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn with_runs(seed: u64, runs: usize) -> Sandbox {
    let sandbox = Sandbox::empty();
    let log: String = sample_log(seed, runs, &[])
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n")
        .collect();
    sandbox.write("log.jsonl", log);
    assert_eq!(sandbox.run(&["import", "log.jsonl", "--redaction", "off"]).code, 0);
    sandbox
}

#[test]
fn a_copy_has_every_event_and_says_so() {
    let sandbox = with_runs(1, 60);
    let events = exported(&sandbox, "sqlite:traces.db");
    let copy = ["copy", "--from", "sqlite:traces.db", "--to", "sqlite:copy.db"];
    let said = sandbox.see(&copy);
    let expected =
        format!("Copied {} events of 60 runs.\nEvery run is the same on both sides.\n", events.len());
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(exported(&sandbox, "sqlite:copy.db"), events);
    assert_eq!(
        sandbox.run(&["list", "--limit", "100", "--json"]).stdout,
        sandbox.run(&["list", "--limit", "100", "--json", "--store", "sqlite:copy.db"]).stdout
    );

    let again: Value = serde_json::from_str(&sandbox.run(&[&copy[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!((&again["events"], &again["copied"]), (&events.len().into(), &0.into()));

    // What a file says is as good: others can read the arguments of a process.
    sandbox.write("from.txt", "sqlite:traces.db\n");
    sandbox.write("to.txt", "sqlite:other.db\n");
    let by_files = sandbox.see(&["copy", "--from-file", "from.txt", "--to-file", "to.txt"]);
    assert_eq!(by_files, said);
    let missing = sandbox.see(&["copy", "--from-file", "from.txt", "--to-file", "missing.txt"]);
    assert!(missing.contains("--to-file names a file that has a store in it"), "{missing}");

    let some = sandbox.see(&["copy", "--from", "sqlite:traces.db", "--to", "sqlite:failed.db", "--failed"]);
    assert!(some.contains("Every run is the same on both sides."), "{some}");
    let failed = sandbox.json(&["list", "--store", "sqlite:failed.db"]);
    assert!(failed["runs"].as_array().unwrap().iter().all(|run| run["state"] == "failed"), "{failed}");
}

#[test]
fn a_copy_that_was_killed_is_continued_by_the_same_command() {
    let sandbox = with_runs(2, 3_000);
    let copy = ["copy", "--from", "sqlite:traces.db", "--to", "sqlite:copy.db"];
    let mut killed = sandbox.command(&copy).stdout(Stdio::null()).spawn().unwrap();
    while !sandbox.path("copy.db").exists() && killed.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let said = sandbox.run(&copy);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(exported(&sandbox, "sqlite:copy.db"), exported(&sandbox, "sqlite:traces.db"));
}

#[tokio::test]
async fn runs_that_have_not_ended_and_runs_that_differ_are_named() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let _left = stay(loans.workflow("loan-approval").key("loan-42")).await;
    let copy = ["copy", "--from", "sqlite:traces.db", "--to", "sqlite:copy.db"];
    let said = sandbox.run(&copy);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.ends_with("1 run has not ended: copy again after that.\n"), "{}", said.stdout);
    end(loans).await;

    // Somebody abandons the copy.
    let abandoned = sandbox.run(&["abandon", "loan-42", "--reason", "moved", "--store", "sqlite:copy.db"]);
    assert_eq!(abandoned.code, 0, "{}", abandoned.stderr);
    let said = sandbox.run(&copy);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("1 run is not the same on both sides:\n"), "{}", said.stdout);
    assert!(
        said.stdout.contains("more there") || said.stdout.contains("another one there"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_copy_that_can_not_be_made_says_why() {
    let sandbox = with_runs(3, 1);
    for (args, code, complaint) in [
        (
            &["copy", "--from", "sqlite:traces.db", "--to", "sqlite:traces.db"][..],
            2,
            "both name sqlite:traces.db",
        ),
        (&["copy", "--from", "sqlite:none.db", "--to", "sqlite:copy.db"], 3, "none.db: no such file"),
        (&["copy", "--from", "sqlite:traces.db", "--to", "copy.db"], 2, "invalid store"),
        (
            &["copy", "--from", "sqlite:traces.db", "--to", "sqlite:copy.db", "--workflow", "nobody"],
            1,
            "no run matches",
        ),
    ] {
        let said = sandbox.run(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(complaint), "{args:?}: {}", said.stderr);
        assert!(!sandbox.path("copy.db").exists(), "{args:?}");
    }
}
