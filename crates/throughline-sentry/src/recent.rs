//! [`Recent`]: what happened lately, run by run: the breadcrumbs of a failure, the path to it, and what brought it down.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use throughline_core::fold::{agreement, cause_of_span, outline};
use throughline_core::{ErrorInfo, PanicId, Relation, SpanId, Status, TraceEvent, TraceId};

use sentry::protocol::Breadcrumb;

/// Locks, so that runs on several threads rarely wait for each other.
const SHARDS: usize = 16;
/// How much of one run is kept.
const OF_A_RUN: usize = 128;
/// How many open spans of one run are kept.
const OPEN: usize = 512;
/// How many spans a path has at most.
const DEEPEST: usize = 64;
/// How much is kept in each shard, of all its runs together.
const OF_A_SHARD: usize = 1024;
/// How many runs that ended well are remembered in each shard: something that they began may still fail, or be reported.
const ENDED_WELL: usize = 8;
/// How many failures are remembered as told.
const TOLD: usize = 4096;
/// How many errors are remembered that were reported from within a span.
const REPORTED: usize = 256;

/// What happened lately, within bounds.
#[derive(Default)]
pub(crate) struct Recent {
    shards: [Mutex<Shard>; SHARDS],
    /// Failures that were reported, or stand for one that was.
    told: Mutex<Remembered<(TraceId, SpanId)>>,
    /// Errors that were reported before the span ended that they bring down.
    reported: Mutex<VecDeque<Reported>>,
    /// Panics that were told when somebody recovered from them, and when that was: they may be resumed.
    recovered: Mutex<VecDeque<(PanicId, Instant)>>,
}

/// A set that forgets the oldest.
struct Remembered<T> {
    set: HashSet<T>,
    order: VecDeque<T>,
}

struct Reported {
    trace_id: TraceId,
    span_id: SpanId,
    error: ErrorInfo,
}

#[derive(Default)]
struct Shard {
    runs: HashMap<TraceId, Run>,
    /// The runs, oldest first, and some that were forgotten since.
    order: VecDeque<TraceId>,
    /// Of these the last that ended well.
    ended_well: VecDeque<TraceId>,
    kept: usize,
}

#[derive(Default)]
struct Run {
    /// The last events, without payloads, and log lines.
    entries: VecDeque<Entry>,
    /// The starts of open spans, those that began last at the end: they mostly end first, and few are open at once.
    open: Vec<Arc<TraceEvent>>,
}

/// Something that happened in a run.
#[derive(Clone)]
pub(crate) enum Entry {
    Event(Arc<TraceEvent>),
    Log(Box<Breadcrumb>),
}

/// What is known of a run around a span.
#[derive(Default)]
pub(crate) struct Story {
    /// What happened, oldest first.
    pub(crate) entries: Vec<Entry>,
    /// The spans from the root to the one that is asked for, as far as they are remembered.
    pub(crate) path: Vec<Arc<TraceEvent>>,
}

impl Recent {
    fn shard(&self, trace_id: TraceId) -> MutexGuard<'_, Shard> {
        let at = usize::from(trace_id.to_bytes()[15]) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, event: &Arc<TraceEvent>) {
        // A payload may be large, and is no breadcrumb.
        let event = if event.data.is_some() { outline(event) } else { Arc::clone(event) };
        self.shard(event.trace_id).push(event.trace_id, Entry::Event(event));
    }

    /// A log line of a run.
    pub(crate) fn add_log(&self, trace_id: TraceId, line: Breadcrumb) {
        self.shard(trace_id).push(trace_id, Entry::Log(Box::new(line)));
    }

    /// What led to something in a span of a run, or in the span of this event.
    pub(crate) fn story(&self, trace_id: TraceId, span_id: SpanId, ended: Option<&Arc<TraceEvent>>) -> Story {
        let shard = self.shard(trace_id);
        let Some(run) = shard.runs.get(&trace_id) else {
            return Story { path: ended.cloned().into_iter().collect(), ..Story::default() };
        };
        // The question may come late: a span that has ended by now is on the path as well.
        let mut spans: HashMap<SpanId, &Arc<TraceEvent>> =
            run.events().map(|event| (event.span_id, event)).collect();
        spans.extend(run.open.iter().map(|start| (start.span_id, start)));
        let mut path = Vec::new();
        let mut at = ended.or_else(|| spans.get(&span_id).copied());
        while let Some(event) = at.filter(|_| path.len() < DEEPEST) {
            path.push(Arc::clone(event));
            at = event.parent_span_id.and_then(|parent| spans.get(&parent).copied());
        }
        path.reverse();
        Story { entries: run.entries.iter().cloned().collect(), path }
    }

    /// Whether a failure that was just recorded is one that has been told: of the span that brought this one down, or of
    /// the error that it ended with. Either way it is told from now on.
    pub(crate) fn is_told(&self, event: &TraceEvent, redacted: impl Fn(ErrorInfo) -> ErrorInfo) -> bool {
        let own = (event.trace_id, event.span_id);
        let is_told = self.cause(event).is_some_and(|cause| self.told().set.contains(&cause))
            || self.is_reported(event, redacted);
        self.told().add(own, TOLD);
        is_told
    }

    /// Whether a panic that came out of code which began at that moment was told already: by a span that it ended there, or by
    /// somebody else who recovered from it there. It is told from now on.
    pub(crate) fn is_panic_told(&self, panic: PanicId, since: Instant) -> bool {
        let by_its_span = panic.recorded_by(since).is_some_and(|span| self.told().set.contains(&span));
        let is_it = |(told, at): &(PanicId, Instant)| *told == panic && *at >= since;
        let by_another = || self.recovered.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_it);
        let is_told = by_its_span || by_another();
        remember(&self.recovered, (panic, Instant::now()));
        is_told
    }

    /// The failure that brought a span down, by the rules that explain every run.
    fn cause(&self, event: &TraceEvent) -> Option<(TraceId, SpanId)> {
        let elsewhere = event.links.iter().find(|link| link.rel == Relation::FailedBy).and_then(|link| {
            link.trace_id.filter(|trace| *trace != event.trace_id).map(|trace| (trace, link.span_id))
        });
        if elsewhere.is_some() {
            return elsewhere;
        }
        let events: Vec<Arc<TraceEvent>> = {
            let shard = self.shard(event.trace_id);
            let run = shard.runs.get(&event.trace_id)?;
            // Most failures are of steps in which there is nothing else.
            if !run.events().any(|other| other.parent_span_id == Some(event.span_id))
                && event.links.is_empty()
            {
                return None;
            }
            run.open.iter().chain(run.events()).map(Arc::clone).collect()
        };
        // What is open and lately began is in there twice; the fold takes an event once.
        let mut seen = HashSet::new();
        let events = events.iter().map(|event| &**event).filter(|event| seen.insert(event.id()));
        let mut events: Vec<&TraceEvent> = events.collect();
        events.sort_by_key(|event| event.order());
        cause_of_span(event.span_id, events).map(|cause| (event.trace_id, cause.span_id))
    }

    /// Whether the error of a failed span was reported from within it. Those that a panic hook noted are not redacted yet.
    fn is_reported(&self, event: &TraceEvent, redacted: impl Fn(ErrorInfo) -> ErrorInfo) -> bool {
        let Some(error) = event.error.as_deref() else { return false };
        let candidates: Vec<(SpanId, ErrorInfo)> = {
            let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
            let of_the_run = reported.iter().filter(|reported| reported.trace_id == event.trace_id);
            of_the_run.map(|reported| (reported.span_id, reported.error.clone())).collect()
        };
        candidates.into_iter().any(|(span_id, reported)| {
            agreement(error, &redacted(reported)).is_some() && self.is_within(event, span_id)
        })
    }

    /// Whether a span is the one of this event, or was below it when it was last seen.
    fn is_within(&self, event: &TraceEvent, span_id: SpanId) -> bool {
        if span_id == event.span_id {
            return true;
        }
        let shard = self.shard(event.trace_id);
        let Some(run) = shard.runs.get(&event.trace_id) else { return false };
        let parents: HashMap<SpanId, SpanId> =
            run.events().filter_map(|event| Some((event.span_id, event.parent_span_id?))).collect();
        std::iter::successors(Some(span_id), |at| parents.get(at).copied())
            .take(OF_A_RUN)
            .any(|at| at == event.span_id)
    }

    /// An error is reported by itself. If it brings down the span that it happened in, that is no other failure. Takes one
    /// lock, under which no other code runs, so that a panic hook may call it.
    pub(crate) fn report(&self, trace_id: TraceId, span_id: SpanId, error: ErrorInfo) {
        remember(&self.reported, Reported { trace_id, span_id, error });
    }

    fn told(&self) -> MutexGuard<'_, Remembered<(TraceId, SpanId)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn events(&self) -> impl Iterator<Item = &Arc<TraceEvent>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(event) => Some(event),
            Entry::Log(_) => None,
        })
    }

    /// Adds what happened; answers how many entries there are more.
    fn add(&mut self, entry: Entry) -> usize {
        if let Entry::Event(event) = &entry {
            let at = self.open.iter().rposition(|start| start.span_id == event.span_id);
            match (event.status, at) {
                (Status::Pending, None) if self.open.len() < OPEN => self.open.push(Arc::clone(event)),
                (Status::Pending, _) | (_, None) => {}
                (_, Some(at)) => drop(self.open.remove(at)),
            }
        }
        let is_full = self.entries.len() >= OF_A_RUN;
        if is_full {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        usize::from(!is_full)
    }
}

fn remember<T>(list: &Mutex<VecDeque<T>>, item: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.len() >= REPORTED {
        list.pop_front();
    }
    list.push_back(item);
}

impl Shard {
    fn push(&mut self, trace_id: TraceId, entry: Entry) {
        let order = &mut self.order;
        let run = self.runs.entry(trace_id).or_insert_with(|| {
            order.push_back(trace_id);
            Run::default()
        });
        let has_ended_well = match &entry {
            Entry::Event(event) => event.status == Status::Success && event.is_root(),
            Entry::Log(_) => false,
        };
        self.kept += run.add(entry);
        if has_ended_well {
            self.ended_well.push_back(trace_id);
            self.forget_what_ended_well();
        }
        // The oldest runs make room, those that are open last.
        let mut spared = 0;
        while self.kept > OF_A_SHARD {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_open = self.runs.get(&oldest).is_some_and(|run| !run.open.is_empty());
            if oldest == trace_id || (is_open && spared < self.order.len().min(16)) {
                spared += 1;
                self.order.push_back(oldest);
            } else {
                self.forget(oldest);
            }
        }
    }

    /// Forgets most runs that ended well, before the others need their room, and while they are at hand: to give memory back that
    /// nobody has touched for long takes longer than all else that is done here.
    fn forget_what_ended_well(&mut self) {
        if self.ended_well.len() > ENDED_WELL
            && let Some(run) = self.ended_well.pop_front()
            && self.runs.get(&run).is_some_and(|run| run.open.is_empty())
        {
            self.forget(run);
        }
        if self.order.len() > 2 * (self.runs.len() + ENDED_WELL) {
            self.order.retain(|run| self.runs.contains_key(run));
        }
    }

    fn forget(&mut self, run: TraceId) {
        if let Some(run) = self.runs.remove(&run) {
            self.kept -= run.entries.len();
        }
    }
}

impl<T: Copy + Eq + Hash> Remembered<T> {
    fn add(&mut self, item: T, most: usize) {
        if !self.set.insert(item) {
            return;
        }
        self.order.push_back(item);
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { set: HashSet::new(), order: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::Timestamp;

    fn event(trace_id: TraceId, at: i64, status: Status) -> Arc<TraceEvent> {
        let mut event =
            TraceEvent::new(trace_id, SpanId::random(), "stage:a", Timestamp::from_micros(at), "test");
        event.status = status;
        Arc::new(event)
    }

    #[test]
    fn however_much_happens_what_is_remembered_is_bounded_and_a_run_at_work_is_not_forgotten_for_others() {
        let (recent, long) = (Recent::default(), TraceId::random());
        let root = event(long, 0, Status::Pending);
        recent.add(&root);
        for at in 1..40_000 {
            let status = if at % 3 == 0 { Status::Pending } else { Status::Success };
            recent.add(&event(TraceId::random(), at, status));
            if at % 20 == 0 {
                recent.add(&event(long, at, Status::Success));
            }
        }
        let shards = recent.shards.iter().map(|shard| shard.lock().unwrap());
        for shard in shards {
            let entries: usize = shard.runs.values().map(|run| run.entries.len()).sum();
            assert_eq!(entries, shard.kept);
            assert!(shard.kept <= OF_A_SHARD && shard.ended_well.len() <= ENDED_WELL);
            assert!(shard.runs.keys().all(|run| shard.order.contains(run)));
            assert!(shard.order.len() <= 2 * (shard.runs.len() + ENDED_WELL));
        }
        let story = recent.story(long, root.span_id, None);
        assert_eq!((story.entries.len(), story.path.len()), (OF_A_RUN, 1));
    }

    #[test]
    fn runs_that_ended_well_are_soon_forgotten_and_all_others_remembered() {
        let (recent, failed) = (Recent::default(), TraceId::random());
        recent.add(&event(failed, 0, Status::Failed));
        let (mut last, mut open) = (failed, Vec::new());
        for at in 1..20_000 {
            let run = TraceId::random();
            if at % 100 == 0 {
                // Something that it began is at work beside it.
                let child = event(run, at, Status::Pending);
                let child = TraceEvent { parent_span_id: Some(SpanId::random()), ..(*child).clone() };
                recent.add(&Arc::new(child));
                open.push(run);
            }
            recent.add(&event(run, at, Status::Success));
            last = run;
        }
        let remembers = |run: TraceId| recent.shard(run).runs.contains_key(&run);
        assert!(remembers(failed) && remembers(last) && open.into_iter().all(remembers));
        for shard in &recent.shards {
            let shard = shard.lock().unwrap();
            assert!(shard.runs.len() < 100 && shard.order.len() <= 2 * (shard.runs.len() + ENDED_WELL));
            let entries: usize = shard.runs.values().map(|run| run.entries.len()).sum();
            assert_eq!(entries, shard.kept);
        }
    }
}
