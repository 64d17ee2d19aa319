//! Who is told of which alert, as a configuration of Alertmanager.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
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

/// Everybody who may be told.
pub(crate) const RECEIVERS: [&str; 3] = [PRIMARY, SECONDARY, CHAT];

/// When those are at work who are told in business hours, in UTC.
pub(crate) const BUSINESS_HOURS: &str = "business-hours";
pub(crate) const WEEKDAYS: &str = "monday:friday";
pub(crate) const HOURS: [&str; 2] = ["09:00", "17:00"];

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
    ("CertificateExpires", &["CertificateExpiresSoon"], &["job", "instance"]),
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
pub(crate) struct Route {
    pub(crate) receiver: &'static str,
    #[serde(rename = "matchers", skip_serializing_if = "Option::is_none", serialize_with = "matchers")]
    pub(crate) severity: Option<Severity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) group_by: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_wait: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repeat_interval: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) active_time_intervals: Vec<&'static str>,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) continues: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Self>,
}

/// The severity that a route is for, as Alertmanager matches it.
fn matchers<S: Serializer>(severity: &Option<Severity>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(severity.iter().map(|severity| format!("severity=\"{}\"", severity.as_str())))
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
                "weekdays": [WEEKDAYS],
                "times": [{ "start_time": HOURS[0], "end_time": HOURS[1] }],
            }],
        }]),
        inhibit_rules: inhibit_rules.collect(),
        receivers: RECEIVERS.iter().map(|name| receiver(settings, name)).collect(),
    };
    yaml(FILE, &config)
}

pub(crate) fn root(settings: &Settings) -> Route {
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
        severity: None,
        ..to(CHAT, Severity::Info)
    }
}

fn to(receiver: &'static str, severity: Severity) -> Route {
    Route {
        receiver,
        severity: Some(severity),
        group_by: Vec::new(),
        group_wait: None,
        group_interval: None,
        repeat_interval: None,
        active_time_intervals: Vec::new(),
        continues: false,
        routes: Vec::new(),
    }
}

/// What a receiver is told by.
pub(crate) enum Told {
    Webhook { url: String },
    Slack { secret: &'static str, channel: &'static str, title: &'static str, text: &'static str },
    PagerDuty { secret: String, description: &'static str, details: [(&'static str, &'static str); 2] },
}

pub(crate) fn told(settings: &Settings, name: &str) -> Told {
    if let Some(address) = &settings.webhook {
        return Told::Webhook { url: format!("{address}/{name}") };
    }
    match name {
        CHAT => Told::Slack {
            secret: "slack-url",
            channel: "#alerts",
            title: "{{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }} of {{ .CommonLabels.job }}",
            text: "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Annotations.runbook_url }}\n{{ end }}",
        },
        _ => Told::PagerDuty {
            secret: format!("{name}-key"),
            description: "{{ (index .Alerts 0).Annotations.summary }}",
            details: [
                ("runbook", "{{ (index .Alerts 0).Annotations.runbook_url }}"),
                ("dashboard", "{{ (index .Alerts 0).Annotations.dashboard_url }}"),
            ],
        },
    }
}

/// A receiver; its secret is in a file beside the configuration, so that this can be shown to anybody.
fn receiver(settings: &Settings, name: &str) -> Value {
    match told(settings, name) {
        Told::Webhook { url } => json!({ "name": name, "webhook_configs": [{ "url": url }] }),
        Told::Slack { secret, channel, title, text } => json!({ "name": name, "slack_configs": [{
            "api_url_file": format!("secrets/{secret}"),
            "channel": channel,
            "send_resolved": true,
            "title": title,
            "text": text,
        }]}),
        Told::PagerDuty { secret, description, details } => json!({ "name": name, "pagerduty_configs": [{
            "routing_key_file": format!("secrets/{secret}"),
            "description": description,
            "details": details.into_iter().collect::<BTreeMap<_, _>>(),
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
