//! Who looks at the service from outside, as a configuration of the
//! [blackbox exporter](https://github.com/prometheus/blackbox_exporter) and of its scrapes.

use serde_json::json;

use crate::file::yaml;
use crate::render::probes_of;
use crate::settings::Settings;
use crate::{File, KitError};

/// The module of the prober that asks for an address over HTTP.
const MODULE: &str = "http";

pub(crate) fn files(settings: &Settings) -> Result<Vec<File>, KitError> {
    let wrong = settings.targets.iter().find(|target| {
        !["http://", "https://"].iter().any(|scheme| target.starts_with(scheme))
            || target.contains(char::is_whitespace)
    });
    if let Some(target) = wrong {
        return Err(KitError::NoTarget { target: target.clone() });
    }
    let modules = json!({ "modules": { MODULE: {
        "prober": "http",
        "timeout": "5s",
        // A status of 2xx is good by default; what redirects is followed.
        "http": { "method": "GET", "preferred_ip_protocol": "ip4" },
    }}});
    let scrapes = json!({ "scrape_configs": [{
        "job_name": probes_of(&settings.job),
        "metrics_path": "/probe",
        "params": { "module": [MODULE] },
        "scrape_interval": "15s",
        "static_configs": [{ "targets": settings.targets }],
        // The prober is asked, and the target is what it is asked for, and what the answer is about.
        "relabel_configs": [
            { "source_labels": ["__address__"], "target_label": "__param_target" },
            { "source_labels": ["__param_target"], "target_label": "instance" },
            { "target_label": "__address__", "replacement": settings.prober },
        ],
    }]});
    Ok(vec![yaml("blackbox.yaml", &modules)?, yaml("probes.yaml", &scrapes)?])
}
