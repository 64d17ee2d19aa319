//! [`MemoryStore`], a bounded store within the process.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::reader::MemoryReader;
use throughline_model::fold::{Mark, Position, RunFold, Spans, cause_of_run};
use throughline_model::names::attrs;
use throughline_model::{
    AppendError, AppendInline, BoxFuture, Claim, FailureSummary, Instance, InstanceId, JobAttempt, JobKey,
    Liveness, OpenError, Process, Readers, RunSummary, Secret, SpanId, StoreConfig, Text, Timestamp,
    TraceEvent, TraceId, TraceStore,
};

/// The name of this store in delivery reports and errors.
const NAME: &str = "memory";

/// A bounded store within the process: for tests, for development, and for services that want the questions
/// answered but nothing kept.
///
/// Clones are handles of one store, so that a test keeps one to ask what was recorded:
///
/// ```
/// use throughline_core::MemoryStore;
/// let store = MemoryStore::new().capacity(10_000);
/// let handed_to_the_emitter = store.clone();
/// assert!(store.events().is_empty());
/// ```
///
/// When it is full, it evicts whole runs that have ended, those first whose last event is the oldest. Open
/// runs are never evicted: if they fill the store, it answers [`AppendError::Unavailable`]. The start of a span
/// reserves the place of its end, so that a full store never keeps a run from ending.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Mutex<State>>,
    /// Who opened this handle; none before [`StoreConfig::open`].
    instance: Option<InstanceId>,
}

impl MemoryStore {
    /// How many events fit by default.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// An empty store of the [default capacity](Self::DEFAULT_CAPACITY).
    pub fn new() -> Self {
        Self { shared: Arc::new(Mutex::new(State::new(Self::DEFAULT_CAPACITY))), instance: None }
    }

    /// Holds at most so many events, counting a place reserved for the end of each open span. Holds for all
    /// handles; what is too much is evicted by the next append.
    #[must_use]
    pub fn capacity(self, events: usize) -> Self {
        self.state().capacity = events;
        self
    }

    /// All events, in the order of events.
    pub fn events(&self) -> Vec<TraceEvent> {
        self.state().index.values().map(|event| TraceEvent::clone(event)).collect()
    }

    /// The events of one run, in the order of events; empty if there is no such run.
    pub fn trace(&self, id: TraceId) -> Vec<TraceEvent> {
        self.state().trace(id)
    }

    /// How many events were evicted to make room.
    pub fn evicted(&self) -> u64 {
        self.state().evicted
    }

    /// Ends the lease of an instance as its death would: what it left open is *interrupted* from now on. Lets
    /// a test record a crash without one.
    pub fn abandon(&self, instance: InstanceId) {
        let mut state = self.state();
        state.leases.insert(instance, Liveness::Dead);
        if let Some(process) = state.processes.get_mut(&instance) {
            process.last_seen = Timestamp::now();
        }
        state.claims.retain(|_, holder| *holder != instance);
    }

    /// Who answers the questions about what it holds.
    pub fn readers(&self) -> Readers {
        Readers::of(MemoryReader::new(Arc::clone(&self.shared)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("instance", &self.instance)
            .field("events", &self.state().index.len())
            .finish_non_exhaustive()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreConfig for MemoryStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let mut state = self.state();
        state.leases.insert(instance.id, Liveness::Alive);
        state.processes.insert(instance.id, instance.process(Timestamp::now()));
        drop(state);
        let store = Self { shared: Arc::clone(&self.shared), instance: Some(instance.id) };
        Box::pin(std::future::ready(Ok(Arc::new(store) as Arc<dyn TraceStore>)))
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        Box::pin(std::future::ready(Ok(self.readers())))
    }
}

impl TraceStore for MemoryStore {
    fn name(&self) -> &str {
        NAME
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move { self.state().append(events) })
    }

    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        Some(Arc::new(self.clone()))
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            let Some(instance) = self.instance else {
                return Err(AppendError::Broken {
                    reason: "a memory store claims runs for the instance that opened it; open it first"
                        .to_owned(),
                    source: None,
                });
            };
            Ok(self.state().claim(trace, instance))
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let mut state = self.state();
            if self.instance.is_some() && state.claims.get(&trace).copied() == self.instance {
                state.claims.remove(&trace);
            }
            Ok(())
        })
    }

    fn readers(&self) -> Readers {
        Self::readers(self)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            if let Some(instance) = self.instance {
                self.abandon(instance);
            }
            Ok(())
        })
    }
}

impl AppendInline for MemoryStore {
    fn append_inline(&self, event: &Arc<TraceEvent>) -> bool {
        self.state().append(std::slice::from_ref(event)).is_ok()
    }
}

/// A panic elsewhere while the lock was held can't leave the state half changed: what may fail is worked out
/// before anything is changed.
pub(super) fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the store holds, with the indexes that its reader walks.
pub(super) struct State {
    capacity: usize,
    /// Events, and places reserved for the ends of open spans.
    used: usize,
    evicted: u64,
    /// How the instances stand that opened the store or emitted what is in it.
    pub(super) leases: BTreeMap<InstanceId, Liveness>,
    processes: HashMap<InstanceId, Process>,
    claims: HashMap<TraceId, InstanceId>,
    pub(super) index: BTreeMap<Position, Arc<TraceEvent>>,
    pub(super) runs: BTreeMap<TraceId, Run>,
    pub(super) by_start: BTreeSet<(Timestamp, TraceId)>,
    /// The runs with each business key.
    pub(super) by_key: HashMap<Text, BTreeSet<(Timestamp, TraceId)>>,
    ended: BTreeSet<(Timestamp, TraceId)>,
    /// What [`TraceReader::secret`](throughline_model::TraceReader::secret) answers.
    pub(super) secret: Secret,
    pub(super) open: BTreeSet<(Timestamp, TraceId)>,
}

/// One run: its events in order, and what they amount to.
#[derive(Default)]
pub(super) struct Run {
    pub(super) events: BTreeMap<Position, Arc<TraceEvent>>,
    ids: HashSet<(SpanId, u32)>,
    spans: Spans<Arc<TraceEvent>>,
    /// Detached spans with the id of a job, by that.
    jobs: HashMap<Text, HashSet<SpanId>>,
    fold: RunFold<Arc<TraceEvent>>,
    /// What went wrong, as long as nothing has been added since somebody asked.
    cause: OnceLock<Option<FailureSummary>>,
}

/// Where a run stands in the indexes.
#[derive(PartialEq, Eq)]
struct Place {
    started: Timestamp,
    key: Option<Text>,
    /// When its last event happened, if it is not open.
    ended: Option<Timestamp>,
}

impl Run {
    fn used(&self) -> usize {
        self.events.len() + self.spans.open()
    }

    fn add(&mut self, position: Position, event: Arc<TraceEvent>) {
        let added = self.fold.add(Arc::clone(&event), &event);
        self.spans.add(Arc::clone(&event));
        if let Some(span) = added.missing_span.and_then(|span| self.spans.get(span)) {
            self.fold
                .add_missing([span.first(), span.last()].map(|event| Mark::of(Arc::clone(event), event)));
        }
        if event.is_detached()
            && let Some(job_id) = event.attrs.get(attrs::JOB_ID)
        {
            self.jobs.entry(Text::from(job_id.to_owned())).or_default().insert(event.span_id);
        }
        self.events.insert(position, event);
        self.cause = OnceLock::new();
    }

    fn cause(&self) -> Option<FailureSummary> {
        let events = || self.events.values().map(|event| &**event);
        let find = || Some(FailureSummary::among(cause_of_run(&self.fold, events())?, events()));
        self.cause.get_or_init(find).clone()
    }

    /// When its last event happened.
    pub(super) fn last_event(&self) -> Option<Timestamp> {
        Some(self.events.last_key_value()?.0.timestamp)
    }

    pub(super) fn last_attempt(&self, job: &JobKey) -> Option<JobAttempt> {
        let spans = self.jobs.get(&job.job_id)?.iter();
        let firsts = spans.filter_map(|span| Some(self.spans.get(*span)?.first()));
        let attempts = firsts.filter_map(|first| Some((Position::of(first), job.attempt_of(first)?)));
        attempts.max_by_key(|(position, _)| *position).map(|(_, attempt)| attempt)
    }

    fn place(&self) -> Option<Place> {
        let ended = if self.fold.is_open() { None } else { Some(self.last_event()?) };
        Some(Place { started: self.fold.started()?, key: self.fold.correlation_id().cloned(), ended })
    }

    pub(super) fn events(&self) -> Vec<TraceEvent> {
        self.events.values().map(|event| TraceEvent::clone(event)).collect()
    }
}

impl State {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: 0,
            evicted: 0,
            leases: BTreeMap::new(),
            processes: HashMap::new(),
            claims: HashMap::new(),
            index: BTreeMap::new(),
            runs: BTreeMap::new(),
            by_start: BTreeSet::new(),
            by_key: HashMap::new(),
            secret: Secret::new(rand::random::<[u8; 32]>()),
            ended: BTreeSet::new(),
            open: BTreeSet::new(),
        }
    }

    pub(super) fn trace(&self, id: TraceId) -> Vec<TraceEvent> {
        self.runs.get(&id).map(Run::events).unwrap_or_default()
    }

    pub(super) fn liveness(&self, instance: InstanceId) -> Liveness {
        match self.leases.get(&instance) {
            _ if instance == InstanceId::NOBODY => Liveness::Dead,
            Some(liveness) => *liveness,
            None if instance == InstanceId::IMPORTED => Liveness::Imported,
            None => Liveness::Unknown,
        }
    }

    /// Those that live show it at this moment.
    pub(super) fn process(&self, instance: InstanceId) -> Option<Process> {
        let mut process = self.processes.get(&instance)?.clone();
        if self.liveness(instance) == Liveness::Alive {
            process.last_seen = Timestamp::now();
        }
        Some(process)
    }

    fn claim(&mut self, trace: TraceId, instance: InstanceId) -> Claim {
        match self.claims.get(&trace) {
            Some(holder) if *holder != instance && self.liveness(*holder) == Liveness::Alive => {
                Claim::HeldBy(*holder)
            }
            _ => {
                self.claims.insert(trace, instance);
                Claim::Granted
            }
        }
    }

    pub(super) fn summary(&self, run: &Run) -> Option<RunSummary> {
        let mut summary = run.fold.summary(|instance| self.liveness(instance))?;
        summary.cause = run.cause();
        Some(summary)
    }

    fn append(&mut self, events: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        // Most calls have one, of which there is nothing to compare.
        if let [event] = events {
            if !self.has_room(1) && !self.holds(event) {
                self.make_room(&[event])?;
            }
            self.insert(Arc::clone(event));
            return Ok(());
        }
        let mut group = HashSet::new();
        let new: Vec<_> =
            events.iter().filter(|event| !self.holds(event) && group.insert(event.id())).collect();
        self.make_room(&new)?;
        new.into_iter().for_each(|event| self.insert(Arc::clone(event)));
        Ok(())
    }

    fn holds(&self, event: &TraceEvent) -> bool {
        self.runs.get(&event.trace_id).is_some_and(|run| run.ids.contains(&(event.span_id, event.seq)))
    }

    /// Whether so many events fit, whatever they are: an event takes one place, and one more if it leaves its span open.
    fn has_room(&self, events: usize) -> bool {
        self.used + 2 * events <= self.capacity
    }

    /// Evicts ended runs until these events fit; changes nothing if they won't.
    fn make_room(&mut self, new: &[&Arc<TraceEvent>]) -> Result<(), AppendError> {
        if self.has_room(new.len()) {
            return Ok(());
        }
        let places = self.places_for(new);
        let mut excess = (self.used + places).saturating_sub(self.capacity);
        // What only ends spans has its places already, and goes in even where the capacity was lowered.
        if excess == 0 || places == 0 {
            return Ok(());
        }
        let touched: HashSet<TraceId> = new.iter().map(|event| event.trace_id).collect();
        let mut evict = Vec::new();
        for (_, id) in self.ended.iter().filter(|(_, id)| !touched.contains(id)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(self.runs.get(id).map_or(0, Run::used));
            evict.push(*id);
        }
        if excess > 0 {
            return Err(AppendError::Unavailable {
                reason: format!(
                    "the memory store is full: its {} places are taken by open runs and this group; raise its \
                     capacity",
                    self.capacity
                ),
                retry_after: None,
                source: None,
            });
        }
        evict.into_iter().for_each(|id| self.evict(id));
        Ok(())
    }

    /// How many places these new events take: one each, one more for each span they leave open, less those
    /// that were reserved for them.
    fn places_for(&self, new: &[&Arc<TraceEvent>]) -> usize {
        let mut added: HashMap<TraceId, Spans<&TraceEvent>> = HashMap::new();
        for event in new {
            added.entry(event.trace_id).or_default().add(event);
        }
        let (mut places, mut released) = (new.len(), 0);
        for (trace, spans) in added {
            let run = self.runs.get(&trace);
            for span in spans.iter() {
                let mut span = span.clone();
                if let Some(before) = run.and_then(|run| run.spans.get(span.last().span_id)) {
                    released += usize::from(before.is_open());
                    span.add(before.last());
                }
                places += usize::from(span.is_open());
            }
        }
        places.saturating_sub(released)
    }

    /// Adds an event, unless it is there already.
    fn insert(&mut self, event: Arc<TraceEvent>) {
        let (id, position) = (event.trace_id, Position::of(&event));
        let run = self.runs.entry(id).or_default();
        if !run.ids.insert((event.span_id, event.seq)) {
            return;
        }
        self.leases.entry(event.instance).or_insert(Liveness::Imported);
        self.index.insert(position, Arc::clone(&event));
        let (used, before) = (run.used(), run.place());
        run.add(position, event);
        self.used = self.used + run.used() - used;
        let after = run.place();
        if before != after {
            self.leave(id, before);
            self.enter(id, after);
        }
    }

    fn evict(&mut self, id: TraceId) {
        let Some(run) = self.runs.remove(&id) else { return };
        self.used -= run.used();
        self.leave(id, run.place());
        self.evicted += run.events.len() as u64;
        run.events.keys().for_each(|position| {
            self.index.remove(position);
        });
    }

    /// Takes a run out of the indexes, where it stood at this place.
    fn leave(&mut self, id: TraceId, place: Option<Place>) {
        let Some(Place { started, key, ended }) = place else { return };
        self.by_start.remove(&(started, id));
        if let Some(key) = key
            && let Some(runs) = self.by_key.get_mut(&key)
        {
            runs.remove(&(started, id));
            if runs.is_empty() {
                self.by_key.remove(&key);
            }
        }
        match ended {
            None => self.open.remove(&(started, id)),
            Some(ended) => self.ended.remove(&(ended, id)),
        };
    }

    fn enter(&mut self, id: TraceId, place: Option<Place>) {
        let Some(Place { started, key, ended }) = place else { return };
        self.by_start.insert((started, id));
        if let Some(key) = key {
            self.by_key.entry(key).or_default().insert((started, id));
        }
        match ended {
            None => self.open.insert((started, id)),
            Some(ended) => self.ended.insert((ended, id)),
        };
    }
}
