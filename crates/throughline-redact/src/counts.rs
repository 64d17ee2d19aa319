//! How often something was put in place of something else, by kind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::marker;

/// A counter for each mark.
#[derive(Debug)]
pub(crate) struct Counts {
    standard: [AtomicU64; marker::STANDARD.len()],
    pseudonyms: AtomicU64,
    /// With the marks of patterns.
    own: Vec<(String, AtomicU64)>,
}

impl Counts {
    /// Counts the marks that everybody has, and these of patterns.
    pub(crate) fn of(own: &[String]) -> Self {
        Self {
            standard: std::array::from_fn(|_| AtomicU64::default()),
            pseudonyms: AtomicU64::default(),
            own: own.iter().map(|mark| (mark.clone(), AtomicU64::default())).collect(),
        }
    }

    /// Counts a mark.
    pub(crate) fn add(&self, mark: &str) {
        // Most marks stand in no quotes.
        let mark = if mark.starts_with('[') { mark } else { mark.trim_matches(['"', '\\']) };
        let standard =
            || marker::STANDARD.iter().position(|known| *known == mark).map(|place| &self.standard[place]);
        let own = || self.own.iter().find(|(known, _)| known == mark).map(|(_, count)| count);
        if let Some(count) = standard().or_else(own) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a pseudonym.
    pub(crate) fn add_pseudonym(&self) {
        self.pseudonyms.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts by kind, without those that are zero.
    pub(crate) fn by_kind(&self) -> BTreeMap<String, u64> {
        let standard = marker::STANDARD.iter().copied().zip(&self.standard);
        let own = self.own.iter().map(|(mark, count)| (mark.as_str(), count));
        let marks = standard.chain(own).map(|(mark, count)| (marker::kind(mark), count));
        let all = marks.chain([("pseudonym", &self.pseudonyms)]);
        let counts = all.map(|(kind, count)| (kind.to_owned(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
