//! Objectives as rules: `promtool` accepts them, and each alert fires, does not fire just below its bound, and resolves.

use serde_json::{Value, json};
use throughline::metrics::Profile;
use throughline::metrics::catalogue::{HTTP_SERVER_REQUEST_DURATION, STEP_DURATION, WORKFLOW_DURATION};
use throughline_kit::{Kit, Objectives};

use super::alerts::promtool;
use super::tape::Tape;
use super::{may_do_without, profiles, run};

const FILE: &str = r#"
[[slo]]
name = "loans-are-answered"
route = "/loans"
indicator = "availability"
target = 0.999

[[slo]]
name = "approvals-are-quick"
workflow = "loan"
indicator = "latency"
threshold = "1s"
target = 0.99
time_window = "28d"

[[slo]]
name = "scores-are-found"
step = "stage:score"
indicator = "availability"
target = 0.9
time_window = "7d"
"#;

fn objectives() -> Objectives {
    Objectives::parse(FILE).unwrap()
}

fn rules(profile: Profile) -> String {
    Kit::new(profile).slo_rules(&objectives()).unwrap().contents
}

/// Of a thousand, so many are bad.
type Record = fn(&Tape, usize);

fn requests(tape: &Tape, bad: usize) {
    let labels = |status| ["GET", "http", "/loans", status, "", "1.1"];
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("503"), bad, 0.01);
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("200"), 1_000 - bad, 0.01);
    // Of another route.
    tape.time(&HTTP_SERVER_REQUEST_DURATION, ["GET", "http", "/", "500", "", "1.1"], 500, 0.01);
}

fn runs(tape: &Tape, bad: usize) {
    // A run that failed in time is in time, and one that took exactly as long as it may, too.
    tape.time(&WORKFLOW_DURATION, ["acme", "loan", "failed"], 500 - bad, 1.0);
    tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], 500, 0.1);
    tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], bad, 1.1);
}

fn steps(tape: &Tape, bad: usize) {
    tape.time(&STEP_DURATION, ["acme", "loan", "stage:score", "failed"], bad, 0.1);
    tape.time(&STEP_DURATION, ["acme", "loan", "stage:score", "success"], 1_000 - bad, 0.1);
}

struct Case {
    alert: &'static str,
    severity: &'static str,
    slo: &'static str,
    record: Record,
    /// How long a tick is, and how many of them the long and the short window have.
    minutes: usize,
    long: usize,
    short: usize,
    /// Of a thousand, how many are too many, and how many are not.
    above: usize,
    below: usize,
    summary: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        alert: "ErrorBudgetBurnsFast",
        severity: "critical",
        slo: "loans-are-answered",
        record: requests,
        minutes: 1,
        long: 60,
        short: 5,
        above: 15,
        below: 14,
        summary: "loans-are-answered: 1.5% of throughline's requests are bad",
    },
    Case {
        alert: "ErrorBudgetBurns",
        severity: "critical",
        slo: "loans-are-answered",
        record: requests,
        minutes: 10,
        long: 36,
        short: 3,
        above: 7,
        below: 5,
        summary: "loans-are-answered: 0.7% of throughline's requests are bad",
    },
    Case {
        alert: "ErrorBudgetBurnsSlowly",
        severity: "warning",
        slo: "loans-are-answered",
        record: requests,
        minutes: 10,
        long: 432,
        short: 36,
        above: 2,
        below: 1,
        summary: "loans-are-answered: 0.2% of throughline's requests are bad",
    },
    // 2 % of 28 days in an hour is a rate of 13.44.
    Case {
        alert: "ErrorBudgetBurnsFast",
        severity: "critical",
        slo: "approvals-are-quick",
        record: runs,
        minutes: 1,
        long: 60,
        short: 5,
        above: 135,
        below: 134,
        summary: "approvals-are-quick: 13.5% of throughline's runs are bad",
    },
    // Of 7 days, a rate of 3.36.
    Case {
        alert: "ErrorBudgetBurnsFast",
        severity: "critical",
        slo: "scores-are-found",
        record: steps,
        minutes: 1,
        long: 60,
        short: 5,
        above: 340,
        below: 335,
        summary: "scores-are-found: 34% of throughline's steps are bad",
    },
];

/// The annotations of an alert of an objective.
fn annotations(file: &str, case: &Case) -> Value {
    let rules: Value = serde_saphyr::from_str(file).unwrap();
    let all = rules["groups"].as_array().unwrap().iter();
    let group = { all }.find(|group| group["name"] == format!("slo-{}", case.slo)).unwrap();
    let rule = group["rules"].as_array().unwrap().iter().find(|rule| rule["alert"] == case.alert).unwrap();
    let mut annotations = rule["annotations"].clone();
    annotations["summary"] = case.summary.into();
    annotations
}

fn test(profile: &Profile, file: &str, case: &Case) -> [Value; 2] {
    let at = |tick: usize, expected: Value| json!({ "eval_time": format!("{}m", tick * case.minutes), "alertname": case.alert, "exp_alerts": expected });
    let record = |phases: &[(usize, usize)]| {
        let mut tape = Tape::new(profile.clone());
        let ends = phases.iter().map(|(bad, ticks)| {
            for _ in 0..*ticks {
                (case.record)(&tape, *bad);
                tape.scrape();
            }
            tape.last()
        });
        let ends: Vec<_> = ends.collect();
        (json!({ "interval": format!("{}m", case.minutes), "input_series": tape.play() }), ends)
    };
    let quiet = (1, case.short + 2);
    let (mut fires, ends) = record(&[quiet, (case.above, case.long + 2), (0, case.short + 2)]);
    let labels = json!({ "job": "throughline", "severity": case.severity, "slo": case.slo });
    let alert = json!([{ "exp_labels": labels, "exp_annotations": annotations(file, case) }]);
    fires["alert_rule_test"] = json!([at(ends[0], json!([])), at(ends[1], alert), at(ends[2], json!([]))]);
    let (mut below, ends) = record(&[quiet, (case.below, case.long + 2)]);
    below["alert_rule_test"] = json!([at(ends[1], json!([]))]);
    [fires, below]
}

#[test]
fn promtool_accepts_the_rules_of_objectives_under_every_profile() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, profile) in profiles() {
        let file = Kit::new(profile).job("it's \"quoted\" \\ {{ so }}").slo_rules(&objectives()).unwrap();
        let path = folder.path().join(&file.name);
        std::fs::write(&path, &file.contents).unwrap();
        let said = run("promtool", &["check", "rules", "--lint=all", "--lint-fatal", path.to_str().unwrap()]);
        assert!(said.is_ok(), "{name}: {said:?}\n{}", file.contents);
    }
}

#[test]
fn every_burn_rate_fires_stays_quiet_just_below_its_bound_and_resolves() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, profile) in [("standard", Profile::standard()), ("aliases", Profile::aliases("acme"))] {
        let file = rules(profile.clone());
        for minutes in [1, 10] {
            let cases = CASES.iter().filter(|case| case.minutes == minutes);
            let tests: Vec<_> = cases.flat_map(|case| test(&profile, &file, case)).collect();
            assert_eq!(promtool(folder.path(), &file, minutes, &tests), Ok(()), "under the profile {name}");
        }
    }
}

#[test]
fn promtool_notices_a_burn_rate_that_fires_too_early() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::standard();
    let file = rules(profile.clone());
    let tests = test(&profile, &file, &CASES[0]);
    let lower = file.replace("(14.4 *", "(13 *");
    assert_ne!(lower, file);
    let said = promtool(folder.path(), &lower, 1, &tests).unwrap_err();
    assert!(said.contains("ErrorBudgetBurnsFast"), "{said}");
}

/// An alert at a rate of less than 1 would be of a budget that lasts, and one that needs more failures than there are requests
/// could not fire.
#[test]
fn alerts_that_say_nothing_or_cannot_fire_are_left_out() {
    let file: Value = serde_saphyr::from_str(&rules(Profile::standard())).unwrap();
    let alerts = |name: &str| -> Vec<String> {
        let groups = file["groups"].as_array().unwrap().iter();
        let group = { groups }.find(|group| group["name"] == format!("slo-{name}")).unwrap();
        let names = group["rules"].as_array().unwrap().iter().filter_map(|rule| rule["alert"].as_str());
        names.map(str::to_owned).collect()
    };
    let all = ["ErrorBudgetBurnsFast", "ErrorBudgetBurns", "ErrorBudgetBurnsSlowly"];
    assert_eq!(alerts("loans-are-answered"), all);
    assert_eq!(alerts("approvals-are-quick"), all[..2], "10 % of 28 days in 3 days is a rate of 0.93");
    assert_eq!(alerts("scores-are-found"), all[..2]);
    let half = Objectives::parse(&FILE.replace("0.999", "0.9")).unwrap();
    let file = Kit::new(Profile::standard()).slo_rules(&half).unwrap().contents;
    assert!(!file.contains("(14.4 *") && file.contains("(6 *"), "{file}");
}

#[test]
fn a_threshold_at_which_no_bucket_ends_is_refused_with_those_that_do() {
    let objectives = Objectives::parse(&FILE.replace("\"1s\"", "\"1100ms\"")).unwrap();
    let refused = Kit::new(Profile::standard()).slo_rules(&objectives).unwrap_err().to_string();
    assert!(refused.contains("approvals-are-quick") && refused.contains("1s, 2.5s"), "{refused}");
}

#[test]
fn the_dashboard_of_budgets_asks_for_what_the_rules_record() {
    let dashboard: Value =
        serde_json::from_str(&Kit::new(Profile::standard()).slo_dashboard().unwrap().contents).unwrap();
    let file: Value = serde_saphyr::from_str(&rules(Profile::standard())).unwrap();
    let rules =
        file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let recorded: Vec<_> = rules.filter_map(|rule| rule["record"].as_str()).collect();
    let panels = dashboard["panels"].as_array().unwrap();
    assert_eq!(panels.len(), 6);
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            let asked = expr.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
            let asked: Vec<_> = asked.filter(|name| name.starts_with("slo:")).collect();
            assert!(!asked.is_empty() && asked.iter().all(|name| recorded.contains(name)), "{expr}");
        }
    }
}
