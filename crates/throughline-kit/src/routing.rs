//! Who is told of which alert, as a configuration of Alertmanager.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::alert::Severity;
use crate::file::yaml;
use crate::render::duration;
use crate::settings::Settings;
use crate::{File, KitError};

const FILE: &str = "alertmanager.yaml";

const PRIMARY: &str = "oncall-primary";
const SECONDARY: &str = "oncall-secondary";
const CHAT: &str = "slack-alerts";

const BUSINESS_HOURS: &str = "business-hours";

/// Alerts that say no more than another one that fires for the same job, and the labels that have to be the same. A label that
/// neither has is the same; that of a workflow has another name under other profiles.
pub(crate) const INHIBITED: &[(&str, &[&str], &[&str])] = &[
    (
        "APIDown",
        &[
            "HighErrorRate",
            "ElevatedErrors",
            "HighHTTPErrorRate",
            "HighLatency",
            "ElevatedLatency",
            "HighHTTPLatency",
            "ErrorBudgetBurnsFast",
            "ErrorBudgetBurns",
            "ErrorBudgetBurnsSlowly",
        ],
        &["job"],
    ),
    ("HighErrorRate", &["ElevatedErrors"], &["job"]),
    ("HighLatency", &["ElevatedLatency"], &["job"]),
    ("ErrorBudgetBurnsFast", &["ErrorBudgetBurns", "ErrorBudgetBurnsSlowly"], &["job"]),
    ("ErrorBudgetBurns", &["ErrorBudgetBurnsSlowly"], &["job"]),
    ("CriticalWorkflowFailureRate", &["HighWorkflowFailureRate"], &["job", "workflow", "workflow_id"]),
    ("QueueBacklogCritical", &["QueueBacklog"], &["job", "queue"]),
    ("NoActiveWorkers", &["LowWorkerCount", "QueueBacklog"], &["job"]),
];

#[derive(Serialize)]
struct Config {
    route: Route,
    time_intervals: Value,
    inhibit_rules: Vec<Inhibition>,
    receivers: Vec<Value>,
}

#[derive(Serialize)]
struct Route {
    receiver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_wait: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_interval: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active_time_intervals: Vec<&'static str>,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Self>,
}

#[derive(Serialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: &'static [&'static str],
}

pub(crate) fn file(settings: &Settings) -> Result<File, KitError> {
    let inhibit_rules = INHIBITED.iter().map(|(source, targets, equal)| Inhibition {
        source_matchers: vec![format!("alertname=\"{source}\"")],
        target_matchers: vec![format!("alertname=~\"{}\"", targets.join("|"))],
        equal,
    });
    let config = Config {
        route: root(settings),
        time_intervals: json!([{
            "name": BUSINESS_HOURS,
            "time_intervals": [{
                "weekdays": ["monday:friday"],
                "times": [{ "start_time": "09:00", "end_time": "17:00" }],
            }],
        }]),
        inhibit_rules: inhibit_rules.collect(),
        receivers: [PRIMARY, SECONDARY, CHAT].iter().map(|name| receiver(settings, name)).collect(),
    };
    yaml(FILE, &config)
}

fn root(settings: &Settings) -> Route {
    let lasting = |seconds: u64| Some(duration(Duration::from_secs(seconds) / settings.faster));
    Route {
        // What has no severity that is known is for everybody to see.
        receiver: CHAT,
        group_by: vec!["alertname", "job"],
        group_wait: lasting(30),
        group_interval: lasting(300),
        repeat_interval: lasting(4 * 3600),
        routes: vec![
            Route { continues: true, ..to(PRIMARY, Severity::Critical) },
            Route {
                active_time_intervals: vec![BUSINESS_HOURS],
                continues: true,
                ..to(SECONDARY, Severity::Warning)
            },
            // The chat shows what the others are told, and at night what nobody is told.
            to(CHAT, Severity::Critical),
            to(CHAT, Severity::Warning),
            to(CHAT, Severity::Info),
        ],
        matchers: Vec::new(),
        ..to(CHAT, Severity::Info)
    }
}

fn to(receiver: &'static str, severity: Severity) -> Route {
    Route {
        receiver,
        matchers: vec![format!("severity=\"{}\"", severity.as_str())],
        group_by: Vec::new(),
        group_wait: None,
        group_interval: None,
        repeat_interval: None,
        active_time_intervals: Vec::new(),
        continues: false,
        routes: Vec::new(),
    }
}

/// A receiver; its secret is in a file beside the configuration, so that this can be shown to anybody.
fn receiver(settings: &Settings, name: &str) -> Value {
    if let Some(address) = &settings.webhook {
        return json!({ "name": name, "webhook_configs": [{ "url": format!("{address}/{name}") }] });
    }
    match name {
        CHAT => json!({ "name": name, "slack_configs": [{
            "api_url_file": "secrets/slack-url",
            "channel": "#alerts",
            "send_resolved": true,
            "title": "{{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }} of {{ .CommonLabels.job }}",
            "text": "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Annotations.runbook_url }}\n{{ end }}",
        }]}),
        _ => json!({ "name": name, "pagerduty_configs": [{
            "routing_key_file": format!("secrets/{name}-key"),
            "description": "{{ (index .Alerts 0).Annotations.summary }}",
        }]}),
    }
}

#[cfg(test)]
mod tests {
    use super::INHIBITED;
    use crate::alerts;

    #[test]
    fn what_is_inhibited_and_by_what_are_alerts() {
        let groups = alerts::all();
        let names: Vec<_> = groups.iter().flat_map(|group| &group.alerts).map(|alert| alert.name).collect();
        for (source, targets, equal) in INHIBITED {
            assert!(!targets.contains(source) && equal.contains(&"job"), "{source}");
            for name in std::iter::once(source).chain(*targets) {
                assert!(names.contains(name), "there is no alert {name}");
            }
        }
    }
}
