//! [`Prometheus`]: asks a server what it has scraped.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use crate::address::{reason, without_secrets};
use crate::scraper::agent;

/// How much of an answer is read.
const LARGEST: u64 = 16 << 20;

/// A server of Prometheus, asked by its
/// [HTTP API](https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries).
pub struct Prometheus {
    url: String,
    shown: String,
    agent: Agent,
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// A series, and its value now.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    /// The server at this address, such as `http://localhost:9090`; it is waited for no longer than that.
    pub fn new(url: &str, timeout: Duration) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { shown: without_secrets(&url), url, agent: agent(timeout) }
    }

    /// The series that a query finds now.
    ///
    /// # Errors
    /// Why there is no answer, or what is wrong with the query, as the server says it.
    pub fn query(&self, query: &str) -> Result<Vec<Sample>, String> {
        let url = format!("{}/api/v1/query", self.url);
        let named = |error: String| format!("{}: {error}", self.shown);
        let mut answer =
            self.agent.get(&url).query("query", query).call().map_err(|error| named(reason(&error)))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|error| named(reason(&error)))?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| named(format!("it answers with {status}, and not as Prometheus does")))?;
        if let Some(error) = answer.error {
            return Err(named(error));
        }
        let sample = |series: Series| Sample {
            labels: series.metric,
            // Prometheus writes numbers as Rust reads them, but for `+Inf`, which Rust reads as well.
            value: series.value.1.parse().unwrap_or(f64::NAN),
        };
        Ok(answer.data.result.into_iter().map(sample).collect())
    }
}
