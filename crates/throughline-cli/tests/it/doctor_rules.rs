//! Whether alert rules are about what Prometheus scrapes, and their links lead somewhere.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};

use crate::doctor::{checklist, well_kept};
use crate::sandbox::Sandbox;

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Prometheus that ends with the test.
struct Prometheus {
    process: Child,
    url: String,
}

impl Prometheus {
    /// Starts one that scrapes these services, each under its name; nothing if there is none on this machine and there need not be.
    fn scraping(sandbox: &Sandbox, jobs: &[(&str, &str)]) -> Option<Self> {
        let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
        let is_there = || Command::new("prometheus").arg("--version").output().is_ok();
        if services == "off" || (services != "required" && !is_there()) {
            eprintln!("left out: there is no prometheus");
            return None;
        }
        let job = |(name, url): &(&str, &str)| {
            let target = url.trim_start_matches("http://");
            format!("- {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]}}\n")
        };
        let jobs: String = jobs.iter().map(job).collect();
        sandbox.write("prometheus.yaml", format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}"));
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", sandbox.path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", sandbox.path("scraped").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = log.find_map(|line| {
            line.contains("Listening on").then(|| line.split_once("address=").unwrap().1.trim().to_owned())
        });
        // Its log is read to the end, or it would stand still once the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        Some(Self { process, url: format!("http://{}", address.unwrap()) })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A site with every page but one.
pub(crate) async fn site_without(missing: &'static str) -> String {
    let page = move |uri: Uri| async move {
        if uri.path().ends_with(missing) { StatusCode::NOT_FOUND } else { StatusCode::OK }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().fallback(page)).into_future());
    url
}

fn write_rules(sandbox: &Sandbox, args: &[&str]) {
    let said = sandbox.run(&[&["alerts", "--out", "."], args].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_is_asked_for_the_job_of_the_rules() {
    let sandbox = Sandbox::empty();
    let (service, url) = well_kept(&sandbox).await;
    let (scraped, mut scrapes) = tokio::sync::mpsc::unbounded_channel();
    let _collector = service.meter().on_collect(move || {
        // Nobody counts them any more when the test ends.
        let _ = scraped.send(());
    });
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let Some(prometheus) = Prometheus::scraping(&sandbox, &[("loans", &url), ("payments", &gone)]) else {
        return;
    };
    let seen = |job: &str, prometheus: &str| {
        write_rules(&sandbox, &["--job", job]);
        let (said, _) = checklist(&sandbox, &[], &["--rules", "alerts.yaml", "--prometheus", prometheus]);
        said["job"].clone()
    };
    // When the second scrape begins, the first has been taken in.
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, scrapes.recv()).await.expect("Prometheus scrapes").unwrap();
    }
    assert_eq!(seen("loans", &prometheus.url), ("ok".to_owned(), "`loans`: 1 scraped".to_owned()));
    let failed = |seen: (String, String), reason: &str| {
        assert!(seen.0 == "failed" && seen.1.contains(reason), "{seen:?}");
    };
    failed(seen("loan-service", &prometheus.url), "the job `loan-service`, and Prometheus scrapes none");
    failed(seen("payments", &prometheus.url), &format!("not reached: {gone}"));
    failed(seen("loans", &format!("http://app:hunter2@{gone}")), &gone);
    // A server that is none.
    failed(seen("loans", &url), "not as Prometheus does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_links_of_alerts_are_followed() {
    let sandbox = Sandbox::empty();
    let seen = |args: &[&str]| {
        write_rules(&sandbox, args);
        checklist(&sandbox, &[], &["--rules", "alerts.yaml"]).0["links"].clone()
    };
    let site = site_without("/HighErrorRate.md").await;
    let whole = site_without("/nothing").await;
    let (state, said) = seen(&["--runbooks", &whole, "--grafana", &whole]);
    assert!(state == "ok" && said.ends_with("pages are there"), "{said}");
    let (state, said) = seen(&["--runbooks", &site, "--grafana", &whole]);
    assert!(state == "failed" && said.ends_with("/HighErrorRate.md answers with 404"), "{said}");
    let (state, said) = seen(&["--grafana", &whole]);
    assert!(state == "failed" && said.contains("is no address: docs/runbooks/"), "{said}");
    let (state, said) = seen(&["--runbooks", &whole]);
    assert!(state == "failed" && said.contains("`dashboard_url`"), "{said}");
}
