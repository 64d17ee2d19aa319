//! How often the rules about what is unusual are wrong in a simulated week, whether they find what changed after it, and how soon.

use serde_json::json;
use throughline::metrics::Profile;
use throughline::metrics::catalogue::WORKFLOW_DURATION;
use throughline_kit::Kit;

use super::alerts::alone;
use super::tape::Tape;
use super::{may_do_without, run};

/// Between scrapes, in minutes.
const STEP: usize = 5;
const DAY: usize = 24 * 60 / STEP;
/// A day that they are compared with, a week in which nothing is unusual, and a quarter of an hour in which something is.
const QUIET: usize = 8 * DAY;
const CHANGED: usize = 15 / STEP;

/// Random numbers, by [SplitMix64](https://prng.di.unimi.it/splitmix64.c).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// By the method of Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.next(), self.next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// What ends of a workflow in five minutes: how many on average, which share fails, and how much slower than usual they are.
struct Load {
    ended: f64,
    failing: f64,
    slower: f64,
}

const STEADY: Load = Load { ended: 90.0, failing: 0.1, slower: 1.0 };

/// Little at night, and then everything is a little slower and fails less.
fn seasonal(tick: usize) -> Load {
    let day = (std::f64::consts::TAU * tick as f64 / DAY as f64).sin();
    Load { ended: 66.0 + 54.0 * day, failing: 0.1 + 0.05 * day, slower: 1.0 - 0.3 * day }
}

/// What ends at which of the scrapes.
type LoadAt = fn(usize) -> Load;

/// The workflows, and what ends of them.
const WORKFLOWS: [(&str, LoadAt); 4] = [
    ("steady", |_| STEADY),
    ("seasonal", seasonal),
    // Of these, twice as many fail after the week, or they take three times as long.
    ("fails", |tick| if tick < QUIET { many(STEADY) } else { Load { failing: 0.2, ..many(STEADY) } }),
    ("slow", |tick| if tick < QUIET { STEADY } else { Load { slower: 3.0, ..STEADY } }),
];

/// One a second.
const fn many(load: Load) -> Load {
    Load { ended: 300.0, ..load }
}

/// What ends of a workflow until the next scrape.
fn record(tape: &Tape, random: &mut Random, workflow: &str, Load { ended, failing, slower }: Load) {
    // Of so many, the Poisson distribution is close to the normal one.
    let ended = (ended + ended.sqrt() * random.normal()).round().max(0.0) as usize;
    for _ in 0..ended {
        let status = if random.next() < failing { "failed" } else { "success" };
        let seconds = 0.1 * slower * (0.8 * random.normal()).exp();
        tape.time(&WORKFLOW_DURATION, ["acme", workflow, status], 1, seconds);
    }
}

fn recorded() -> Tape {
    let mut tape = Tape::new(Profile::standard());
    let mut random = Random(1);
    for tick in 0..=QUIET + CHANGED {
        for (workflow, load) in WORKFLOWS {
            record(&tape, &mut random, workflow, load(tick));
        }
        tape.scrape();
    }
    tape
}

/// The least history in which a day can be compared with, and the hour before it.
const SHORT: usize = 26 * 60 / STEP;
/// How many workflows change at its end, each by its own chance.
const CHANGING: usize = 20;

/// What becomes of a load.
type Change = fn(Load) -> Load;

/// What ends of them before, as many as a day needs to be compared with.
const BEFORE: Load = Load { ended: 30.0, ..STEADY };

/// Ten minutes in which one a second ends of workflows that all fail twice as often, or take three times as long.
fn changing(change: Change) -> Tape {
    let mut tape = Tape::new(Profile::standard());
    let mut random = Random(2);
    let names: Vec<_> = (0..CHANGING).map(|workflow| format!("workflow-{workflow}")).collect();
    for tick in 0..=SHORT + 1 {
        for workflow in &names {
            let load = if tick < SHORT { BEFORE } else { change(many(STEADY)) };
            record(&tape, &mut random, workflow, load);
        }
        tape.scrape();
    }
    tape
}

#[test]
fn the_rules_about_what_is_unusual_raise_at_most_one_false_alarm_a_week_and_find_what_doubles() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = Kit::new(Profile::standard()).alerts().unwrap().contents;
    let series = recorded().play();
    let minutes = |ticks: usize| format!("{}m", ticks * STEP);
    for (alert, changed, expected) in
        [("UnusualFailures", "fails", "warning"), ("UnusualDuration", "slow", "info")]
    {
        std::fs::write(folder.path().join("alerts.yaml"), alone(&rules, alert).to_string()).unwrap();
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        let step = minutes(1);
        let alarms = format!("count_over_time(({firing} unless {firing} offset {step})[7d:{step}])");
        let labels = format!(
            "{{alertname=\"{alert}\", alertstate=\"firing\", job=\"throughline\", severity=\"{expected}\", workflow=\"{changed}\"}}"
        );
        let test = json!({
            "interval": step, "input_series": series, "promql_expr_test": [
                { "expr": format!("{alarms} > 1"), "eval_time": minutes(QUIET), "exp_samples": [] },
                // After ten minutes, or for one that has to last, five more.
                { "expr": format!("max by (alertname, alertstate, job, severity, workflow) (max_over_time({firing}[15m]))"),
                  "eval_time": minutes(QUIET + CHANGED), "exp_samples": [{ "labels": labels, "value": 1 }] },
            ],
        });
        let file = folder.path().join("test.json");
        let all = json!({ "rule_files": ["alerts.yaml"], "evaluation_interval": step, "tests": [test] });
        std::fs::write(&file, all.to_string()).unwrap();
        let verdict = run("promtool", &["test", "rules", file.to_str().unwrap()]);
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

#[test]
fn a_share_that_doubles_and_a_percentile_that_triples_are_found_within_ten_minutes_in_nineteen_of_twenty() {
    if may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = Kit::new(Profile::standard()).alerts().unwrap().contents;
    let changes: [(&str, Change); 2] = [
        ("UnusualFailures", |load| Load { failing: 0.2, ..load }),
        ("UnusualDuration", |load| Load { slower: 3.0, ..load }),
    ];
    for (alert, change) in changes {
        std::fs::write(folder.path().join("alerts.yaml"), alone(&rules, alert).to_string()).unwrap();
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        let minutes = |ticks: usize| format!("{}m", ticks * STEP);
        let test = json!({
            "interval": minutes(1), "input_series": changing(change).play(), "promql_expr_test": [
                { "expr": firing, "eval_time": minutes(SHORT - 1), "exp_samples": [] },
                { "expr": format!("count({firing}) >= bool {}", CHANGING * 95 / 100),
                  "eval_time": minutes(SHORT + 1), "exp_samples": [{ "labels": "{}", "value": 1 }] },
            ],
        });
        let file = folder.path().join("test.json");
        let all =
            json!({ "rule_files": ["alerts.yaml"], "evaluation_interval": minutes(1), "tests": [test] });
        std::fs::write(&file, all.to_string()).unwrap();
        let verdict = run("promtool", &["test", "rules", file.to_str().unwrap()]);
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}
