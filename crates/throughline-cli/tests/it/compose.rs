//! `deploy/compose.yaml`: its profiles, and its very commands, started as processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

/// The command of a service, with its paths and its address replaced by those of a sandbox and a service.
fn command(name: &str, sandbox: &Sandbox, app: &str) -> Vec<String> {
    let replaced = |word: String| {
        let word = word.replace("http://app:8080", app);
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
        compose.current_dir(deploy()).env("APP_IMAGE", "loan-service:1.4");
        let Ok(output) = compose.output() else {
            let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
            assert!(!required, "docker-compose is missing: `apt-get install docker-compose`");
            eprintln!("left out: without docker-compose the file is read by this test alone");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let without = compose.env_remove("APP_IMAGE").output().unwrap();
        let said = String::from_utf8_lossy(&without.stderr);
        assert!(!without.status.success() && said.contains("the image of the service"), "{said}");
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

/// The service of the file, as a process of its own.
struct App {
    process: Child,
    port: u16,
}

impl App {
    fn start(log: &Path) -> Self {
        let mut python = Command::new("python3");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/compose/app.py");
        let mut process = python.arg(source).arg(log).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = said.next().unwrap().unwrap().parse().unwrap();
        Self { process, port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it answers to what is sent to it: its status and its body.
    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(connection, "POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How this user makes namespaces in which a folder can only be read, if at all.
fn namespaces(logs: &Path) -> Option<&'static [&'static str]> {
    let may = |options: &[&str]| {
        let tried = confined(&Command::new("true"), options, logs, false).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let options = [&[][..], &["--map-root-user"]].into_iter().find(|options| may(options));
    if options.is_none() {
        eprintln!("left out: this user may not make namespaces, so nothing is kept from the commands");
    }
    options
}

/// The same command where it can only read the volume of logs, and has no network if it is to have none.
fn confined(command: &Command, namespaces: &[&str], logs: &Path, has_network: bool) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(namespaces).arg("--mount").args((!has_network).then_some("--net"));
    let read_only = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null && exec "$@""#;
    unshare.args(["sh", "-c", read_only]).arg(logs);
    unshare.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        unshare.current_dir(folder);
    }
    unshare.env_remove("THROUGHLINE_STORE");
    unshare
}

#[test]
fn the_commands_of_the_file_watch_a_service_as_processes() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|said| said.status.success()) {
        let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
        assert!(!required, "python3 is missing: `apt-get install python3`");
        eprintln!("left out: there is no python3 for the service");
        return;
    }
    let sandbox = Sandbox::empty();
    let logs = sandbox.path("logs");
    fs::create_dir(&logs).unwrap();
    let app = App::start(&logs.join("app.log"));
    let namespaces = namespaces(&logs);
    let started = |name: &str, has_network: bool, more: &[&str]| {
        let mut words = command(name, &sandbox, &app.url(""));
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let mut plain = sandbox.command(&self::words(&words));
        plain.env_remove("THROUGHLINE_STORE");
        match namespaces {
            Some(namespaces) => confined(&plain, namespaces, &logs, has_network),
            None => plain,
        }
    };

    // The log watcher is there before anything happens, in a network namespace without interfaces.
    let mut watching = started("log-watcher", false, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(shown.next().unwrap().contains("app ready"));
    for task in ["a", "b"] {
        let done = app.post("/process", &format!(r#"{{"task":"{task}"}}"#));
        assert_eq!(done, (200, serde_json::json!({ "done": task })));
    }
    assert_eq!(app.post("/fail", r#"{"reason":"oops"}"#), (500, serde_json::json!({ "error": "oops" })));
    let last = shown.by_ref().nth(2).unwrap();
    assert!(last.contains("ERROR") && last.contains("task failed") && last.contains("oops"), "{last}");
    assert!(watching.try_wait().unwrap().is_none(), "it goes on");
    watching.kill().unwrap();
    watching.wait().unwrap();
    let written = sandbox.read("logs/app.log");
    assert_eq!(written.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 4);

    // The scraper, which stores what it sees.
    for _ in 0..2 {
        let said = started("metrics-scraper", true, &["--times", "1"]).output().unwrap();
        let text = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        assert!(said.status.success() && text.contains("requests_total"), "{text}");
    }
    let history = sandbox.read("history/metrics.jsonl");
    let scrapes: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(scrapes.len(), 2);
    assert!(scrapes.iter().all(|scrape| scrape["up"] == true), "{history}");

    // The report, which reads both and asks the service, and ends.
    let output = started("report", true, &[]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let section = |title: &str| {
        let (_, rest) = text.split_once(title).unwrap_or_else(|| panic!("{title}: {text}"));
        rest.split("\n\n").next().unwrap().to_owned()
    };
    let health = section("App health");
    assert!(health.contains("status    ok") && health.contains("uptime_s"), "{health}");
    let metrics = section("Live metrics");
    assert!(metrics.contains("requests_total") && metrics.contains("33.3%"), "{metrics}");
    let analysis = section("Log analysis");
    assert!(analysis.contains("ERROR") && analysis.contains("task failed: oops"), "{analysis}");
    assert!(section("Metrics history").contains("Scrapes  2"), "{text}");
    // Nobody wrote to the logs.
    assert_eq!(sandbox.read("logs/app.log"), written);
}

#[test]
fn a_report_is_made_before_anything_was_scraped() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("logs")).unwrap();
    sandbox.write("logs/app.log", "{\"message\":\"app ready\"}\n");
    let app = Server::of("requests_total 8\n");
    let report = command("report", &sandbox, &app.url(""));
    let mut report = sandbox.command(&words(&report));
    let output = report.env_remove("THROUGHLINE_STORE").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("nothing was scraped yet"), "{text}");
}
