//! Every alert fires in a real Prometheus, and a real Alertmanager tells those who ought to hear of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use throughline::metrics::Profile;
use throughline_kit::Kit;

use super::alerts::alone;
use super::cases::{Case, cases};
use super::may_do_without;
use super::routing::{Told, alertmanager, phones, start};
use super::tape::Tape;
use crate::metrics::server::Server;

/// By how much all times are shorter: five minutes are five seconds.
const FASTER: u32 = 60;
/// How often something happens in each service, which is scraped half as often.
const TICK: Duration = Duration::from_millis(500);
/// How long everything is only just well before it is not; where that is compared with a day before, longer.
const QUIET: Duration = Duration::from_secs(10);
const DAY_BEFORE: Duration = Duration::from_secs(75);

/// A scrape that is late on a busy machine has what must last begin anew.
const LONGEST: Duration = Duration::from_secs(600);

/// What the questions in these runbooks look back to is longer ago than the services are old.
const NEED_A_PAST: [&str; 4] =
    ["LowSessions", "UnusualDuration", "UnusualFailures", "WorkflowExecutionStalled"];

/// A service of its own for an alert, so that no trouble hides another.
struct Service {
    case: Case,
    tape: Tape,
    tick: [usize; 2],
}

impl Service {
    fn job(&self) -> String {
        self.case.alert.to_lowercase()
    }

    fn quiet(&self) -> Duration {
        if self.case.alert.starts_with("Unusual") { DAY_BEFORE } else { QUIET }
    }

    /// Whether Prometheus is to scrape it; one that is away it knows from the beginning.
    fn is_away(&self) -> bool {
        self.case.alert == "SidecarTransportFailure"
    }

    fn goes_on(&mut self, since: Duration) {
        let phase = usize::from(since > self.quiet());
        (self.case.record)(&mut self.tape, phase, self.tick[phase]);
        self.tick[phase] += 1;
    }

    /// What the runbook of its alert asks Prometheus, about its job.
    fn question(&self) -> String {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
        let page = std::fs::read_to_string(page.join(format!("{}.md", self.case.alert))).unwrap();
        let (_, block) = page.split_once("```promql\n").unwrap();
        let (question, _) = block.split_once("\n```").unwrap();
        // Or about the job of its prober, whose name goes on.
        question.replace(r#"job="throughline"#, &format!(r#"job="{}"#, self.job()))
    }

    /// The rule of its alert alone, for its job.
    fn rule(&self) -> String {
        let kit = Kit::new(Profile::standard()).job(self.job()).faster(FASTER);
        let mut rules = alone(&kit.alerts().unwrap().contents, self.case.alert);
        for group in rules["groups"].as_array_mut().unwrap() {
            group["name"] = format!("{} {}", self.job(), group["name"].as_str().unwrap()).into();
        }
        rules.to_string()
    }
}

/// One service for each alert.
fn services() -> Vec<Service> {
    let mut known = BTreeSet::new();
    let cases = cases().into_iter().filter(|case| known.insert(case.alert));
    cases.map(|case| Service { case, tape: Tape::new(Profile::standard()), tick: [0, 0] }).collect()
}

/// Who hears of an alert at any hour.
fn receivers(severity: &str) -> &'static [&'static str] {
    if severity == "critical" { &["oncall-primary", "slack-alerts"] } else { &["slack-alerts"] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_fires_in_a_real_prometheus_and_reaches_its_receivers() {
    if may_do_without("prometheus") || may_do_without(alertmanager()) {
        return;
    }
    let (url, mut told) = phones().await;
    let (rules, people) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let routing = Kit::new(Profile::standard()).faster(FASTER).webhook(url).routing().unwrap().contents;
    let manager = start(people.path(), &routing);
    let mut services = services();
    let mut pages = Vec::new();
    let mut configuration = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['*.rules.json']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\nscrape_configs:\n",
        manager.url.strip_prefix("http://").unwrap(),
    );
    for service in &mut services {
        let page = service.tape.serve().await;
        let (job, address) = (service.job(), page.local_addr());
        let mut scrape = |job: &str, address: SocketAddr| {
            let _ = writeln!(
                configuration,
                "- {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}"
            );
        };
        scrape(&job, address);
        service.goes_on(Duration::ZERO);
        if service.tape.is_probed() {
            scrape(&format!("{job}-probe"), service.tape.serve_probes().await);
        }
        std::fs::write(rules.path().join(format!("{job}.rules.json")), service.rule()).unwrap();
        match service.is_away() {
            true => page.shutdown().await,
            false => pages.push(page),
        }
    }
    let mut awaited: BTreeSet<_> = services
        .iter()
        .flat_map(|service| receivers(service.case.severity).iter().map(|who| (*who, service.case.alert)))
        .collect();
    let server = Server::prometheus(rules.path(), &configuration);

    let began = Instant::now();
    let mut early = Vec::new();
    let mut pace = tokio::time::interval(TICK);
    while !awaited.is_empty() {
        assert!(began.elapsed() < LONGEST, "nobody was told: {awaited:?}");
        pace.tick().await;
        services.iter_mut().for_each(|service| service.goes_on(began.elapsed()));
        while let Ok(said) = told.try_recv() {
            let (receiver, alert, status): &Told = &said;
            let service = services.iter().find(|service| service.case.alert == *alert);
            let service = service.unwrap_or_else(|| panic!("{said:?}"));
            let allowed = receivers(service.case.severity).contains(&receiver.as_str())
                || (service.case.severity == "warning" && receiver == "oncall-secondary");
            assert!(
                allowed,
                "{alert} reached {receiver}, which is not for what is {}",
                service.case.severity
            );
            // A scrape in the middle of a tick sees a share that is none; what has to last is not told of it.
            let has_to_last = service.case.lasting > 0 && !service.is_away();
            if status == "firing" && has_to_last && began.elapsed() < service.quiet() {
                early.push(said.clone());
            }
            awaited.retain(|one| *one != (receiver.as_str(), alert.as_str()));
        }
    }
    assert!(early.is_empty(), "just below their bounds: {early:?}");
    for service in &services {
        let answer = server.ask("query", &[("query", service.question())]).await;
        let is_answered = answer["result"] != serde_json::json!([]);
        let needs_a_past = NEED_A_PAST.contains(&service.case.alert);
        assert!(
            is_answered || needs_a_past,
            "the question in the runbook of {}: {answer}",
            service.case.alert
        );
    }
    for page in pages {
        page.shutdown().await;
    }
}
