//! Several runs under one key: which one a key names, and how the others are told.

use throughline_core::{SpanId, Status, Timestamp, TraceEvent, TraceId, names};
use throughline_sqlite::SqliteStore;

use crate::sandbox::{Sandbox, follow, related};
use crate::services::{end, fail, left_in_saga, service, stay, stay_in_doubt, succeed};

#[tokio::test]
async fn of_two_workflows_with_the_same_key_the_one_that_failed_is_told_and_the_other_is_named() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let invoice = fail(shop.workflow("invoice").key("4711"), "no address").await;
    let order = succeed(shop.workflow("order").key("4711")).await;
    end(shop).await;

    let seen = sandbox.see(&["why", "4711"]);
    assert!(seen.starts_with("invoice · 4711 · failed"), "{seen}");
    assert!(seen.contains("no address"), "{seen}");
    let rows = related(&seen);
    assert_eq!(rows.len(), 1, "{seen}");
    assert!(rows[0].starts_with("same key order (succeeded): throughline why "), "{seen}");
    assert_eq!(follow(&sandbox, &rows[0])["run"]["trace_id"], order.to_string());

    let found = sandbox.json(&["why", "4711"]);
    assert_eq!(found["run"]["trace_id"], invoice.to_string());
    assert_eq!(found["related"]["same_key"][0]["trace_id"], order.to_string());
    for command in ["show", "compensations"] {
        let found = sandbox.json(&[command, "4711"]);
        assert_eq!(found["run"]["trace_id"], invoice.to_string());
        assert_eq!(found["related"]["same_key"][0]["workflow"], "order");
        assert_eq!(related(&sandbox.see(&[command, "4711"])), rows, "{command}");
    }
    for filter in [&["--failed"][..], &["--workflow", "invoice"]] {
        let found = sandbox.json(&[&["list"], filter].concat());
        assert_eq!(found["runs"].as_array().unwrap().len(), 1, "{filter:?}");
        assert_eq!(found["runs"][0]["trace_id"], invoice.to_string(), "{filter:?}");
    }
    let stats = sandbox.see(&["stats"]);
    assert!(stats.starts_with("1 of 2 ended runs failed"), "{stats}");
}

#[tokio::test]
async fn of_two_services_with_the_same_key_the_one_that_failed_is_told_and_found_by_the_filters() {
    let sandbox = Sandbox::empty();
    let (shop, billing) = (service(&sandbox, "shop"), service(&sandbox, "billing"));
    let good = succeed(shop.workflow("order").key("4711")).await;
    let bad = fail(billing.workflow("order").key("4711"), "no account").await;
    end(shop).await;
    end(billing).await;

    let seen = sandbox.see(&["why", "4711"]);
    assert!(seen.contains("no account"), "{seen}");
    assert!(related(&seen)[0].starts_with("same key order of shop (succeeded)"), "{seen}");
    assert_eq!(follow(&sandbox, &related(&seen)[0])["run"]["trace_id"], good.to_string());
    for filter in [&["--failed"][..], &["--service", "billing"]] {
        let found = sandbox.json(&[&["list"], filter].concat());
        assert_eq!(found["runs"].as_array().unwrap().len(), 1, "{filter:?}");
        assert_eq!(found["runs"][0]["trace_id"], bad.to_string(), "{filter:?}");
    }
    let stats = sandbox.see(&["stats"]);
    assert!(stats.starts_with("1 of 2 ended runs failed"), "{stats}");
}

#[tokio::test]
async fn a_key_of_several_workflows_that_failed_is_an_error_that_names_each() {
    let sandbox = Sandbox::empty();
    let (shop, billing) = (service(&sandbox, "shop"), service(&sandbox, "billing"));
    let order = fail(shop.workflow("order").key("4711"), "no stock").await;
    let invoice = stay(billing.workflow("invoice").key("4711")).await;
    succeed(shop.workflow("parcel").key("4711")).await;

    let said = sandbox.run(&["why", "4711"]);
    assert_eq!((said.code, &*said.stdout), (2, ""));
    let lines: Vec<_> = said.stderr.lines().collect();
    assert!(lines[0].contains("`4711` is the key of several workflows or services"), "{}", said.stderr);
    let has = |words: &[&str]| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    let id = invoice.id.to_string();
    assert!(has(&[&id, "invoice", "billing", "running", &Timestamp::now().to_string()[..10]]));
    assert!(has(&[&order.to_string(), "order", "shop", "failed"]));
    assert!(has(&["parcel", "shop", "succeeded"]));
    assert_eq!(sandbox.json(&["show", &id])["run"]["workflow"], "invoice");
    // All that succeeded is no answer to which one is meant either.
    succeed(shop.workflow("order").key("4712")).await;
    succeed(shop.workflow("parcel").key("4712")).await;
    assert_eq!(sandbox.run(&["show", "4712"]).code, 2);
    end(shop).await;
    end(billing).await;
}

#[tokio::test]
async fn an_execution_that_is_run_twice_is_told_as_its_last_run_stands() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    succeed(shop.workflow("order").execution("1")).await;
    let last = fail(shop.workflow("order").execution("1"), "no stock").await;
    end(shop).await;
    assert_eq!(sandbox.json(&["why", "1"])["run"]["trace_id"], last.to_string());
    let rows = related(&sandbox.see(&["why", "1"]));
    assert!(rows[0].starts_with("earlier run succeeded 2"), "{rows:?}");
    assert_eq!(sandbox.json(&["list", "--attr", "execution=1"])["runs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_used_every_night_is_told_as_its_last_run_stands_and_with_those_before_it() {
    let sandbox = Sandbox::empty();
    let reports = service(&sandbox, "reports");
    let good = succeed(reports.workflow("report").key("nightly")).await;
    let first = fail(reports.workflow("report").key("nightly"), "no disk").await;
    let last = fail(reports.workflow("report").key("nightly"), "no memory").await;
    end(reports).await;

    let seen = sandbox.see(&["why", "nightly"]);
    assert!(seen.contains("no memory") && seen.contains("attempt 2"), "{seen}");
    let rows = related(&seen);
    assert!(rows[0].starts_with("attempt 1 failed 2"), "{seen}");
    assert!(rows[1].starts_with("earlier run succeeded 2"), "{seen}");
    assert_eq!(follow(&sandbox, &rows[0])["run"]["trace_id"], first.to_string());
    assert_eq!(follow(&sandbox, &rows[1])["run"]["trace_id"], good.to_string());
    assert_eq!(sandbox.json(&["why", "nightly"])["run"]["trace_id"], last.to_string());
}

#[tokio::test]
async fn a_run_that_was_tried_again_stays_findable_as_failed_and_says_what_followed() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let first = fail(shop.workflow("order").key("4711"), "no stock").await;
    let second = succeed(shop.workflow("order").key("4711")).await;
    end(shop).await;

    let seen = sandbox.see(&["why", "4711"]);
    assert!(seen.starts_with("order · 4711 · attempt 2 · succeeded"), "{seen}");
    assert!(seen.contains("order succeeded at attempt 2"), "{seen}");
    assert!(related(&seen)[0].starts_with("attempt 1 failed 2"), "{seen}");

    let failed = sandbox.json(&["list", "--failed"]);
    assert_eq!(failed["runs"][0]["trace_id"], first.to_string());
    let seen = sandbox.see(&["why", &first.to_string()]);
    assert!(seen.contains("no stock"), "{seen}");
    let rows = related(&seen);
    assert!(rows[0].starts_with("tried again as attempt 2 succeeded 2"), "{seen}");
    assert_eq!(follow(&sandbox, &rows[0])["run"]["trace_id"], second.to_string());
    let listed = sandbox.see(&["list"]);
    assert!(listed.lines().next().unwrap().contains("ATTEMPT"), "{listed}");
}

#[tokio::test]
async fn a_list_of_first_attempts_has_no_column_for_them() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    succeed(shop.workflow("order").key("4711")).await;
    end(shop).await;
    assert!(!sandbox.see(&["list"]).contains("ATTEMPT"));
}

#[tokio::test]
async fn a_second_run_of_a_key_that_is_in_a_step_is_running_and_not_safe_to_deploy_over() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    succeed(shop.workflow("order").key("4711")).await;
    let second = stay(shop.workflow("order").key("4711")).await;

    let open = sandbox.json(&["running"]);
    assert_eq!(open["runs"].as_array().unwrap().len(), 1);
    assert_eq!(open["runs"][0]["summary"]["trace_id"], second.id.to_string());
    assert_eq!(open["runs"][0]["summary"]["state"], "running");
    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 1);
    assert!(check.stdout.starts_with("Not safe to deploy: 1 running"), "{}", check.stdout);
    assert_eq!(sandbox.json(&["show", "4711"])["run"]["state"], "running");
    end(shop).await;
}

#[tokio::test]
async fn an_earlier_run_under_the_key_of_which_steps_stand_says_so() {
    let (sandbox, left) = left_in_saga("loan-42").await;
    let loans = service(&sandbox, "loan-service");
    let closed = stay_in_doubt(&loans, "loan-42").await;
    end(loans).await;
    let said = sandbox.run(&["abandon", &closed.0.to_string(), "--reason", "sent again"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-42")).await;
    end(loans).await;

    for command in ["why", "compensations"] {
        let rows = related(&sandbox.see(&[command, "loan-42"]));
        let has = |state: &str, left: &str| {
            rows.iter()
                .position(|row| row.contains(state) && row.contains(left))
                .unwrap_or_else(|| panic!("{rows:?}"))
        };
        let interrupted = has(" interrupted 2", " 2 steps stand throughline compensations ");
        has(" failed 2", " 1 step stands, 1 is in doubt throughline compensations ");
        assert_eq!(follow(&sandbox, &rows[interrupted])["run"]["trace_id"], left.to_string());
    }
    let related = sandbox.json(&["why", "loan-42"])["related"].clone();
    let left_behind = |at: usize, what: &str| related["left_behind"][at][what].as_u64().unwrap();
    assert_eq!((left_behind(0, "standing"), left_behind(0, "in_doubt")), (1, 1));
    assert_eq!((left_behind(1, "standing"), left_behind(1, "in_doubt")), (2, 0));
}

/// Many runs of a workflow under a key, one a minute, and the ids of the first and the last.
fn write_many(
    sandbox: &Sandbox,
    workflow: &'static str,
    key: &'static str,
    count: i64,
    status: Status,
) -> [TraceId; 2] {
    let id = |run: i64| TraceId::from_key(&format!("{workflow} {key} {run}"));
    let mut importer = SqliteStore::new(sandbox.path("traces.db")).open_importer().unwrap();
    let run = |run: i64| {
        let at = Timestamp::from_micros(1_790_000_000_000_000 + run * 60_000_000);
        let mut event =
            TraceEvent::new(id(run), SpanId::from_u64(1).unwrap(), names::WORKFLOW_COMPLETED, at, "jobs");
        event.workflow = Some(workflow.into());
        event.correlation_id = Some(key.into());
        event.status = status;
        event
    };
    importer.append(&(0..count).map(run).collect::<Vec<_>>()).unwrap();
    importer.finish().unwrap();
    [id(0), id(count - 1)]
}

#[test]
fn the_latest_run_of_each_workflow_is_found_among_thousands_under_one_key() {
    let sandbox = Sandbox::empty();
    let [_, failed] = write_many(&sandbox, "report", "nightly", 2, Status::Failed);
    let [first, last] = write_many(&sandbox, "clean-up", "nightly", 2_500, Status::Success);

    let seen = sandbox.see(&["why", "nightly"]);
    let found = sandbox.json(&["why", "nightly"]);
    assert_eq!(found["run"]["trace_id"], failed.to_string());
    assert_eq!(found["related"]["same_key"][0]["trace_id"], last.to_string());
    assert!(related(&seen)[0].starts_with("earlier run failed 2026-09-"), "{seen}");

    let found = sandbox.json(&["show", &last.to_string()])["related"].clone();
    assert_eq!((found["earlier"].as_array().unwrap().len(), &found["more"]["earlier"]), (5, &1_000.into()));
    let seen = sandbox.see(&["show", &last.to_string()]);
    assert!(related(&seen)[5].starts_with("… and at least 1,000 more"), "{seen}");
    let seen = sandbox.see(&["show", &first.to_string()]);
    assert!(related(&seen)[0].starts_with("later run succeeded 2026-"), "{seen}");
}

#[test]
fn an_old_run_says_what_followed_it_and_how_many_more_did() {
    let sandbox = Sandbox::empty();
    let [first, _] = write_many(&sandbox, "report", "nightly", 40, Status::Failed);
    let found = sandbox.json(&["why", &first.to_string()])["related"].clone();
    let started: Vec<_> = found["later"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["started"].as_str().unwrap()[14..19].to_owned())
        .collect();
    assert_eq!((started.len(), &found["more"]["later"]), (5, &34.into()), "{started:?}");
    assert!(started[0] > started[3], "the last first: {started:?}");
    assert_eq!(started[4], "14:20", "the one that followed it is listed");
}

#[test]
fn ids_that_begin_alike_are_told_whole() {
    let sandbox = Sandbox::with("saga.jsonl", &[]);
    let lines = sandbox.read("saga.jsonl").replace("order-6", "order-7");
    let again = Sandbox::empty();
    again.write("saga.jsonl", lines);
    assert_eq!(again.run(&["import", "saga.jsonl"]).code, 0);
    let seen = again.see(&["why", "order-7"]);
    let rows = related(&seen);
    assert!(rows[0].ends_with("throughline why 5a6a0000000000000000000000000002"), "{seen}");
}
