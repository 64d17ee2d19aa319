//! What ties the other files together where Prometheus and Grafana run as containers.

use serde_json::json;

use crate::file::yaml;
use crate::settings::Settings;
use crate::{File, KitError};

/// Where the containers of Prometheus and Grafana have what is mounted.
const RULES: &str = "/etc/prometheus/rules/*.yaml";
const PROBES: &str = "/etc/prometheus/probes.yaml";
const DASHBOARDS: &str = "/var/lib/grafana/dashboards";

pub(crate) fn files(settings: &Settings) -> Result<Vec<File>, KitError> {
    let prometheus = json!({
        "global": { "scrape_interval": "15s" },
        "rule_files": [RULES],
        "scrape_config_files": [PROBES],
        "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [settings.alertmanager] }] }] },
        // The rules ask for this job.
        "scrape_configs": [{
            "job_name": settings.job,
            "static_configs": [{ "targets": [settings.service] }],
        }],
    });
    let dashboards = json!({ "apiVersion": 1, "providers": [{
        "name": settings.job,
        "type": "file",
        "options": { "path": DASHBOARDS },
    }]});
    Ok(vec![yaml("prometheus.yaml", &prometheus)?, yaml("dashboards.yaml", &dashboards)?])
}
