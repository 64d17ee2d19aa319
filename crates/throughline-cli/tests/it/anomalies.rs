//! `throughline anomalies`: what is unusual in a store, with the runs and what differs in them.

use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::Timestamp;

use crate::sandbox::Sandbox;

/// Two days in which something ends once in six seconds, one of two by turns; in the hour before the last one, the first fails on one
/// tenant, and the other is slow. What they are is said by which of them it is and by whether it failed.
fn lines(incident: bool, what: fn(bool, bool) -> Value) -> String {
    let now = Timestamp::now();
    let (step, seconds) = (6, 2 * 86_400);
    let events = (0..seconds / step).map(|n| {
        let ago = seconds - n * step;
        let is_bad = incident && (3_600..7_200).contains(&ago);
        let (first, tenant) = (n % 2 == 0, ["acme", "globex", "initech"][(n % 3) as usize]);
        let failed = n % 50 == 0 || (is_bad && first && tenant == "acme");
        let slow = if is_bad && !first { 4 } else { 1 };
        let mut event = json!({
            "trace_id": format!("{0:016x}{0:016x}", n + 1), "span_id": format!("{:016x}", n + 1), "seq": 1,
            "timestamp": now.minus(Duration::from_secs(ago)), "n": n, "service": "loans",
            "status": if failed { "failed" } else { "success" },
            "duration_us": slow * (10_000 + 997 * (n % 40)),
        });
        event.as_object_mut().unwrap().extend(what(first, failed).as_object().unwrap().clone());
        event["attrs"]["tenant"] = tenant.into();
        event
    });
    events.map(|event| format!("{event}\n")).collect()
}

/// Steps of two types.
fn steps(first: bool, _: bool) -> Value {
    json!({ "event_type": if first { "stage:score" } else { "stage:offer" } })
}

/// Runs of a workflow, and requests to a route.
fn runs_and_requests(first: bool, failed: bool) -> Value {
    match first {
        true => {
            let ended = if failed { "workflow:failed" } else { "workflow:completed" };
            json!({ "event_type": ended, "workflow": "loan-approval" })
        }
        false => {
            json!({ "event_type": "http:request", "attrs": { "http.method": "GET", "http.route": "/loans/{id}" } })
        }
    }
}

/// A store with two days of steps.
pub(crate) fn store(incident: bool) -> Sandbox {
    store_of(incident, steps)
}

fn store_of(incident: bool, what: fn(bool, bool) -> Value) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("events.jsonl", lines(incident, what));
    let said = sandbox.run(&["import", "events.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox
}

#[test]
fn what_is_unusual_is_found_with_its_runs_and_what_differs_in_them() {
    let sandbox = store(true);
    let said = sandbox.run(&["anomalies", "--since", "12h", "--json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    let found = answer["anomalies"].as_array().unwrap();
    let mut kinds: Vec<_> =
        found.iter().map(|one| (one["of"].as_str().unwrap(), one["measure"].as_str().unwrap())).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("stage:offer", "p95"), ("stage:score", "failures")], "{answer:#}");
    let failures = found.iter().find(|one| one["measure"] == "failures").unwrap();
    assert_eq!(failures["explained_by"]["name"], "tenant");
    assert_eq!(failures["explained_by"]["value"], "acme");
    let run = failures["runs"][0].as_str().unwrap();
    assert_eq!(sandbox.json(&["show", run])["run"]["trace_id"], run);
    let said = sandbox.run(&["anomalies", "--since", "12h"]);
    assert!(
        said.stdout.contains("tenant=acme") && said.stdout.contains("step stage:offer"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_workflow_that_fails_and_a_route_that_is_slow_are_found_with_their_runs() {
    let sandbox = store_of(true, runs_and_requests);
    let answer = sandbox.json(&["anomalies", "--since", "12h"]);
    let mut found: Vec<_> = answer["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ["subject", "of", "measure"].map(|field| one[field].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [["route", "/loans/{id}", "p95"], ["workflow", "loan-approval", "failures"]],
        "{answer:#}"
    );
    for (subject, workflow) in [("workflow", "loan-approval"), ("route", "")] {
        let all = answer["anomalies"].as_array().unwrap();
        let one = all.iter().find(|one| one["subject"] == subject).unwrap();
        let run = one["runs"][0].as_str().unwrap();
        let shown = sandbox.json(&["show", run]);
        assert_eq!(shown["run"]["workflow"].as_str().unwrap_or_default(), workflow, "{shown:#}");
    }
}

#[test]
fn where_nothing_is_unusual_nothing_is_said_to_be() {
    let said = store(false).run(&["anomalies", "--since", "12h"]);
    assert_eq!((said.code, &*said.stdout), (0, "nothing is unusual; series judged: 2\n"), "{}", said.stderr);
}

/// Nine days in which a workflow and its step end twice a minute, and in the last half an hour the workflow not at all, and
/// the step twenty times as often, on one tenant.
fn store_of_rates() -> Sandbox {
    let now = Timestamp::now();
    let minutes = 9 * 24 * 60_u64;
    let mut lines = String::new();
    let mut add = |ago: Duration, event_type: &str, tenant: &str, n: usize| {
        let event = json!({
            "trace_id": format!("{0:016x}{0:016x}", n + 1), "span_id": format!("{:016x}", n + 1), "seq": 1,
            "timestamp": now.minus(ago), "n": n, "service": "loans",
            "event_type": event_type, "workflow": "loan-approval", "status": "success",
            "duration_us": 10_000 + 997 * (n % 40), "attrs": { "tenant": tenant },
        });
        lines += &format!("{event}\n");
    };
    let mut n = 0..;
    for minute in 0..minutes {
        let ago = 60 * (minutes - minute);
        let is_last = ago <= 1_800;
        let (runs, steps) = if is_last { (0, 40) } else { (2, 2) };
        let at = |of: u64, among: u64| Duration::from_millis(1_000 * ago - 60_000 * of / among);
        for run in 0..runs {
            add(at(run, runs), "workflow:completed", "acme", n.next().unwrap());
        }
        for step in 0..steps {
            let tenant = if is_last { "globex" } else { "acme" };
            add(at(step, steps), "stage:score", tenant, n.next().unwrap());
        }
    }
    let sandbox = Sandbox::empty();
    sandbox.write("events.jsonl", lines);
    let said = sandbox.run(&["import", "events.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox
}

#[test]
fn a_workflow_that_stops_and_a_step_that_ends_far_more_often_are_found() {
    let sandbox = store_of_rates();
    let answer = sandbox.json(&["anomalies", "--since", "2h"]);
    let found = answer["anomalies"].as_array().unwrap();
    let rate = |subject: &str| {
        let mut of = found.iter().filter(|one| one["subject"] == subject);
        let one = of.next().unwrap_or_else(|| panic!("{subject}: {answer:#}"));
        assert_eq!((of.next(), &one["measure"]), (None, &json!("rate")), "{answer:#}");
        assert_eq!(one["compared_with"], "hour_of_day");
        one
    };
    let (stopped, more) = (rate("workflow"), rate("step"));
    assert_eq!((stopped["value"].as_f64(), stopped["explained_by"].is_null()), (Some(0.0), true));
    assert!((110.0..125.0).contains(&stopped["usual"].as_f64().unwrap()), "{stopped:#}");
    assert!(more["value"].as_f64().unwrap() > 1_000.0, "{more:#}");
    assert_eq!(more["explained_by"]["value"], "globex", "{more:#}");
    // What ended last, before it stopped.
    let last = sandbox.json(&["show", stopped["runs"][0].as_str().unwrap()]);
    assert_eq!(last["run"]["workflow"], "loan-approval", "{last:#}");
    let said = sandbox.run(&["anomalies", "--since", "2h"]);
    assert!(said.stdout.contains("0.0 an hour") && said.stdout.contains("120 an hour"), "{}", said.stdout);
}
