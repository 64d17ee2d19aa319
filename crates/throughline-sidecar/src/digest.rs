//! [`Digest`]: what a history of scrapes says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::page::Kind;
use crate::snapshot::Snapshot;

/// How many targets of one history are told apart.
const MOST_TARGETS: usize = 100;
/// How many names of metrics are kept of all targets.
const MOST_NAMES: usize = 20_000;
/// How old the last scrape may be, and how many times the time between two, to say how the target is now.
const CURRENT: (Duration, u32) = (Duration::from_secs(5 * 60), 3);

/// What the history of one target says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Digest {
    /// The target.
    pub target: String,
    /// How often it was scraped.
    pub scrapes: u64,
    /// How often it did not answer.
    pub away: u64,
    /// How often its process started again.
    pub restarts: u64,
    /// When it was scraped first.
    pub first: String,
    /// When it was scraped last.
    pub last: String,
    /// Whether it answered then.
    pub up: bool,
    /// Whether that is recent enough to say how it is now: otherwise nobody scrapes it any more.
    pub current: bool,
    /// How much each counter and histogram grew in that time, by name; what started again counts from zero.
    pub increases: BTreeMap<String, f64>,
}

/// The digests of a history that is being read.
#[derive(Debug, Default)]
pub struct Digests {
    targets: BTreeMap<String, Target>,
    names: usize,
}

#[derive(Debug)]
struct Target {
    digest: Digest,
    scraped: Option<Timestamp>,
    /// The shortest time between two scrapes.
    every: Option<Duration>,
}

impl Digests {
    /// No digest yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a snapshot, which is later than those before.
    pub fn add(&mut self, snapshot: &Snapshot) {
        if self.targets.len() >= MOST_TARGETS && !self.targets.contains_key(&snapshot.target) {
            return;
        }
        let target = self.targets.entry(snapshot.target.clone()).or_insert_with(|| Target::new(snapshot));
        let digest = &mut target.digest;
        digest.scrapes += 1;
        digest.away += u64::from(!snapshot.up);
        digest.restarts += u64::from(snapshot.restarted);
        digest.last.clone_from(&snapshot.at);
        digest.up = snapshot.up;
        for family in &snapshot.families {
            if matches!(family.kind, Kind::Gauge | Kind::Unknown) {
                continue;
            }
            if !digest.increases.contains_key(&family.name) {
                if self.names >= MOST_NAMES {
                    continue;
                }
                self.names += 1;
            }
            // Of the first scrape of a scraper it is not known what is new.
            *digest.increases.entry(family.name.clone()).or_default() += family.increase.unwrap_or(0.0);
        }
        target.see(snapshot);
    }

    /// The digests at this moment, by target.
    pub fn finish(self, now: Timestamp) -> Vec<Digest> {
        self.targets.into_values().map(|target| target.finish(now)).collect()
    }
}

impl Target {
    fn new(first: &Snapshot) -> Self {
        let digest = Digest {
            target: first.target.clone(),
            scrapes: 0,
            away: 0,
            restarts: 0,
            first: first.at.clone(),
            last: String::new(),
            up: false,
            current: false,
            increases: BTreeMap::new(),
        };
        Self { digest, scraped: None, every: None }
    }

    fn see(&mut self, snapshot: &Snapshot) {
        let at: Option<Timestamp> = snapshot.at.parse().ok();
        if let Some((before, at)) = self.scraped.zip(at) {
            let between = Duration::try_from(at.duration_since(before)).ok();
            self.every = self.every.into_iter().chain(between).min();
        }
        self.scraped = at.or(self.scraped);
    }

    fn finish(self, now: Timestamp) -> Digest {
        let (age, times) = CURRENT;
        let may_be = self.every.unwrap_or_default().saturating_mul(times).max(age);
        // What a clock that is ahead wrote is new.
        let current = self
            .scraped
            .is_some_and(|at| Duration::try_from(now.duration_since(at)).map_or(true, |old| old <= may_be));
        Digest { current, ..self.digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Family;

    fn digest_at(now: &str, scraped: &[&str]) -> Digest {
        let mut digests = Digests::new();
        for at in scraped {
            digests.add(&Snapshot::away("http://app/metrics", at, "connection refused"));
        }
        digests.finish(now.parse().unwrap()).remove(0)
    }

    #[test]
    fn the_last_scrape_says_how_a_target_is_for_as_long_as_others_would_have_followed() {
        let twice = ["2026-03-01T09:00:00.000Z", "2026-03-01T09:00:05.000Z"];
        assert!(digest_at("2026-03-01T09:05:05Z", &twice).current);
        assert!(!digest_at("2026-03-01T09:05:06Z", &twice).current);
        // One that is scraped once in ten minutes.
        let rarely = ["2026-03-01T09:00:00.000Z", "2026-03-01T09:10:00.000Z", "2026-03-01T10:00:00.000Z"];
        assert!(digest_at("2026-03-01T10:30:00Z", &rarely).current);
        assert!(!digest_at("2026-03-01T10:30:01Z", &rarely).current);
        assert!(digest_at("2026-03-01T08:59:00Z", &twice).current);
        assert!(!digest_at("2026-03-01T09:00:00Z", &["yesterday"]).current);
    }

    #[test]
    fn the_names_of_a_history_are_bounded() {
        let mut digests = Digests::new();
        for n in 0..3 {
            let mut snapshot = Snapshot::away("http://app/metrics", "2026-03-01T09:00:00.000Z", "");
            snapshot.families = (0..MOST_NAMES)
                .map(|m| Family {
                    name: format!("m{n}_{m}"),
                    kind: Kind::Counter,
                    series: 1,
                    value: 1.0,
                    increase: Some(1.0),
                    errors: None,
                    percentiles: None,
                })
                .collect();
            digests.add(&snapshot);
        }
        assert_eq!(digests.targets["http://app/metrics"].digest.increases.len(), MOST_NAMES);
    }
}
