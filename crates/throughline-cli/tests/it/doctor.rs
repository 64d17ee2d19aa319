//! What the environment switches on, and whether it is there.

use std::net::TcpListener;

use crate::sandbox::Sandbox;

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
