//! A real Prometheus scrapes a busy service, and has an answer to what each panel asks.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use throughline::metrics::catalogue::*;
use throughline::metrics::{Profile, Prometheus};
use throughline::{MemoryStore, Throughline};
use throughline_kit::Kit;

use super::{may_do_without, profiles};
use crate::metrics::server::{PATIENCE, SCRAPING, Server};
use crate::metrics::{touch_all, work};

/// How many scrapes make a rate over [`WINDOW`].
const SCRAPES: usize = 8;
const WINDOW: &str = "6s";

/// The panels of all dashboards, with the name of their file.
pub(super) fn panels(kit: &Kit) -> Vec<(String, Value)> {
    let files = kit.dashboards().unwrap().into_iter();
    let panels = files.flat_map(|file| {
        let dashboard: Value = serde_json::from_str(&file.contents).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().clone();
        panels.into_iter().map(move |panel| (file.name.clone(), panel))
    });
    panels.collect()
}

/// What a panel asks when everything is chosen and the graph is short.
pub(super) fn asked(expr: &str) -> String {
    let chosen = ["$instance", "$tenant", "$workflow"]
        .iter()
        .fold(expr.to_owned(), |expr, variable| expr.replace(variable, ".*"));
    let chosen = chosen.replace("$__rate_interval", WINDOW).replace(":15s]", ":1s]");
    assert!(!chosen.contains("$__"), "{expr}");
    chosen
}

/// The series that an expression is about.
fn selectors(expr: &str) -> Vec<&str> {
    let begins = |at: usize| {
        let name = expr[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        name.map_or(0, |before| before + 1)
    };
    let ends = |at: usize| {
        let mut in_text = false;
        let end = expr[at..].find(|c: char| {
            in_text ^= c == '"';
            c == '}' && !in_text
        });
        at + end.unwrap() + 1
    };
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = expr[from..].find('{').map(|at| from + at) {
        found.push(&expr[begins(at)..ends(at)]);
        from = ends(at);
    }
    found
}

/// Does once whatever a service may do.
async fn busy(throughline: &Throughline) {
    work(throughline).await;
    let meter = throughline.meter();
    touch_all(meter);
    for outcome in ["success", "failed"] {
        meter.histogram(&PROVISIONING_DURATION).with(["session", outcome]).record(0.2);
        meter.counter(&RESOURCE_HEALTH_CHECKS).with(["session", outcome]).increment(1);
    }
    meter.histogram(&CALL_PART_DURATION).with(["double", "http", "transport"]).record(0.001);
    for [from, to] in [["idle", "running"], ["running", "paused"], ["paused", "running"]] {
        meter.counter(&STATE_TRANSITIONS).with(["session", from, to]).increment(1);
    }
    meter.counter(&RETRIES).with(["loan", "script", "success"]).increment(1);
    meter.counter(&POINT_EVENTS).with(["feature:export"]).increment(1);
    // What fails is shown, too.
    for status in ["200", "404", "500"] {
        let request = ["GET", "http", "/loans", status, "", "1.1"];
        meter.histogram(&HTTP_SERVER_REQUEST_DURATION).with(request).record(0.1);
    }
    meter.histogram(&WORKFLOW_DURATION).with(["acme", "loan", "failed"]).record(0.1);
    meter.histogram(&STEP_DURATION).with(["acme", "loan", "script", "failed"]).record(0.1);
    meter.histogram(&DEPENDENCY_DURATION).with(["db", "ledger", "failed"]).record(0.1);
    meter.histogram(&CALL_DURATION).with(["double", "http", "failed"]).record(0.1);
    let decided = throughline
        .workflow("loan-approval")
        .run(|ctx| async move { ctx.event("ai:route", json!({ "choice": "B" })).await });
    decided.await.unwrap().unwrap();
}

/// What a Prometheus does not answer of all that panels ask.
async fn ask(server: &Server, kit: &Kit) -> Vec<String> {
    let (mut unanswered, mut selected) = (Vec::new(), BTreeSet::new());
    // What a prober says is for `uptime`, where there is one.
    for (file, panel) in panels(kit).into_iter().filter(|(file, _)| file != "uptime.json") {
        for target in panel["targets"].as_array().unwrap() {
            let expr = asked(target["expr"].as_str().unwrap());
            let answer = server.ask("query", &[("query", expr.clone())]).await;
            let series = answer["result"].as_array().unwrap().iter();
            let mut values = series.filter_map(|series| series["value"][1].as_str()?.parse::<f64>().ok());
            if !values.any(f64::is_finite) {
                unanswered.push(format!("{file}: {}: {expr}: {answer}", panel["title"]));
            }
            selected.extend(selectors(&expr).into_iter().map(str::to_owned));
        }
    }
    // Where nothing is taken for 0, a part that is wrong would not be noticed.
    for selector in selected {
        let answer = server.ask("query", &[("query", format!("count({selector})"))]).await;
        if answer["result"] == json!([]) {
            unanswered.push(format!("nothing is selected by {selector}"));
        }
    }
    unanswered
}

/// What is not answered about a service whose metrics have the names of this profile.
async fn unanswered(profile: Profile) -> Vec<String> {
    let kit = Kit::new(profile.clone());
    let prometheus = Prometheus::builder().profile(profile).build().unwrap();
    let throughline =
        Throughline::builder("loan-service").store(MemoryStore::new()).metrics(&prometheus).build().unwrap();
    let (scraped, mut scrapes) = tokio::sync::mpsc::unbounded_channel();
    let _collector = throughline.meter().on_collect(move || {
        // Nobody counts them any more when the test ends.
        let _ = scraped.send(());
    });
    let page = prometheus.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    busy(&throughline).await;
    let server = Server::scraping(page.local_addr(), folder.path(), SCRAPING);
    // One more, since the next scrape says that the last one has been taken in.
    for _ in 0..=SCRAPES {
        tokio::time::timeout(PATIENCE, scrapes.recv()).await.expect("Prometheus scrapes").unwrap();
        busy(&throughline).await;
    }
    let stays_busy = async {
        while scrapes.recv().await.is_some() {
            busy(&throughline).await;
        }
    };
    let unanswered = tokio::select! {
        unanswered = ask(&server, &kit) => unanswered,
        () = stays_busy => panic!("the service is not scraped any more"),
    };
    page.shutdown().await;
    throughline.shutdown(Duration::from_secs(5)).await;
    unanswered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_answers_what_each_panel_asks_under_every_profile() {
    if may_do_without("prometheus") {
        return;
    }
    let all = profiles().map(|(name, profile)| async move { (name, unanswered(profile).await) });
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for (name, unanswered) in [a, b, c, d] {
        assert!(unanswered.is_empty(), "under the profile {name}:\n{}", unanswered.join("\n"));
    }
}

#[test]
fn a_dashboard_is_what_grafana_reads() {
    for (name, profile) in profiles() {
        let kit = Kit::new(profile);
        for file in kit.dashboards().unwrap() {
            let dashboard: Value = serde_json::from_str(&file.contents).unwrap();
            assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}: {}", file.name);
            let variables = dashboard["templating"]["list"].as_array().unwrap();
            let variables: Vec<_> =
                variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
            assert_eq!(variables, ["datasource", "instance", "tenant", "workflow"]);
        }
        let mut places = BTreeSet::new();
        for (file, panel) in panels(&kit) {
            assert!(places.insert((file.clone(), panel["id"].as_u64(), "id")), "{file}: an id is used twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|field| panel["gridPos"][field].as_u64().unwrap());
            assert!(x + w <= 24 && w > 0 && h > 0, "{file}: {panel:#}");
            for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| y * 24 + x)) {
                assert!(
                    places.insert((file.clone(), Some(cell), "cell")),
                    "{file}: panels overlap: {panel:#}"
                );
            }
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{file}");
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{file}: {panel:#}");
        }
    }
}

#[test]
fn alerts_lead_to_dashboards_that_exist() {
    let kit = Kit::new(Profile::standard()).grafana("https://grafana.example.org/");
    let dashboards: BTreeSet<_> = kit
        .dashboards()
        .unwrap()
        .iter()
        .map(|file| {
            serde_json::from_str::<Value>(&file.contents).unwrap()["uid"].as_str().unwrap().to_owned()
        })
        .collect();
    let alerts = kit.alerts().unwrap().contents;
    let links: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("dashboard_url: ")).collect();
    assert_eq!(links.len(), alerts.matches("alert: ").count());
    for link in links {
        let uid = link.trim_matches(['"', '\'']).strip_prefix("https://grafana.example.org/d/").expect(link);
        assert!(dashboards.contains(uid), "{link}");
    }
}

/// What the types of Grafana's own SDK do not know of a dashboard; empty if they know all of it.
fn unknown_to_grafana(python: &Path, dashboard: &str) -> String {
    let mut process = Command::new(python)
        .args(["-c", include_str!("grafana.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs: `cargo xtask test` installs it, or set THROUGHLINE_SERVICES=off");
    process.stdin.take().unwrap().write_all(dashboard.as_bytes()).unwrap();
    let said = process.wait_with_output().unwrap();
    String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
}

#[test]
fn the_types_of_grafana_know_every_field_of_every_dashboard() {
    let python = std::env::var_os("THROUGHLINE_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3"),
        PathBuf::from,
    );
    let has_sdk = || {
        let import = Command::new(&python).args(["-c", "import grafana_foundation_sdk"]).output();
        import.is_ok_and(|import| import.status.success())
    };
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    if services == "off" || (services != "required" && !has_sdk()) {
        eprintln!("left out: there is no SDK of Grafana to read the dashboards");
        return;
    }
    let files = Kit::new(Profile::standard()).dashboards().unwrap();
    for file in &files {
        assert_eq!(unknown_to_grafana(&python, &file.contents), "", "{}", file.name);
    }
    let wrong = files[0].contents.replace("\"gridPos\"", "\"gridPosition\"");
    assert!(unknown_to_grafana(&python, &wrong).contains("gridPosition"), "a mistake is seen");
}
