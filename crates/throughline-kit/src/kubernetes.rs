//! Rules, and what is scraped, as objects of the [operator of Prometheus](https://prometheus-operator.dev/docs/api-reference/api/).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::rules::{self, RuleFile};
use crate::settings::Settings;
use crate::{File, KitError};

const FILE: &str = "kubernetes.yaml";

/// The label that a service is found by, and that gives the job its name.
const NAME: &str = "app.kubernetes.io/name";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
    labels: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Spec {
    Rules(RuleFile),
    Monitor(Monitor),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Monitor {
    job_label: &'static str,
    selector: Selector,
    endpoints: [Endpoint; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Endpoint {
    port: &'static str,
    interval: &'static str,
}

pub(crate) fn file(settings: &Settings) -> Result<File, KitError> {
    let job = &settings.job;
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = job.len() <= 63
        && job.starts_with(is_letter)
        && job.ends_with(is_letter)
        && job.chars().all(|c| is_letter(c) || c == '-');
    if !fits {
        return Err(KitError::NoObject { job: job.clone() });
    }
    let labels = || BTreeMap::from([(NAME, job.clone())]);
    let object = |kind, spec| Object {
        api_version: "monitoring.coreos.com/v1",
        kind,
        metadata: Metadata { name: job.clone(), labels: labels() },
        spec,
    };
    let monitor = Monitor {
        job_label: NAME,
        selector: Selector { match_labels: labels() },
        endpoints: [Endpoint { port: "metrics", interval: "15s" }],
    };
    let objects = [
        object("PrometheusRule", Spec::Rules(rules::all(settings)?)),
        object("ServiceMonitor", Spec::Monitor(monitor)),
    ];
    match serde_saphyr::to_string_multiple(&objects) {
        Ok(text) => Ok(File::new(FILE, text)),
        Err(error) => Err(KitError::Write { file: FILE.to_owned(), reason: error.to_string() }),
    }
}
