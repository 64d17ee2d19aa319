//! `deploy/compose.yaml`: its profiles, and its very commands, started as processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::sidecar_scrape::Server;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The services of the file by name, with what they share.
fn services() -> BTreeMap<String, Value> {
    let file: Value =
        serde_saphyr::from_str(&fs::read_to_string(deploy().join("compose.yaml")).unwrap()).unwrap();
    let services = file["services"].as_object().unwrap().clone();
    services.into_iter().collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The services that start with a profile; `None` is without any.
fn started(profile: Option<&str>) -> Vec<String> {
    let starts = |service: &Value| {
        let profiles = texts(&service["profiles"]);
        profiles.is_empty() || profile.is_some_and(|profile| profiles.iter().any(|of| of == profile))
    };
    services().into_iter().filter(|(_, service)| starts(service)).map(|(name, _)| name).collect()
}

/// The command of a service, with its paths and its address replaced by those of a sandbox and a server.
fn command(name: &str, sandbox: &Sandbox, app: &Server) -> Vec<String> {
    let replaced = |word: String| {
        let word = word.replace("http://app:8080", &app.url(""));
        ["logs", "history"].iter().fold(word, |word, volume| {
            match word.strip_prefix(&format!("/{volume}/")) {
                Some(file) => sandbox.path(volume).join(file).to_str().unwrap().to_owned(),
                None => word,
            }
        })
    };
    texts(&services()[name]["command"]).into_iter().map(replaced).collect()
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn each_profile_starts_what_it_is_for() {
    assert_eq!(started(None), ["app"], "minimal: no sidecar");
    assert_eq!(
        started(Some("observe")),
        ["alertmanager", "app", "grafana", "log-watcher", "metrics-scraper", "prober", "prometheus"]
    );
    assert_eq!(started(Some("debug")), ["app", "report"]);
}

#[test]
fn sidecars_read_the_logs_and_no_more_and_the_log_watcher_has_no_network() {
    let services = services();
    let volumes = |name: &str| texts(&services[name]["volumes"]);
    assert_eq!(services["log-watcher"]["network_mode"], "none");
    assert!(services["log-watcher"].get("networks").is_none());
    assert_eq!(volumes("log-watcher"), ["logs:/logs:ro"]);
    assert_eq!(texts(&services["metrics-scraper"]["networks"]), ["observed"]);
    assert_eq!(volumes("report"), ["logs:/logs:ro", "history:/history:ro"]);
    assert_eq!(services["report"]["restart"], "no", "once");
    for name in ["log-watcher", "metrics-scraper", "report"] {
        let service = &services[name];
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(
            volumes(name).iter().all(|volume| !volume.starts_with("logs:") || volume.ends_with(":ro")),
            "{name}"
        );
    }
    // The application writes its logs, and is not told of anybody who reads them.
    assert_eq!(volumes("app"), ["logs:/logs"]);
    assert!(services["app"].get("depends_on").is_none());
}

#[test]
fn files_that_are_mounted_are_there() {
    for (name, service) in services() {
        for volume in texts(&service["volumes"]) {
            let path = volume.split(':').next().unwrap();
            // The secrets are those of the team that deploys it.
            if path.starts_with("./") && path != "./secrets" {
                assert!(deploy().join(path).exists(), "{name}: {path}");
            }
        }
    }
}

#[test]
fn docker_compose_accepts_the_file_and_its_profiles() {
    for profiles in [&[][..], &["--profile", "observe"], &["--profile", "debug"]] {
        let mut compose = Command::new("docker-compose");
        compose.args(["--file", "compose.yaml"]).args(profiles).args(["config", "--quiet"]);
        let Ok(output) = compose.current_dir(deploy()).output() else {
            let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
            assert!(!required, "docker-compose is missing: `apt-get install docker-compose`");
            eprintln!("left out: without docker-compose the file is read by this test alone");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_image_runs_the_command_alone_and_not_as_root() {
    let file = fs::read_to_string(deploy().join("Dockerfile")).unwrap();
    let (_, last) = file.rsplit_once("\nFROM ").unwrap();
    assert!(last.starts_with("gcr.io/distroless/") && last.contains("\nUSER 65532:65532\n"), "{last}");
    assert!(last.contains("ENTRYPOINT [\"/usr/local/bin/throughline\"]"), "{last}");
    assert!(!last.contains("\nRUN "), "there is no shell");
    assert!(file.contains("cargo build --locked"), "versions are those of the lock file");
    let toolchain = fs::read_to_string(deploy().join("../Cargo.toml")).unwrap();
    let (_, version) = toolchain.split_once("rust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(file.contains(&format!("FROM rust:{version}-")), "{version}");
}

#[test]
fn the_commands_of_the_file_watch_a_service_as_processes() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("logs")).unwrap();
    let line = |level: &str, message: &str| {
        format!(
            "{{\"timestamp\":\"2026-02-21T13:42:01Z\",\"level\":\"{level}\",\"message\":\"{message}\"}}\n"
        )
    };
    let logs =
        [line("info", "app ready"), line("info", "processing task"), line("error", "task failed")].concat();
    sandbox.write("logs/app.log", &logs);
    let page = "# TYPE requests_total counter\nrequests_total 8\nuptime_seconds 47\n";
    let app = Server::of(page);

    // The log watcher, where possible in a network namespace without interfaces.
    let watcher = command("log-watcher", &sandbox, &app);
    let program = sandbox.command(&words(&watcher));
    let unshare = Command::new("unshare").args(["--net", "true"]).output();
    let mut alone = match unshare.is_ok_and(|tried| tried.status.success()) {
        true => {
            let mut alone = Command::new("unshare");
            alone.arg("--net").arg(program.get_program()).args(program.get_args());
            alone
        }
        false => program,
    };
    let mut watching = alone.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let shown: Vec<_> = lines.take(3).map(|line| line.unwrap()).collect();
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert!(shown[2].contains("ERROR") && shown[2].contains("task failed"), "{shown:?}");

    // The scraper, which stores what it sees.
    let scraper = command("metrics-scraper", &sandbox, &app);
    let said = sandbox.run(&[&words(&scraper)[..], &["--times", "1"]].concat());
    assert!(said.code == 0 && said.stdout.contains("requests_total"), "{}{}", said.stdout, said.stderr);
    assert_eq!(sandbox.read("history/metrics.jsonl").lines().count(), 1);

    // The report, which reads both and asks the service, and ends.
    let report = command("report", &sandbox, &app);
    let mut report = sandbox.command(&words(&report));
    let output = report.env_remove("THROUGHLINE_STORE").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for section in ["App health", "Live metrics", "Log analysis", "Metrics history"] {
        assert!(text.contains(section), "{section}: {text}");
    }
    assert!(text.contains("requests_total") && text.contains("task failed"), "{text}");
    // Nobody wrote to the logs.
    assert_eq!(sandbox.read("logs/app.log"), logs);
}

#[test]
fn a_report_is_made_before_anything_was_scraped() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("logs")).unwrap();
    sandbox.write("logs/app.log", "{\"message\":\"app ready\"}\n");
    let app = Server::of("requests_total 8\n");
    let report = command("report", &sandbox, &app);
    let mut report = sandbox.command(&words(&report));
    let output = report.env_remove("THROUGHLINE_STORE").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("nothing was scraped yet"), "{text}");
}
