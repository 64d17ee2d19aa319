//! The command on a store in Azure Cosmos DB.

#[path = "../../../throughline-cosmos/tests/it/server.rs"]
#[expect(dead_code, reason = "the tests of the store use more of it")]
mod server;

use std::time::Duration;

use throughline_core::Throughline;

use crate::sandbox::Sandbox;
use server::{KEY, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_records_in_cosmos_is_listed_and_explained() {
    let server = Server::start();
    let throughline = Throughline::builder("loan-service").store(server.store()).build_async().await.unwrap();
    let run = throughline.workflow("loan-approval").key("loan-1").run(|ctx| async move {
        let answer =
            ctx.trace("stage:score", async { Err::<(), _>(std::io::Error::other("no answer")) }).await;
        answer.map_err(std::io::Error::other)?
    });
    run.await.unwrap().unwrap_err();
    throughline.shutdown(Duration::from_secs(10)).await;

    let sandbox = Sandbox::empty();
    let url = format!("cosmos:{}/audit", server.endpoint());
    let command = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("THROUGHLINE_STORE", &url);
        command
    };
    let run = |args: &[&str]| command(args).env("THROUGHLINE_COSMOS_KEY", KEY).output().unwrap();
    let said = |args: &[&str]| String::from_utf8(run(args).stdout).unwrap();
    let listed = said(&["list", "--failed"]);
    assert!(listed.contains("loan-1") && listed.contains("stage:score"), "{listed}");
    let why = said(&["why", "loan-1"]);
    assert!(why.contains("stage:score") && why.contains("no answer"), "{why}");
    assert!(said(&["stats"]).contains("stage:score"));
    assert!(said(&["export", "loan-1"]).contains("no answer"));

    // What a file says is as good as the variable.
    sandbox.write("key", format!("{KEY}\n"));
    let listed = command(&["list"]).env("THROUGHLINE_COSMOS_KEY_FILE", "key").output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("loan-1"));

    let nowhere = url.replace("audit", "nowhere");
    for (args, hint) in [
        (&["watch"][..], "--feed redis://"),
        (&["prune", "--older-than", "1d"], "SQLite files alone"),
        (&["list", "--store", &nowhere], "no such container"),
    ] {
        let output = run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(hint), "{error}");
        assert!(error.contains("cosmos:127.0.0.1/") && !error.contains(KEY), "{error}");
    }
    let error = String::from_utf8(command(&["list"]).output().unwrap().stderr).unwrap();
    assert!(error.contains("set THROUGHLINE_COSMOS_KEY to a key of the account"), "{error}");
}

#[test]
fn runs_are_copied_to_cosmos_and_back_and_are_the_same_on_all_sides() {
    let server = Server::start();
    let sandbox = Sandbox::with_loans();
    let url = format!("cosmos:{}/audit", server.endpoint());
    let said = |args: &[&str]| {
        let output = sandbox.command(args).env("THROUGHLINE_COSMOS_KEY", KEY).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let there = said(&["copy", "--from", "sqlite:traces.db", "--to", &url]);
    assert!(there.contains("Every run is the same on both sides."), "{there}");
    let again = said(&["copy", "--from", "sqlite:traces.db", "--to", &url]);
    assert!(again.starts_with("Copied 0 events"), "{again}");
    let back = said(&["copy", "--from", &url, "--to", "sqlite:back.db"]);
    assert!(back.contains("Every run is the same on both sides."), "{back}");
    assert_eq!(said(&["export", "--store", "sqlite:back.db"]), said(&["export"]));
}
