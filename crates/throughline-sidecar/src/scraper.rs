//! [`Scraper`]: asks a target for its page.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::Agent;

use crate::snapshot::{Memory, Snapshot, read};

/// The largest page that is read.
const LARGEST: u64 = 256 << 20;
/// OpenMetrics where it is to be had, as Prometheus asks for it.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Asks a target for its page of metrics, and says what is new since it asked last.
///
/// What is remembered between two scrapes is a number for each series of a counter. A target that does not answer changes
/// nothing of that, so that what happened while it could not be reached counts as new when it is back.
pub struct Scraper {
    url: String,
    target: String,
    agent: Agent,
    memory: Memory,
}

impl fmt::Debug for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraper").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Scraper {
    /// A scraper of this page, which waits for an answer no longer than that.
    pub fn new(url: &str, timeout: Duration) -> Self {
        Self {
            url: url.to_owned(),
            target: without_secrets(url),
            agent: agent(timeout),
            memory: Memory::new(),
        }
    }

    /// Scrapes once. A target that does not answer is a snapshot, too.
    pub fn scrape(&mut self) -> Snapshot {
        let start = Instant::now();
        let page = self.page();
        self.compared(page, start)
    }

    /// Reads a page of the target that somebody else asked for, as if it had been scraped.
    pub fn read(&mut self, page: impl BufRead) -> Snapshot {
        self.compared(Ok(page), Instant::now())
    }

    fn compared(&mut self, page: Result<impl BufRead, String>, start: Instant) -> Snapshot {
        let at = Timestamp::now();
        let now = at.as_duration().as_secs_f64();
        let read = page.and_then(|page| read(page, &mut self.memory, now).map_err(|error| error.to_string()));
        let read = read.and_then(|page| match page.summary.samples == 0 && page.summary.malformed > 0 {
            true => Err("what it answers is no page of metrics".to_owned()),
            false => Ok(page),
        });
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut snapshot = Snapshot {
            at: format!("{at:.3}"),
            target: self.target.clone(),
            up: read.is_ok(),
            error: None,
            took_ms,
            uptime_seconds: None,
            restarted: false,
            series: 0,
            malformed: 0,
            left_out: 0,
            families: Vec::new(),
        };
        match read {
            Ok(page) => {
                snapshot.uptime_seconds = page.uptime_seconds;
                snapshot.restarted = page.restarted;
                snapshot.series = page.summary.samples;
                snapshot.malformed = page.summary.malformed;
                snapshot.left_out = page.left_out;
                snapshot.families = page.families;
            }
            Err(error) => snapshot.error = Some(error),
        }
        snapshot
    }

    fn page(&self) -> Result<BufReader<impl io::Read + use<>>, String> {
        let answer = self.agent.get(&self.url).header("Accept", ACCEPT).call();
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers with status {}", answer.status().as_u16()));
        }
        let page = answer.into_body().into_with_config().limit(LARGEST).reader();
        Ok(BufReader::with_capacity(64 * 1024, page))
    }
}

/// What asks over HTTP, without a proxy: what it asks is near.
pub(crate) fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .proxy(None)
        .user_agent("throughline")
        .build()
        .new_agent()
}

/// An address without what may be secret in it: user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}
