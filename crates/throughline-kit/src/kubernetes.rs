//! A service on Kubernetes and what watches it: objects of its own, and of the
//! [operator of Prometheus](https://prometheus-operator.dev/docs/api-reference/api/).

mod receivers;
mod workload;

use serde_json::{Value, json};

use crate::rules::{self, Rule, RuleFile};
use crate::settings::Settings;
use crate::{File, KitError, Objectives, slo};

/// The label that a service is found by, and that gives the job its name.
const NAME: &str = "app.kubernetes.io/name";

/// The port that users call, and the one that Prometheus reads.
const HTTP: &str = "http";
const METRICS: &str = "metrics";

/// What watches the service, and what runs it.
pub(crate) fn files(settings: &Settings) -> Result<Vec<File>, KitError> {
    check(settings)?;
    let rules = rule(settings, &settings.job, rules::all(settings)?)?;
    let watched = [rules, monitor(settings), receivers::object(settings), policy(settings)];
    Ok(vec![file("monitoring.yaml", "", &watched)?, workload::file(settings)?])
}

/// The rules of objectives, as an object of its own.
pub(crate) fn slo_rules(settings: &Settings, objectives: &Objectives) -> Result<File, KitError> {
    check(settings)?;
    let rules = rule(settings, &format!("{}-slo", settings.job), slo::all(settings, objectives)?)?;
    file(slo::RULES, "", &[rules])
}

/// An object of Kubernetes that belongs to the service.
fn object(settings: &Settings, api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name, "namespace": settings.namespace, "labels": labels(settings) },
        "spec": spec,
    })
}

fn labels(settings: &Settings) -> Value {
    json!({ NAME: settings.job })
}

/// Several objects in one file, below a comment.
fn file(name: &str, comment: &str, objects: &[Value]) -> Result<File, KitError> {
    match serde_saphyr::to_string_multiple(objects) {
        Ok(text) => Ok(File::new(name, format!("{comment}{text}"))),
        Err(error) => Err(KitError::Write { file: name.to_owned(), reason: error.to_string() }),
    }
}

fn check(settings: &Settings) -> Result<(), KitError> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |name: &str| {
        name.len() <= 63
            && name.starts_with(is_letter)
            && name.ends_with(is_letter)
            && name.chars().all(|c| is_letter(c) || c == '-')
    };
    for (what, name) in
        [("object", &settings.job), ("namespace", &settings.namespace), ("namespace", &settings.monitoring)]
    {
        if !fits(name) {
            return Err(KitError::NoObject { what, name: name.clone() });
        }
    }
    if settings.image.is_empty() || settings.image.contains(char::is_whitespace) {
        return Err(KitError::NoImage { image: settings.image.clone() });
    }
    Ok(())
}

/// Rules. The operator gives an alert to the receivers of its own namespace only, so each says which that is.
fn rule(settings: &Settings, name: &str, mut rules: RuleFile) -> Result<Value, KitError> {
    const KIND: &str = "PrometheusRule";
    for rule in rules.groups.iter_mut().flat_map(|group| &mut group.rules) {
        if let Rule::Alert(alert) = rule {
            alert.labels.insert("namespace", settings.namespace.clone().into());
        }
    }
    let spec = serde_json::to_value(rules)
        .map_err(|error| KitError::Write { file: KIND.to_owned(), reason: error.to_string() })?;
    Ok(object(settings, "monitoring.coreos.com/v1", KIND, name, &spec))
}

fn monitor(settings: &Settings) -> Value {
    let spec = json!({
        "jobLabel": NAME,
        "selector": { "matchLabels": labels(settings) },
        "endpoints": [{ "port": METRICS, "interval": "15s" }],
    });
    object(settings, "monitoring.coreos.com/v1", "ServiceMonitor", &settings.job, &spec)
}

/// Everybody may call the service, and only Prometheus may read its metrics.
fn policy(settings: &Settings) -> Value {
    let prometheus = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": settings.monitoring } },
        "podSelector": { "matchLabels": { NAME: "prometheus" } },
    });
    let spec = json!({
        "podSelector": { "matchLabels": labels(settings) },
        "policyTypes": ["Ingress"],
        "ingress": [
            { "ports": [{ "port": HTTP, "protocol": "TCP" }] },
            { "from": [prometheus], "ports": [{ "port": METRICS, "protocol": "TCP" }] },
        ],
    });
    object(settings, "networking.k8s.io/v1", "NetworkPolicy", &settings.job, &spec)
}
