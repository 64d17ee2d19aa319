//! Alerts as a rule file of Prometheus.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::Alert;
use crate::render::{Renderer, duration};
use crate::{File, Kit, KitError, alerts};

const FILE: &str = "alerts.yaml";

#[derive(Serialize)]
struct RuleFile {
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

pub(crate) fn file(kit: &Kit) -> Result<File, KitError> {
    let groups = alerts::all().into_iter().map(|group| {
        let rules = group.alerts.iter().map(|alert| rule(kit, alert)).collect::<Result<_, _>>()?;
        Ok(RuleGroup { name: group.name, rules })
    });
    let rules = RuleFile { groups: groups.collect::<Result<_, KitError>>()? };
    yaml(FILE, &rules)
}

/// A file in YAML.
pub(crate) fn yaml(name: &str, value: &impl Serialize) -> Result<File, KitError> {
    let refused = |error: serde_saphyr::ser::Error| KitError::Write {
        file: name.to_owned(),
        reason: error.to_string(),
    };
    Ok(File::new(name, serde_saphyr::to_string(value).map_err(refused)?))
}

fn rule(kit: &Kit, alert: &Alert) -> Result<Rule, KitError> {
    let mut renderer = Renderer::new(&kit.profile, &kit.job, false, kit.faster);
    let expr = renderer.expr(&alert.expr)?;
    let text = |text: &str| renderer.template(text, "$labels.", " ");
    let annotations = BTreeMap::from([
        ("summary", text(alert.summary)),
        ("description", text(alert.description)),
        ("runbook_url", format!("{}/{}.md", kit.runbooks, alert.name)),
        ("dashboard_url", format!("{}/d/throughline-{}", kit.grafana, alert.dashboard)),
    ]);
    let lasting = (!alert.lasting.is_zero()).then(|| duration(alert.lasting / kit.faster));
    Ok(Rule {
        alert: alert.name,
        expr,
        lasting,
        labels: BTreeMap::from([("severity", alert.severity.as_str())]),
        annotations,
    })
}
