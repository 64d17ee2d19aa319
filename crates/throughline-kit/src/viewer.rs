//! Ways from a dashboard to the runs behind its figures, in the viewer.

use serde_json::{Value, json};

use crate::dashboard::{Panel, Shape};
use crate::file::yaml;
use crate::render::Renderer;
use crate::settings::Settings;
use crate::{File, KitError};

/// The label by which an exemplar names its run.
const TRACE_ID: &str = "trace_id";

/// By which label of the catalogue the viewer lists runs, and how it is asked to.
const LISTED_BY: [(&str, &str); 2] = [("workflow", "workflow="), ("http_route", "attr=http.route%3D")];

/// The time that a dashboard shows.
const SHOWN: &str = "since=${__from:date:iso}&until=${__to:date:iso}";

/// Prometheus as a source of data for Grafana, which knows where a point leads that names its run.
pub(crate) fn datasource(settings: &Settings) -> Result<File, KitError> {
    let mut source = json!({
        "name": "Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": settings.prometheus,
        "isDefault": true,
    });
    if let Some(viewer) = &settings.viewer {
        // Grafana puts variables of its environment into these files; a dollar that is meant is written twice.
        let url = format!("{viewer}/#/run/$${{__value.raw}}");
        let leads = json!({ "name": TRACE_ID, "url": url, "urlDisplayLabel": "the run" });
        source["jsonData"] = json!({ "exemplarTraceIdDestinations": [leads] });
    }
    yaml("datasource.yaml", &json!({ "apiVersion": 1, "datasources": [source] }))
}

/// The link of a dashboard to the list of runs.
pub(crate) fn of_dashboard(settings: &Settings) -> Option<Value> {
    settings.viewer.as_ref().map(|viewer| {
        json!({
            "title": "Runs", "type": "link", "url": format!("{viewer}/#/runs"), "tags": [], "asDropdown": false,
            "includeVars": false, "keepTime": false, "icon": "external link", "targetBlank": true, "tooltip": "",
        })
    })
}

/// The links of what a panel shows: to the runs of its workflow or its route, in the time that is shown.
pub(crate) fn of_panel(settings: &Settings, panel: &Panel, renderer: &Renderer<'_>) -> Vec<Value> {
    let Some(viewer) = &settings.viewer else { return Vec::new() };
    let shows = |label: &str| {
        let called = format!("{{{{{label}}}}}");
        panel.queries.iter().all(|(_, name)| name.contains(&called))
    };
    let list = |(label, asked): &(&str, &str)| {
        // A table has columns, and what else is drawn has labels.
        let (place, state, shown) = match panel.shape {
            Shape::Table => ("__data.fields.", "state=failed&", "since=24h"),
            _ => ("__field.labels.", "", SHOWN),
        };
        let value = renderer.template(&format!("${{{place}{label}:percentencode}}"), place, ":percentencode");
        let url = format!("{viewer}/#/runs?{state}{asked}{value}&{shown}");
        json!({ "title": "Runs", "url": url, "targetBlank": true })
    };
    LISTED_BY.iter().filter(|(label, _)| shows(label)).map(list).collect()
}
