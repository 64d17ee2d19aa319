//! [`Digest`]: what a history of scrapes says.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::page::Kind;
use crate::snapshot::Snapshot;

/// How many targets of one history are told apart.
const MOST_TARGETS: usize = 100;

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
    /// How much each counter and histogram grew in that time, by name; what started again counts from zero.
    pub increases: BTreeMap<String, f64>,
}

/// The digests of a history that is being read.
#[derive(Debug, Default)]
pub struct Digests(BTreeMap<String, Digest>);

impl Digests {
    /// No digest yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a snapshot, which is later than those before.
    pub fn add(&mut self, snapshot: &Snapshot) {
        if self.0.len() >= MOST_TARGETS && !self.0.contains_key(&snapshot.target) {
            return;
        }
        let digest = self.0.entry(snapshot.target.clone()).or_insert_with(|| Digest {
            target: snapshot.target.clone(),
            scrapes: 0,
            away: 0,
            restarts: 0,
            first: snapshot.at.clone(),
            last: String::new(),
            up: false,
            increases: BTreeMap::new(),
        });
        digest.scrapes += 1;
        digest.away += u64::from(!snapshot.up);
        digest.restarts += u64::from(snapshot.restarted);
        digest.last.clone_from(&snapshot.at);
        digest.up = snapshot.up;
        for family in &snapshot.families {
            if !matches!(family.kind, Kind::Gauge | Kind::Unknown) {
                // Of the first scrape of a scraper it is not known what is new.
                *digest.increases.entry(family.name.clone()).or_default() += family.increase.unwrap_or(0.0);
            }
        }
    }

    /// The digests, by target.
    pub fn finish(self) -> Vec<Digest> {
        self.0.into_values().collect()
    }
}
