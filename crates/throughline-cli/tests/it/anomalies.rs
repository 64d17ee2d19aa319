//! `throughline anomalies`: what is unusual in a store, with the runs and what differs in them.

use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::Timestamp;

use crate::sandbox::Sandbox;

/// Two days of a step, once in six seconds; in the hour before the last one, it fails on one tenant, and another is slow.
fn lines(incident: bool) -> String {
    let now = Timestamp::now();
    let (step, seconds) = (6, 2 * 86_400);
    let events = (0..seconds / step).map(|n| {
        let ago = seconds - n * step;
        let is_bad = incident && (3_600..7_200).contains(&ago);
        let (score, tenant) = (n % 2 == 0, ["acme", "globex", "initech"][(n % 3) as usize]);
        let failed = n % 50 == 0 || (is_bad && score && tenant == "acme");
        let slow = if is_bad && !score { 4 } else { 1 };
        json!({
            "trace_id": format!("{0:016x}{0:016x}", n + 1), "span_id": format!("{:016x}", n + 1), "seq": 1,
            "event_type": if score { "stage:score" } else { "stage:offer" },
            "timestamp": now.minus(Duration::from_secs(ago)), "n": n, "service": "loans",
            "status": if failed { "failed" } else { "success" },
            "duration_us": slow * (10_000 + 997 * (n % 40)), "attrs": { "tenant": tenant },
        })
    });
    events.map(|event| format!("{event}\n")).collect()
}

/// A store with these two days.
pub(crate) fn store(incident: bool) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("events.jsonl", lines(incident));
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
fn where_nothing_is_unusual_nothing_is_said_to_be() {
    let said = store(false).run(&["anomalies", "--since", "12h"]);
    assert_eq!((said.code, &*said.stdout), (0, "nothing is unusual; series judged: 2\n"), "{}", said.stderr);
}
