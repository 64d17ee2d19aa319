//! [`Sampler`], which runs are exported.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use throughline_model::names::tags;
use throughline_model::{TraceEvent, TraceId};

/// Which runs are exported. The decision is one of the trace id, so that every process makes the same, or that of the caller.
///
/// What callers decided otherwise is remembered of the latest 65,536 runs (of 4,096 at least, whatever their ids are). Of an
/// older one that still runs, what follows is decided upon as if it had begun here.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Sampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// This part of them, from 0 to 1.
    Ratio(f64),
    /// Those that a caller in another process has sampled, and of those that begin here all.
    #[default]
    ParentBasedAlwaysOn,
    /// Those that a caller in another process has sampled.
    ParentBasedAlwaysOff,
    /// Those that a caller in another process has sampled, and of those that begin here this part, from 0 to 1.
    ParentBasedRatio(f64),
}

impl Sampler {
    /// Whether a run is exported that begins here.
    fn samples(self, trace: TraceId) -> bool {
        match self {
            Self::AlwaysOn | Self::ParentBasedAlwaysOn => true,
            Self::AlwaysOff | Self::ParentBasedAlwaysOff => false,
            Self::Ratio(ratio) | Self::ParentBasedRatio(ratio) => is_in(ratio, trace),
        }
    }

    fn follows_callers(self) -> bool {
        matches!(self, Self::ParentBasedAlwaysOn | Self::ParentBasedAlwaysOff | Self::ParentBasedRatio(_))
    }
}

/// Compares the last 56 bits of the id with a threshold, as
/// [OTel's consistent sampling](https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/) has it.
fn is_in(ratio: f64, trace: TraceId) -> bool {
    let random = u128::from_be_bytes(trace.to_bytes()) & (MOST - 1);
    // A float holds numbers of 53 bits, which is near enough.
    let rejected = ((1.0 - ratio.clamp(0.0, 1.0)) * MOST as f64) as u128;
    random >= rejected
}

/// Locks, so that runs on several threads rarely wait for each other.
const SHARDS: usize = 16;
/// How many runs are remembered by each.
const OF_A_SHARD: usize = 4096;

/// Decides for each event whether it is exported.
#[derive(Debug)]
pub(crate) struct Sampling {
    sampler: Sampler,
    others: Others,
}

impl Sampling {
    pub(crate) fn new(sampler: Sampler) -> Self {
        Self { sampler, others: Others::default() }
    }

    /// Whether an event is exported. The root of a run says what its caller decided, and comes before all else in it.
    pub(crate) fn samples(&self, event: &TraceEvent) -> bool {
        if self.sampler.follows_callers() && event.has_tag(tags::REMOTE_PARENT) {
            let of_caller = !event.has_tag(tags::UNSAMPLED_PARENT);
            if of_caller != self.sampler.samples(event.trace_id) {
                self.others.add(event.trace_id);
            }
            return of_caller;
        }
        self.samples_run(event.trace_id)
    }

    /// Whether a run is exported of which the root has been seen.
    pub(crate) fn samples_run(&self, trace: TraceId) -> bool {
        self.sampler.samples(trace) != self.others.have(trace)
    }
}

/// Runs whose callers decided otherwise than it would be decided here. The oldest are forgotten, and decided upon as if they
/// had begun here.
#[derive(Debug, Default)]
struct Others {
    /// Whether there was ever one: most processes ask for each event and never find any.
    is_used: AtomicBool,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    runs: HashSet<TraceId>,
    /// The same, the oldest first.
    order: VecDeque<TraceId>,
}

impl Others {
    fn shard(&self, trace: TraceId) -> MutexGuard<'_, Shard> {
        let at = usize::from(trace.to_bytes()[15]) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, trace: TraceId) {
        let mut shard = self.shard(trace);
        if !shard.runs.insert(trace) {
            return;
        }
        shard.order.push_back(trace);
        if shard.order.len() > OF_A_SHARD
            && let Some(oldest) = shard.order.pop_front()
        {
            shard.runs.remove(&oldest);
        }
        drop(shard);
        self.is_used.store(true, Ordering::Release);
    }

    fn have(&self, trace: TraceId) -> bool {
        self.is_used.load(Ordering::Acquire) && self.shard(trace).runs.contains(&trace)
    }
}

const MOST: u128 = 1 << 56;

#[cfg(test)]
mod tests {
    use throughline_model::{SpanId, Text, Timestamp};

    use super::*;

    #[test]
    fn who_follows_callers_does_so_for_all_of_a_run_and_decides_on_its_own_otherwise() {
        let event = |trace, tags: &[&'static str]| {
            let at = Timestamp::from_micros(0);
            let mut event = TraceEvent::new(trace, SpanId::random(), "stage:one", at, "loans");
            event.tags = tags.iter().map(|tag| Text::literal(tag)).collect();
            event
        };
        let yes: &[&str] = &[tags::REMOTE_PARENT];
        let no: &[&str] = &[tags::REMOTE_PARENT, tags::UNSAMPLED_PARENT];
        for (sampler, of_its_own) in [
            (Sampler::ParentBasedAlwaysOn, true),
            (Sampler::ParentBasedAlwaysOff, false),
            (Sampler::ParentBasedRatio(0.0), false),
        ] {
            let sampling = Sampling::new(sampler);
            for (root, expected) in [(yes, true), (no, false), (&[][..], of_its_own)] {
                let trace = TraceId::random();
                for tags in [root, &[], &[], root] {
                    assert_eq!(sampling.samples(&event(trace, tags)), expected, "{sampler:?} {root:?}");
                }
            }
        }
        let sampling = Sampling::new(Sampler::AlwaysOn);
        assert!(sampling.samples(&event(TraceId::random(), no)), "who does not follow does not");
    }

    #[test]
    fn so_many_callers_are_remembered_as_is_said_and_no_more() {
        let others = Others::default();
        let run = |at: u64| TraceId::from_bytes((u128::from(at) + 1).to_be_bytes()).unwrap();
        let most = (SHARDS * OF_A_SHARD) as u64;
        assert_eq!(most, 65_536);
        assert!(!others.have(run(0)));
        (0..most).for_each(|at| others.add(run(at)));
        // To see one again takes no room.
        (0..most).for_each(|at| others.add(run(at)));
        assert!((0..most).all(|at| others.have(run(at))));
        (most..2 * most).for_each(|at| others.add(run(at)));
        assert!((0..most).all(|at| !others.have(run(at))));
        let kept = others.shards.iter().map(|shard| shard.lock().unwrap());
        assert!(
            kept.into_iter().all(|shard| shard.runs.len() == OF_A_SHARD && shard.order.len() == OF_A_SHARD)
        );
    }

    #[test]
    fn a_ratio_of_a_tenth_takes_a_tenth_of_our_ids() {
        let taken = (0..20_000).filter(|_| Sampler::Ratio(0.1).samples(TraceId::random())).count();
        assert!((1_800..=2_200).contains(&taken), "{taken}");
    }

    #[test]
    fn the_ends_of_a_ratio_are_all_and_none() {
        let ids: Vec<_> = (0..1_000).map(|_| TraceId::random()).collect();
        assert!(ids.iter().all(|&id| Sampler::Ratio(1.0).samples(id)));
        assert!(!ids.iter().any(|&id| Sampler::Ratio(0.0).samples(id)));
        assert!(ids.iter().all(|&id| Sampler::Ratio(7.0).samples(id)));
        assert!(!ids.iter().any(|&id| Sampler::Ratio(-1.0).samples(id)));
    }

    #[test]
    fn what_a_small_ratio_takes_a_larger_one_takes_too() {
        let ids: Vec<_> = (0..5_000).map(|_| TraceId::random()).collect();
        let small = ids.iter().filter(|&&id| Sampler::Ratio(0.2).samples(id));
        assert!(small.into_iter().all(|&id| Sampler::Ratio(0.3).samples(id)));
    }
}
