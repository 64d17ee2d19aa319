//! [`Scraper`]: asks a target for its page.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::Agent;

use crate::address::{reason, without_secrets};
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
        let snapshot = Snapshot::away(&self.target, &format!("{at:.3}"), "");
        match read {
            Ok(page) => Snapshot {
                up: true,
                error: None,
                took_ms,
                uptime_seconds: page.uptime_seconds,
                restarted: page.restarted,
                series: page.summary.samples,
                malformed: page.summary.malformed,
                left_out: page.left_out,
                families: page.families,
                ..snapshot
            },
            Err(error) => Snapshot { error: Some(error), took_ms, ..snapshot },
        }
    }

    fn page(&self) -> Result<BufReader<impl io::Read + use<>>, String> {
        let answer = self.agent.get(&self.url).header("Accept", ACCEPT).call();
        let answer = answer.map_err(|error| reason(&error))?;
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
