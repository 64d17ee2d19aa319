//! [`RemoteStore`], a store in the shape of a distributed database.

mod reader;
mod server;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;

use self::reader::RemoteReader;
use self::server::Server;
use super::memory_spool::json_bytes;
use crate::{
    AppendError, BoxFuture, Claim, Instance, InstanceId, Lease, Limits, OpenError, PagedAnalytics, Readers,
    StoreConfig, TraceEvent, TraceId, TraceStore,
};

/// The name of this store in delivery reports and errors.
const NAME: &str = "remote";

/// A store in the shape of a distributed database, within the process: for tests of what differs from a local file.
///
/// - A call takes few events, of one trace alone unless [`limits`](Self::limits) say otherwise, and is atomic per trace.
/// - An instance that does not renew its lease counts as dead after three [intervals](Self::lease_interval), and its
///   claims can be taken.
/// - Pages are short: a page may hold fewer items than were asked for though more follow.
/// - Questions across runs are answered by [`PagedAnalytics`].
///
/// Clones are handles of one store. What an emitter must not do is recorded in [`violations`](Self::violations).
///
/// ```
/// use throughline_model::testing::RemoteStore;
///
/// let store = RemoteStore::new();
/// let handed_to_the_emitter = store.clone();
/// // Let workflows run, and then:
/// assert!(store.events().is_empty());
/// assert_eq!(store.violations(), [""; 0]);
/// ```
#[derive(Clone)]
pub struct RemoteStore {
    server: Arc<Server>,
    limits: Limits,
    lease_interval: Duration,
}

impl RemoteStore {
    /// An event whose type has more bytes than this is [rejected](AppendError::Rejected), as a database refuses what is
    /// too long for an index.
    pub const LONGEST_TYPE: usize = 1023;

    /// An empty store that takes up to 10 events of one trace in a call, up to four calls at once, and whose leases are
    /// renewed every second.
    pub fn new() -> Self {
        Self {
            server: Arc::new(Server::new()),
            limits: Limits::new().events(10).bytes(64 * 1024).by_trace(4),
            lease_interval: Duration::from_secs(1),
        }
    }

    /// What a call takes, for handles that are opened from now on.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How often instances renew their leases, for handles that are opened from now on.
    #[must_use]
    pub fn lease_interval(mut self, interval: Duration) -> Self {
        self.lease_interval = interval;
        self
    }

    /// Stops the server's clock, for all handles: time passes by [`advance`](Self::advance) alone.
    #[must_use]
    pub fn stopped_clock(self) -> Self {
        self.server.state().stop_clock();
        self
    }

    /// Moves the server's clock forward: leases that are not renewed until then have expired.
    pub fn advance(&self, time: Duration) {
        self.server.state().advance(time);
    }

    /// Ends the lease of an instance, as when its process has died and time has passed. If it lives after all, it comes
    /// back with its next renewal.
    pub fn expire(&self, instance: InstanceId) {
        self.server.state().expire(instance);
    }

    /// All events, in the order of events.
    pub fn events(&self) -> Vec<TraceEvent> {
        self.server.state().index.values().map(|event| TraceEvent::clone(event)).collect()
    }

    /// The events of one run, in the order of events; empty if there is no such run.
    pub fn trace(&self, id: TraceId) -> Vec<TraceEvent> {
        self.server.state().trace(id)
    }

    /// Who has claimed a run and lives.
    pub fn holder(&self, trace: TraceId) -> Option<InstanceId> {
        self.server.state().holder(trace)
    }

    /// What emitters did that a store need not stand: calls that exceed the limits, and two calls at once with events of
    /// one trace.
    pub fn violations(&self) -> Vec<String> {
        self.server.state().violations.clone()
    }
}

impl Default for RemoteStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore")
            .field("limits", &self.limits)
            .field("events", &self.server.state().index.len())
            .finish_non_exhaustive()
    }
}

fn readers(server: &Arc<Server>) -> Readers {
    let reader = Arc::new(RemoteReader::new(Arc::clone(server)));
    Readers { analytics: Arc::new(PagedAnalytics::new(Arc::clone(&reader) as _)), reader }
}

impl StoreConfig for RemoteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let Self { server, limits, lease_interval } = self.clone();
        Box::pin(async move {
            yield_now().await;
            let lease = Lease::heartbeat(lease_interval);
            let session = Session {
                server,
                instance: instance.id,
                limits,
                lease,
                in_flight: Mutex::default(),
                is_closed: AtomicBool::new(false),
            };
            session.renew();
            Ok(Arc::new(session) as Arc<dyn TraceStore>)
        })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let readers = readers(&self.server);
        Box::pin(async move { Ok(readers) })
    }
}

/// An instance that has the store open.
struct Session {
    server: Arc<Server>,
    instance: InstanceId,
    limits: Limits,
    lease: Lease,
    in_flight: Mutex<InFlight>,
    is_closed: AtomicBool,
}

/// Calls that have not been answered, and the traces of their events.
#[derive(Default)]
struct InFlight {
    calls: usize,
    traces: HashSet<TraceId>,
}

/// A call that is in progress until this is dropped.
struct Call<'a> {
    session: &'a Session,
    traces: HashSet<TraceId>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.session.in_flight();
        in_flight.calls -= 1;
        in_flight.traces.retain(|trace| !self.traces.contains(trace));
    }
}

impl Session {
    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self) {
        if let Lease::Heartbeat { expires_after, .. } = self.lease {
            self.server.state().renew(self.instance, expires_after);
        }
    }

    /// Begins a call, unless the emitter may not make it.
    fn begin(&self, events: &[Arc<TraceEvent>]) -> Result<Call<'_>, String> {
        let traces: HashSet<TraceId> = events.iter().map(|event| event.trace_id).collect();
        let bytes: usize = events.iter().map(|event| json_bytes(event)).sum();
        let Limits { events: most, bytes: most_bytes, one_trace, in_flight: most_calls, .. } = self.limits;
        if events.len() > most {
            return Err(format!("{} events in a call that takes {most}", events.len()));
        }
        if bytes > most_bytes && events.len() > 1 {
            return Err(format!("{bytes} bytes in a call that takes {most_bytes}"));
        }
        if one_trace && traces.len() > 1 {
            return Err(format!("{} traces in a call that takes one", traces.len()));
        }
        let mut in_flight = self.in_flight();
        if in_flight.calls >= most_calls {
            return Err(format!("{} calls at once where {most_calls} may be", in_flight.calls + 1));
        }
        if let Some(trace) = in_flight.traces.intersection(&traces).next() {
            return Err(format!("two calls at once with events of {trace}"));
        }
        in_flight.calls += 1;
        in_flight.traces.extend(&traces);
        Ok(Call { session: self, traces })
    }
}

/// The events of each trace with their places in the call, in the order of their first events.
fn by_trace(events: &[Arc<TraceEvent>]) -> Vec<Vec<(usize, &Arc<TraceEvent>)>> {
    let mut traces: Vec<Vec<(usize, &Arc<TraceEvent>)>> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let known = traces.iter_mut().find(|trace| trace[0].1.trace_id == event.trace_id);
        match known {
            Some(trace) => trace.push((at, event)),
            None => traces.push(vec![(at, event)]),
        }
    }
    traces
}

fn refused(event: &TraceEvent) -> bool {
    event.event_type.len() > RemoteStore::LONGEST_TYPE
}

impl TraceStore for Session {
    fn name(&self) -> &str {
        NAME
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let _call = self.begin(events).map_err(|reason| {
                self.server.state().violations.push(reason.clone());
                AppendError::Rejected { index: 0, reason }
            })?;
            yield_now().await;
            for trace in by_trace(events) {
                if let Some((index, _)) = trace.iter().find(|(_, event)| refused(event)) {
                    let reason = format!("the type has more than {} bytes", RemoteStore::LONGEST_TYPE);
                    return Err(AppendError::Rejected { index: *index, reason });
                }
                self.server.state().append(trace.into_iter().map(|(_, event)| event));
                // The next trace is another partition's: others may see this one before.
                yield_now().await;
            }
            Ok(())
        })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn lease(&self) -> Lease {
        self.lease
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            yield_now().await;
            // One that comes after `close` must not bring the instance back.
            if !self.is_closed.load(Ordering::SeqCst) {
                self.renew();
            }
            Ok(())
        })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            yield_now().await;
            self.server.state().claim(trace, self.instance).ok_or_else(|| AppendError::Unavailable {
                reason: "the lease of this instance has expired; renew it before claiming a run".to_owned(),
                retry_after: None,
                source: None,
            })
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            yield_now().await;
            self.server.state().release(trace, self.instance);
            Ok(())
        })
    }

    fn readers(&self) -> Readers {
        readers(&self.server)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            yield_now().await;
            if !self.is_closed.swap(true, Ordering::SeqCst) {
                self.server.state().close(self.instance);
            }
            Ok(())
        })
    }
}
