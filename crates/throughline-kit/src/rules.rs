//! Alerts as a rule file of Prometheus.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::Alert;
use crate::file::yaml;
use crate::render::{Renderer, duration};
use crate::settings::Settings;
use crate::{File, KitError, alerts};

const FILE: &str = "alerts.yaml";

/// What Prometheus loads.
#[derive(Serialize)]
pub(crate) struct RuleFile {
    groups: Vec<RuleGroup>,
}

#[derive(Serialize)]
struct RuleGroup {
    name: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    alert: &'static str,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<String>,
    labels: BTreeMap<&'static str, &'static str>,
    annotations: BTreeMap<&'static str, String>,
}

pub(crate) fn file(settings: &Settings) -> Result<File, KitError> {
    yaml(FILE, &all(settings)?)
}

/// The rules of every alert.
pub(crate) fn all(settings: &Settings) -> Result<RuleFile, KitError> {
    let groups = alerts::all().into_iter().map(|group| {
        let rules = group.alerts.iter().map(|alert| rule(settings, alert)).collect::<Result<_, _>>()?;
        Ok(RuleGroup { name: group.name, rules })
    });
    Ok(RuleFile { groups: groups.collect::<Result<_, KitError>>()? })
}

fn rule(settings: &Settings, alert: &Alert) -> Result<Rule, KitError> {
    let mut renderer = Renderer::new(&settings.profile, &settings.job, false, settings.faster);
    let expr = renderer.expr(&alert.expr)?;
    let text = |text: &str| renderer.template(text, "$labels.", " ");
    let annotations = BTreeMap::from([
        ("summary", text(alert.summary)),
        ("description", text(alert.description)),
        ("runbook_url", format!("{}/{}.md", settings.runbooks, alert.name)),
        ("dashboard_url", format!("{}/d/throughline-{}", settings.grafana, alert.dashboard)),
    ]);
    let lasting = (!alert.lasting.is_zero()).then(|| duration(alert.lasting / settings.faster));
    Ok(Rule {
        alert: alert.name,
        expr,
        lasting,
        labels: BTreeMap::from([("severity", alert.severity.as_str())]),
        annotations,
    })
}
