//! [`Tape`]: what a real recorder shows of what is recorded, minute by minute, as the tests of `promtool` take it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use throughline::metrics::catalogue::Metric;
use throughline::metrics::{
    Counter, ExpositionFormat, Gauge, Histogram, Meter, MetricsServer, Profile, Prometheus,
};
use throughline::{MemoryStore, Throughline};

/// Records into a recorder with the names of a profile, and keeps every scrape.
pub(super) struct Tape {
    prometheus: Prometheus,
    throughline: Throughline,
    /// The values of each series, and when the first of them was seen.
    series: BTreeMap<String, (usize, Vec<f64>)>,
    scrapes: usize,
    /// What Prometheus says of the target; nothing if it does not know it.
    pub(super) up: Option<bool>,
    ups: Vec<Option<bool>>,
    probed: Probed,
}

/// What a prober says of a target, as long as there is one; each value by the name of its series.
type Probed = Arc<Mutex<BTreeMap<&'static str, f64>>>;

/// When a certificate expires is the only one that is a time.
pub(super) const EXPIRES: &str = "probe_ssl_earliest_cert_expiry";

impl Tape {
    pub(super) fn new(profile: Profile) -> Self {
        let prometheus = Prometheus::builder().profile(profile).process(false).build().unwrap();
        let throughline =
            Throughline::builder("kit").store(MemoryStore::new()).metrics(&prometheus).build().unwrap();
        Self {
            prometheus,
            throughline,
            series: BTreeMap::new(),
            scrapes: 0,
            up: Some(true),
            ups: Vec::new(),
            probed: Probed::default(),
        }
    }

    fn meter(&self) -> &Meter {
        self.throughline.meter()
    }

    pub(super) fn count<const N: usize>(
        &self,
        metric: &'static Metric<Counter, N>,
        labels: [&str; N],
        by: u64,
    ) {
        self.meter().counter(metric).with(labels).increment(by);
    }

    pub(super) fn set<const N: usize>(&self, metric: &'static Metric<Gauge, N>, labels: [&str; N], to: f64) {
        self.meter().gauge(metric).with(labels).set(to);
    }

    pub(super) fn time<const N: usize>(
        &self,
        metric: &'static Metric<Histogram, N>,
        labels: [&str; N],
        times: usize,
        seconds: f64,
    ) {
        // What never happened has no series.
        (0..times).for_each(|_| self.meter().histogram(metric).with(labels).record(seconds));
    }

    /// What the prober says of the target from now on.
    pub(super) fn probe(&self, series: &'static str, says: f64) {
        self.probed.lock().unwrap().insert(series, says);
    }

    /// Serves the page, for a real Prometheus to scrape.
    pub(super) async fn serve(&self) -> MetricsServer {
        self.prometheus.serve(([127, 0, 0, 1], 0)).await.unwrap()
    }

    /// Serves what the prober says, for a real Prometheus to scrape; nobody answers while it is not `up`.
    pub(super) async fn serve_probes(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let probed = Arc::clone(&self.probed);
        let page = move || {
            let probed = probed.lock().unwrap();
            let mut page = String::new();
            for (name, value) in &*probed {
                // Here the clock of the tape is the real one. Between a scrape and the rule time passes.
                let since = if *name == EXPIRES { now() + 30.0 } else { 0.0 };
                let _ = writeln!(page, "{name} {}", value + since);
            }
            let is_up = probed.get("up") != Some(&0.0);
            std::future::ready(if is_up { Ok(page) } else { Err(StatusCode::SERVICE_UNAVAILABLE) })
        };
        let app = axum::Router::new().route("/metrics", get(page));
        tokio::spawn(axum::serve(listener, app).into_future());
        address
    }

    /// Whether there is a prober.
    pub(super) fn is_probed(&self) -> bool {
        !self.probed.lock().unwrap().is_empty()
    }

    /// Keeps what the page shows now.
    pub(super) fn scrape(&mut self) {
        for line in
            self.prometheus.render(ExpositionFormat::Text).lines().filter(|line| !line.starts_with('#'))
        {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            let separator = if labels == "}" { "" } else { "," };
            let name = format!(r#"{name}{{job="throughline",instance="one"{separator}{labels}"#);
            let (_, values) = self.series.entry(name).or_insert((self.scrapes, Vec::new()));
            values.push(value.parse().unwrap());
        }
        for (name, value) in &*self.probed.lock().unwrap() {
            let name = format!(r#"{name}{{job="throughline-probe",instance="https://loans.example.org"}}"#);
            let (_, values) = self.series.entry(name).or_insert((self.scrapes, Vec::new()));
            values.push(*value);
        }
        self.ups.push(self.up);
        self.scrapes += 1;
    }

    /// How many scrapes there were.
    pub(super) fn scrapes(&self) -> usize {
        self.scrapes
    }

    /// The number of the last scrape.
    pub(super) fn last(&self) -> usize {
        self.scrapes - 1
    }

    /// Everything that was seen.
    pub(super) fn play(&self) -> Vec<Value> {
        let series = self.series.iter().map(|(name, (since, values))| {
            let before = std::iter::repeat_n("_".to_owned(), *since);
            let values: Vec<_> = before.chain(values.iter().map(f64::to_string)).collect();
            json!({ "series": name, "values": values.join(" ") })
        });
        let up = |up: &Option<bool>| up.map_or("stale", |up| if up { "1" } else { "0" });
        let ups: Vec<_> = self.ups.iter().map(up).collect();
        let ups = json!({ "series": r#"up{job="throughline",instance="one"}"#, "values": ups.join(" ") });
        series.chain([ups]).collect()
    }
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
