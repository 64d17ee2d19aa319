//! `throughline slo`: what is left of error budgets, and what spent them.

use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::Timestamp;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay, succeed};

fn objective(name: &str, about: &str, target: f64) -> String {
    format!("[[slo]]\nname = \"{name}\"\n{about}\ntarget = {target}\n\n")
}

const RUNS: &str = "workflow = \"order\"\nindicator = \"availability\"";

fn found<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer["objectives"].as_array().unwrap().iter().find(|objective| objective["name"] == name).unwrap()
}

#[tokio::test]
async fn a_budget_is_spent_by_what_failed_and_names_the_runs() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    for _ in 0..8 {
        succeed(shop.workflow("order")).await;
    }
    let failed =
        [fail(shop.workflow("order"), "no stock").await, fail(shop.workflow("order"), "no stock").await];
    fail(shop.workflow("refund"), "of another workflow").await;
    end(shop).await;
    let file = [
        objective("missed", RUNS, 0.9),
        objective("kept", RUNS, 0.5),
        objective("quick", "workflow = \"order\"\nindicator = \"latency\"\nthreshold = \"1h\"", 0.99),
        objective("slow", "workflow = \"order\"\nindicator = \"latency\"\nthreshold = \"1ns\"", 0.99),
        objective("steps", "step = \"stage:work\"\nindicator = \"availability\"", 0.5),
        objective("nothing", "step = \"stage:none\"\nindicator = \"availability\"", 0.5),
    ];
    sandbox.write("slo.toml", file.concat());
    let said = sandbox.run(&["slo", "--json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    let counts = |name| {
        let found = found(&answer, name);
        let left = (found["budget_left"].as_f64().unwrap() * 1e6).round() / 1e6;
        (found["total"].as_u64().unwrap(), found["bad"].as_u64().unwrap(), left)
    };
    assert_eq!(counts("missed"), (10, 2, -1.0));
    assert_eq!(counts("kept"), (10, 2, 0.6));
    assert_eq!(counts("quick"), (10, 0, 1.0));
    assert_eq!(counts("slow"), (10, 10, -99.0));
    assert_eq!(counts("steps"), (3, 3, -1.0));
    assert_eq!(counts("nothing"), (0, 0, 1.0));
    let missed = found(&answer, "missed");
    assert!((missed["burn_rate"].as_f64().unwrap() - 2.0).abs() < 1e-9, "{missed:#}");
    assert_eq!(found(&answer, "nothing")["burn_rate"], Value::Null);
    let [spent] = &missed["spent_by"].as_array().unwrap()[..] else { panic!("{missed:#}") };
    assert_eq!((&spent["name"], &spent["count"]), (&json!("stage:work"), &json!(2)));
    let runs: Vec<_> = spent["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
    assert!(failed.iter().all(|run| runs.contains(&run.to_string().as_str())), "{runs:?}");
    // A run that is named can be asked for.
    assert_eq!(sandbox.run(&["why", runs[0]]).code, 0);
    let said = sandbox.run(&["slo"]);
    assert!(
        said.stdout.contains("What spent the budget of missed") && said.stdout.contains("-100 %"),
        "{}",
        said.stdout
    );
    // What is met exactly is met.
    for target in [0.5, 0.8] {
        sandbox.write("kept.toml", objective("kept", RUNS, target));
        let said = sandbox.run(&["slo", "kept.toml"]);
        assert_eq!(said.code, 0, "{target}: {}", said.stdout);
    }
}

#[tokio::test]
async fn a_run_that_began_before_the_window_counts_and_so_does_one_that_was_interrupted() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    // Kept to the end of the test: dropped, it would be cancelled.
    let _open = stay(shop.workflow("nightly")).await;
    end(shop).await;
    let event = |run: u64, seq: u64, kind: &str, status: &str, hours: u64| {
        json!({
            "trace_id": format!("{run:032x}"), "span_id": format!("{run:016x}"), "seq": seq,
            "event_type": format!("workflow:{kind}"), "workflow": "nightly", "service": "shop", "status": status,
            "timestamp": Timestamp::now().minus(Duration::from_secs(hours * 3_600)), "n": 2 * run + seq,
            "duration_us": (seq == 1).then_some(1_000_000),
        })
    };
    let events = [
        // Within the window, across its beginning, before it.
        event(1, 0, "started", "pending", 3),
        event(1, 1, "completed", "success", 2),
        event(2, 0, "started", "pending", 30),
        event(2, 1, "failed", "failed", 20),
        event(3, 0, "started", "pending", 40),
        event(3, 1, "failed", "failed", 30),
    ];
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    sandbox.write("events.jsonl", lines);
    assert_eq!(sandbox.run(&["import", "events.jsonl"]).code, 0);
    let day = "workflow = \"nightly\"\ntime_window = \"24h\"\nindicator";
    let file = [
        objective("works", &format!("{day} = \"availability\""), 0.5),
        objective("quick", &format!("{day} = \"latency\"\nthreshold = \"1h\""), 0.5),
    ];
    sandbox.write("slo.toml", file.concat());
    let said = sandbox.run(&["slo", "--json"]);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    let counts = |name| (found(&answer, name)["total"].clone(), found(&answer, name)["bad"].clone());
    assert_eq!(counts("works"), (json!(3), json!(2)), "{}", said.stdout);
    assert_eq!(counts("quick"), (json!(3), json!(1)), "{}", said.stdout);
}

#[test]
fn requests_to_a_route_count_that_ended_in_the_window() {
    let sandbox = Sandbox::empty();
    let event = |n: u64, route: &str, status: &str, days: u64| {
        json!({
            "trace_id": format!("{n:032x}"), "span_id": format!("{n:016x}"), "seq": 0, "event_type": "http:request",
            "timestamp": Timestamp::now().minus(Duration::from_secs(days * 86_400)), "n": n, "status": status,
            "duration_us": 1000 * n, "service": "shop", "attrs": { "http.method": "GET", "http.route": route },
        })
    };
    let events = [
        event(1, "/loans", "success", 0),
        event(2, "/loans", "failed", 1),
        event(3, "/loans", "failed", 8),
        event(4, "/offers", "failed", 0),
        event(5, "/loans", "success", 2),
    ];
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    sandbox.write("events.jsonl", lines);
    assert_eq!(sandbox.run(&["import", "events.jsonl"]).code, 0);
    let week = "route = \"/loans\"\ntime_window = \"7d\"\nindicator";
    let file = [
        objective("answered", &format!("{week} = \"availability\""), 0.5),
        objective("quick", &format!("{week} = \"latency\"\nthreshold = \"1ms\""), 0.5),
    ];
    sandbox.write("slo.toml", file.concat());
    let answer = sandbox.json(&["slo"]);
    let counts = |name| (found(&answer, name)["total"].clone(), found(&answer, name)["bad"].clone());
    assert_eq!(counts("answered"), (json!(3), json!(1)));
    assert_eq!(counts("quick"), (json!(3), json!(2)));
}

#[test]
fn objectives_that_are_wrong_are_refused_and_rules_are_written_of_those_that_are_right() {
    let sandbox = Sandbox::with_sagas();
    sandbox.write("bad.toml", objective("a", RUNS, 99.9));
    sandbox.write("slo.toml", objective("orders", RUNS, 0.999));
    let seen = [sandbox.see(&["slo", "none.toml"]), sandbox.see(&["slo", "bad.toml"])];
    insta::assert_snapshot!(seen.join("\n"));
    assert_eq!(sandbox.run(&["alerts", "--slo", "slo.toml", "--out", "kit"]).code, 0);
    assert!(sandbox.read("kit/slo.yaml").contains("workflow=\"order\""));
    assert_eq!(sandbox.run(&["dashboards", "--slo", "--out", "kit"]).code, 0);
    assert!(sandbox.read("kit/slo.json").contains("slo:errors:ratio_window"));
}
