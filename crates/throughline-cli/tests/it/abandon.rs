//! `throughline abandon`: what a dead process left open is closed for good.

use throughline_core::{BoxError, NotRecorded};
use tokio::sync::oneshot;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, left_in_saga, service, stay, succeed};

#[tokio::test]
async fn a_run_that_its_process_left_open_is_closed_for_good_and_says_why() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let left = stay(loans.workflow("loan-approval").key("loan-42")).await;
    end(loans).await;

    let said = sandbox.run(&["abandon", "loan-42", "--reason", "the customer withdrew"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("Closed loan-42 "), "{}", said.stdout);
    assert!(said.stdout.contains("the customer withdrew"), "{}", said.stdout);
    let failed = sandbox.json(&["list", "--failed"]);
    assert_eq!(failed["runs"][0]["trace_id"], left.id.to_string());
    assert_eq!(failed["runs"][0]["state"], "failed");
    let why = sandbox.run(&["why", "loan-42"]);
    assert_eq!(why.code, 0);
    assert!(why.stdout.contains("the customer withdrew"), "{}", why.stdout);
    assert_eq!(sandbox.run(&["running"]).code, 1);

    let again = sandbox.run(&["abandon", "loan-42", "--reason", "to be sure"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("loan-42 has ended: it failed"), "{}", again.stderr);
}

#[tokio::test]
async fn steps_that_stand_in_an_abandoned_run_are_named_and_can_still_be_undone() {
    let (sandbox, id) = left_in_saga("loan-42").await;

    let said = sandbox.run(&["abandon", "loan-42", "--reason", "the customer withdrew"]);
    assert!(
        said.stdout.contains("2 steps of loan-42 stand: undo (throughline compensations "),
        "{}",
        said.stdout
    );
    let ledger = sandbox.run(&["compensations", "loan-42"]);
    assert_eq!(ledger.code, 1);
    assert!(ledger.stdout.contains("2 steps stand: undo"), "{}", ledger.stdout);

    let loans = service(&sandbox, "loan-service");
    let undone = loans
        .undo(id, "loan-approval")
        .step("stage:reserve-funds", 1, |_, _| async { Ok::<_, BoxError>(()) })
        .step("stage:open-file", 1, |_, _| async { Ok::<_, BoxError>(()) })
        .run();
    assert!(undone.await.unwrap().is_undone());
    end(loans).await;
    assert_eq!(sandbox.run(&["compensations", "loan-42"]).code, 0);
    let why = sandbox.see(&["why", "loan-42"]);
    assert!(why.contains("failed with abandoned: the customer withdrew"), "{why}");
    assert_eq!(sandbox.json(&["list", "--failed"])["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_a_process_works_on_or_that_has_ended_or_that_is_not_known_is_not_abandoned() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let running = stay(loans.workflow("loan-approval").key("loan-42")).await;
    succeed(loans.workflow("loan-approval").key("loan-43")).await;
    let cancelled = loans.workflow("loan-approval").key("loan-44");
    let (entered, in_run) = oneshot::channel();
    let cancelled = tokio::spawn(cancelled.run_infallible(|_| async move {
        entered.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    in_run.await.unwrap();
    cancelled.abort();
    assert!(cancelled.await.is_err());
    loans.flush(std::time::Duration::from_secs(10)).await;

    let events = loans.reader().unwrap().trace(running.id).await.unwrap();
    let said = sandbox.run(&["abandon", "loan-42", "--reason", "too slow"]);
    assert_eq!(said.code, 2);
    let instance = format!("loan-42 is running, in the instance {}", events[0].instance);
    assert!(said.stderr.contains(&instance), "{}", said.stderr);
    assert_eq!(sandbox.json(&["show", "loan-42"])["run"]["state"], "running");
    for (key, how) in [("loan-43", "it succeeded"), ("loan-44", "it was cancelled")] {
        let said = sandbox.run(&["abandon", key, "--reason", "too late"]);
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains(&format!("{key} has ended: {how}")), "{}", said.stderr);
    }
    let said = sandbox.run(&["abandon", "loan-45", "--reason", "unknown"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("no run has the id, key or request id `loan-45`"), "{}", said.stderr);
    end(loans).await;
}

#[tokio::test]
async fn a_run_is_not_abandoned_without_a_reason() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let _left = stay(loans.workflow("loan-approval").key("loan-42")).await;
    end(loans).await;
    for args in [&["abandon", "loan-42"][..], &["abandon", "loan-42", "--reason", " "]] {
        let said = sandbox.run(args);
        assert_eq!(said.code, 2, "{}", said.stdout);
        assert!(said.stderr.contains("--reason"), "{}", said.stderr);
    }
    assert_eq!(sandbox.json(&["running"])["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_abandoned_is_answered_as_json_and_the_reason_is_redacted() {
    let (sandbox, id) = left_in_saga("loan-42").await;
    let said = sandbox.json(&["abandon", &id.to_string()[..16], "--reason", "ada@example.org withdrew"]);
    assert_eq!(said["run"]["trace_id"], id.to_string());
    assert_eq!((&said["run"]["state"], &said["standing"]), (&"failed".into(), &2.into()));
    let exported = sandbox.run(&["export"]).stdout;
    assert!(exported.contains("[redacted:email] withdrew") && !exported.contains("ada@"), "{exported}");
}

#[test]
fn abandoning_a_run_creates_no_store() {
    let sandbox = Sandbox::empty();
    let said = sandbox.run(&["abandon", "loan-42", "--reason", "the customer withdrew"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(!sandbox.path("traces.db").exists());
}

#[tokio::test]
async fn a_run_that_is_being_undone_at_this_moment_is_not_abandoned() {
    let (sandbox, id) = left_in_saga("loan-42").await;
    let loans = service(&sandbox, "loan-service");
    let (entered, in_step) = oneshot::channel();
    let undoing = loans.undo(id, "loan-approval").step("stage:open-file", 1, |_, _| async move {
        entered.send(()).unwrap();
        std::future::pending::<Result<(), NotRecorded>>().await
    });
    let mut undoing = std::pin::pin!(undoing.run());
    tokio::select! {
        undone = &mut undoing => panic!("{undone:?}"),
        entered = in_step => entered.unwrap(),
    }
    let said = sandbox.run(&["abandon", "loan-42", "--reason", "the customer withdrew"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("loan-42 is running, in the instance "), "{}", said.stderr);
    end(loans).await;
}

#[tokio::test]
async fn the_key_of_a_run_that_failed_can_be_abandoned_no_more_than_its_id() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let id = fail(loans.workflow("loan-approval").key("loan-42"), "refused").await;
    end(loans).await;
    for name in ["loan-42", &id.to_string()] {
        assert_eq!(sandbox.run(&["abandon", name, "--reason", "late"]).code, 2);
    }
}
