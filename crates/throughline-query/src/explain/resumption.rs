//! When a run was resumed, and how long nothing had happened before.

use crate::TraceQuery;
use throughline_model::TraceEvent;

impl TraceQuery {
    /// For each resumption of the run the microseconds since the last event of another instance than the one that resumed it.
    pub(super) fn resumed_after_us(&self) -> Vec<u64> {
        let Some(root) = self.root() else { return Vec::new() };
        let mut places: Vec<u32> = root.resumptions().collect();
        if places.is_empty() {
            return Vec::new();
        }
        places.sort_unstable();
        let mut places = places.into_iter().peekable();
        let mut gaps = Vec::new();
        // The last event so far, and the last of another instance than that one's: the run is walked once, however often
        // it was resumed.
        let (mut last, mut other): (Option<&TraceEvent>, Option<&TraceEvent>) = (None, None);
        for (place, event) in (0..).zip(self.ordered_events()) {
            let by_another = last.filter(|last| last.instance != event.instance);
            if places.next_if_eq(&place).is_some() {
                // An import knows of one instance only.
                let before = by_another.or(other).or(last);
                let gap = before.map_or(0, |before| event.timestamp.since(before.timestamp).as_micros());
                gaps.push(u64::try_from(gap).unwrap_or(u64::MAX));
            }
            other = by_another.or(other);
            last = Some(event);
        }
        gaps
    }
}
