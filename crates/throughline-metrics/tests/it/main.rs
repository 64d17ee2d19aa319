//! What the recorder promises, beyond what its parts do.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod bounded;
mod catalogue;
mod docs;
mod exemplars;
mod facade;
mod scrape;

use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Redaction, Throughline};
use throughline_metrics::Prometheus;

/// A client that asks no proxy: everything is on this machine.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A recorder that measures nothing by itself.
fn quiet() -> Prometheus {
    Prometheus::builder().process(false).build().unwrap()
}

/// A handle that records into it.
fn recorded_by(prometheus: &Prometheus) -> Throughline {
    Throughline::builder("loan-service")
        .store(MemoryStore::new())
        .redaction(Redaction::standard().pseudonym_key("sixteen bytes and more"))
        .metrics(Metrics::from(prometheus))
        .build()
        .unwrap()
}

/// The lines of a page that begin like this.
fn lines<'a>(page: &'a str, beginning: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(beginning)).collect()
}
