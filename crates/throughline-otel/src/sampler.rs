//! [`Sampler`], which runs are exported.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use throughline_core::sampling::{SamplingState, threshold_of};
use throughline_model::names::{attrs, tags};
use throughline_model::{TraceEvent, TraceId};

/// Which runs are exported. The decision is one of the trace id, so that every process makes the same, or that of the caller.
///
/// A ratio is one of
/// [consistent probability sampling](https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/): it is sent on as
/// `ot=th:…` in `tracestate`, stands in the trace state of spans, so that a back end knows how many runs each of them stands for, and goes
/// by the randomness `rv` that a caller has sent in the place of its trace id.
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
    fn samples(self, randomness: u64) -> bool {
        match self {
            Self::AlwaysOn | Self::ParentBasedAlwaysOn => true,
            Self::AlwaysOff | Self::ParentBasedAlwaysOff => false,
            Self::Ratio(_) | Self::ParentBasedRatio(_) => {
                self.threshold().is_some_and(|threshold| randomness >= threshold)
            }
        }
    }

    /// From which randomness on a run is exported, if that is a matter of chance and any are.
    fn threshold(self) -> Option<u64> {
        match self {
            Self::Ratio(ratio) | Self::ParentBasedRatio(ratio) => threshold_of(ratio),
            _ => None,
        }
    }

    fn follows_callers(self) -> bool {
        matches!(self, Self::ParentBasedAlwaysOn | Self::ParentBasedAlwaysOff | Self::ParentBasedRatio(_))
    }
}

/// The last 56 bits of an id, which are random.
fn randomness(trace: TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g] = trace.to_bytes();
    u64::from_be_bytes([0, a, b, c, d, e, f, g])
}

/// Locks, so that runs on several threads rarely wait for each other.
const SHARDS: usize = 16;
/// How many runs are remembered by each.
const OF_A_SHARD: usize = 4096;

/// Decides for each event whether it is exported.
#[derive(Debug)]
pub(crate) struct Sampling {
    sampler: Sampler,
    threshold: Option<u64>,
    callers: Callers,
}

impl Sampling {
    pub(crate) fn new(sampler: Sampler) -> Self {
        Self { sampler, threshold: sampler.threshold(), callers: Callers::default() }
    }

    /// Whether an event is exported. The root of a run says what its caller decided, and comes before all else in it.
    pub(crate) fn samples(&self, event: &TraceEvent) -> bool {
        if !event.has_tag(tags::REMOTE_PARENT) {
            return self.samples_run(event.trace_id);
        }
        let state = event.attrs.get(attrs::SAMPLING).map(SamplingState::parse).unwrap_or_default();
        let by_id = self.sampler.samples(randomness(event.trace_id));
        let decision = match (self.sampler.follows_callers(), state.randomness) {
            (true, _) => !event.has_tag(tags::UNSAMPLED_PARENT),
            (false, Some(randomness)) => self.sampler.samples(randomness),
            (false, None) => by_id,
        };
        // Whether a run began elsewhere is to be known where a threshold is told of those that began here.
        let is_told = self.sampler.follows_callers() && self.threshold.is_some();
        if decision != by_id || is_told || state != SamplingState::default() {
            self.callers.add(event.trace_id, Said { differs: decision != by_id, state });
        }
        decision
    }

    /// Whether a run is exported of which the root has been seen.
    pub(crate) fn samples_run(&self, trace: TraceId) -> bool {
        let differs = self.callers.said(trace).is_some_and(|said| said.differs);
        self.sampler.samples(randomness(trace)) != differs
    }

    /// From which threshold on runs are taken; of one that began elsewhere its caller says that, if callers decide.
    pub(crate) fn threshold(&self, begins_here: bool) -> Option<u64> {
        self.threshold.filter(|_| begins_here || !self.sampler.follows_callers())
    }

    /// The trace state of a span: what is known of the chance that its run had.
    pub(crate) fn trace_state(&self, trace: TraceId) -> String {
        let said = self.callers.said(trace);
        let randomness = said.and_then(|said| said.state.randomness);
        let state = match said {
            Some(said) if self.sampler.follows_callers() => said.state,
            // One that is exported because it failed had no such chance.
            _ if !self.samples_run(trace) => SamplingState::default(),
            _ => SamplingState::new(self.threshold, randomness),
        };
        if state == SamplingState::default() { String::new() } else { format!("ot={state}") }
    }
}

/// What the caller of a run said of how it samples.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// Whether it is decided otherwise than the trace id alone would have it.
    differs: bool,
    state: SamplingState,
}

/// Runs whose callers said something that counts. The oldest are forgotten, and decided upon as if they had begun here.
#[derive(Debug, Default)]
struct Callers {
    /// Whether there was ever one: most processes ask for each event and never find any.
    is_used: AtomicBool,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    runs: HashMap<TraceId, Said>,
    /// The same, the oldest first.
    order: VecDeque<TraceId>,
}

impl Callers {
    fn shard(&self, trace: TraceId) -> MutexGuard<'_, Shard> {
        let at = usize::from(trace.to_bytes()[15]) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, trace: TraceId, said: Said) {
        let mut shard = self.shard(trace);
        if shard.runs.insert(trace, said).is_some() {
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

    fn said(&self, trace: TraceId) -> Option<Said> {
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        self.shard(trace).runs.get(&trace).copied()
    }
}

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
    fn a_ratio_goes_by_the_randomness_that_a_caller_sent_and_says_what_chance_a_run_had() {
        let root = |trace, said: Option<&str>, tags: &[&'static str]| {
            let mut event =
                TraceEvent::new(trace, SpanId::random(), "http:request", Timestamp::from_micros(0), "loans");
            event.tags = tags.iter().map(|tag| Text::literal(tag)).collect();
            if let Some(said) = said {
                event.attrs = event.attrs.with(attrs::SAMPLING, said.to_owned());
            }
            event
        };
        let remote: &[&str] = &[tags::REMOTE_PARENT];
        let (low, high) = ("rv:00000000000001", "rv:fffffffffffffe");
        let sampling = Sampling::new(Sampler::Ratio(0.1));
        for (said, expected) in [(low, false), (high, true)] {
            for _ in 0..100 {
                let trace = TraceId::random();
                assert_eq!(sampling.samples(&root(trace, Some(said), remote)), expected);
                assert_eq!(sampling.samples(&root(trace, None, &[])), expected, "and all that follows in it");
                let state = if expected { format!("ot=th:e666;{said}") } else { String::new() };
                assert_eq!(sampling.trace_state(trace), state);
            }
        }
        assert_eq!(
            (sampling.threshold(true), sampling.threshold(false)),
            (Some(0xe666 << 40), Some(0xe666 << 40))
        );

        let following = Sampling::new(Sampler::ParentBasedRatio(0.5));
        assert_eq!((following.threshold(true), following.threshold(false)), (Some(8 << 52), None));
        for (said, state) in [(Some("th:c;rv:f0000000000000"), "ot=th:c;rv:f0000000000000"), (None, "")] {
            let trace = TraceId::random();
            assert!(following.samples(&root(trace, said, remote)));
            assert_eq!(following.trace_state(trace), state, "what its caller said");
        }
        let here =
            std::iter::repeat_with(TraceId::random).find(|trace| following.samples_run(*trace)).unwrap();
        assert_eq!(following.trace_state(here), "ot=th:8");
        assert_eq!(Sampling::new(Sampler::ParentBasedAlwaysOn).trace_state(here), "");
    }

    #[test]
    fn so_many_callers_are_remembered_as_is_said_and_no_more() {
        let callers = Callers::default();
        let said = Said { differs: true, state: SamplingState::default() };
        let run = |at: u64| TraceId::from_bytes((u128::from(at) + 1).to_be_bytes()).unwrap();
        let most = (SHARDS * OF_A_SHARD) as u64;
        assert_eq!(most, 65_536);
        assert!(callers.said(run(0)).is_none());
        (0..most).for_each(|at| callers.add(run(at), said));
        // To see one again takes no room.
        (0..most).for_each(|at| callers.add(run(at), said));
        assert!((0..most).all(|at| callers.said(run(at)).is_some()));
        (most..2 * most).for_each(|at| callers.add(run(at), said));
        assert!((0..most).all(|at| callers.said(run(at)).is_none()));
        let kept = callers.shards.iter().map(|shard| shard.lock().unwrap());
        assert!(
            kept.into_iter().all(|shard| shard.runs.len() == OF_A_SHARD && shard.order.len() == OF_A_SHARD)
        );
    }

    #[test]
    fn a_ratio_of_a_tenth_takes_a_tenth_of_our_ids() {
        let taken =
            (0..20_000).filter(|_| Sampler::Ratio(0.1).samples(randomness(TraceId::random()))).count();
        assert!((1_800..=2_200).contains(&taken), "{taken}");
    }

    #[test]
    fn the_ends_of_a_ratio_are_all_and_none() {
        let ids: Vec<_> = (0..1_000).map(|_| TraceId::random()).collect();
        assert!(ids.iter().all(|&id| Sampler::Ratio(1.0).samples(randomness(id))));
        assert!(!ids.iter().any(|&id| Sampler::Ratio(0.0).samples(randomness(id))));
        assert!(ids.iter().all(|&id| Sampler::Ratio(7.0).samples(randomness(id))));
        assert!(!ids.iter().any(|&id| Sampler::Ratio(-1.0).samples(randomness(id))));
    }

    #[test]
    fn what_a_small_ratio_takes_a_larger_one_takes_too() {
        let ids: Vec<_> = (0..5_000).map(|_| TraceId::random()).collect();
        let small = ids.iter().filter(|&&id| Sampler::Ratio(0.2).samples(randomness(id)));
        assert!(small.into_iter().all(|&id| Sampler::Ratio(0.3).samples(randomness(id))));
    }
}
