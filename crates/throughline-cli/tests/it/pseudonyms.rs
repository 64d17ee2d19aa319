//! Keys and attributes that look like personal data are kept as pseudonyms, and are found by what they stood for.

use std::time::Duration;

use throughline_core::{BoxError, Throughline};
use throughline_sqlite::SqliteStore;

use crate::sandbox::Sandbox;

const CARD: &str = "4111111111111111";

#[tokio::test]
async fn a_key_that_looks_like_a_card_number_is_found_by_why() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("shop").store(store).build().unwrap();
    for key in [CARD, "ada@example.org"] {
        let run = throughline.workflow("order").key(key).attr("buyer", "bob@example.org");
        let failed = run.run(|_| async move { Err::<(), BoxError>("no stock".into()) }).await.unwrap();
        assert!(failed.is_err());
    }
    throughline.shutdown(Duration::from_secs(10)).await;

    let by_card = sandbox.json(&["why", CARD]);
    let by_address = sandbox.json(&["why", "ada@example.org"]);
    for found in [&by_card, &by_address] {
        assert_eq!(found["verdict"], "failed");
        assert!(found["run"]["correlation_id"].as_str().unwrap().starts_with("pseudonym:"), "{found}");
    }
    assert_ne!(by_card["run"]["trace_id"], by_address["run"]["trace_id"]);
    let found = |args: &[&str]| sandbox.json(args)["runs"].as_array().unwrap().len();
    assert_eq!(found(&["list", "--key", CARD]), 1);
    assert_eq!(found(&["list", "--attr", "buyer=bob@example.org"]), 2);
    assert!(!sandbox.run(&["export"]).stdout.contains(CARD));
}

#[test]
fn imported_cases_whose_ids_look_like_personal_data_are_told_apart_and_found() {
    let sandbox = Sandbox::empty();
    let case = |id: &str| {
        format!(
            "<trace><string key='concept:name' value='{id}'/><event><string key='concept:name' \
             value='a'/></event></trace>"
        )
    };
    sandbox.write("log.xes", format!("<log>{}{}</log>", case("ada@example.org"), case("bob@example.org")));
    assert_eq!(sandbox.json(&["import", "log.xes"])["events_new"], 6);
    // A later copy has the cases at other places.
    let later = ["cy@example.org", "bob@example.org", "ada@example.org"].map(case).concat();
    sandbox.write("log.v2.xes", format!("<log>{later}</log>"));
    assert_eq!(sandbox.json(&["import", "log.v2.xes"])["events_new"], 3);
    let runs: std::collections::HashSet<_> = ["ada@example.org", "bob@example.org", "cy@example.org"]
        .map(|key| sandbox.json(&["show", key])["run"]["trace_id"].to_string())
        .into();
    assert_eq!(runs.len(), 3);
    assert!(!sandbox.run(&["export"]).stdout.contains("ada@"));
}

#[test]
fn imported_json_lines_are_found_by_what_was_redacted_in_them() {
    let sandbox = Sandbox::empty();
    let lines = std::fs::read_to_string(crate::sandbox::data_file("saga.jsonl")).unwrap();
    sandbox.write("saga.jsonl", lines.replace("order-7", "ada@example.org"));
    assert_eq!(sandbox.run(&["import", "saga.jsonl"]).code, 0);
    assert_eq!(sandbox.json(&["why", "ada@example.org"])["verdict"], "failed");
}

#[test]
fn cases_of_two_logs_with_the_same_id_are_two_runs() {
    let sandbox = Sandbox::empty();
    let log = "<log><trace><string key='concept:name' value='1'/><event><string key='concept:name' \
               value='a'/></event></trace></log>";
    for (file, options) in [("orders.xes", vec![]), ("claims.xes", vec!["--service", "claims"])] {
        sandbox.write(file, format!("{log}<!-- {file} -->"));
        assert_eq!(sandbox.run(&[&["import", file], &options[..]].concat()).code, 0);
    }
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn what_was_redacted_is_found_by_its_value_with_the_key_of_the_pseudonyms() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "log.xes",
        "<log><trace><string key='concept:name' value='ada@example.org'/><event><string key='concept:name' \
         value='a'/></event></trace></log>",
    );
    let with_key = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("THROUGHLINE_PSEUDONYM_KEY", "a secret of this test").output().unwrap()
    };
    assert!(with_key(&["import", "log.xes"]).status.success());
    assert!(with_key(&["show", "ada@example.org"]).status.success());
    assert!(with_key(&["list", "--key", "ada@example.org"]).status.success());
    assert_eq!(sandbox.run(&["show", "ada@example.org"]).code, 1);
    assert!(!sandbox.run(&["export"]).stdout.contains("ada@"));
}
