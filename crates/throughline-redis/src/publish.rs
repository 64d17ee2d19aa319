//! [`Publisher`], the writing end.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use redis::{Cmd, RedisError, RedisResult};
use throughline_model::{
    AppendError, BoxFuture, InstanceId, LiveFeed, Status, TraceEvent, TraceId, TraceStream,
};
use tokio::sync::Mutex;

use crate::connection::{Client, Connection, append_error, is_transient};
use crate::entries::INGESTED;
use crate::keys::Keys;
use crate::watch::RedisStream;

/// One command to the server, and atomic: either all streams have the events, or none.
const SCRIPT: &str = include_str!("publish.lua");

/// How many events are one entry of a stream at most. Larger entries cost the server less, and hold others up for longer.
const ENTRY: usize = 64;

/// How long the server may take for a group. Less than a feed is given, so that the connection is replaced in time.
pub(crate) const RESPONSE: Duration = Duration::from_secs(4);

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) entries_of_a_run: usize,
    pub(crate) open_roots: usize,
    pub(crate) ttl: Duration,
}

/// Publishes the events of one emitter.
pub(crate) struct Publisher {
    pub(crate) client: Client,
    pub(crate) keys: Keys,
    pub(crate) bounds: Bounds,
    pub(crate) instance: InstanceId,
    /// `None` until it is needed, and after a failure.
    pub(crate) connection: Mutex<Option<Connection>>,
    pub(crate) stream: Arc<RedisStream>,
}

impl LiveFeed for Publisher {
    fn name(&self) -> &str {
        "redis"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            match events {
                [] => Ok(()),
                events => self.send(events).await?.map_err(|error| append_error(&error)),
            }
        })
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::clone(&self.stream) as Arc<dyn TraceStream>)
    }
}

impl Publisher {
    /// Sends events, a second time if the connection turns out to be gone: watchers drop what they see twice.
    async fn send(&self, events: &[Arc<TraceEvent>]) -> Result<RedisResult<()>, AppendError> {
        let mut place = self.connection.lock().await;
        // Out of its place, so that a call that is given up leaves no connection that still owes a response.
        if let Some(connection) = place.take() {
            match self.send_through(&connection, events).await? {
                Err(error) if error.is_connection_dropped() => {}
                sent => return Ok(settle(sent, &mut place, connection)),
            }
        }
        let connection = match self.client.connect(RESPONSE).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let sent = self.send_through(&connection, events).await?;
        Ok(settle(sent, &mut place, connection))
    }

    /// Sends events, a command for each entry, several at a time. All are made before the first is sent, so that nothing of a
    /// group is published in which an event can't be written.
    async fn send_through(
        &self,
        connection: &Connection,
        events: &[Arc<TraceEvent>],
    ) -> Result<RedisResult<()>, AppendError> {
        let mut commands = Vec::with_capacity(events.len().div_ceil(ENTRY));
        for (chunk, events) in events.chunks(ENTRY).enumerate() {
            let entry = Entry::of(events, self.instance).map_err(|(index, error)| AppendError::Rejected {
                index: chunk * ENTRY + index,
                reason: format!("it can't be written as JSON: {error}"),
            })?;
            commands.push(entry.command(self));
        }
        let (mut sent, mut result) = (FuturesOrdered::new(), Ok(()));
        for command in commands {
            let mut connection = connection.clone();
            sent.push_back(async move { command.exec_async(&mut connection).await });
            tokio::select! {
                biased;
                Some(responded) = sent.next() => result = result.and(responded),
                () = tokio::task::yield_now() => {}
            }
        }
        while let Some(responded) = sent.next().await {
            result = result.and(responded);
        }
        Ok(result)
    }
}

/// Keeps a connection that can be used again: not to a server that has become another's replica, for one.
fn settle(sent: RedisResult<()>, place: &mut Option<Connection>, connection: Connection) -> RedisResult<()> {
    let is_broken = |error: &RedisError| is_transient(error) || error.is_unrecoverable_error();
    if !sent.as_ref().is_err_and(is_broken) {
        *place = Some(connection);
    }
    sent
}

/// What becomes one entry of the stream of all events.
#[derive(Default)]
struct Entry {
    count: usize,
    /// In the order in which they appear.
    runs: Vec<OfRun>,
    /// The roots that are open after this, and those that are not.
    opening: Vec<(String, i64)>,
    closing: Vec<String>,
}

/// The events of one run in an entry.
struct OfRun {
    trace: TraceId,
    /// Their places in the entry, from 0.
    places: Vec<u8>,
    /// Their JSON, a line each.
    lines: Vec<u8>,
}

impl Entry {
    fn of(events: &[Arc<TraceEvent>], own: InstanceId) -> Result<Self, (usize, serde_json::Error)> {
        let (mut entry, mut found) = (Self { count: events.len(), ..Self::default() }, HashMap::new());
        for (place, event) in events.iter().enumerate() {
            let run = *found.entry(event.trace_id).or_insert_with(|| {
                entry.runs.push(OfRun { trace: event.trace_id, places: Vec::new(), lines: Vec::new() });
                entry.runs.len() - 1
            });
            let Some(run) = entry.runs.get_mut(run) else { continue };
            let mark = if event.instance == own { "" } else { INGESTED };
            run.add(place, mark, event).map_err(|error| (place, error))?;
            if event.is_root() || event.is_detached() {
                entry.root(event);
            }
        }
        Ok(entry)
    }

    /// A root that begins or continues is open, one that ended is not.
    fn root(&mut self, event: &TraceEvent) {
        let root = format!("{}:{}", event.trace_id, event.span_id);
        self.opening.retain(|(open, _)| *open != root);
        if event.status == Status::Pending {
            self.closing.retain(|closed| *closed != root);
            self.opening.push((root, event.timestamp.as_micros()));
        } else {
            self.closing.push(root);
        }
    }

    fn command(self, publisher: &Publisher) -> Cmd {
        let Publisher { keys, bounds, .. } = publisher;
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(3 + self.runs.len());
        command.arg(keys.feed()).arg(keys.all()).arg(keys.open());
        self.runs.iter().for_each(|run| {
            command.arg(keys.run(run.trace));
        });
        let ttl = u64::try_from(bounds.ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, MOST_MILLIS);
        command
            .arg(InstanceId::random().to_string())
            .arg(bounds.entries)
            .arg(bounds.entries_of_a_run)
            .arg(ttl);
        command.arg(bounds.open_roots).arg(self.count).arg(self.opening.len()).arg(self.closing.len());
        for (root, since) in &self.opening {
            command.arg(root).arg(*since);
        }
        command.arg(&self.closing);
        for run in &self.runs {
            command.arg(&run.places).arg(&run.lines);
        }
        command
    }
}

impl OfRun {
    fn add(&mut self, place: usize, mark: &str, event: &TraceEvent) -> serde_json::Result<()> {
        if !self.places.is_empty() {
            self.places.push(b',');
            self.lines.push(b'\n');
        }
        write!(self.places, "{place}{mark}").map_err(serde_json::Error::io)?;
        serde_json::to_writer(&mut self.lines, event)
    }
}

/// The longest lifetime that Redis can add to the present.
const MOST_MILLIS: u64 = 1 << 52;
