//! [`MemoryFeed`], a live feed within the process.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use throughline_model::{
    AppendError, BoxFuture, Cursor, EventId, EventStream, FeedConfig, Instance, InstanceId, LiveFeed,
    OpenError, ReadError, StreamItem, TraceEvent, TraceStream, WatchFrom, WatchRequest,
};
use tokio::sync::watch;

/// A bounded live feed within the process.
///
/// Clones are handles of one feed: keep one to [watch](TraceStream::watch), hand the other to the emitter.
/// Publishers never wait. A watcher that falls more than the capacity behind gets the number of events it
/// missed; events that its request does not match are counted, too, since nobody looked at them.
///
/// ```
/// use throughline_core::{MemoryFeed, StreamItem, Throughline, TraceStream as _, WatchRequest};
/// use futures_util::StreamExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let feed = MemoryFeed::new();
/// let throughline = Throughline::builder("loan-service").feed(feed.clone()).build()?;
/// let mut watch = feed.watch(WatchRequest::new()).await?;
///
/// throughline.workflow("loan-approval").run_infallible(|_| async {}).await?;
///
/// let Some(Ok(StreamItem::Event { event, cursor })) = watch.next().await else { return Err("the feed ended".into()) };
/// assert_eq!(event.event_type, "workflow:started");
/// // With `WatchRequest::new().after(cursor)` somebody else resumes here.
/// # let _ = cursor;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryFeed {
    kept: Arc<Mutex<Kept>>,
    /// The number of the next event: wakes those who watch.
    next: watch::Sender<u64>,
    capacity: usize,
}

/// The last events, for watchers that are behind or resume.
#[derive(Debug)]
struct Kept {
    /// Tells the cursors of one feed from those of another.
    feed: InstanceId,
    /// The number of the first event that is kept.
    first: u64,
    events: VecDeque<Arc<TraceEvent>>,
    /// Their identities: an event that is published again is kept once.
    ids: HashSet<EventId>,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // No code of others runs under this lock.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFeed {
    /// How many events are kept for slow watchers by default.
    pub const DEFAULT_CAPACITY: usize = 4096;

    /// A feed of the [default capacity](Self::DEFAULT_CAPACITY).
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// Keeps so many events for slow watchers, at least one. To be called before the feed is cloned or watched: what
    /// was there before is not carried over.
    #[must_use]
    pub fn capacity(self, events: usize) -> Self {
        Self::with_capacity(events.max(1))
    }

    fn with_capacity(capacity: usize) -> Self {
        let kept =
            Kept { feed: InstanceId::random(), first: 0, events: VecDeque::new(), ids: HashSet::new() };
        Self { kept: Arc::new(Mutex::new(kept)), next: watch::Sender::new(0), capacity }
    }
}

impl Default for MemoryFeed {
    fn default() -> Self {
        Self::new()
    }
}

impl FeedConfig for MemoryFeed {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        Box::pin(std::future::ready(Ok(Arc::new(self.clone()) as Arc<dyn LiveFeed>)))
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        Box::pin(std::future::ready(Ok(self.stream())))
    }
}

impl LiveFeed for MemoryFeed {
    fn name(&self) -> &str {
        "memory"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        let next = {
            let mut kept = lock(&self.kept);
            for event in events {
                kept.push(event, self.capacity);
            }
            kept.next()
        };
        self.next.send_replace(next);
        Box::pin(std::future::ready(Ok(())))
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::new(self.clone()))
    }
}

impl Kept {
    fn push(&mut self, event: &Arc<TraceEvent>, capacity: usize) {
        if !self.ids.insert(event.id()) {
            return;
        }
        if self.events.len() == capacity
            && let Some(oldest) = self.events.pop_front()
        {
            self.ids.remove(&oldest.id());
            self.first += 1;
        }
        self.events.push_back(Arc::clone(event));
    }

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn cursor(&self, number: u64) -> Cursor {
        Cursor::new(format!("memory:{}:{number}", self.feed))
    }

    /// Where a watch begins: the number of its first event, unless that is not known any more.
    fn start(&self, from: &WatchFrom) -> Result<Option<u64>, ReadError> {
        let WatchFrom::After(cursor) = from else { return Ok(Some(self.next())) };
        let read = || {
            let (feed, number) = cursor.as_str().strip_prefix("memory:")?.split_once(':')?;
            Some((feed.parse::<InstanceId>().ok()?, number.parse::<u64>().ok()?))
        };
        let (feed, number) = read().ok_or_else(|| cursor.foreign("this feed"))?;
        Ok((feed == self.feed && number < self.next()).then_some(number + 1))
    }

    /// What a watcher sees that has seen everything before `at`, which moves on.
    fn item(&self, at: &mut u64, request: &WatchRequest) -> Option<StreamItem> {
        if *at < self.first {
            let missed = self.first - *at;
            *at = self.first;
            return Some(StreamItem::Missed(Some(missed)));
        }
        let behind = usize::try_from(*at - self.first).unwrap_or(usize::MAX);
        for event in self.events.iter().skip(behind) {
            let number = *at;
            *at += 1;
            if request.matches(event) {
                return Some(StreamItem::Event { event: Arc::clone(event), cursor: self.cursor(number) });
            }
        }
        None
    }
}

/// One watch.
struct Watch {
    kept: Arc<Mutex<Kept>>,
    next: watch::Receiver<u64>,
    request: WatchRequest,
    /// The number of the next event to look at; `None` while it is still to be said that the cursor is of the past.
    at: Option<u64>,
}

impl Watch {
    async fn item(&mut self) -> Option<StreamItem> {
        let Some(at) = &mut self.at else {
            self.at = Some(lock(&self.kept).first);
            return Some(StreamItem::Missed(None));
        };
        loop {
            // Seen before the look, so that what is published after it wakes this watch.
            self.next.borrow_and_update();
            if let Some(item) = lock(&self.kept).item(at, &self.request) {
                return Some(item);
            }
            self.next.changed().await.ok()?;
        }
    }
}

impl TraceStream for MemoryFeed {
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        // At the call, not at the first poll: "from now on" begins when the watch is asked for.
        let start = lock(&self.kept).start(&request.from);
        let (kept, next) = (Arc::clone(&self.kept), self.next.subscribe());
        Box::pin(async move {
            let watch = Watch { kept, next, request, at: start? };
            let items = stream::unfold(watch, |mut watch| async move {
                let item = watch.item().await?;
                Some((Ok(item), watch))
            });
            Ok(Box::pin(items) as EventStream)
        })
    }
}
