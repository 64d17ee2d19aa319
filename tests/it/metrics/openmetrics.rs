//! The parser of the Python client, the strictest there is, reads the page and finds the exemplars.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metrics::{Key, Label, Level, Metadata, Recorder as _, Unit};
use serde::Deserialize;
use throughline::metrics::{ExpositionFormat, Prometheus};

use super::{Busy, may_do_without, profiles};

/// As the script prints it.
#[derive(Deserialize)]
struct Exemplar {
    family: String,
    labels: std::collections::BTreeMap<String, String>,
    value: f64,
    le: f64,
}

/// Where `cargo xtask test` has put the interpreter.
fn python() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    std::env::var_os("THROUGHLINE_PYTHON").map_or_else(of_xtask, PathBuf::from)
}

/// The exemplars of a page, or why it is not OpenMetrics.
fn read(page: &str) -> Result<Vec<Exemplar>, String> {
    let mut python = Command::new(python())
        .args(["-c", include_str!("openmetrics.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs: `cargo xtask test` installs it, or set THROUGHLINE_SERVICES=off");
    python.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = python.wait_with_output().unwrap();
    if !said.status.success() {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned());
    }
    let lines = String::from_utf8(said.stdout).unwrap();
    Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn is_missing() -> bool {
    may_do_without("Python client of Prometheus", || {
        let import =
            Command::new(python()).args(["-c", "import prometheus_client.openmetrics.parser"]).output();
        import.is_ok_and(|import| import.status.success())
    })
}

#[tokio::test]
async fn the_python_client_accepts_the_page_of_a_busy_service_in_every_profile_with_its_exemplars() {
    if is_missing() {
        return;
    }
    for (name, profile) in profiles() {
        let Busy { open: page, runs, .. } = Busy::service(profile).await;
        let exemplars = read(&page).unwrap_or_else(|error| panic!("{name}: {error}\n{page}"));
        let of_runs: Vec<_> = exemplars.iter().filter(|one| one.family.contains("workflow")).collect();
        assert!(!of_runs.is_empty(), "{name}:\n{page}");
        for exemplar in of_runs {
            assert!(runs.contains(&exemplar.labels["trace_id"]), "{name}: {:?}", exemplar.labels);
            assert_eq!(exemplar.labels["span_id"].len(), 16);
            assert!(exemplar.value <= exemplar.le, "{} is in the bucket of {}", exemplar.value, exemplar.le);
        }
    }
}

#[test]
fn the_python_client_accepts_what_third_parties_name_as_they_like() {
    if is_missing() {
        return;
    }
    const METADATA: Metadata<'static> = Metadata::new("elsewhere", Level::INFO, None);
    let names = [
        "",
        "9 lives",
        "a.b/c",
        "größe",
        "x",
        "x_total",
        "x_count",
        "x_bucket",
        "__x",
        "up\n# EOF",
        "x_info",
    ];
    let labels = ["le", "quantile", "__name__", "a b", "a_b", "ä", ""];
    let values = ["", "\\", "\"", "\n", "a\\\n\"b\"", "🦀", "\u{0}\r\t", "{le=\"1\"} 3", "\u{2028}"];

    let prometheus = Prometheus::builder().buckets("x_seconds", [-1.0, 0.0, 1.0]).build().unwrap();
    let recorder = prometheus.recorder();
    for name in names {
        let of = |suffix: &str, label: &'static str, value: &'static str| {
            let labels = vec![Label::new(label, value), Label::new("other", "1")];
            Key::from_parts(format!("{name}{suffix}"), labels)
        };
        for (label, value) in labels.iter().flat_map(|label| values.map(|value| (*label, value))) {
            recorder.register_counter(&of("", label, value), &METADATA).increment(1);
            recorder.register_gauge(&of("_bytes", label, value), &METADATA).set(f64::NEG_INFINITY);
            recorder.register_histogram(&of("_seconds", label, value), &METADATA).record(-0.1);
            recorder.register_gauge(&of("_seconds_count", label, value), &METADATA).set(-1.0);
        }
        recorder.describe_gauge(format!("{name}_bytes").into(), Some(Unit::Bytes), "\\ \" \n# EOF".into());
        recorder.describe_histogram(format!("{name}_seconds").into(), Some(Unit::Seconds), "".into());
    }
    let page = prometheus.render(ExpositionFormat::OpenMetrics);
    read(&page).unwrap_or_else(|error| panic!("{error}\n{page}"));
}

#[test]
fn the_python_client_refuses_what_is_not_openmetrics() {
    if is_missing() {
        return;
    }
    let two_types = "# TYPE work histogram\n# TYPE work_count gauge\nwork_count 1\n# EOF\n";
    assert!(read(two_types).is_err());
    assert!(read("# TYPE work gauge\nwork 1\n").is_err(), "the end is missing");
}
