//! What the commands answer.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn an_import_accounts_for_everything() {
    let sandbox = Sandbox::empty();
    std::fs::copy(crate::sandbox::data_file("loans.xes"), sandbox.path("loans.xes")).unwrap();
    let import = [
        "import",
        "loans.xes",
        "--failed-when",
        "concept:name=A_DECLINED",
        "--cancelled-when",
        "concept:name=A_CANCELLED",
    ];
    insta::assert_snapshot!(sandbox.see(&import), @"");
    insta::assert_snapshot!(sandbox.see(&import), @"");
    insta::assert_json_snapshot!(sandbox.json(&import), @"");
    insta::assert_snapshot!(sandbox.see(&["import", "loans.xes"]), @"");
}

#[test]
fn runs_are_listed_the_last_first() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["list"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--failed"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--state", "cancelled", "--state", "unfinished"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--type", "activity:A_ACC*"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--attr", "org.resource=11"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--key", "loan-3", "--since", "2011-10-03"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--since", "24h"]), @"");
    insta::assert_json_snapshot!(sandbox.json(&["list", "--failed"]), @"");
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let sandbox = Sandbox::with_loans();
    let mut keys = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["list", "--limit", "1"];
        args.extend(after.iter().flat_map(|after| ["--after", after]));
        let page = sandbox.json(&args);
        keys.extend(page["runs"].as_array().unwrap().iter().map(|run| run["correlation_id"].to_string()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(keys.join(" "), r#""loan-4" "loan-3" "loan-2" "loan-1""#);
}

#[test]
fn a_run_is_found_by_id_by_its_beginning_and_by_key() {
    let sandbox = Sandbox::with_loans();
    let id = sandbox.json(&["list", "--key", "loan-2"])["runs"][0]["trace_id"].as_str().unwrap().to_owned();
    let by_key = sandbox.see(&["show", "loan-2"]);
    insta::assert_snapshot!(by_key, @"");
    assert_eq!(sandbox.see(&["show", &id]), by_key);
    assert_eq!(sandbox.see(&["show", &id[..9]]), by_key);
    insta::assert_snapshot!(sandbox.see(&["show", "loan-2", "--timeline"]), @"");
}

#[test]
fn why_names_the_cause_of_a_failure() {
    let loans = Sandbox::with_loans();
    insta::assert_snapshot!(loans.see(&["why", "loan-2"]), @"");
    insta::assert_snapshot!(loans.see(&["why", "loan-1"]), @"");
    let sagas = Sandbox::with_sagas();
    insta::assert_snapshot!(sagas.see(&["why", "order-7"]), @"");
    assert_eq!(sagas.json(&["why", "order-7"])["cause"]["span"]["name"], "stage:charge-card");
}

#[test]
fn compensations_say_what_was_left_behind() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["compensations", "order-7"]), @"");
    assert_eq!(sandbox.run(&["compensations", "order-6"]).code, 0);
}

#[test]
fn decisions_are_shown_for_a_run_and_across_runs() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["decisions", "order-7"]), @"");
    insta::assert_snapshot!(sandbox.see(&["decisions"]), @"");
    insta::assert_snapshot!(sandbox.see(&["decisions", "--since", "24h"]), @"");
}

#[test]
fn a_failure_is_compared_with_the_last_good_run() {
    let sandbox = Sandbox::with_sagas();
    let with_last_good = sandbox.see(&["diff", "order-7"]);
    insta::assert_snapshot!(with_last_good, @"");
    assert_eq!(sandbox.see(&["diff", "order-7", "order-6"]), with_last_good);
    insta::assert_snapshot!(sandbox.see(&["diff", "order-6"]), @"");
    assert_eq!(sandbox.run(&["diff", "order-6", "order-6"]).code, 1);
}

#[test]
fn stats_show_rates_slow_stages_and_hot_spots() {
    insta::assert_snapshot!(Sandbox::with_loans().see(&["stats"]), @"");
    insta::assert_snapshot!(Sandbox::with_sagas().see(&["stats", "--workflow", "order"]), @"");
    insta::assert_json_snapshot!(Sandbox::with_sagas().json(&["stats", "--limit", "1"]), @"");
}

#[test]
fn what_was_imported_and_has_not_ended_is_unfinished_and_safe_to_deploy_over() {
    let sandbox = Sandbox::with_loans();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+ d \d+ h", "[days]");
    settings.bind(|| {
        insta::assert_snapshot!(sandbox.see(&["running"]), @"");
        insta::assert_snapshot!(sandbox.see(&["running", "--check"]), @"");
    });
    assert_eq!(sandbox.json(&["running", "--check"])["safe_to_deploy"], true);
    insta::assert_snapshot!(Sandbox::with_sagas().see(&["running"]), @"");
}

#[test]
fn watching_a_run_that_is_over_tells_it_and_ends() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["watch", "loan-2"]), @"");
    let said = sandbox.run(&["watch", "loan-2", "--status", "failed", "--json"]);
    assert_eq!(said.stdout.lines().count(), 2);
    assert!(said.stdout.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn a_watch_sees_what_another_process_writes() {
    let sandbox = Sandbox::with_sagas();
    // A run that is open is watched until it ends; what was there before says that the watch has begun.
    let (first, rest) =
        split_first_line(&std::fs::read_to_string(crate::sandbox::data_file("saga.jsonl")).unwrap());
    let (open, end) = (first.replace("a0000000000000000000000000001", "a0000000000000000000000000009"), rest);
    let end = end.lines().find(|line| line.contains("workflow:failed")).unwrap();
    let end = end.replace("a0000000000000000000000000001", "a0000000000000000000000000009");
    sandbox.write("open.jsonl", open.replace("order-7", "order-9"));
    sandbox.write("end.jsonl", end.replace("order-7", "order-9"));
    assert_eq!(sandbox.run(&["import", "open.jsonl"]).code, 0);

    let mut watch =
        sandbox.command(&["watch", "order-9", "--for", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    seen.read_line(&mut line).unwrap();
    assert!(line.contains("workflow:started"), "{line}");
    assert_eq!(sandbox.run(&["import", "end.jsonl"]).code, 0);
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("workflow:failed"), "{rest}");
    assert!(watch.wait().unwrap().success());
}

fn split_first_line(text: &str) -> (String, String) {
    let (first, rest) = text.split_once('\n').unwrap();
    (first.to_owned(), rest.to_owned())
}

#[test]
fn pruning_removes_what_is_old() {
    let sandbox = Sandbox::with_loans();
    let said = sandbox.run(&["prune", "--older-than", "1d"]);
    assert!(said.stdout.starts_with("Removed 3 runs with 18 events: "), "{}{}", said.stdout, said.stderr);
    assert_eq!(sandbox.json(&["prune", "--older-than", "1d"])["runs"], 0);
    assert_eq!(sandbox.json(&["list"])["runs"][0]["correlation_id"], "loan-4");
}

#[test]
fn nothing_of_an_event_reaches_the_terminal_as_a_command() {
    let sandbox = Sandbox::with_sagas();
    for args in [
        &["list"][..],
        &["show", "order-7"],
        &["show", "order-7", "--timeline"],
        &["why", "order-7"],
        &["why", "order-7", "--json"],
        &["watch", "order-7"],
        &["stats"],
        &["diff", "order-7"],
        &["compensations", "order-7"],
        &["export"],
    ] {
        let said = sandbox.run(args);
        assert!(!said.stdout.contains('\u{1b}'), "{args:?}: {}", said.stdout);
    }
}

#[test]
fn colours_are_for_terminals_or_by_request() {
    let sandbox = Sandbox::with_loans();
    assert!(!sandbox.run(&["list"]).stdout.contains('\u{1b}'));
    assert!(sandbox.run(&["list", "--color", "always"]).stdout.contains("\u{1b}[31mfailed"));
    assert!(!sandbox.run(&["list", "--color", "always", "--json"]).stdout.contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sandbox = Sandbox::with_loans();
    let mut list = sandbox
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(list.stdout.take());
    let mut complaints = String::new();
    list.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert!(list.wait().unwrap().success());
    assert_eq!(complaints, "");
}
