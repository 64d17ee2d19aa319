//! A real prober looks at a real service from outside, and Prometheus answers what the dashboard asks.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use axum::Router;
use serde_json::{Value, json};
use throughline::health::{Check, Health};
use throughline::metrics::Profile;
use throughline::{MemoryStore, Throughline};
use throughline_kit::Kit;

use super::dashboards::{asked, panels};
use super::{may_do_without, run};
use crate::metrics::server::{PATIENCE, SCRAPING, Server};

const PROBER: &str = "prometheus-blackbox-exporter";

/// Tools take a configuration as a file.
fn written(folder: &tempfile::TempDir, name: &str, contents: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_prober_and_prometheus_accept_their_configurations() {
    if may_do_without(PROBER) || may_do_without("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kit = Kit::new(Profile::standard()).job("loan-service").target("https://loans.example.org/livez");
    for file in kit.probes().unwrap() {
        let path = written(&folder, &file.name, &file.contents);
        let said = match &*file.name {
            "blackbox.yaml" => run(PROBER, &["--config.check", &format!("--config.file={path}")]),
            _ => run("promtool", &["check", "config", &path]),
        };
        assert!(said.is_ok(), "{said:?}\n{}", file.contents);
    }
    let wrong = written(&folder, "wrong.yaml", "modules: { http: { probers: http } }");
    assert!(
        run(PROBER, &["--config.check", &format!("--config.file={wrong}")]).is_err(),
        "a mistake is seen"
    );
}

#[test]
fn only_addresses_are_probed() {
    for target in ["loans.example.org", "ftp://loans.example.org", "https://a b", ""] {
        let said = Kit::new(Profile::standard()).target(target).probes().unwrap_err().to_string();
        assert!(said.starts_with(&format!("`{target}` can't be probed")), "{said}");
    }
}

/// A service that says how it is, and the address that the files to deploy have it asked at.
async fn service() -> (Throughline, String) {
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).build().unwrap();
    let health = Health::builder(&throughline).check(Check::store()).build().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, health.add_to(Router::new())).into_future());
    let deployed = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prober/probes.yaml");
    let deployed: Value = serde_saphyr::from_str(&std::fs::read_to_string(deployed).unwrap()).unwrap();
    let target = deployed["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().unwrap();
    (throughline, target.replace("http://app:8080", &format!("http://{address}")))
}

/// A server that speaks TLS, and the file with its certificate, which nobody else vouches for.
fn encrypted(folder: &tempfile::TempDir) -> (Encrypted, String) {
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let request =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=loans";
    let mut request: Vec<_> = request.split(' ').collect();
    request.extend(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &certificate]);
    run("openssl", &request).unwrap();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-www", "-accept", "127.0.0.1:0", "-key", &key, "-cert", &certificate]);
    let mut process = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    // It stands still once nobody reads what it says.
    std::thread::spawn(move || lines.for_each(drop));
    (Encrypted { process, address }, certificate)
}

/// Ends with the test.
struct Encrypted {
    process: Child,
    address: String,
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first value of the answer, as soon as there is one; `None` if there never is.
async fn answered(prometheus: &Server, expr: &str) -> Option<f64> {
    let answer = async {
        loop {
            let answer = prometheus.ask("query", &[("query", expr.to_owned())]).await;
            if let Some(value) = answer["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok())
            {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prober_is_asked_and_what_it_says_is_on_the_dashboard() {
    if may_do_without(PROBER) || may_do_without("prometheus") || may_do_without("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_service, target) = service().await;
    let (encrypted, certificate) = encrypted(&folder);
    let kit =
        Kit::new(Profile::standard()).target(&target).target(format!("https://{}/livez", encrypted.address));
    let files = kit.probes().unwrap();
    let mut modules: Value = serde_saphyr::from_str(&files[0].contents).unwrap();
    modules["modules"]["http"]["http"]["tls_config"] = json!({ "ca_file": certificate });
    let modules = written(&folder, "blackbox.yaml", &modules.to_string());
    let mut prober = Command::new(PROBER);
    prober.arg(format!("--config.file={modules}")).arg("--web.listen-address=127.0.0.1:0");
    let prober = Server::started(prober);
    let files = kit.prober(prober.url.trim_start_matches("http://")).probes().unwrap();
    // As often as a test can wait for.
    let scrapes = files[1].contents.replace("scrape_interval: 15s", "scrape_interval: 1s");
    let jobs: Value = serde_saphyr::from_str(&scrapes).unwrap();
    let prometheus = Server::scraping_also(&prober, folder.path(), SCRAPING, &jobs["scrape_configs"][0]);
    let kit = Kit::new(Profile::standard());
    let mut unanswered = Vec::new();
    for (_, panel) in panels(&kit).into_iter().filter(|(file, _)| file == "uptime.json") {
        for asked_for in panel["targets"].as_array().unwrap() {
            let expr = asked(asked_for["expr"].as_str().unwrap());
            if answered(&prometheus, &expr).await.is_none() {
                unanswered.push(format!("{}: {expr}", panel["title"]));
            }
        }
    }
    assert_eq!(unanswered, Vec::<String>::new());
    for target in [target, format!("https://{}/livez", encrypted.address)] {
        let question = format!(r#"probe_success{{instance="{target}"}}"#);
        assert_eq!(answered(&prometheus, &question).await, Some(1.0), "{target}");
    }
}
