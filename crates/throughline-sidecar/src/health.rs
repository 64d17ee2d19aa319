//! [`Health`]: what a service says of itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::address::{origin, reason, without_secrets};
use crate::scraper::agent;

/// Where services say how they are, the most telling first.
const PATHS: [&str; 4] = ["/health/ready", "/readyz", "/health", "/healthz"];
/// How long a service is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const LARGEST: u64 = 64 * 1024;
/// How many facts of an answer are kept.
const MOST_FACTS: usize = 12;

/// What a service says of itself, when asked over the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// What was asked, without user, password and query.
    pub url: String,
    /// Whether it answered that it is well.
    pub ok: bool,
    /// The status of its answer; `null` if there was none.
    pub status: Option<u16>,
    /// How long that took.
    pub took_ms: u64,
    /// What its answer says: the fields of its JSON that are texts, numbers or truths.
    pub facts: BTreeMap<String, String>,
    /// Why there was no answer.
    pub error: Option<String>,
}

impl Health {
    /// Asks this address.
    pub fn ask(url: &str) -> Self {
        Self::ask_as(url, without_secrets(url))
    }

    fn ask_as(url: &str, shown: String) -> Self {
        let start = Instant::now();
        let mut health =
            Self { url: shown, ok: false, status: None, took_ms: 0, facts: BTreeMap::new(), error: None };
        match agent(TIMEOUT).get(url).call() {
            Ok(mut answer) => {
                health.status = Some(answer.status().as_u16());
                health.ok = answer.status().is_success();
                let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().unwrap_or_default();
                health.facts = facts(&body);
            }
            Err(error) => health.error = Some(reason(&error)),
        }
        health.took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        health
    }

    /// Asks the service that has this page, wherever such services say how they are: `/health/ready`, `/readyz`, `/health` or
    /// `/healthz`. `None` if it has none of them.
    pub fn of_service(page: &str) -> Option<Self> {
        // The service is asked where the page is, and shown as the page is.
        let shown = without_secrets(page);
        let (asked, shown) = (origin(page)?, origin(&shown)?);
        PATHS
            .iter()
            .map(|path| Self::ask_as(&format!("{asked}{path}"), format!("{shown}{path}")))
            .find(|health| health.status != Some(404))
    }
}

fn facts(body: &[u8]) -> BTreeMap<String, String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return BTreeMap::new() };
    let plain = fields.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(_) | Value::Bool(_) => Some((name, value.to_string())),
        _ => None,
    });
    plain.take(MOST_FACTS).collect()
}
