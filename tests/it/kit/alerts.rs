//! `promtool` accepts the rules, and each alert fires, does not fire just below its bound, and resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use throughline::metrics::Profile;
use throughline_kit::Kit;

use super::cases::{Case, cases};
use super::tape::Tape;
use super::{may_do_without, profiles, run};

/// A rule as a file has it.
#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) alert: String,
    pub(super) expr: String,
    #[serde(rename = "for")]
    pub(super) lasting: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

pub(super) fn rules(file: &str) -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let rules: Rules = serde_saphyr::from_str(file).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// A file of rules with those of one alert alone.
pub(super) fn alone(file: &str, alert: &str) -> Value {
    let mut rules: Value = serde_saphyr::from_str(file).unwrap();
    let groups = rules["groups"].as_array_mut().unwrap();
    for group in groups.iter_mut() {
        group["rules"].as_array_mut().unwrap().retain(|rule| rule["alert"] == alert);
    }
    groups.retain(|group| group["rules"] != json!([]));
    rules
}

/// A label of the catalogue as the previous names have it.
fn label_before(label: &str) -> &str {
    match label {
        "http_route" => "path",
        "workflow" => "workflow_id",
        label => label,
    }
}

fn recorded(profile: &Profile, case: &Case) -> (Tape, [usize; 4]) {
    let mut tape = Tape::new(profile.clone());
    let mut play = |phase: usize, ticks: usize| {
        for tick in 0..ticks {
            (case.record)(&mut tape, phase, tick);
            tape.scrape();
        }
        tape.last()
    };
    let quiet = play(0, case.window + case.lasting + 2);
    let fires = play(1, case.fires_after + 1);
    let resolved = play(2, case.window + 2);
    // It begins with the next tick at the earliest, and has to last.
    let early = quiet + case.lasting;
    (tape, [quiet, early, fires, resolved])
}

/// The test of one case, as `promtool` takes it.
fn test(profile: &Profile, rules: &[Rule], case: &Case) -> Value {
    let rule = rules.iter().find(|rule| rule.alert == case.alert).expect(case.alert);
    let before = profile.keeps_name_of(case.metric);
    let label =
        |name: &str| if before || case.own_labels { name.to_owned() } else { label_before(name).to_owned() };
    let mut labels: BTreeMap<String, String> =
        case.labels.iter().map(|(name, value)| (label(name), (*value).to_owned())).collect();
    labels.entry("job".to_owned()).or_insert_with(|| "throughline".to_owned());
    labels.insert("severity".to_owned(), case.severity.to_owned());
    let mut annotations = rule.annotations.clone();
    annotations.insert("summary".to_owned(), case.summary.to_owned());
    for text in annotations.values_mut() {
        *text = text.replace("{{ $labels.job }}", "throughline");
    }
    let (tape, [quiet, early, fires, resolved]) = recorded(profile, case);
    let at = |tick: usize, expected: Value| json!({ "eval_time": format!("{}m", tick * case.minutes), "alertname": case.alert, "exp_alerts": expected });
    json!({
        "interval": format!("{}m", case.minutes),
        "input_series": tape.play(),
        "alert_rule_test": [
            at(quiet, json!([])),
            at(early, json!([])),
            at(fires, json!([{ "exp_labels": labels, "exp_annotations": annotations }])),
            at(resolved, json!([])),
        ],
    })
}

/// Has `promtool` run tests of rules; what it does not like is the error.
pub(super) fn promtool(folder: &Path, rules: &str, minutes: usize, tests: &[Value]) -> Result<(), String> {
    std::fs::write(folder.join("alerts.yaml"), rules).unwrap();
    let file = folder.join("test.json");
    let all = json!({
        "rule_files": ["alerts.yaml"], "evaluation_interval": format!("{minutes}m"), "tests": tests,
    });
    std::fs::write(&file, all.to_string()).unwrap();
    run("promtool", &["test", "rules", file.to_str().unwrap()]).map(drop)
}

#[test]
fn promtool_accepts_the_rules_of_every_profile() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, profile) in profiles() {
        let file = Kit::new(profile).job("it's \"quoted\" \\ {{ so }}").alerts().unwrap();
        let path = folder.path().join(&file.name);
        std::fs::write(&path, &file.contents).unwrap();
        let said = run("promtool", &["check", "rules", "--lint=all", "--lint-fatal", path.to_str().unwrap()]);
        assert!(said.is_ok(), "{name}: {said:?}\n{}", file.contents);
    }
}

#[test]
fn every_alert_fires_stays_quiet_just_below_its_bound_and_resolves() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, profile) in [("standard", Profile::standard()), ("aliases", Profile::aliases("acme"))] {
        let file = Kit::new(profile.clone()).alerts().unwrap().contents;
        let rules = rules(&file);
        // Those that look back for days would be asked at each minute of every case.
        for case in cases() {
            let own = alone(&file, case.alert).to_string();
            let verdict = promtool(folder.path(), &own, case.minutes, &[test(&profile, &rules, &case)]);
            assert_eq!(verdict, Ok(()), "{} under the profile {name}", case.alert);
        }
    }
}

#[test]
fn it_is_too_early_to_miss_sessions_in_a_service_that_was_just_started() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::standard();
    let file = Kit::new(profile.clone()).alerts().unwrap().contents;
    let case = cases().into_iter().find(|case| case.alert == "LowSessions").unwrap();
    // That it was low for half an hour would be long enough, were it not the first.
    let (mut tape, minutes) = (Tape::new(profile), 45);
    for minute in 0..=minutes {
        (case.record)(&mut tape, 0, minute);
        tape.scrape();
    }
    let quiet = json!({ "eval_time": format!("{minutes}m"), "alertname": "LowSessions", "exp_alerts": [] });
    let test = json!({ "interval": "1m", "input_series": tape.play(), "alert_rule_test": [quiet] });
    assert_eq!(promtool(folder.path(), &file, 1, &[test]), Ok(()));
}

#[test]
fn promtool_notices_bounds_that_are_a_little_off() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::standard();
    let file = Kit::new(profile.clone()).alerts().unwrap().contents;
    for (alert, bound, off) in [
        ("APIDown", "> 0.5", ["> 0.48", "> 0.52"]),
        ("LowSessions", "< 10", ["< 9", "< 11"]),
        ("UnusualDuration", "* 2", ["* 1.99", "* 2.01"]),
        ("WorkflowExecutionStalled", "[30m]", ["[29m]", "[31m]"]),
    ] {
        let case = cases().into_iter().find(|case| case.alert == alert).unwrap();
        let test = test(&profile, &rules(&file), &case);
        let own = alone(&file, alert).to_string();
        for off in off {
            let other = own.replace(bound, off);
            assert_ne!(other, own);
            let said = promtool(folder.path(), &other, case.minutes, std::slice::from_ref(&test));
            assert!(said.as_ref().is_err_and(|said| said.contains(alert)), "{alert} {off}: {said:?}");
        }
    }
}

#[test]
fn every_alert_has_a_case() {
    let file = Kit::new(Profile::standard()).alerts().unwrap().contents;
    let alerts: BTreeSet<_> = rules(&file).into_iter().map(|rule| rule.alert).collect();
    let with_case: BTreeSet<_> = cases().iter().map(|case| case.alert.to_owned()).collect();
    assert_eq!(alerts, with_case);
}

#[test]
fn no_rule_asks_for_names_that_the_profile_does_not_have() {
    let file = |profile| Kit::new(profile).alerts().unwrap().contents;
    let aliases = file(Profile::aliases("acme"));
    assert!(
        aliases.contains("acme_http_requests_total") && !aliases.contains("http_server_request_duration"),
        "{aliases}"
    );
    assert_eq!(
        file(Profile::both("acme")),
        file(Profile::standard()),
        "of two names, the standard one is asked for"
    );
    for rule in rules(&file(Profile::standard())) {
        assert!(["critical", "warning", "info"].contains(&rule.labels["severity"].as_str()), "{rule:?}");
    }
}
