//! Objectives as rules of Prometheus: what is spent of their budgets, and alerts when it is spent too fast.

use std::collections::BTreeMap;
use std::time::Duration;

use throughline_core::metrics::Histogram;
use throughline_core::metrics::catalogue::{
    HTTP_SERVER_REQUEST_DURATION, Metric, STEP_DURATION, WORKFLOW_DURATION,
};

use crate::alerts::{BURNS, Burn};
use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::{Expr, Series, Window, count, share, within};
use crate::file::yaml;
use crate::objective::{Indicator, Objective, Objectives, Subject};
use crate::render::{Renderer, duration};
use crate::rules::{AlertRule, RecordingRule, Rule, RuleFile, RuleGroup};
use crate::settings::Settings;
use crate::{File, KitError};

pub(crate) const RULES: &str = "slo.yaml";
/// What is recorded of each objective, with a label of its name.
const TARGET: &str = "slo:target:ratio";
const OVER_ITS_WINDOW: &str = "slo:errors:ratio_window";
const OVER_AN_HOUR: &str = "slo:errors:ratio_rate1h";
const OVER_SIX_HOURS: &str = "slo:errors:ratio_rate6h";
const OVER_THREE_DAYS: &str = "slo:errors:ratio_rate3d";

pub(crate) fn rules(settings: &Settings, objectives: &Objectives) -> Result<File, KitError> {
    yaml(RULES, &all(settings, objectives)?)
}

/// The rules of every objective.
pub(crate) fn all(settings: &Settings, objectives: &Objectives) -> Result<RuleFile, KitError> {
    let groups = objectives.all.iter().map(|objective| group(settings, objective));
    Ok(RuleFile { groups: groups.collect::<Result<_, _>>()? })
}

fn group(settings: &Settings, objective: &Objective) -> Result<RuleGroup, KitError> {
    let labels = BTreeMap::from([("slo", objective.name.clone())]);
    let recorded =
        |record: String, expr: String| Rule::Record(RecordingRule { record, expr, labels: labels.clone() });
    let mut target = labels.clone();
    target.insert("job", settings.job.clone());
    let mut rules = vec![Rule::Record(RecordingRule {
        record: TARGET.to_owned(),
        expr: format!("vector({})", objective.target),
        labels: target,
    })];
    let burns: Vec<_> = BURNS.iter().filter_map(|burn| Some((burn, rate(burn, objective)?))).collect();
    let mut windows: Vec<_> = BURNS.iter().flat_map(|burn| [burn.short, burn.long]).collect();
    windows.sort();
    windows.dedup();
    let of_window = windows.into_iter().map(|window| (over(window), window));
    for (record, window) in of_window.chain([(OVER_ITS_WINDOW.to_owned(), objective.window)]) {
        rules.push(recorded(record, errors(settings, objective, window)?));
    }
    rules.extend(burns.into_iter().map(|(burn, rate)| Rule::Alert(alert(settings, objective, burn, rate))));
    Ok(RuleGroup { name: format!("slo-{}", objective.name).into(), rules })
}

/// The rate at which the budget of the objective's window is spent, if an alert at it can fire and says something: at a rate of
/// less than 1 the budget lasts, and no more than everything can fail.
fn rate(burn: &Burn, objective: &Objective) -> Option<f64> {
    let rate = burn.rate(objective.window);
    (rate >= 1.0 && rate * (1.0 - objective.target) < 1.0).then_some(rate)
}

/// What the share of errors over a window is recorded as.
fn over(window: Duration) -> String {
    format!("slo:errors:ratio_rate{}", duration(window))
}

fn alert(settings: &Settings, objective: &Objective, burn: &Burn, rate: f64) -> AlertRule {
    let of = format!(
        "{{job=\"{}\", slo=\"{}\"}}",
        settings.job.replace('\\', "\\\\").replace('"', "\\\""),
        objective.name
    );
    let above = |window| format!("{}{of} > ({rate} * (1 - {}))", over(window), objective.target);
    let days = |time: Duration| time.as_secs() / 86_400;
    let hours_left = (objective.window.as_secs_f64() / rate / 3_600.0) as u64;
    let description = format!(
        "{} % of the budget of {} days ({}) was spent in {}: at this rate it is gone in {}.",
        burn.percent,
        days(objective.window),
        allowed(objective),
        duration(burn.long),
        duration(Duration::from_secs(hours_left * 3_600)),
    );
    let summary =
        "{{ $labels.slo }}: {{ $value | humanizePercentage }} of {{ $labels.job }}'s budget-relevant events are bad"
            .replace("budget-relevant events", what(&objective.subject));
    AlertRule {
        alert: burn.name,
        expr: format!("({}) and ({})", above(burn.long), above(burn.short)),
        lasting: None,
        labels: BTreeMap::from([
            ("severity", burn.severity.as_str().into()),
            ("slo", objective.name.clone().into()),
        ]),
        annotations: BTreeMap::from([
            ("summary", summary),
            ("description", description),
            ("runbook_url", format!("{}/{}.md", settings.runbooks, burn.name)),
            ("dashboard_url", format!("{}/d/throughline-slo", settings.grafana)),
        ]),
    }
}

fn what(subject: &Subject) -> &'static str {
    match subject {
        Subject::Route(_) => "requests",
        Subject::Workflow(_) => "runs",
        Subject::Step(_) => "steps",
    }
}

/// What is allowed, as `1 in 1000 requests to /loans may fail`.
fn allowed(objective: &Objective) -> String {
    let one_in = (1.0 / (1.0 - objective.target)).round();
    let (what, name) = (what(&objective.subject), objective.subject.name());
    match objective.indicator {
        Indicator::Availability => format!("1 in {one_in} {what} of {name} may fail"),
        Indicator::Latency(threshold) => {
            format!("1 in {one_in} {what} of {name} may take longer than {}", duration(threshold))
        }
    }
}

/// The share of what was bad, of all that happened in a window.
fn errors(settings: &Settings, objective: &Objective, window: Duration) -> Result<String, KitError> {
    let window = Window::Of(window);
    let name = objective.subject.name().to_owned();
    let expr = match &objective.subject {
        Subject::Route(_) => {
            let of = |series: Series| series.with("http_route", name.clone()).rate(window);
            bad(objective, &HTTP_SERVER_REQUEST_DURATION, of, |all| {
                all.like("http_response_status_code", "5..")
            })?
        }
        Subject::Workflow(_) => {
            let of = |series: Series| series.with("workflow", name.clone()).rate(window);
            bad(objective, &WORKFLOW_DURATION, of, |all| all.with("status", "failed"))?
        }
        Subject::Step(_) => {
            let of = |series: Series| series.with("step_type", name.clone()).rate(window);
            bad(objective, &STEP_DURATION, of, |all| all.with("status", "failed"))?
        }
    };
    Renderer::new(&settings.profile, &settings.job, false, settings.faster).expr(&expr)
}

fn bad<const N: usize>(
    objective: &Objective,
    metric: &'static Metric<Histogram, N>,
    of: impl Fn(Series) -> Series,
    failed: impl Fn(Series) -> Series,
) -> Result<Expr, KitError> {
    let all = || of(count(metric));
    match objective.indicator {
        Indicator::Availability => Ok(share(failed(all()), all())),
        Indicator::Latency(threshold) => {
            let bounds = metric.description().buckets;
            if !bounds.contains(&threshold.as_secs_f64()) {
                return Err(KitError::NoBound {
                    objective: objective.name.clone(),
                    bounds: bounds.iter().map(|bound| format!("{bound}s")).collect::<Vec<_>>().join(", "),
                });
            }
            Ok(Expr::from(all()).minus(of(within(metric, threshold))).over(all()))
        }
    }
}

pub(crate) fn dashboard() -> Dashboard {
    let budget = || Expr::Number(1.0).minus(Expr::Recorded(TARGET));
    let spent = |record| Expr::Recorded(record).over(budget());
    let panels = vec![
        Panel::bars(
            "Error Budget Left",
            Unit::Share,
            "Of what may be bad in the window of each objective. Below 0, the objective is missed.",
        )
        .shows(Expr::Number(1.0).minus(spent(OVER_ITS_WINDOW)), "{{slo}}"),
        Panel::bars("Reached", Unit::Share, "The share of what was good, over the window of each objective.")
            .shows(Expr::Number(1.0).minus(Expr::Recorded(OVER_ITS_WINDOW)), "{{slo}}"),
        Panel::graph(
            "Budget over Time",
            Unit::Share,
            "How much of each budget was left. A step down is an incident; a line that rises has left one behind.",
        )
        .shows(Expr::Number(1.0).minus(spent(OVER_ITS_WINDOW)), "{{slo}}")
        .since("30d")
        .wide(),
        Panel::graph("Burn Rate, 1 Hour", Unit::Count, "1 spends a budget in exactly its window.")
            .shows(spent(OVER_AN_HOUR), "{{slo}}"),
        Panel::graph("Burn Rate, 6 Hours", Unit::Count, "1 spends a budget in exactly its window.")
            .shows(spent(OVER_SIX_HOURS), "{{slo}}"),
        Panel::graph("Burn Rate, 3 Days", Unit::Count, "1 spends a budget in exactly its window.")
            .shows(spent(OVER_THREE_DAYS), "{{slo}}")
            .wide(),
    ];
    Dashboard {
        name: "slo",
        title: "Error Budgets",
        about: "How much of each objective's budget is left, and how fast is it spent?",
        panels,
    }
}
