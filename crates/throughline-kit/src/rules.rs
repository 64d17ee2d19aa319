//! Alerts as a rule file of Prometheus.

use std::borrow::Cow;
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
    pub(crate) groups: Vec<RuleGroup>,
}

#[derive(Serialize)]
pub(crate) struct RuleGroup {
    pub(crate) name: Cow<'static, str>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Rule {
    Record(RecordingRule),
    Alert(AlertRule),
}

#[derive(Serialize)]
pub(crate) struct RecordingRule {
    pub(crate) record: String,
    pub(crate) expr: String,
    pub(crate) labels: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
pub(crate) struct AlertRule {
    pub(crate) alert: &'static str,
    pub(crate) expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) lasting: Option<String>,
    pub(crate) labels: BTreeMap<&'static str, Cow<'static, str>>,
    pub(crate) annotations: BTreeMap<&'static str, String>,
}

pub(crate) fn file(settings: &Settings) -> Result<File, KitError> {
    let mut file = yaml(FILE, &all(settings)?)?;
    file.contents.insert_str(0, head(settings));
    Ok(file)
}

/// What a reader of the file has to know of its links.
fn head(settings: &Settings) -> &'static str {
    match (is_address(&settings.runbooks), is_address(&settings.grafana)) {
        (true, true) => "",
        (false, true) => {
            "# Write it with `--runbooks URL`, or links to runbooks lead nowhere outside of their repository.\n"
        }
        (true, false) => {
            "# Write it with `--grafana URL`, or links to dashboards lead nowhere outside of Grafana.\n"
        }
        (false, false) => {
            "# Write it with `--runbooks URL --grafana URL`, or links lead nowhere outside of the repository of the runbooks and of Grafana.\n"
        }
    }
}

fn is_address(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

/// The rules of every alert.
pub(crate) fn all(settings: &Settings) -> Result<RuleFile, KitError> {
    let groups = alerts::all().into_iter().map(|group| {
        let rules = group.alerts.iter().map(|alert| Ok(Rule::Alert(rule(settings, alert)?)));
        Ok(RuleGroup { name: group.name.into(), rules: rules.collect::<Result<_, KitError>>()? })
    });
    Ok(RuleFile { groups: groups.collect::<Result<_, KitError>>()? })
}

fn rule(settings: &Settings, alert: &Alert) -> Result<AlertRule, KitError> {
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
    Ok(AlertRule {
        alert: alert.name,
        expr,
        lasting,
        labels: BTreeMap::from([("severity", alert.severity.as_str().into())]),
        annotations,
    })
}
