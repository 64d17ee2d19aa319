//! A store that remembers in which order it was given what, and what it was asked that no store need stand.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_model::{
    AppendError, BoxFuture, Claim, EventId, Instance, InstanceId, Lease, Limits, OpenError, Readers,
    StoreConfig, TraceEvent, TraceId, TraceStore,
};
use tokio::time::{Instant, sleep};

use crate::MemoryStore;

pub(super) const STORE: &str = "recorded";
pub(super) const LEASE_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Recorded {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of their first arrival.
    pub(super) events: Vec<Arc<TraceEvent>>,
    pub(super) ids: HashSet<EventId>,
    /// How long each append takes.
    pub(super) latency: Duration,
    /// When the lease was renewed last, or the store was opened.
    pub(super) renewed: Option<Instant>,
    /// The longest that it was not renewed.
    pub(super) longest_without_renewal: Duration,
    pub(super) violations: Vec<String>,
    /// Traces of which events are under way.
    busy: HashSet<TraceId>,
    is_busy: bool,
}

impl Recorded {
    pub(super) fn new(by_trace: bool) -> Self {
        let limits = if by_trace { Limits::new().events(3).by_trace(2) } else { Limits::new().events(5) };
        Self { limits, state: Arc::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn renewed(&mut self) {
        let now = Instant::now();
        let last = self.renewed.replace(now).unwrap_or(now);
        self.longest_without_renewal = self.longest_without_renewal.max(now - last);
    }

    pub(super) fn of_instance(&self, instance: InstanceId) -> u64 {
        self.events.iter().filter(|event| event.instance == instance).count() as u64
    }
}

impl StoreConfig for Recorded {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let store = self.clone();
        let mut state = store.state();
        (state.renewed, state.longest_without_renewal) = (Some(Instant::now()), Duration::ZERO);
        state.busy.clear();
        state.is_busy = false;
        drop(state);
        Box::pin(std::future::ready(Ok(Arc::new(store) as Arc<dyn TraceStore>)))
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        Box::pin(std::future::ready(Ok(TraceStore::readers(self))))
    }
}

/// Events under way, until they have arrived or the call is given up.
struct UnderWay<'a>(&'a Recorded, Vec<TraceId>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_busy = false;
        self.1.iter().for_each(|trace| {
            state.busy.remove(trace);
        });
    }
}

impl TraceStore for Recorded {
    fn name(&self) -> &str {
        STORE
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn group_commit_delay(&self) -> Duration {
        Duration::from_millis(if self.limits.one_trace { 0 } else { 2 })
    }

    fn lease(&self) -> Lease {
        Lease::Heartbeat { interval: LEASE_INTERVAL, expires_after: LEASE_INTERVAL * 3 }
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async {
            self.state().renewed();
            Ok(())
        })
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let traces: HashSet<_> = events.iter().map(|event| event.trace_id).collect();
            let latency = {
                let mut state = self.state();
                let of_one = traces.len() == 1 || !self.limits.one_trace;
                if events.is_empty() || events.len() > self.limits.events || !of_one {
                    state.violations.push(format!("a call with {} events", events.len()));
                }
                let is_busy = std::mem::replace(&mut state.is_busy, true) && self.limits.in_flight == 1;
                if is_busy || traces.iter().any(|trace| !state.busy.insert(*trace)) {
                    state.violations.push("two calls at once that may overtake each other".to_owned());
                }
                state.latency
            };
            let _under_way = UnderWay(self, traces.into_iter().collect());
            if !latency.is_zero() {
                sleep(latency).await;
            }
            let mut state = self.state();
            for event in events {
                if state.ids.insert(event.id()) {
                    state.events.push(Arc::clone(event));
                }
            }
            Ok(())
        })
    }

    fn claim(&self, _: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(std::future::ready(Ok(Claim::Granted)))
    }

    fn release(&self, _: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn readers(&self) -> Readers {
        MemoryStore::new().readers()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
