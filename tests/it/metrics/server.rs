//! A real Prometheus scrapes the service, and can be asked for the runs behind the figures.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use throughline::event::Timestamp;
use throughline::metrics::Prometheus;
use throughline::{MemoryStore, Throughline};

use super::{may_do_without, work};

/// How long something may take that either happens soon or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration that scrapes often, and otherwise leaves everything as it is.
pub(crate) const SCRAPING: &str = "global: {scrape_interval: 1s}";

/// Ends with the test.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts a Prometheus with this configuration that scrapes this address, and waits until it answers questions.
    pub(crate) fn scraping(
        address: std::net::SocketAddr,
        folder: &std::path::Path,
        configured: &str,
    ) -> Self {
        let scrape = format!("[{{job_name: throughline, static_configs: [{{targets: ['{address}']}}]}}]");
        Self::prometheus(folder, &format!("{configured}\nscrape_configs: {scrape}\n"))
    }

    /// Starts a Prometheus with this whole configuration, and waits until it answers questions.
    pub(crate) fn prometheus(folder: &std::path::Path, configuration: &str) -> Self {
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, configuration).unwrap();
        let mut prometheus = Command::new("prometheus");
        prometheus
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .args(["--enable-feature=exemplar-storage", "--web.listen-address=127.0.0.1:0"]);
        Self::started(prometheus)
    }

    /// The same, of the page of another server, with one more job of this configuration.
    pub(crate) fn scraping_also(
        other: &Self,
        folder: &std::path::Path,
        configured: &str,
        job: &Value,
    ) -> Self {
        let address = other.url.trim_start_matches("http://");
        let own =
            serde_json::json!({ "job_name": "throughline", "static_configs": [{ "targets": [address] }] });
        Self::prometheus(folder, &format!("{configured}\nscrape_configs: [{own}, {job}]\n"))
    }

    /// Starts a server that says where it listens, and waits until it does.
    pub(crate) fn started(mut server: Command) -> Self {
        let mut process = server
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server runs: install it, or set THROUGHLINE_SERVICES=off");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = Vec::new();
        let address = log.find_map(|line| {
            let address =
                line.contains("Listening on").then(|| line.split_once("address=").unwrap().1.to_owned());
            said.push(line);
            address
        });
        // Its log is read to the end, or it would stand still once the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        assert!(address.is_some(), "the server does not listen:\n{}", said.join("\n"));
        let address = address.unwrap();
        Self { process, url: format!("http://{}", address.trim()) }
    }

    pub(crate) async fn ask(&self, question: &str, parameters: &[(&str, String)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{question}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_the_figures_and_the_runs_behind_them() {
    let is_there = || Command::new("prometheus").arg("--version").output().is_ok();
    if may_do_without("prometheus", is_there) {
        return;
    }
    let prometheus = Prometheus::new();
    let throughline =
        Throughline::builder("loan-service").store(MemoryStore::new()).metrics(&prometheus).build().unwrap();
    let (scraped, mut scrapes) = tokio::sync::mpsc::unbounded_channel();
    let _collector = throughline.meter().on_collect(move || {
        // Nobody counts them any more when the test ends.
        let _ = scraped.send(());
    });
    let runs = work(&throughline).await;
    let page = prometheus.serve(([127, 0, 0, 1], 0)).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let server = Server::scraping(page.local_addr(), folder.path(), SCRAPING);
    // When the second scrape begins, the first has been taken in.
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, scrapes.recv()).await.expect("Prometheus scrapes").unwrap();
    }
    let targets = server.ask("targets", &[]).await;
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets:#}");
    let count = "sum(throughline_workflow_duration_seconds_count)";
    let sum = server.ask("query", &[("query", count.to_owned())]).await;
    assert_eq!(sum["result"][0]["value"][1], "20", "{sum:#}");

    let now = Timestamp::now().as_micros() / 1_000_000;
    let exemplars = server
        .ask(
            "query_exemplars",
            &[
                ("query", "throughline_workflow_duration_seconds_bucket".to_owned()),
                ("start", (now - 3600).to_string()),
                ("end", (now + 3600).to_string()),
            ],
        )
        .await;
    let trace = exemplars[0]["exemplars"][0]["labels"]["trace_id"].as_str().unwrap_or_default().to_owned();
    assert!(runs.contains(&trace), "{exemplars:#}");
    page.shutdown().await;
    throughline.shutdown(Duration::from_secs(5)).await;
}
