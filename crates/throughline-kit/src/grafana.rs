//! Dashboards in the JSON of [Grafana](https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/).

use serde_json::{Value, json};
use throughline_core::metrics::catalogue::WORKFLOW_DURATION;

use crate::dashboard::{Dashboard, Panel, Shape};
use crate::expr::count;
use crate::render::{Renderer, VARIABLES};
use crate::settings::Settings;
use crate::{File, KitError, viewer};

/// The version of the schema that Grafana 12 writes.
const SCHEMA: u8 = 41;

const COLUMNS: u8 = 24;

pub(crate) fn file(settings: &Settings, dashboard: &Dashboard) -> Result<File, KitError> {
    let value = json!({
        "uid": format!("throughline-{}", dashboard.name),
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["throughline"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "links": links(settings),
        "annotations": { "list": [] },
        "templating": { "list": variables(settings)? },
        "panels": panels(settings, &dashboard.panels)?,
    });
    let name = format!("{}.json", dashboard.name);
    match serde_json::to_string_pretty(&value) {
        Ok(text) => Ok(File::new(name, text + "\n")),
        Err(error) => Err(KitError::Write { file: name, reason: error.to_string() }),
    }
}

/// From one dashboard to the others, and to the runs.
fn links(settings: &Settings) -> Vec<Value> {
    let others = json!({
        "title": "Throughline", "type": "dashboards", "tags": ["throughline"], "asDropdown": true,
        "includeVars": true, "keepTime": true, "icon": "external link", "targetBlank": false, "tooltip": "", "url": "",
    });
    [others].into_iter().chain(viewer::of_dashboard(settings)).collect()
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// What can be chosen at the top of each dashboard.
fn variables(settings: &Settings) -> Result<Vec<Value>, KitError> {
    let mut list = vec![json!({
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
    })];
    let renderer = Renderer::new(&settings.profile, &settings.job, false, 1);
    let up = Renderer::new(&settings.profile, &settings.job, false, 1).expr(&crate::expr::Expr::Up)?;
    list.push(choice("instance", &up, "instance"));
    for variable in VARIABLES {
        let (selector, label) = renderer.values(&count(&WORKFLOW_DURATION), variable)?;
        list.push(choice(variable, &selector, &label));
    }
    Ok(list)
}

fn choice(name: &str, selector: &str, label: &str) -> Value {
    let query = format!("label_values({selector}, {label})");
    json!({
        "name": name, "label": name, "type": "query", "datasource": datasource(),
        "query": { "query": query, "refId": "variable" },
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
        "current": { "text": ["All"], "value": ["$__all"] },
    })
}

/// The panels, from left to right and from top to bottom.
fn panels(settings: &Settings, panels: &[Panel]) -> Result<Vec<Value>, KitError> {
    let (mut x, mut y, mut row) = (0, 0, 0);
    let place = |(index, panel): (usize, &Panel)| {
        let height = if panel.shape == Shape::Stat { 5 } else { 8 };
        if x + panel.width > COLUMNS {
            (x, y, row) = (0, y + row, 0);
        }
        let position = json!({ "x": x, "y": y, "w": panel.width, "h": height });
        x += panel.width;
        row = row.max(height);
        draw(settings, index + 1, panel, position)
    };
    panels.iter().enumerate().map(place).collect()
}

fn draw(settings: &Settings, id: usize, panel: &Panel, position: Value) -> Result<Value, KitError> {
    let (mut targets, mut links) = (Vec::new(), Vec::new());
    for ((expr, called), letter) in panel.queries.iter().zip('A'..) {
        let mut renderer = Renderer::new(&settings.profile, &settings.job, true, 1);
        let expr = renderer.expr(expr)?;
        // What is not drawn over time is asked for once.
        let once = matches!(panel.shape, Shape::Bars | Shape::Table);
        targets.push(json!({
            "refId": letter.to_string(), "datasource": datasource(), "expr": expr,
            "legendFormat": renderer.template(called, "{{", "}}"),
            "range": !once, "instant": once, "exemplar": expr.contains("_bucket") && panel.shape == Shape::Graph,
            "format": match panel.shape {
                Shape::Heatmap => "heatmap",
                Shape::Table => "table",
                _ => "time_series",
            },
        }));
        // Of all queries of a panel the labels are the same.
        links = viewer::of_panel(settings, panel, &renderer);
    }
    let (kind, options) = options(panel);
    let mut value = json!({
        "id": id, "type": kind, "title": panel.title, "description": panel.why, "datasource": datasource(),
        "gridPos": position, "targets": targets, "options": options,
        "fieldConfig": { "defaults": { "unit": panel.unit.of_grafana() }, "overrides": [] },
    });
    if !links.is_empty() {
        value["fieldConfig"]["defaults"]["links"] = links.into();
    }
    if panel.shape == Shape::Table {
        // When it was asked and of which job is the same in each row.
        let without = json!({ "excludeByName": { "Time": true, "job": true }, "renameByName": { "Value": panel.title } });
        value["transformations"] = json!([{ "id": "organize", "options": without }]);
    }
    if let Some(since) = panel.since {
        value["timeFrom"] = json!(since);
    }
    Ok(value)
}

/// The type of a panel, and its options.
fn options(panel: &Panel) -> (&'static str, Value) {
    let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
    match panel.shape {
        Shape::Graph => (
            "timeseries",
            json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
        ),
        Shape::Stat => (
            "stat",
            json!({ "reduceOptions": last, "colorMode": "value", "graphMode": "area", "textMode": "auto", "orientation": "auto" }),
        ),
        Shape::Bars => (
            "bargauge",
            json!({ "reduceOptions": last, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": true }),
        ),
        Shape::Table => {
            ("table", json!({ "showHeader": true, "sortBy": [{ "displayName": panel.title, "desc": true }] }))
        }
        Shape::Heatmap => (
            "heatmap",
            json!({ "calculate": false, "yAxis": { "unit": panel.unit.of_grafana() }, "cellGap": 1 }),
        ),
    }
}
