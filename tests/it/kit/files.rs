//! The files and pages of the repository are what the kit makes. `cargo xtask kit` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
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
    let kit = kit();
    let mut files = vec![("prometheus", kit.alerts().unwrap()), ("alertmanager", kit.routing().unwrap())];
    files.extend(kit.dashboards().unwrap().into_iter().map(|file| ("grafana", file)));
    let probes = kit.clone().target("http://app:8080/health").prober("prober:9115").probes().unwrap();
    files.extend(probes.into_iter().map(|file| ("prober", file)));
    files.extend(kit.kubernetes().unwrap().into_iter().map(|file| ("kubernetes", file)));
    let made: BTreeSet<_> =
        files.iter().map(|(folder, file)| root("deploy").join(folder).join(&file.name)).collect();
    let stale: Vec<_> = files
        .iter()
        .filter_map(|(folder, file)| settle(&format!("deploy/{folder}/{}", file.name), &file.contents))
        .collect();
    assert_settled(&stale);
    for folder in ["prometheus", "alertmanager", "grafana", "kubernetes", "prober"] {
        for file in fs::read_dir(root("deploy").join(folder)).unwrap() {
            let file = file.unwrap().path();
            assert!(made.contains(&file), "{} is not made by the kit any more: remove it", file.display());
        }
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

#[test]
fn everything_that_others_had_is_where_the_table_says() {
    let page = read(OPERATIONS);
    let (_, table) = page.split_once("<!-- BEGIN: compared by the tests -->").unwrap();
    let (table, _) = table.split_once("<!-- END -->").unwrap();
    let alerts: BTreeSet<_> = all_rules().into_iter().map(|rule| rule.alert).collect();
    let dashboards = dashboards();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() >= 64, "{rows:#?}");
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
