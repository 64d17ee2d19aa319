//! Who is told of which alert, as an object of the operator.

use serde_json::{Map, Value, json};

use crate::routing::{self, Route, Told};
use crate::settings::Settings;

pub(super) fn object(settings: &Settings) -> Value {
    let inhibitions = routing::INHIBITED.iter().map(|(source, targets, equal)| {
        json!({
            "sourceMatch": [matcher("alertname", "=", source)],
            "targetMatch": [matcher("alertname", "=~", &targets.join("|"))],
            "equal": equal,
        })
    });
    let [opens, closes] = routing::HOURS;
    let spec = json!({
        "route": route(&routing::root(settings)),
        "inhibitRules": Vec::from_iter(inhibitions),
        "muteTimeIntervals": [{
            "name": routing::BUSINESS_HOURS,
            "timeIntervals": [{
                "weekdays": [routing::WEEKDAYS],
                "times": [{ "startTime": opens, "endTime": closes }],
            }],
        }],
        "receivers": routing::RECEIVERS.map(|name| receiver(settings, name)),
    });
    super::object(settings, "monitoring.coreos.com/v1alpha1", "AlertmanagerConfig", &settings.job, &spec)
}

fn matcher(name: &str, kind: &str, value: &str) -> Value {
    json!({ "name": name, "matchType": kind, "value": value })
}

fn route(route: &Route) -> Value {
    let mut object = Map::from_iter([("receiver".to_owned(), json!(route.receiver))]);
    let mut put = |field: &str, is_there: bool, value: Value| {
        if is_there {
            object.insert(field.to_owned(), value);
        }
    };
    let matchers = route.severity.iter().map(|severity| matcher("severity", "=", severity.as_str()));
    put("matchers", route.severity.is_some(), matchers.collect());
    put("groupBy", !route.group_by.is_empty(), json!(route.group_by));
    for (field, time) in [
        ("groupWait", &route.group_wait),
        ("groupInterval", &route.group_interval),
        ("repeatInterval", &route.repeat_interval),
    ] {
        put(field, time.is_some(), json!(time));
    }
    put("activeTimeIntervals", !route.active_time_intervals.is_empty(), json!(route.active_time_intervals));
    put("continue", route.continues, json!(true));
    put("routes", !route.routes.is_empty(), route.routes.iter().map(self::route).collect());
    object.into()
}

/// A receiver; its secret is in a `Secret` beside it, so that this can be shown to anybody.
fn receiver(settings: &Settings, name: &str) -> Value {
    let from_secret = |key: &str| json!({ "name": format!("{}-alerting", settings.job), "key": key });
    match routing::told(settings, name) {
        Told::Webhook { url } => json!({ "name": name, "webhookConfigs": [{ "url": url }] }),
        Told::Slack { secret, channel, title, text } => json!({ "name": name, "slackConfigs": [{
            "apiURL": from_secret(secret),
            "channel": channel,
            "sendResolved": true,
            "title": title,
            "text": text,
        }]}),
        Told::PagerDuty { secret, description, details } => json!({ "name": name, "pagerdutyConfigs": [{
            "routingKey": from_secret(&secret),
            "description": description,
            "details": details.map(|(key, value)| json!({ "key": key, "value": value })),
        }]}),
    }
}
