//! The checks of the emitter's own destinations, and of queues.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_core::{BoxError, DestinationKind, DestinationReport, Throughline, TraceId, WatchRequest};
use tokio::time::Instant;

use super::check::Ask;
use super::runner::Answer;

/// How long events may wait for a store that takes none.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// `None` without a store.
pub(super) fn store(throughline: &Throughline) -> Option<Ask> {
    let reader = throughline.reader()?;
    let (throughline, progress) = (throughline.clone(), Arc::new(Mutex::new(Progress::default())));
    Some(Ask::waiting(move || {
        let reader = Arc::clone(&reader);
        let (throughline, progress) = (throughline.clone(), Arc::clone(&progress));
        async move {
            // A cheap read of an index; the result does not matter.
            reader.run(TraceId::from_key("throughline:health")).await?;
            // The store comes first in the report.
            let report = throughline.delivery_report();
            let Some(account) = report.destinations.first() else { return Ok(None) };
            works(account)?;
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.check(account.delivered + account.dropped(), account.pending, Instant::now())
        }
    }))
}

/// What is broken takes nothing, whatever it still answers.
fn works(account: &DestinationReport) -> Result<(), BoxError> {
    account
        .broken
        .as_ref()
        .map_or(Ok(()), |reason| Err(format!("{} is broken: {reason}", account.name).into()))
}

/// How far the store was when it last took something or had nothing to take.
#[derive(Default)]
struct Progress {
    settled: u64,
    since: Option<Instant>,
}

impl Progress {
    fn check(&mut self, settled: u64, pending: u64, now: Instant) -> Answer {
        if pending == 0 || settled != self.settled {
            *self = Self { settled, since: None };
        }
        if pending == 0 {
            return Ok(None);
        }
        let waited = now.duration_since(*self.since.get_or_insert(now));
        let note = format!("events waiting to be stored: {pending}");
        if waited < STUCK_AFTER {
            return Ok(Some(note));
        }
        Err(format!("{note}; the store has taken none for {} s", waited.as_secs()).into())
    }
}

/// `None` without a feed that can be read from here.
pub(super) fn feed(throughline: &Throughline) -> Option<Ask> {
    let stream = throughline.stream()?;
    let (throughline, seen) = (throughline.clone(), Arc::new(Mutex::new(0)));
    Some(Ask::waiting(move || {
        let (stream, throughline, seen) = (Arc::clone(&stream), throughline.clone(), Arc::clone(&seen));
        async move {
            drop(stream.watch(WatchRequest::new()).await?);
            let report = throughline.delivery_report();
            // The store comes first in the report.
            let stores = usize::from(throughline.reader().is_some());
            let feeds_and_sinks = report.destinations.get(stores..).unwrap_or_default();
            feeds_and_sinks.iter().try_for_each(works)?;
            let dropped = dropped_by_feeds(feeds_and_sinks);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match dropped.saturating_sub(std::mem::replace(&mut *seen, dropped)) {
                0 => Ok(None),
                more => Err(format!("events dropped since the last check: {more}").into()),
            }
        }
    }))
}

/// What a sink does not get rid of is a matter of its other end.
fn dropped_by_feeds(feeds_and_sinks: &[DestinationReport]) -> u64 {
    let feeds = feeds_and_sinks.iter().filter(|account| account.kind == DestinationKind::Feed);
    feeds.map(DestinationReport::dropped).sum()
}

/// Fails if more items wait than the limit.
pub(super) fn check_depth(depth: u64, limit: u64) -> Answer {
    if depth > limit {
        return Err(format!("waiting: {depth}, over the limit of {limit}").into());
    }
    Ok(Some(format!("waiting: {depth}, within the limit of {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_takes_nothing_while_events_wait_is_stuck_and_one_that_is_slow_is_not() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut progress = Progress::default();
        assert_eq!(progress.check(0, 0, at(0)).unwrap(), None);
        assert!(progress.check(0, 3, at(100)).is_ok(), "they have only just come");
        assert!(progress.check(1, 2, at(104)).is_ok());
        assert!(progress.check(1, 2, at(108)).is_ok(), "one was taken four seconds ago");
        let stuck = progress.check(1, 2, at(110)).unwrap_err();
        assert_eq!(stuck.to_string(), "events waiting to be stored: 2; the store has taken none for 6 s");
        assert!(progress.check(1, 2, at(111)).is_err(), "it stays stuck");
        assert!(progress.check(2, 1, at(112)).is_ok());
        assert_eq!(progress.check(3, 0, at(900)).unwrap(), None);
    }
}
