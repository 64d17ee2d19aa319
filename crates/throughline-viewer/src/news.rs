//! [`NewsRoom`]: what is new is collected once for all pages, however many look.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::StreamExt as _;
use serde::Serialize;
use throughline_core::{
    Cursor, EventStream, ReadError, Status, StreamItem, TraceId, TraceStream, WatchRequest,
};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout, timeout_at};

/// For how long events are collected: so often a page is told, however much happens.
const COLLECTED: Duration = Duration::from_millis(250);
/// How many runs one message names.
const MOST: usize = 1_000;
/// How many messages are kept for pages that come back or are slow: those of twice the time that a connection lasts, at
/// their most frequent.
const KEPT: usize = 160;
/// For how long it is collected although no page is there: pages come back.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs in which something happened.
#[derive(Debug, Default, Serialize)]
struct News {
    runs: BTreeMap<TraceId, New>,
    /// Whether more happened than could be told.
    missed: bool,
}

/// What happened in a run.
#[derive(Debug, Default, Serialize)]
struct New {
    started: bool,
    ended: bool,
}

impl News {
    fn add(&mut self, item: &StreamItem) {
        match item {
            StreamItem::Event { event, .. } => {
                if self.runs.len() >= MOST && !self.runs.contains_key(&event.trace_id) {
                    self.missed = true;
                    return;
                }
                let run = self.runs.entry(event.trace_id).or_default();
                run.started |= event.is_root() && event.seq == 0;
                run.ended |= event.is_root() && event.status != Status::Pending;
            }
            _ => self.missed = true,
        }
    }
}

/// What pages are told at once.
#[derive(Debug)]
pub(crate) struct Message {
    /// With what a page that comes back says that it has been told this.
    id: Option<String>,
    json: String,
}

impl Message {
    fn of(news: &News, cursor: Option<&Cursor>) -> Option<Self> {
        // A line of the protocol has no line end in it.
        let id = cursor.map(Cursor::as_str).filter(|id| !id.contains(['\r', '\n', '\0']));
        Some(Self { id: id.map(str::to_owned), json: serde_json::to_string(news).ok()? })
    }

    /// Says that something was missed.
    fn missed() -> Option<Arc<Self>> {
        Self::of(&News { missed: true, ..News::default() }, None).map(Arc::new)
    }

    pub(crate) fn to_event(&self) -> Event {
        let event = Event::default().event("news").data(&self.json);
        match &self.id {
            Some(id) => event.id(id),
            None => event,
        }
    }
}

/// What a page is told, one message after the other.
pub(crate) trait Messages: Send + 'static {
    /// The next one; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Arc<Message>>> + Send;
}

/// What a feed says, collected.
pub(crate) struct Collected {
    events: EventStream,
    cursor: Option<Cursor>,
}

impl Collected {
    /// What is new since this message, in one run or in all.
    pub(crate) async fn of(
        feed: &dyn TraceStream,
        last: Option<&str>,
        run: Option<TraceId>,
    ) -> Result<Self, ReadError> {
        let mut request = WatchRequest::new();
        if let Some(run) = run {
            request = request.trace(run);
        }
        if let Some(last) = last {
            request = request.after(Cursor::new(last));
        }
        Ok(Self { events: feed.watch(request).await?, cursor: None })
    }
}

impl Messages for Collected {
    async fn next(&mut self) -> Option<Arc<Message>> {
        let first = self.first().await?;
        self.with_what_follows(first).await
    }
}

impl Collected {
    /// Waits until something happens; `None` if the feed has ended.
    async fn first(&mut self) -> Option<StreamItem> {
        self.events.next().await?.ok()
    }

    /// What has happened, with what happens shortly afterwards.
    async fn with_what_follows(&mut self, first: StreamItem) -> Option<Arc<Message>> {
        let (until, mut news, mut item) = (Instant::now() + COLLECTED, News::default(), Some(first));
        while let Some(found) = item.take() {
            news.add(&found);
            if let StreamItem::Event { cursor, .. } = found {
                self.cursor = Some(cursor);
            }
            item = timeout_at(until, self.events.next()).await.ok().flatten().and_then(Result::ok);
        }
        Message::of(&news, self.cursor.as_ref()).map(Arc::new)
    }
}

/// Where what is new is collected for all pages.
#[derive(Default)]
pub(crate) struct NewsRoom {
    /// Held for a moment only: where many pages come at once none may wait for its turn, for all would.
    open: Mutex<Option<Open>>,
    opening: tokio::sync::Mutex<()>,
}

/// It is open as long as somebody collects, who has the sender.
struct Open {
    to_all: broadcast::WeakSender<Arc<Message>>,
    kept: Arc<Mutex<VecDeque<Arc<Message>>>>,
}

/// What one page is told of it.
pub(crate) struct Joined {
    /// What was told while it was not there.
    before: VecDeque<Arc<Message>>,
    from_now: broadcast::Receiver<Arc<Message>>,
}

impl NewsRoom {
    /// Who joins is told what is new since this message, or that something was missed.
    pub(crate) async fn join(
        &self,
        feed: &Arc<dyn TraceStream>,
        last: Option<&str>,
    ) -> Result<Joined, ReadError> {
        let if_open = || locked(&self.open).as_ref().and_then(|open| open.join(last));
        if let Some(joined) = if_open() {
            return Ok(joined);
        }
        let _opening = self.opening.lock().await;
        // Somebody may have opened it meanwhile.
        if let Some(joined) = if_open() {
            return Ok(joined);
        }
        // The first page is served from where it was, as far back as the feed reaches.
        let collected = Collected::of(&**feed, last, None).await?;
        let (to_all, from_now) = broadcast::channel(KEPT);
        let kept = Arc::default();
        *locked(&self.open) = Some(Open { to_all: to_all.downgrade(), kept: Arc::clone(&kept) });
        tokio::spawn(collect(collected, to_all, kept));
        Ok(Joined { before: VecDeque::new(), from_now })
    }
}

impl Open {
    /// `None` if nobody collects any more.
    fn join(&self, last: Option<&str>) -> Option<Joined> {
        let to_all = self.to_all.upgrade()?;
        // Nothing is told between a look at what was told and the place among those who are told next.
        let kept = locked(&self.kept);
        let from_now = to_all.subscribe();
        let before = last.map_or_else(VecDeque::new, |last| {
            match kept.iter().rposition(|message| message.id.as_deref() == Some(last)) {
                Some(at) => kept.range(at + 1..).cloned().collect(),
                None => Message::missed().into_iter().collect(),
            }
        });
        Some(Joined { before, from_now })
    }
}

/// Collects until the feed ends, or no page has been there for long.
async fn collect(
    mut collected: Collected,
    to_all: broadcast::Sender<Arc<Message>>,
    kept: Arc<Mutex<VecDeque<Arc<Message>>>>,
) {
    let mut last_seen = Instant::now();
    while last_seen.elapsed() < PATIENCE {
        let first = timeout(PATIENCE, collected.first()).await;
        if to_all.receiver_count() > 0 {
            last_seen = Instant::now();
        }
        let message = match first {
            Ok(Some(first)) => collected.with_what_follows(first).await,
            Ok(None) => return,
            Err(_) => continue,
        };
        let Some(message) = message else { return };
        let mut kept = locked(&kept);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&message));
        // It fails where no page is there, which may come back.
        let _ = to_all.send(message);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Messages for Joined {
    async fn next(&mut self) -> Option<Arc<Message>> {
        if let Some(message) = self.before.pop_front() {
            return Some(message);
        }
        match self.from_now.recv().await {
            Ok(message) => Some(message),
            Err(RecvError::Lagged(_)) => Message::missed(),
            Err(RecvError::Closed) => None,
        }
    }
}
