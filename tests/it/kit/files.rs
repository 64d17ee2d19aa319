//! The files and pages of the repository are what the kit makes. `cargo xtask kit` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use throughline::metrics::Profile;
use throughline_kit::{File, Kit};

use super::alerts::{Rule, rules};

const OPERATIONS: &str = "docs/operations.md";

fn root(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root(path)).unwrap_or_default()
}

/// Whether the files are to be written instead of compared.
fn writes() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

fn kit() -> Kit {
    Kit::new(Profile::standard())
}

/// The kit of the files to deploy: with what `deploy/compose.yaml` calls things, and the viewer where `throughline serve` has it.
fn deployed() -> Kit {
    let kit = kit().viewer("http://localhost:7070").prometheus("http://prometheus:9090");
    let kit =
        kit.grafana("http://localhost:3000").target("http://app:8080/health/ready").prober("prober:9115");
    kit.service("app:8080").alertmanager("alertmanager:9093")
}

fn all_rules() -> Vec<Rule> {
    rules(&kit().alerts().unwrap().contents)
}

/// The titles of panels by the name of their dashboard, and all that is known of them.
fn dashboards() -> BTreeMap<String, Value> {
    let parsed = |file: File| (file.name.replace(".json", ""), serde_json::from_str(&file.contents).unwrap());
    kit().dashboards().unwrap().into_iter().map(parsed).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Puts something between two marks, which stay.
fn between(page: &str, [begin, end]: [&str; 2], content: &str) -> String {
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("the mark {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("the mark {end}"));
    format!("{before}{begin}\n{content}\n{end}{after}")
}

/// Writes a file, or says that it is not what it ought to be.
fn settle(path: &str, ought: &str) -> Option<String> {
    if writes() {
        fs::create_dir_all(root(path).parent().unwrap()).unwrap();
        fs::write(root(path), ought).unwrap();
    }
    (read(path) != ought).then(|| path.to_owned())
}

fn assert_settled(stale: &[String]) {
    assert!(stale.is_empty(), "not what the kit makes: {stale:?}; write them anew with `cargo xtask kit`");
}

#[test]
fn the_files_to_deploy_are_those_that_the_kit_makes() {
    let kit = deployed();
    let mut files = vec![
        ("prometheus", kit.alerts().unwrap()),
        ("alertmanager", kit.routing().unwrap()),
        ("compose", kit.datasource().unwrap()),
    ];
    files.extend(kit.dashboards().unwrap().into_iter().map(|file| ("grafana", file)));
    files.extend(kit.compose().unwrap().into_iter().map(|file| ("compose", file)));
    files.extend(kit.probes().unwrap().into_iter().map(|file| ("prober", file)));
    files.extend(self::kit().kubernetes().unwrap().into_iter().map(|file| ("kubernetes", file)));
    let made: BTreeSet<_> =
        files.iter().map(|(folder, file)| root("deploy").join(folder).join(&file.name)).collect();
    let stale: Vec<_> = files
        .iter()
        .filter_map(|(folder, file)| settle(&format!("deploy/{folder}/{}", file.name), &file.contents))
        .collect();
    assert_settled(&stale);
    for folder in ["prometheus", "alertmanager", "compose", "grafana", "kubernetes", "prober"] {
        for file in fs::read_dir(root("deploy").join(folder)).unwrap() {
            let file = file.unwrap().path();
            assert!(made.contains(&file), "{} is not made by the kit any more: remove it", file.display());
        }
    }
}

#[test]
fn prometheus_takes_the_configuration_that_the_compose_file_mounts() {
    if super::may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let configuration = read("deploy/compose/prometheus.yaml");
    let mut here: Value = serde_saphyr::from_str(&configuration).unwrap();
    // Debian's is older than files of scrapes: it gets what is in them.
    let also = here.as_object_mut().unwrap().remove("scrape_config_files").unwrap();
    assert_eq!(also, json!(["/etc/prometheus/probes.yaml"]));
    let probes: Value = serde_saphyr::from_str(&read("deploy/prober/probes.yaml")).unwrap();
    let jobs = here["scrape_configs"].as_array_mut().unwrap();
    jobs.extend(probes["scrape_configs"].as_array().unwrap().clone());
    assert_eq!(here["rule_files"], json!(["/etc/prometheus/rules/*.yaml"]));
    here["rule_files"] = json!([root("deploy/prometheus/*.yaml")]);
    let checked = |configuration: &Value| {
        let path = folder.path().join("prometheus.yaml");
        fs::write(&path, configuration.to_string()).unwrap();
        super::run("promtool", &["check", "config", path.to_str().unwrap()])
    };
    let said = checked(&here).unwrap();
    let rules = all_rules().len();
    assert!(said.contains(&format!("{rules} rules found")), "{said}");
    here["global"]["scrape_intervall"] = json!("15s");
    assert!(checked(&here).is_err(), "a mistake is seen");
    let scraped: Value = serde_saphyr::from_str(&configuration).unwrap();
    assert_eq!(scraped["scrape_configs"][0]["job_name"], "throughline", "the job that the rules ask for");
}

#[test]
fn links_of_alerts_can_be_followed_or_the_file_says_how_to_make_them_so() {
    let linked = kit().runbooks("https://wiki.example.org/runbooks/").grafana("https://grafana.example.org/");
    let file = linked.alerts().unwrap().contents;
    assert!(!file.contains('#'), "{file}");
    for Rule { alert, annotations, .. } in rules(&file) {
        assert_eq!(annotations["runbook_url"], format!("https://wiki.example.org/runbooks/{alert}.md"));
        assert!(annotations["dashboard_url"].starts_with("https://grafana.example.org/d/throughline-"));
    }
    for (kit, options) in [
        (kit(), "--runbooks URL --grafana URL"),
        (kit().grafana("https://grafana.example.org"), "--runbooks URL"),
        (kit().runbooks("https://wiki.example.org"), "--grafana URL"),
    ] {
        let file = kit.alerts().unwrap().contents;
        assert!(file.starts_with(&format!("# Write it with `{options}`")), "{options}");
        // Who is called gets both.
        let told: Value = serde_saphyr::from_str(&kit.routing().unwrap().contents).unwrap();
        let details = &told["receivers"][0]["pagerduty_configs"][0]["details"];
        assert!(text(&details["runbook"]).contains("runbook_url"), "{told:#}");
        assert!(text(&details["dashboard"]).contains("dashboard_url"), "{told:#}");
    }
}

#[test]
fn the_tables_of_alerts_and_panels_are_those_of_the_kit() {
    let mut alerts = "\n| alert | severity | for | fires when |\n|---|---|---|---|\n".to_owned();
    for Rule { alert, labels, lasting, annotations, .. } in all_rules() {
        let lasting = lasting.unwrap_or_default();
        let description =
            annotations["description"].replace("{{ $labels.job }}", "a service").replace('|', "\\|");
        let _ = writeln!(
            alerts,
            "| [`{alert}`](runbooks/{alert}.md) | {} | {lasting} | {description} |",
            labels["severity"]
        );
    }
    let mut panels = String::new();
    for (name, dashboard) in dashboards() {
        let (title, about) = (text(&dashboard["title"]), text(&dashboard["description"]));
        let _ = write!(
            panels,
            "\n### {title}\n\n`{name}.json`: {about}\n\n| panel | what it shows |\n|---|---|\n"
        );
        for panel in dashboard["panels"].as_array().unwrap() {
            let _ = writeln!(panels, "| {} | {} |", text(&panel["title"]), text(&panel["description"]));
        }
    }
    let page = read(OPERATIONS);
    let page = between(
        &page,
        ["<!-- BEGIN: alerts, made by `cargo xtask kit` -->", "<!-- END: alerts -->"],
        &alerts,
    );
    let page = between(
        &page,
        ["<!-- BEGIN: panels, made by `cargo xtask kit` -->", "<!-- END: panels -->"],
        &panels,
    );
    assert_settled(&Vec::from_iter(settle(OPERATIONS, &page)));
}

/// What the systems that Throughline takes the place of called their alerts, panels and endpoints, as their documents have it.
const BEFORE: [&str; 3] = [
    // Go: workflows, queues and an API.
    "HighWorkflowFailureRate, CriticalWorkflowFailureRate, SlowWorkflowExecutions, WorkflowExecutionStalled, QueueBacklog, \
     QueueBacklogCritical, NoActiveWorkers, LowWorkerCount, HighHTTPErrorRate, HighHTTPLatency, DatabaseConnectionFailure, \
     RedisConnectionFailure, HighMemoryUsage, HighStepFailureRate, HTTPActionFailures, Workflow Execution Rate (by status), \
     Workflow Success Rate, Active Workers, HTTP Request Rate by Status, Queue Depth, Top Workflows by Execution Count",
    // TypeScript: functions across transports.
    "ForstSidecarHighLatency, ForstSidecarHighErrorRate, ForstSidecarTransportFailure, Request Latency by Transport, \
     Throughput by Transport, Error Rate by Transport, Function Call Duration (heatmap), Function Error Rate, Memory Usage by Function",
    // TypeScript: sessions in sandboxes.
    "API Down, Database Unavailable, All Sandbox Creation Failing, High Error Rate, High Latency, Sandbox Boot Slow, \
     Elevated Errors, Elevated Latency, Low Sessions, Error Rate (%), P95 Latency, Throughput, Request Rate (24h), \
     Error Rate by Endpoint, Active Sessions, Success Rate, Avg Boot Time, Sessions by State, State Transitions (24h)",
];
const ENDPOINTS_BEFORE: [&str; 8] = [
    "GET /health/live",
    "GET /health/ready",
    "GET /health/startup",
    "`GET /health`",
    "GET /metrics",
    "POST /process",
    "POST /fail",
    "X-Request-ID",
];

#[test]
fn everything_that_others_had_is_where_the_table_says() {
    let page = read(OPERATIONS);
    let (_, table) = page.split_once("<!-- BEGIN: compared by the tests -->").unwrap();
    let (table, _) = table.split_once("<!-- END -->").unwrap();
    let alerts: BTreeSet<_> = all_rules().into_iter().map(|rule| rule.alert).collect();
    let dashboards = dashboards();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() >= 64, "{rows:#?}");
    let known: BTreeSet<_> = rows.iter().map(|row| row[2..].split(" | ").next().unwrap()).collect();
    for before in BEFORE.iter().flat_map(|names| names.split(", ")) {
        assert!(known.contains(before), "{before} has no row");
    }
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [before, now] = cells[..] else { panic!("{row}") };
        assert!(!before.is_empty());
        let is_there = match now.split_once("`: ") {
            None => alerts.contains(now.trim_matches('`')),
            Some((dashboard, title)) => {
                let panels = dashboards[dashboard.trim_matches('`')]["panels"].as_array().unwrap();
                panels.iter().any(|panel| panel["title"] == title)
            }
        };
        assert!(is_there, "{row}");
    }
}

/// The names of all tests of the workspace.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            tests(&path, found);
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let mut lines = source.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
                    continue;
                }
                let name = lines.find_map(|line| line.split_once("fn ")).map(|(_, name)| name);
                found.extend(name.and_then(|name| name.split_once('(')).map(|(name, _)| name.to_owned()));
            }
        }
    }
}

#[test]
fn every_log_rule_and_endpoint_that_others_had_is_here_and_a_test_shows_it() {
    let mut known = BTreeSet::new();
    for folder in ["crates", "tests"] {
        tests(&root(folder), &mut known);
    }
    let page = read(OPERATIONS);
    let (_, endpoints) = page.split_once("<!-- BEGIN: endpoints,").unwrap();
    for before in ENDPOINTS_BEFORE {
        let has_row = endpoints.lines().any(|line| {
            line.strip_prefix("| ").is_some_and(|row| row.split(" | ").next().unwrap().contains(before))
        });
        assert!(has_row, "{before} has no row");
    }
    for (table, least) in [("log rules", 11), ("endpoints", 8)] {
        let begin = format!("<!-- BEGIN: {table}, compared by the tests -->");
        let (_, table) = page.split_once(&begin).expect(&begin);
        let (table, _) = table.split_once("<!-- END -->").unwrap();
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert!(rows.len() >= least, "{rows:#?}");
        for row in rows {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [before, now, test] = cells[..] else { panic!("{row}") };
            assert!(!before.is_empty() && !now.is_empty(), "{row}");
            assert!(known.contains(test.trim_matches('`')), "no such test: {row}");
        }
    }
}

#[test]
fn every_check_of_the_sidecars_is_made_by_a_test() {
    let mut known = BTreeSet::new();
    tests(&root("crates/throughline-cli"), &mut known);
    let page = read(OPERATIONS);
    let (_, table) =
        page.split_once("<!-- BEGIN: checks of the sidecars, compared by the tests -->").unwrap();
    let (table, _) = table.split_once("<!-- END -->").unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 28, "{rows:#?}");
    for row in rows {
        let (_, test) = row.trim_matches(['|', ' ']).rsplit_once(" | ").unwrap();
        assert!(known.contains(test.trim_matches('`')), "no such test: {row}");
    }
}

#[test]
fn every_alert_has_a_runbook_that_says_what_it_is() {
    let kit = kit().runbooks("https://wiki.example.org/runbooks/");
    let mut stale = Vec::new();
    let mut known = BTreeSet::new();
    for Rule { alert, expr, lasting, labels, annotations } in rules(&kit.alerts().unwrap().contents) {
        assert_eq!(annotations["runbook_url"], format!("https://wiki.example.org/runbooks/{alert}.md"));
        let dashboard = annotations["dashboard_url"].trim_start_matches("/d/throughline-");
        let lasting = lasting.map(|time| format!(", after {time}")).unwrap_or_default();
        let description = annotations["description"].replace("{{ $labels.job }}", "a service");
        let head = format!(
            "\nSeverity **{}**{lasting}. Dashboard: {dashboard}. {description}\n\n```promql\n{expr}\n```\n",
            labels["severity"]
        );
        let path = format!("docs/runbooks/{alert}.md");
        let page = read(&path);
        assert!(page.starts_with(&format!("# {alert}\n")), "{path} is missing, or has another title");
        for section in ["## Who suffers", "## First", "## Causes, and what to do", "## Whom to wake"] {
            let (_, rest) =
                page.split_once(&format!("\n{section}\n")).unwrap_or_else(|| panic!("{path}: {section}"));
            assert!(
                rest.trim_start().starts_with(|first: char| !"#".contains(first)),
                "{path}: {section} is empty"
            );
        }
        assert!(page.matches("```sh\n").count() >= 3, "{path}: the first three commands");
        stale.extend(settle(
            &path,
            &between(&page, ["<!-- BEGIN: made by `cargo xtask kit` -->", "<!-- END -->"], &head),
        ));
        known.insert(format!("{alert}.md"));
    }
    assert_settled(&stale);
    for file in fs::read_dir(root("docs/runbooks")).unwrap() {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        assert!(known.contains(&name), "docs/runbooks/{name} is about no alert");
    }
}
