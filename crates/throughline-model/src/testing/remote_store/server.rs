//! What the server of a remote store keeps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fold::Position;
use crate::{Claim, EventId, InstanceId, Liveness, RunSummary, TraceEvent, TraceId};

pub(super) struct Server {
    state: Mutex<State>,
}

impl Server {
    pub(super) fn new() -> Self {
        let state = State {
            clock: Clock { since: Some(Instant::now()), advanced: Duration::ZERO },
            index: BTreeMap::new(),
            runs: BTreeMap::new(),
            leases: HashMap::new(),
            claims: HashMap::new(),
            violations: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's time since it was made. It is tokio's, which tests can pause.
struct Clock {
    /// `None` once the clock is stopped.
    since: Option<Instant>,
    advanced: Duration,
}

impl Clock {
    fn now(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed()) + self.advanced
    }
}

pub(super) struct State {
    clock: Clock,
    pub(super) index: BTreeMap<Position, Arc<TraceEvent>>,
    pub(super) runs: BTreeMap<TraceId, Run>,
    /// When each lease ends; `None` once it was released.
    leases: HashMap<InstanceId, Option<Duration>>,
    claims: HashMap<TraceId, InstanceId>,
    pub(super) violations: Vec<String>,
}

/// One partition.
#[derive(Default)]
pub(super) struct Run {
    pub(super) events: BTreeMap<Position, Arc<TraceEvent>>,
    ids: HashSet<EventId>,
}

impl State {
    pub(super) fn stop_clock(&mut self) {
        (self.clock.advanced, self.clock.since) = (self.clock.now(), None);
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.clock.advanced += time;
    }

    /// Appends events of one trace.
    pub(super) fn append<'e>(&mut self, events: impl Iterator<Item = &'e Arc<TraceEvent>>) {
        for event in events {
            let run = self.runs.entry(event.trace_id).or_default();
            if run.ids.insert(event.id()) {
                run.events.insert(Position::of(event), Arc::clone(event));
                self.index.insert(Position::of(event), Arc::clone(event));
            }
        }
    }

    pub(super) fn trace(&self, id: TraceId) -> Vec<TraceEvent> {
        self.runs.get(&id).map(Run::events).unwrap_or_default()
    }

    pub(super) fn summary(&self, run: &Run) -> Option<RunSummary> {
        RunSummary::of(run.events.values().map(|event| &**event), |instance| self.liveness(instance))
    }

    pub(super) fn liveness(&self, instance: InstanceId) -> Liveness {
        match self.leases.get(&instance) {
            _ if instance == InstanceId::IMPORTED => Liveness::Imported,
            _ if instance == InstanceId::NOBODY => Liveness::Dead,
            None => Liveness::Unknown,
            Some(Some(end)) if *end > self.clock.now() => Liveness::Alive,
            Some(_) => Liveness::Dead,
        }
    }

    pub(super) fn renew(&mut self, instance: InstanceId, expires_after: Duration) {
        self.leases.insert(instance, Some(self.clock.now() + expires_after));
    }

    pub(super) fn expire(&mut self, instance: InstanceId) {
        self.leases.insert(instance, None);
    }

    pub(super) fn close(&mut self, instance: InstanceId) {
        self.expire(instance);
        self.claims.retain(|_, holder| *holder != instance);
    }

    pub(super) fn holder(&self, trace: TraceId) -> Option<InstanceId> {
        let holder = self.claims.get(&trace).copied();
        holder.filter(|holder| self.liveness(*holder) == Liveness::Alive)
    }

    /// Claims a run; `None` for an instance without a lease, whose claim would be void.
    pub(super) fn claim(&mut self, trace: TraceId, instance: InstanceId) -> Option<Claim> {
        if self.liveness(instance) != Liveness::Alive {
            return None;
        }
        match self.holder(trace) {
            Some(holder) if holder != instance => Some(Claim::HeldBy(holder)),
            _ => {
                self.claims.insert(trace, instance);
                Some(Claim::Granted)
            }
        }
    }

    pub(super) fn release(&mut self, trace: TraceId, instance: InstanceId) {
        if self.claims.get(&trace) == Some(&instance) {
            self.claims.remove(&trace);
        }
    }
}

impl Run {
    pub(super) fn events(&self) -> Vec<TraceEvent> {
        self.events.values().map(|event| TraceEvent::clone(event)).collect()
    }
}
