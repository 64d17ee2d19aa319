//! [`Follower`], which reads one stream for one watcher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{RedisError, RedisResult, Value};
use throughline_model::{InstanceId, ReadError, StreamItem, TraceEvent, WatchRequest};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::numbers::Numbers;
use super::repeats::Repeats;
use super::{BLOCK, BLOCKED, Item, RedisStream};
use crate::connection::{Connection, is_transient, read_error};
use crate::entries::{Entry, Numbered, value};
use crate::head::Head;
use crate::place::{EntryId, Place};

/// How many entries are read at once.
const BATCH: usize = 64;
/// How many entries before the place where a watch resumes may have copies after it.
const BACK: usize = 16;
/// How long to wait before the first and any further attempt to connect again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Reads one stream for one watcher.
pub(super) struct Follower {
    stream: RedisStream,
    request: WatchRequest,
    key: String,
    connection: Option<Connection>,
    at: At,
    repeats: Repeats,
    numbers: Numbers,
    /// What must be said first.
    missed: Option<StreamItem>,
    /// When everything that was there had been read.
    up_to_date: Instant,
}

/// How far a watcher is.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The feed; `None` while it is not known, as of one that has no event yet.
    feed: Option<InstanceId>,
    /// The last entry that was read, at least in part.
    entry: EntryId,
    /// The number of the last event that was seen; `None` if it is not known which ones follow.
    n: Option<u64>,
    /// Whether the entry has more.
    is_inside: bool,
}

/// The watcher has left.
struct Gone;

impl Follower {
    /// Connects, and finds the place where the watch begins.
    pub(super) async fn start(
        stream: RedisStream,
        request: WatchRequest,
        after: Option<Place>,
    ) -> RedisResult<Self> {
        let key = match request.trace {
            Some(trace) => stream.keys.run(trace),
            None => stream.keys.all(),
        };
        let mut follower = Self {
            connection: Some(stream.client.connect(BLOCKED).await?),
            at: At { feed: None, entry: EntryId::START, n: None, is_inside: false },
            repeats: Repeats::default(),
            numbers: Numbers::default(),
            missed: None,
            up_to_date: Instant::now(),
            stream,
            request,
            key,
        };
        follower.find_place(after).await?;
        Ok(follower)
    }

    async fn find_place(&mut self, after: Option<Place>) -> RedisResult<()> {
        let Head { feed, n, last } = self.head().await?;
        match after {
            None => self.at = At { feed, entry: last, n: Some(n), is_inside: false },
            Some(place) if feed == Some(place.feed) && place.n <= n && self.learn(place).await? => {
                self.at = At { feed, entry: place.entry, n: Some(place.n), is_inside: true };
            }
            Some(_) => self.lose_track(feed),
        }
        Ok(())
    }

    /// Continues with the oldest entry that there is, and says that something is missing before it.
    fn lose_track(&mut self, feed: Option<InstanceId>) {
        self.at = At { feed, entry: EntryId::START, n: None, is_inside: false };
        self.numbers.forget();
        self.missed = Some(StreamItem::Missed(None));
    }

    async fn head(&mut self) -> RedisResult<Head> {
        Head::read(connected(&mut self.connection)?, &self.stream.keys).await
    }

    /// Learns what the watcher saw up to a place; whether nothing that follows can be missing without being noticed.
    async fn learn(&mut self, place: Place) -> RedisResult<bool> {
        let before = self.entries_up_to(place.entry, BACK).await?;
        let events = before.iter().rev().flat_map(|entry| &entry.events);
        for event in events.filter(|event| event.n <= place.n) {
            if let Ok(event) = TraceEvent::from_json(&event.json) {
                self.repeats.is_new(event.id());
            }
        }
        // Of all events it is known which number follows. Of a run's something older is kept, or it is not known.
        Ok(self.request.trace.is_none() || !before.is_empty())
    }

    /// The last entries up to one, the last first.
    async fn entries_up_to(&mut self, entry: EntryId, count: usize) -> RedisResult<Vec<Entry>> {
        let mut ask = redis::cmd("XREVRANGE");
        ask.arg(&self.key).arg(entry.to_string()).arg("-").arg("COUNT").arg(count);
        let found: StreamRangeReply = ask.query_async(connected(&mut self.connection)?).await?;
        Ok(found.ids.iter().filter_map(|entry| Entry::read(entry).ok()).collect())
    }

    /// Hands out what there is to see, until the watcher leaves or nothing more can be read.
    pub(super) async fn run(mut self, items: Sender<Item>) {
        tokio::select! {
            biased;
            () = items.closed() => {}
            _ = self.follow(&items) => {}
        }
    }

    async fn follow(&mut self, items: &Sender<Item>) -> Result<(), Gone> {
        let mut pause = PAUSES.0;
        loop {
            let read = self.read().await;
            if let Some(missed) = self.missed.take() {
                send(items, Ok(missed)).await?;
            }
            match read {
                Ok(entries) => {
                    pause = PAUSES.0;
                    self.show(entries, items).await?;
                }
                Err(error) if is_transient(&error) => {
                    self.connection = None;
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(PAUSES.1);
                }
                Err(error) => {
                    send(items, Err(read_error(&error))).await?;
                    return Ok(());
                }
            }
        }
    }

    /// The next entries; none if nothing happens for a while.
    async fn read(&mut self) -> RedisResult<StreamReadReply> {
        if self.connection.is_none() {
            self.reconnect().await?;
        }
        if self.missed.is_some() {
            return Ok(StreamReadReply::default());
        }
        let from = if self.at.is_inside { self.at.entry.before() } else { self.at.entry };
        let mut ask = redis::cmd("XREAD");
        ask.arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        ask.arg("STREAMS").arg(&self.key).arg(from.to_string());
        let read: Option<StreamReadReply> = ask.query_async(connected(&mut self.connection)?).await?;
        let read = read.unwrap_or_default();
        let count = read.keys.iter().map(|key| key.ids.len()).sum::<usize>();
        if self.request.trace.is_some() && count > 0 && self.at.n.is_some() && !self.is_unbroken().await? {
            self.at.n = None;
            self.missed = Some(StreamItem::Missed(None));
        }
        if count > 0 && self.at.feed.is_none() {
            self.at.feed = self.head().await?.feed;
        }
        if count < BATCH {
            self.up_to_date = Instant::now();
        }
        Ok(read)
    }

    /// A connection, to the same data if that is still there.
    async fn reconnect(&mut self) -> RedisResult<()> {
        self.connection = Some(self.stream.client.connect(BLOCKED).await?);
        let Head { feed, n, .. } = self.head().await?;
        // Of a feed that had no event it is not known whether the first ones were lost with the server.
        let is_same = self.at.feed.is_some() && self.at.feed == feed;
        if !is_same || self.at.n.is_some_and(|seen| seen > n) {
            self.lose_track(feed);
        }
        Ok(())
    }

    /// Whether nothing was removed from the stream of a run between what was read before and what was read now.
    async fn is_unbroken(&mut self) -> RedisResult<bool> {
        // The oldest are removed first.
        if !self.entries_up_to(self.at.entry, 1).await?.is_empty() {
            return Ok(true);
        }
        let mut ask = redis::cmd("XINFO");
        ask.arg("STREAM").arg(&self.key);
        let asked: RedisResult<HashMap<String, Value>> =
            ask.query_async(connected(&mut self.connection)?).await;
        let mut info = match asked {
            Ok(info) => info,
            Err(error) if is_transient(&error) => return Err(error),
            // The stream has expired since it was read.
            Err(_) => return Ok(false),
        };
        let (length, added): (u64, u64) = (value(info.remove("length")), value(info.remove("entries-added")));
        // It began after what was read before; one before it would have been silent for its lifetime to be gone.
        Ok(length == added && self.up_to_date.elapsed() < self.stream.ttl)
    }

    async fn show(&mut self, read: StreamReadReply, items: &Sender<Item>) -> Result<(), Gone> {
        for entry in read.keys.iter().flat_map(|key| &key.ids) {
            let read = Entry::read(entry);
            if let Ok(entry) = &read
                && let Some(missed) = self.gap_before(entry)
            {
                self.numbers.forget();
                self.at.n = None;
                send(items, Ok(StreamItem::Missed(missed))).await?;
                if missed.is_none() {
                    // It is read again, once it is known of which feed it is.
                    self.at.feed = None;
                    return Ok(());
                }
            }
            match read {
                Ok(entry) => self.show_entry(entry, items).await?,
                Err(error) => {
                    if let Ok(entry) = entry.id.parse() {
                        self.at = At { entry, is_inside: false, ..self.at };
                    }
                    send(items, Err(error)).await?;
                }
            }
        }
        match self.numbers.missed(Instant::now()) {
            Some(missed) => send(items, Ok(StreamItem::Missed(Some(missed)))).await,
            None => Ok(()),
        }
    }

    async fn show_entry(&mut self, entry: Entry, items: &Sender<Item>) -> Result<(), Gone> {
        let seen = self.at.n.filter(|_| entry.id == self.at.entry);
        for event in entry.events.into_iter().filter(|event| seen.is_none_or(|seen| event.n > seen)) {
            self.at = At { entry: entry.id, n: Some(event.n), ..self.at };
            self.show_event(event, items).await?;
        }
        self.at = At { entry: entry.id, is_inside: false, ..self.at };
        Ok(())
    }

    /// How many events are missing before an entry, if any are and if that is known.
    fn gap_before(&self, entry: &Entry) -> Option<Option<u64>> {
        if entry.id == self.at.entry {
            return None;
        }
        let (due, first) = (self.at.n? + 1, entry.events.first()?.n);
        match self.request.trace {
            // The count began anew: the feed's data was lost, all of it or the last of it.
            _ if first < due => Some(None),
            None if first > due => Some(Some(first - due)),
            _ => None,
        }
    }

    async fn show_event(&mut self, read: Numbered, items: &Sender<Item>) -> Result<(), Gone> {
        let event = match TraceEvent::from_json(&read.json) {
            Ok(event) => event,
            Err(error) => {
                let reason = "an entry of the Redis stream is not an event".to_owned();
                return send(items, Err(ReadError::Damaged { reason, source: Some(error.into()) })).await;
            }
        };
        if !self.repeats.is_new(event.id()) {
            return Ok(());
        }
        if self.request.trace.is_none() && !read.is_ingested {
            self.numbers.came(event.instance, event.n, Instant::now());
        }
        let Some(feed) = self.at.feed.filter(|_| self.request.matches(&event)) else { return Ok(()) };
        let cursor = Place { feed, entry: self.at.entry, n: read.n }.cursor();
        send(items, Ok(StreamItem::Event { event: Arc::new(event), cursor })).await
    }
}

async fn send(items: &Sender<Item>, item: Item) -> Result<(), Gone> {
    items.send(item).await.map_err(|_| Gone)
}

fn connected(connection: &mut Option<Connection>) -> RedisResult<&mut Connection> {
    connection
        .as_mut()
        .ok_or_else(|| RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected)))
}
