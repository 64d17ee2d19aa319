//! What the environment switches on, and whether it is there.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use axum::Router;
use throughline::health::{Check, Health};
use throughline::metrics::Prometheus;
use throughline_core::Throughline;
use throughline_sqlite::SqliteStore;

use crate::doctor_rules::site_without;
use crate::sandbox::Sandbox;
use crate::services::succeed;
use crate::sidecar_scrape::Server;

/// What the command says with these variables, and its exit code.
fn doctor(sandbox: &Sandbox, set: &[(&str, &str)], args: &[&str]) -> (String, i32) {
    let mut command = sandbox.command(&[&["doctor"], args].concat());
    command.env_remove("THROUGHLINE_STORE");
    command.env("OTEL_SERVICE_NAME", "loans").envs(set.iter().copied());
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// An address where somebody accepts connections, and one where nobody does.
fn addresses() -> (TcpListener, String, String) {
    let there = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = there.local_addr().unwrap().to_string();
    (there, address, gone.to_string())
}

#[test]
fn what_is_off_is_said_with_what_switches_it_on() {
    let (said, code) = doctor(&Sandbox::empty(), &[], &[]);
    insta::assert_snapshot!(said);
    assert_eq!(code, 0);
}

#[test]
fn each_destination_that_is_there_is_said_to_be() {
    let sandbox = Sandbox::with_sagas();
    let (_there, address, _) = addresses();
    let sentry = format!("https://hunter2@{address}/1");
    let (said, code) = doctor(
        &sandbox,
        &[
            ("THROUGHLINE_STORE", "sqlite:traces.db"),
            ("METRICS_PORT", "0"),
            ("THROUGHLINE_LOG_OUTPUT", "file:loans.jsonl"),
            ("TRACING_ENDPOINT", &address),
            ("SENTRY_DSN", &sentry),
        ],
        &[],
    );
    assert_eq!(code, 0, "{said}");
    insta::assert_snapshot!(said.replace(&address, "ADDRESS"));
    assert!(!sandbox.path("loans.jsonl").exists(), "nothing is created");
}

#[test]
fn a_destination_that_is_not_there_is_the_reason_to_exit_with_1() {
    let sandbox = Sandbox::empty();
    let (_, _, gone) = addresses();
    let feed = format!("redis://:hunter2@{gone}/");
    let cases = [
        ("store", "THROUGHLINE_STORE", "sqlite:nowhere/traces.db"),
        ("outbox", "THROUGHLINE_OUTBOX", "nowhere/outbox.db"),
        ("feed", "THROUGHLINE_FEED", feed.as_str()),
        ("metrics", "OTEL_EXPORTER_PROMETHEUS_PORT", "9464"),
        ("logs", "THROUGHLINE_LOG_OUTPUT", "file:nowhere/loans.jsonl"),
        ("traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &gone),
    ];
    for (what, name, value) in cases {
        // Nobody can listen at an address of a link without saying which link.
        let host = ("OTEL_EXPORTER_PROMETHEUS_HOST", "fe80::1");
        let (said, code) = doctor(&sandbox, &[(name, value), host], &["--json"]);
        assert_eq!(code, 1, "{what}: {said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["ok"], false);
        let checks = said["checks"].as_array().unwrap();
        let failed: Vec<_> = checks.iter().filter(|check| check["state"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{said:#}");
        assert_eq!(failed[0]["what"], what);
        assert!(!said.to_string().contains("hunter2"), "{said:#}");
    }
    assert!(!sandbox.path("nowhere").exists(), "nothing is created");
}

/// What is said of one of the checks with these variables.
fn checked(sandbox: &Sandbox, what: &str, set: &[(&str, &str)]) -> (String, String) {
    let (said, _) = doctor(sandbox, set, &["--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let checks = said["checks"].as_array().unwrap_or_else(|| panic!("{said:#}"));
    let check = checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("{said:#}"));
    (check["state"].as_str().unwrap().to_owned(), check["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_place_for_logs_is_right_if_the_service_could_write_there() {
    let sandbox = Sandbox::empty();
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    std::fs::write(sandbox.path("file.jsonl"), "").unwrap();
    for (output, state, said) in [
        ("file:new.jsonl", "ok", "to new.jsonl"),
        ("file:file.jsonl", "ok", "to file.jsonl"),
        ("file:folder/new.jsonl", "ok", "to folder/new.jsonl"),
        ("file:folder", "failed", "folder is a folder; name a file in it"),
        ("file:nowhere/new.jsonl", "failed", "there is no folder nowhere"),
        ("file:file.jsonl/new.jsonl", "failed", "file.jsonl is no folder"),
        ("daily:folder", "ok", "to folder"),
        ("daily:nowhere", "ok", "to nowhere"),
        ("hourly:nowhere/at/all", "ok", "to nowhere/at/all"),
        ("daily:file.jsonl", "failed", "file.jsonl is no folder"),
        ("daily:file.jsonl/logs", "failed", "file.jsonl is no folder"),
    ] {
        let found = checked(&sandbox, "logs", &[("THROUGHLINE_LOG_OUTPUT", output)]);
        assert!(found.0 == state && found.1.starts_with(said), "{output}: {found:?}");
    }
    assert!(!sandbox.path("nowhere").exists() && !sandbox.path("new.jsonl").exists(), "nothing is created");
}

#[test]
fn the_collector_of_log_records_is_tried_as_well() {
    let sandbox = Sandbox::empty();
    let (_there, there, gone) = addresses();
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", there.as_str());
    let state = |set: &[(&str, &str)]| checked(&sandbox, "log records", set).0;
    assert_eq!(state(&[]), "off");
    assert_eq!(state(&[traces]), "off");
    assert_eq!(state(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &there)]), "ok");
    assert_eq!(state(&[traces, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &gone)]), "failed");
    assert_eq!(state(&[traces, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &there)]), "ok");
    let off = ("OTEL_LOGS_EXPORTER", "none");
    assert_eq!(state(&[traces, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &gone), off]), "off");
}

#[test]
fn certificates_that_cannot_be_used_are_the_reason_to_exit_with_1() {
    let sandbox = Sandbox::empty();
    let (_there, there, _) = addresses();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(sandbox.path("good.pem"), certified.cert.pem()).unwrap();
    std::fs::write(sandbox.path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    std::fs::write(sandbox.path("broken.pem"), broken).unwrap();
    for (path, state, said) in [
        ("good.pem", "ok", "certificates that are trusted: 1"),
        ("key.pem", "failed", "there is no certificate in key.pem"),
        ("broken.pem", "failed", "the certificate broken.pem: "),
        ("nowhere.pem", "failed", "the certificate nowhere.pem: "),
    ] {
        let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*there), ("OTEL_EXPORTER_OTLP_CERTIFICATE", path)];
        let found = checked(&sandbox, "traces", &set);
        assert!(found.0 == state && found.1.contains(said), "{path}: {found:?}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of_and_what_is_malformed_is_wrong() {
    let set = [("OTEL_TRACES_EXPORTER", "console")];
    let (said, code) = doctor(&Sandbox::empty(), &set, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Warning: console in OTEL_TRACES_EXPORTER=console is not supported"), "{said}");
    for headers in ["api-key=hunter2%zz", "api key=hunter2", "hunter2"] {
        let (said, code) = doctor(&Sandbox::empty(), &[("OTEL_EXPORTER_OTLP_HEADERS", headers)], &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("OTEL_EXPORTER_OTLP_HEADERS") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn everything_that_is_wrong_with_the_environment_is_said_at_once() {
    let set = [("METRICS_PORT", "http"), ("SENTRY_DSN", "hunter2"), ("RUST_LOG", "hyper=loud")];
    let (said, code) = doctor(&Sandbox::empty(), &set, &[]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(said);
}

#[test]
fn a_store_that_is_not_there_yet_will_be_and_warnings_are_no_reason_to_fail() {
    let sandbox = Sandbox::empty();
    let set = [("THROUGHLINE_STORE", "sqlite:new.db"), ("METRICS_PORT", "0"), ("METRICS_ENABLED", "true")];
    let clash = ("OTEL_METRICS_EXPORTER", "none");
    let (said, code) = doctor(&sandbox, &[&set[..], &[clash]].concat(), &[]);
    assert_eq!(code, 0, "{said}");
    insta::assert_snapshot!(said);
    assert!(!sandbox.path("new.db").exists(), "nothing is created");
}

#[test]
fn the_store_of_the_command_line_is_tried_instead_of_that_of_the_environment() {
    let sandbox = Sandbox::with_sagas();
    let wrong = ("THROUGHLINE_STORE", "sqlite:nowhere/traces.db");
    let (said, code) = doctor(&sandbox, &[wrong], &["--store", "sqlite:traces.db"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn everything_may_be_off() {
    let (said, code) =
        doctor(&Sandbox::empty(), &[("OTEL_SDK_DISABLED", "true"), ("METRICS_PORT", "http")], &[]);
    assert_eq!(code, 0);
    assert!(said.contains("Everything is off"), "{said}");
}

/// A service that is what the checklist asks for, as far as a test can be: its address.
pub(crate) async fn well_kept(sandbox: &Sandbox) -> (Throughline, String) {
    let metrics = Prometheus::new();
    let throughline = Throughline::builder("loans")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .metrics(&metrics)
        .build()
        .unwrap();
    succeed(throughline.workflow("loan-approval").key("loan-42")).await;
    let health = Health::builder(&throughline).check(Check::store()).build().unwrap();
    let app = metrics.add_to(health.add_to(Router::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    (throughline, url)
}

/// What the checklist says, by the names of its lines.
pub(crate) fn checklist(
    sandbox: &Sandbox,
    set: &[(&str, &str)],
    args: &[&str],
) -> (BTreeMap<String, (String, String)>, i32) {
    let (said, code) = doctor(sandbox, set, &[&["--production", "--json"], args].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let lines = said["production"].as_array().unwrap_or_else(|| panic!("{said:#}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let line = |line: &serde_json::Value| (text(&line["name"]), (text(&line["state"]), text(&line["seen"])));
    (lines.iter().map(line).collect(), code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checklist_says_of_a_well_kept_service_what_it_saw() {
    let sandbox = Sandbox::empty();
    let (_service, url) = well_kept(&sandbox).await;
    let permissions = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(sandbox.path("traces.db"), permissions).unwrap();
    let site = site_without("/nothing").await;
    let linked = ["--runbooks", &site, "--grafana", &site];
    let said = sandbox.run(&[&["alerts", "--job", "loans", "--out", "."], &linked[..]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = sandbox.run(&["routing", "--out", "."]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    std::fs::create_dir(sandbox.path("secrets")).unwrap();
    for secret in ["oncall-primary-key", "oncall-secondary-key", "slack-url"] {
        sandbox.write(&format!("secrets/{secret}"), "https://hooks.example.org/1");
    }
    let page = format!("{url}/metrics");
    let (said, _) = checklist(
        &sandbox,
        &[("THROUGHLINE_STORE", "sqlite:traces.db")],
        &[
            "--service",
            &url,
            "--metrics",
            &page,
            "--keeps",
            "90d",
            "--rules",
            "alerts.yaml",
            "--routing",
            "alertmanager.yaml",
        ],
    );
    // What is so on this machine depends on it, as do the tools that are installed.
    let of_the_machine = ["local_disk", "disk_space", "clock", "file_descriptors", "alert_rules", "routing"];
    let failed: Vec<_> = said
        .iter()
        .filter(|(name, (state, _))| state == "failed" && !of_the_machine.contains(&name.as_str()))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for name in ["service_name", "durable", "writable", "private", "pseudonyms", "outbox", "retention"] {
        assert_eq!(said[name].0, "ok", "{name}: {}", said[name].1);
    }
    for name in ["redaction", "metrics_page", "ledger", "links", "liveness", "readiness", "startup"] {
        assert_eq!(said[name].0, "ok", "{name}: {}", said[name].1);
    }
    assert_ne!(said["file_descriptors"].0, "not_checked", "the page says it: {said:#?}");
    for name in ["alert_rules", "routing"] {
        assert_ne!(said[name].0, "failed", "{name}: {}", said[name].1);
    }
    assert_eq!(said["backup"], ("by_hand".to_owned(), String::new()));
}

#[tokio::test]
async fn each_line_of_the_checklist_fails_for_its_own_reason() {
    let sandbox = Sandbox::empty();
    // Written by somebody who redacts nothing, long ago.
    sandbox.write(
        "events.jsonl",
        r#"{"trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","seq":0,"event_type":"mail:sent","timestamp":"2020-01-01T00:00:00.000000Z","n":0,"service":"loans","status":"success","data":{"to":"ada@example.org"}}"#,
    );
    let said = sandbox.run(&["import", "events.jsonl", "--redaction", "off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    std::fs::set_permissions(sandbox.path("traces.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.write("alerts.yaml", "groups: [{name: a, rules: [{alert: A, expr: 'rate('}]}]");
    sandbox.write(
        "alertmanager.yaml",
        "receivers:\n- name: a\n  slack_configs:\n  - api_url_file: secrets/url\n",
    );
    let (_, _, gone) = addresses();
    let (url, metrics) = (format!("http://{gone}"), format!("http://{gone}/metrics"));
    let local = ("THROUGHLINE_STORE", "sqlite:traces.db");
    let remote = ("THROUGHLINE_STORE", "postgres://app:hunter2@db.invalid/traces");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let nowhere = ("THROUGHLINE_STORE", "sqlite:nowhere/traces.db");
    let ill = |page: &str| Server::of(page).url("/metrics");
    let broken = ill("throughline_destination_broken{destination=\"sqlite\"} 1\n");
    let drops = ill(
        "throughline_destination_broken 0\n# TYPE throughline_events_dropped_total counter\nthroughline_events_dropped_total 7\n",
    );
    let full = ill("process_open_fds 900\nprocess_max_fds 1024\n");
    let cases: [Case<'_>; 25] = [
        ("environment", &[("OTEL_TRACES_EXPORTER", "console")], &[], "console"),
        ("environment", &[("METRICS_PORT", "http")], &[], "METRICS_PORT"),
        ("service_name", &[("OTEL_SERVICE_NAME", "")], &[], "unknown_service"),
        ("destinations", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &gone)], &[], "traces: "),
        (
            "encryption",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.invalid:4318")],
            &[],
            "collector.invalid",
        ),
        ("logs", &[("RUST_LOG", "hyper=warn,debug")], &[], "debug"),
        ("logs", &[("THROUGHLINE_LOG_FORMAT", "text")], &[], "text"),
        (
            "sampling",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", &gone), ("OTEL_TRACES_SAMPLER", "always_off")],
            &[],
            "none",
        ),
        ("durable", &[], &[], "THROUGHLINE_STORE"),
        ("private", &[local], &[], "644"),
        ("outbox", &[remote], &[], "wait"),
        ("retention", &[local], &["--keeps", "90d"], "90 days"),
        ("redaction", &[local], &[], "email (1)"),
        ("metrics_page", &[], &["--metrics", &metrics], &gone),
        ("readiness", &[], &["--service", &url], &gone),
        ("liveness", &[], &["--service", &url], &gone),
        ("startup", &[], &["--service", &url], &gone),
        ("local_disk", &[nowhere], &[], "nowhere"),
        ("disk_space", &[nowhere], &[], "nowhere"),
        ("writable", &[nowhere], &[], "nowhere"),
        ("ledger", &[], &["--metrics", &broken], "1 destinations are broken"),
        ("ledger", &[], &["--metrics", &drops], "7 events were dropped"),
        ("file_descriptors", &[], &["--metrics", &full], "900 of 1024"),
        ("alert_rules", &[], &["--rules", "nowhere.yaml"], "nowhere.yaml"),
        ("routing", &[], &["--routing", "alertmanager.yaml"], "secrets/url"),
    ];
    for (name, set, args, reason) in cases {
        let (said, code) = checklist(&sandbox, set, args);
        let (state, seen) = &said[name];
        assert!(state == "failed" && seen.contains(reason), "{name}: {state}: {seen}");
        assert_eq!(code, 1, "{name}");
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    }
}

#[test]
fn the_checklist_is_shown_with_what_was_seen_and_how_to_see_to_it() {
    let sandbox = Sandbox::empty();
    let (said, code) = doctor(&sandbox, &[], &["--production"]);
    assert_eq!(code, 1, "{said}");
    let (_, checklist) = said.split_once("\nConfiguration\n").unwrap_or_else(|| panic!("{said}"));
    // Whether the clock is right, this machine knows.
    let (mut shown, mut is_of_clock) = (String::new(), false);
    for line in checklist.lines().filter(|line| !line.contains(" not checked, ")) {
        if !line.starts_with("   ") {
            is_of_clock = line.contains("The clock of the machine");
        }
        if !is_of_clock {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn options_of_the_checklist_are_refused_without_it() {
    let said = Sandbox::empty().run(&["doctor", "--keeps", "90d"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("--production"), "{}", said.stderr);
}
