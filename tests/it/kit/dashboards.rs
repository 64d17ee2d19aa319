//! A real Prometheus scrapes a busy service, and has an answer to what each panel asks.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use throughline::metrics::catalogue::*;
use throughline::metrics::{Profile, Prometheus};
use throughline::{MemoryStore, Throughline};
use throughline_kit::{File, Kit, Objectives};

use super::{lost, may_do_without, profiles, python_with};
use crate::metrics::server::{PATIENCE, Server};
use crate::metrics::{touch_all, work};

/// How many scrapes make a rate over [`WINDOW`].
const SCRAPES: usize = 8;
const WINDOW: &str = "6s";

/// What may fail in the service that [is busy](busy).
const OBJECTIVES: &str = r#"
[[slo]]
name = "loans-are-answered"
route = "/loans"
indicator = "availability"
target = 0.999

[[slo]]
name = "approvals-are-quick"
workflow = "loan"
indicator = "latency"
threshold = "1s"
target = 0.99

[[slo]]
name = "scripts-run"
step = "script"
indicator = "availability"
target = 0.9
"#;

/// The panels of all dashboards, with the name of their file.
pub(super) fn panels(kit: &Kit) -> Vec<(String, Value)> {
    kit.dashboards().unwrap().iter().flat_map(panels_of).collect()
}

fn panels_of(file: &File) -> Vec<(String, Value)> {
    let dashboard: Value = serde_json::from_str(&file.contents).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.map(|panel| (file.name.clone(), panel.clone())).collect()
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
        let name = expr[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
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
    let budgets = panels_of(&kit.slo_dashboard().unwrap());
    for (file, panel) in panels(kit).into_iter().chain(budgets).filter(|(file, _)| file != "uptime.json") {
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
    unanswered.extend(nothing_to_choose(server, kit).await);
    // Where nothing is taken for 0, a part that is wrong would not be noticed.
    for selector in selected {
        let answer = server.ask("query", &[("query", format!("count({selector})"))]).await;
        if answer["result"] == json!([]) {
            unanswered.push(format!("nothing is selected by {selector}"));
        }
    }
    unanswered
}

/// The variables of dashboards for which there is nothing to choose.
async fn nothing_to_choose(server: &Server, kit: &Kit) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&kit.dashboards().unwrap()[0].contents).unwrap();
    let mut nothing = Vec::new();
    for variable in &dashboard["templating"]["list"].as_array().unwrap()[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        let (selector, label) = query
            .strip_prefix("label_values(")
            .and_then(|query| query.strip_suffix(')')?.rsplit_once(", "))
            .unwrap();
        let values = server.ask(&format!("label/{label}/values"), &[("match[]", selector.to_owned())]).await;
        if values == json!([]) {
            nothing.push(format!("nothing to choose of {}: {query}", variable["name"]));
        }
    }
    nothing
}

/// Graphs with points that name runs, and whether the data source of Grafana knows where each leads.
async fn points_that_lead_to_runs(server: &Server, kit: &Kit) -> Vec<String> {
    let source: Value = serde_saphyr::from_str(&kit.datasource().unwrap().contents).unwrap();
    let leads = &source["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"][0];
    assert_eq!(leads["url"], "https://ops.example.org/runs/#/run/$${__value.raw}");
    let now = throughline::event::Timestamp::now().as_micros() / 1_000_000;
    let mut lead = Vec::new();
    for (_, panel) in panels(kit) {
        for target in panel["targets"].as_array().unwrap().iter().filter(|target| target["exemplar"] == true)
        {
            let times = [("start", (now - 3600).to_string()), ("end", (now + 3600).to_string())];
            let query = ("query", asked(target["expr"].as_str().unwrap()));
            let exemplars = server.ask("query_exemplars", &[&[query], &times[..]].concat()).await;
            let all = exemplars.as_array().unwrap().iter();
            for exemplar in all.flat_map(|series| series["exemplars"].as_array().unwrap()) {
                let id = exemplar["labels"][leads["name"].as_str().unwrap()].as_str();
                assert!(id.is_some_and(|id| id.len() == 32), "{}: {exemplar}", panel["title"]);
                lead.push(panel["title"].as_str().unwrap().to_owned());
            }
        }
    }
    lead
}

/// What is not answered about a service whose metrics have the names of this profile.
async fn unanswered(profile: Profile) -> Vec<String> {
    let kit = Kit::new(profile.clone()).viewer("https://ops.example.org/runs");
    let kit = kit.funnel(["ai:route", "feature:export"]);
    let prometheus = Prometheus::builder().profile(profile).build().unwrap();
    let throughline =
        Throughline::builder("loan-service").store(MemoryStore::new()).metrics(&prometheus).build().unwrap();
    tokio::spawn(throughline.measure_runs(Duration::from_secs(1)));
    let (scraped, mut scrapes) = tokio::sync::mpsc::unbounded_channel();
    let _collector = throughline.meter().on_collect(move || {
        // Nobody counts them any more when the test ends.
        let _ = scraped.send(());
    });
    let page = prometheus.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    busy(&throughline).await;
    let rules = kit.slo_rules(&Objectives::parse(OBJECTIVES).unwrap()).unwrap();
    std::fs::write(folder.path().join(&rules.name), &rules.contents).unwrap();
    let configured =
        format!("global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']", rules.name);
    let server = Server::scraping(page.local_addr(), folder.path(), &configured);
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
    let asked = async { (ask(&server, &kit).await, points_that_lead_to_runs(&server, &kit).await) };
    let (mut unanswered, lead) = tokio::select! {
        both = asked => both,
        () = stays_busy => panic!("the service is not scraped any more"),
    };
    for title in ["P95 Duration by Workflow", "P95 Duration by Step Type"] {
        if !lead.iter().any(|of| of == title) {
            unanswered.push(format!("{title}: no point leads to a run"));
        }
    }
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
fn the_health_of_a_service_and_the_lives_of_sessions_are_laid_out_as_they_were_drawn() {
    let laid_out = |name: &str| -> Vec<(String, [u64; 3])> {
        let all = panels(&Kit::new(Profile::standard())).into_iter().filter(|(file, _)| file == name);
        let place = |panel: &Value| ["x", "y", "w"].map(|field| panel["gridPos"][field].as_u64().unwrap());
        all.map(|(_, panel)| (panel["title"].as_str().unwrap().to_owned(), place(&panel))).take(5).collect()
    };
    let drawn = |titles: [&str; 5]| {
        let places = [[0, 0, 8], [8, 0, 8], [16, 0, 8], [0, 5, 24], [0, 13, 24]];
        Vec::from_iter(titles.map(str::to_owned).into_iter().zip(places))
    };
    let health = ["Error Rate", "P95 Latency", "Throughput", "Request Rate (24h)", "Error Rate by Endpoint"];
    assert_eq!(laid_out("service-health.json"), drawn(health));
    let sessions =
        ["Active Sessions", "Success Rate", "Avg Boot Time", "Sessions by State", "State Transitions (24h)"];
    assert_eq!(laid_out("sessions.json"), drawn(sessions));
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

/// All links of what panels show, by the title of their panel.
fn links(kit: &Kit) -> Vec<(String, String)> {
    let of_panel = |(_, panel): (String, Value)| {
        let links = panel["fieldConfig"]["defaults"]["links"].as_array().cloned().unwrap_or_default();
        let title = panel["title"].as_str().unwrap().to_owned();
        links.into_iter().map(move |link| (title.clone(), link["url"].as_str().unwrap().to_owned()))
    };
    panels(kit).into_iter().flat_map(of_panel).collect()
}

#[test]
fn panels_and_tables_lead_to_the_runs_of_their_workflow_or_route_where_the_viewer_is_known() {
    let kit = Kit::new(Profile::standard());
    assert_eq!(links(&kit), Vec::new());
    for (profile, label) in [(Profile::standard(), "workflow"), (Profile::aliases("acme"), "workflow_id")] {
        let links = links(&Kit::new(profile).viewer("https://ops.example.org/runs/"));
        let of = |title: &str| {
            let mut urls = links.iter().filter(|(of, _)| of == title).map(|(_, url)| url.as_str());
            (urls.next().unwrap_or_default(), urls.next())
        };
        let shown = "since=${__from:date:iso}&until=${__to:date:iso}";
        let list = "https://ops.example.org/runs/#/runs?";
        let by_workflow = format!("{list}workflow=${{__field.labels.{label}:percentencode}}&{shown}");
        assert_eq!(of("P95 Duration by Workflow"), (&*by_workflow, None));
        let of_a_row =
            format!("{list}state=failed&workflow=${{__data.fields.{label}:percentencode}}&since=24h");
        assert_eq!(of("Failed Runs (24h)"), (&*of_a_row, None));
        let (by_route, _) = of("P95 Latency by Route");
        assert!(by_route.starts_with(&format!("{list}attr=http.route%3D${{__field.labels.")), "{by_route}");
        assert_eq!(of("Runs by Tenant"), ("", None), "the viewer does not list by it");
    }
    let dashboard =
        Kit::new(Profile::standard()).viewer("https://ops.example.org/runs").dashboards().unwrap();
    for file in dashboard {
        assert!(file.contents.contains(r#""url": "https://ops.example.org/runs/#/runs""#), "{}", file.name);
    }
}

/// What the types of Grafana's own SDK do not know of dashboards, each by its number; empty if they know all of it.
fn unknown_to_grafana(python: &Path, dashboards: &[String]) -> String {
    lost(python, include_str!("grafana.py"), &format!("[{}]", dashboards.join(",")))
}

#[test]
fn the_types_of_grafana_know_every_field_of_every_dashboard() {
    let Some(python) = python_with("grafana_foundation_sdk") else { return };
    let mut files = Vec::new();
    for (_, profile) in profiles() {
        let kit = Kit::new(profile).viewer("https://ops.example.org/runs");
        files.extend(kit.dashboards().unwrap().into_iter().chain([kit.slo_dashboard().unwrap()]));
    }
    let texts: Vec<_> = files.iter().map(|file| file.contents.clone()).collect();
    assert_eq!(unknown_to_grafana(&python, &texts), "");
    let wrong = files[0].contents.replace("\"gridPos\"", "\"gridPosition\"");
    assert!(unknown_to_grafana(&python, &[wrong]).contains("gridPosition"), "a mistake is seen");
}
