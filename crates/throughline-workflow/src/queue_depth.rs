//! [`QueueDepth`]: how many jobs wait in a queue, asked at an interval.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_core::metrics::{CollectorGuard, CounterFamily, Gauge, catalogue};
use throughline_core::{Redactor, Text, Throughline};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time;

/// How often a queue is asked by default.
const INTERVAL: Duration = Duration::from_secs(15);
/// The shortest interval: a queue is never asked in a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for an answer by default.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After so many failures in a row the last depth is out of date.
const STALE_AFTER: u32 = 3;

/// Asks a queue for its depth at an interval, and shows it as `throughline_queue_depth{queue}`, as long as this lives.
///
/// It works with any queue: an async closure asks for the depth. (A queue in memory needs none of this: see
/// [`on_collect`](Self::on_collect).) A queue that fails, panics or does not answer in time harms nobody: the log says
/// when that begins, changes or ends, and it is counted (`throughline_queue_depth_failures_total{queue, reason}`). After three
/// failures in a row, and once this is dropped, the depth is unknown, and the gauge is `NaN` rather than an old value. One
/// that was replaced by another for the same queue leaves the gauge to that.
///
/// ```
/// # use std::time::Duration;
/// use throughline_core::{MemoryStore, Throughline};
/// use throughline_workflow::QueueDepth;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let throughline = Throughline::builder("mailer").store(MemoryStore::new()).build()?;
/// # #[derive(Clone)] struct Broker;
/// # impl Broker { async fn len(&self, _: &str) -> Result<u64, std::io::Error> { Ok(3) } }
/// # let broker = Broker;
/// let emails = QueueDepth::of("emails", move || {
///     let broker = broker.clone();
///     async move { broker.len("emails").await }
/// })
/// .every(Duration::from_secs(30))
/// .start(&throughline)?;
/// // .. and when the service ends:
/// drop(emails);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, the queue is not asked any more"]
pub struct QueueDepth {
    watch: Arc<Watch>,
    task: AbortHandle,
}

impl QueueDepth {
    /// Describes a queue and how it is asked. The closure gives the number of jobs that wait.
    pub fn of<C, F, E>(queue: impl Into<Text>, ask: C) -> QueueDepthBuilder<C>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<u64, E>> + Send + 'static,
        E: Display + 'static,
    {
        QueueDepthBuilder { queue: queue.into(), ask, interval: INTERVAL, timeout: TIMEOUT, runtime: None }
    }

    /// For a queue in this process, whose depth is known at once: asks whenever somebody looks
    /// ([`Metrics::collect`](throughline_core::metrics::Metrics::collect), as a scrape does) until the guard is
    /// dropped. No task, no runtime.
    ///
    /// ```
    /// # use throughline_core::{MemoryStore, Throughline};
    /// # use throughline_workflow::QueueDepth;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let throughline = Throughline::builder("mailer").store(MemoryStore::new()).build()?;
    /// let (sender, receiver) = tokio::sync::mpsc::channel::<String>(100);
    /// let depth = QueueDepth::on_collect(&throughline, "emails", {
    ///     let sender = sender.downgrade();
    ///     move || sender.upgrade().map(|sender| (sender.max_capacity() - sender.capacity()) as u64)
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `None` says that the depth is not known.
    pub fn on_collect(
        throughline: &Throughline,
        queue: &str,
        ask: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> CollectorGuard {
        let depth = Depth::new(throughline, queue);
        throughline.meter().on_collect(move || depth.show(ask()))
    }

    /// The depth as the queue last gave it; `None` before the first answer, and when it is not known any more.
    pub fn latest(&self) -> Option<u64> {
        self.watch.seen().latest
    }

    /// How often asking has failed.
    pub fn failures(&self) -> u64 {
        self.watch.seen().failures
    }

    /// Why asking failed the last time, redacted; `None` when the queue answered.
    pub fn error(&self) -> Option<String> {
        self.watch.seen().failing.as_ref().map(|failure| failure.to_string())
    }
}

impl Drop for QueueDepth {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for QueueDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (latest, failures) = (self.latest(), self.failures());
        f.debug_struct("QueueDepth")
            .field("queue", &self.watch.queue)
            .field("latest", &latest)
            .field("failures", &failures)
            .finish_non_exhaustive()
    }
}

/// A queue and how it is asked; returned by [`QueueDepth::of`].
#[must_use = "the queue is not asked before start()"]
pub struct QueueDepthBuilder<C> {
    queue: Text,
    ask: C,
    interval: Duration,
    timeout: Duration,
    runtime: Option<Handle>,
}

impl<C> QueueDepthBuilder<C> {
    /// The time between an answer and the next question: 15 seconds by default, at least 100 milliseconds.
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST_INTERVAL);
        self
    }

    /// How long to wait for an answer: 5 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The runtime that asks; by default the caller's. Its timers must be on (`enable_time`).
    pub fn on(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Asks for the first time at once, and from then on until the guard is dropped.
    ///
    /// # Errors
    /// When this is not called from within a tokio runtime, and none was given.
    pub fn start<F, E>(self, throughline: &Throughline) -> Result<QueueDepth, NoRuntime>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<u64, E>> + Send + 'static,
        E: Display + 'static,
    {
        let Self { queue, mut ask, interval, timeout, runtime } = self;
        let redactor = throughline.redactor();
        let queue = Text::from(redactor.findable(None, &queue));
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(|_| NoRuntime { queue: queue.clone() })?,
        };
        let watch = Arc::new(Watch {
            depth: Depth::new(throughline, &queue),
            failed: throughline.meter().counter(&catalogue::QUEUE_DEPTH_FAILURES),
            redactor: redactor.clone(),
            queue,
            seen: Mutex::default(),
        });
        let asking = Asking(Arc::clone(&watch));
        let task = runtime.spawn(async move {
            // Tokio says so only by a panic.
            if catch_unwind(|| drop(time::sleep(interval))).is_err() {
                return asking.0.note(Err(Failure::NoTimers));
            }
            loop {
                let answer = answer(&mut ask, timeout).await;
                asking.0.note(answer);
                time::sleep(interval).await;
            }
        });
        Ok(QueueDepth { watch, task: task.abort_handle() })
    }
}

impl<C> fmt::Debug for QueueDepthBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueDepthBuilder")
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// There is no tokio runtime to ask a queue on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tokio task asks for the depth of the queue `{queue}`, and there is no runtime here: call start() within one, or pass one with .on(handle)"
)]
#[non_exhaustive]
pub struct NoRuntime {
    /// The queue.
    pub queue: Text,
}

/// What is known of a queue.
struct Watch {
    queue: Text,
    depth: Depth,
    failed: CounterFamily<2>,
    redactor: Redactor,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    latest: Option<u64>,
    failures: u64,
    /// Failures since the last answer.
    in_a_row: u32,
    failing: Option<Failure>,
}

/// Why the depth of a queue is unknown.
#[derive(Debug)]
enum Failure {
    /// What it said, redacted.
    Error(String),
    Panic,
    NoTimers,
    Timeout(Duration),
}

impl Failure {
    /// The reason in one word, for a label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Panic => "panic",
            Self::NoTimers => "no_timers",
            Self::Timeout(_) => "timeout",
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => f.write_str(error),
            Self::Panic => f.write_str("the closure panicked"),
            Self::NoTimers => f.write_str("the runtime has no timers: build it with enable_time()"),
            Self::Timeout(timeout) => write!(f, "no answer within {timeout:?}"),
        }
    }
}

/// Asks once. A panic in the closure, in its future or in its error's text counts as an answer.
async fn answer<C, F, E>(ask: &mut C, timeout: Duration) -> Result<u64, Failure>
where
    C: FnMut() -> F,
    F: Future<Output = Result<u64, E>>,
    E: Display,
{
    let Ok(answer) = catch_unwind(AssertUnwindSafe(ask)) else { return Err(Failure::Panic) };
    let answer = AssertUnwindSafe(async { answer.await.map_err(|error| error.to_string()) });
    match time::timeout(timeout, answer.catch_unwind()).await {
        Ok(Ok(Ok(depth))) => Ok(depth),
        Ok(Ok(Err(error))) => Err(Failure::Error(error)),
        Ok(Err(_)) => Err(Failure::Panic),
        Err(_) => Err(Failure::Timeout(timeout)),
    }
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, answer: Result<u64, Failure>) {
        let failure = match answer {
            Ok(depth) => return self.note_depth(depth),
            Err(Failure::Error(error)) => Failure::Error(self.redactor.text(&error).into_owned()),
            Err(failure) => failure,
        };
        self.failed.with([&self.queue, failure.reason()]).increment(1);
        let (reason, text) = (failure.reason(), failure.to_string());
        let mut seen = self.seen();
        seen.failures += 1;
        seen.in_a_row = seen.in_a_row.saturating_add(1);
        let is_stale = seen.in_a_row >= STALE_AFTER;
        if is_stale {
            seen.latest = None;
        }
        let before = seen.failing.replace(failure);
        // What follows is other people's code: the recorder's, the subscriber's.
        drop(seen);
        if is_stale {
            self.depth.show(None);
        }
        if before.is_none_or(|before| before.reason() != reason) {
            tracing::warn!(
                target: "throughline",
                queue = %self.queue,
                reason,
                error = %text,
                "the depth of a queue is unknown"
            );
        }
    }

    fn note_depth(&self, depth: u64) {
        self.depth.show(Some(depth));
        let mut seen = self.seen();
        seen.latest = Some(depth);
        seen.in_a_row = 0;
        let recovered = seen.failing.take().is_some();
        drop(seen);
        if recovered {
            tracing::info!(target: "throughline", queue = %self.queue, depth, "the depth of a queue is known again");
        }
    }
}

/// The task that asks. Dropped with it, however it ends; from then on nobody knows the depth.
struct Asking(Arc<Watch>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.seen().latest = None;
        self.0.depth.show(None);
    }
}

/// The gauge of a queue.
///
/// A watch may be replaced by another of the same queue before it has ended: then it does not say that the depth is
/// unknown, which the other knows.
struct Depth {
    gauge: Gauge,
    of: Watched,
    turn: u64,
}

/// Which emitter's gauge of which queue: the address of the emitter's meter, and the queue. Whatever has the address of
/// one that is gone has nothing to do with its gauges either.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Watched(usize, Text);

/// What the gauge of a queue shows.
#[derive(Clone, Copy)]
struct Shown {
    /// The latest living watch.
    turn: u64,
    depth: Option<u64>,
    /// Another one for whatever is to be shown next.
    version: u64,
}

static SHOWN: Mutex<BTreeMap<Watched, Shown>> = Mutex::new(BTreeMap::new());

fn shown() -> MutexGuard<'static, BTreeMap<Watched, Shown>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that was not there before.
fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Depth {
    fn new(throughline: &Throughline, queue: &str) -> Self {
        let meter = throughline.meter();
        let of = Watched(std::ptr::from_ref(meter).addr(), queue.to_owned().into());
        let turn = next_number();
        // What the watch before has shown stands until there is an answer.
        shown().entry(of.clone()).and_modify(|shown| shown.turn = turn).or_insert_with(|| Shown {
            turn,
            depth: None,
            version: next_number(),
        });
        Self { gauge: meter.gauge(&catalogue::QUEUE_DEPTH).with([queue]), of, turn }
    }

    /// Sets the gauge, and again if something else is to be shown by then: of several watches that do so at once, the
    /// one that comes last has seen the newest. No lock is held meanwhile, for the recorder is somebody else's code.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no queue holds 2^53 jobs")]
    fn show(&self, depth: Option<u64>) {
        let Some(mut now) = self.decide(depth) else { return };
        loop {
            self.gauge.set(now.depth.map_or(f64::NAN, |depth| depth as f64));
            match shown().get(&self.of) {
                Some(newer) if newer.version != now.version => now = *newer,
                _ => return,
            }
        }
    }

    /// Stores the depth to be shown; `None` if this watch does not know it and another one does.
    fn decide(&self, depth: Option<u64>) -> Option<Shown> {
        let mut shown = shown();
        let latest = shown.entry(self.of.clone()).or_insert(Shown { turn: self.turn, depth, version: 0 });
        if depth.is_none() && latest.turn != self.turn {
            return None;
        }
        (latest.depth, latest.version) = (depth, next_number());
        Some(*latest)
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        self.show(None);
        let mut shown = shown();
        if shown.get(&self.of).is_some_and(|latest| latest.turn == self.turn) {
            shown.remove(&self.of);
        }
    }
}
