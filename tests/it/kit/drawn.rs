//! Dashboards as people see them: the components of Perses draw them in Chromium, with what a real Prometheus says of six hours.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use throughline::metrics::Profile;
use throughline::metrics::catalogue::*;
use throughline_kit::Kit;

use super::simulated::Random;
use super::tape::Tape;
use crate::metrics::server::Server;

/// The dashboards of which there are pictures in the docs.
const DRAWN: [&str; 2] = ["service-health.json", "workflows.json"];
const MINUTES: usize = 6 * 60;
/// When the first minute was, in seconds: a time of its own, so that pictures show the same whenever they are drawn.
const BEGAN: usize = 1_767_600_000;

/// What a service does in a minute. After noon, requests for offers and runs of loans fail for a while.
fn works(tape: &Tape, random: &mut Random, minute: usize) {
    let load = 1.0 + 0.4 * (minute as f64 / 55.0).sin() + 0.05 * random.normal();
    let is_in_trouble = (250..275).contains(&minute);
    let takes = |random: &mut Random, usual: f64| usual * (0.5 * random.normal()).exp();
    let fails =
        |random: &mut Random, may: bool| random.next() < if may && is_in_trouble { 0.3 } else { 0.02 };
    for (route, of, usual) in [("/loans", 60.0, 0.05), ("/loans/{id}", 90.0, 0.02), ("/offers", 30.0, 0.15)] {
        for _ in 0..(of * load) as usize {
            let status = if fails(random, route == "/offers") { "500" } else { "200" };
            let request = ["GET", "http", route, status, "", "1.1"];
            tape.time(&HTTP_SERVER_REQUEST_DURATION, request, 1, takes(random, usual));
        }
    }
    for (tenant, workflow, of, usual) in [
        ("acme", "loan-approval", 12.0, 0.8),
        ("globex", "loan-approval", 7.0, 0.9),
        ("acme", "invoice", 4.0, 3.0),
    ] {
        for _ in 0..(of * load) as usize {
            let status = if fails(random, workflow == "loan-approval") { "failed" } else { "success" };
            tape.time(&WORKFLOW_DURATION, [tenant, workflow, status], 1, takes(random, usual));
            for (step, share) in [("stage:score", 0.2), ("action:http", 0.6), ("script", 0.1)] {
                let status = if step == "action:http" { status } else { "success" };
                let step_of = [tenant, workflow, step, status];
                tape.time(&STEP_DURATION, step_of, 1, takes(random, usual * share));
                tape.set(&STEPS_ACTIVE, [step], (20.0 * load * share).round());
            }
            if random.next() < 0.1 {
                let status = if random.next() < 0.2 { "failed" } else { "success" };
                tape.count(&RETRIES, [workflow, "action:http", status], 1);
            }
        }
        let running = (of * load / 3.0).round();
        tape.set(&WORKFLOWS_ACTIVE, [tenant, workflow], running);
        for (state, count) in
            [("running", running), ("stuck", f64::from(is_in_trouble)), ("interrupted", 0.0)]
        {
            tape.set(&RUNS_OPEN, [workflow, state], count);
        }
    }
}

/// What was scraped, as text that `promtool` makes blocks of.
fn as_openmetrics(tape: &Tape) -> String {
    let mut text = String::new();
    for series in tape.play() {
        let values = series["values"].as_str().unwrap().split(' ');
        for (minute, value) in values.enumerate().filter(|(_, value)| *value != "_") {
            let _ = writeln!(text, "{} {value} {}", series["series"].as_str().unwrap(), BEGAN + 60 * minute);
        }
    }
    text + "# EOF\n"
}

#[test]
#[ignore = "it needs many packages, which `cargo xtask draw` installs, and writes pictures"]
fn perses_draws_each_panel_with_the_data_of_a_service() {
    let modules =
        std::env::var_os("THROUGHLINE_PERSES_MODULES").expect("`cargo xtask draw` says where they are");
    let (mut tape, mut random) = (Tape::new(Profile::standard()), Random(1));
    for minute in 0..=MINUTES {
        works(&tape, &mut random, minute);
        tape.scrape();
    }
    let folder = tempfile::tempdir().unwrap();
    let (scraped, data) = (folder.path().join("scraped.txt"), folder.path().join("data"));
    std::fs::write(&scraped, as_openmetrics(&tape)).unwrap();
    let mut promtool = Command::new("promtool");
    let made = promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&scraped, &data]).output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
    let server = Server::prometheus(folder.path(), "global: {scrape_interval: 1m}\n");
    let (mut files, mut titles) = (Vec::new(), BTreeSet::new());
    for file in Kit::new(Profile::standard()).dashboards().unwrap() {
        if DRAWN.contains(&&*file.name) {
            let path = folder.path().join(&file.name);
            std::fs::write(&path, &file.contents).unwrap();
            files.push(path);
            let dashboard: Value = serde_json::from_str(&file.contents).unwrap();
            let panels = dashboard["panels"].as_array().unwrap().iter();
            titles.extend(panels.map(|panel| panel["title"].as_str().unwrap().to_owned()));
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let asked = json!({
        "dashboards": files, "prometheus": server.url, "browser": "/usr/bin/chromium",
        "start": BEGAN * 1000, "end": (BEGAN + 60 * MINUTES) * 1000, "pictures": root.join("docs/images"),
    });
    let mut node = Command::new("node");
    node.arg(root.join("tests/perses/draw.mjs")).arg(asked.to_string()).env("NODE_PATH", modules);
    let drawn = node.output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let said: Value = serde_json::from_slice(&drawn.stdout).unwrap();
    assert_eq!(said["complaints"], json!([]));
    let panels: Vec<_> =
        said["panels"].as_array().unwrap().iter().map(|panel| panel.as_str().unwrap()).collect();
    assert_eq!(
        panels.iter().map(|panel| panel.lines().next().unwrap().to_owned()).collect::<BTreeSet<_>>(),
        titles
    );
    assert!(panels.iter().all(|panel| !panel.contains("No data")), "{panels:#?}");
}
