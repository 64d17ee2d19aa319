//! [`Publisher`], the writing end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, RedisResult};
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
            if events.is_empty() {
                return Ok(());
            }
            let group = self.group(events)?;
            self.send(&group).await.map_err(|error| append_error(&error))
        })
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::clone(&self.stream) as Arc<dyn TraceStream>)
    }
}

impl Publisher {
    /// Sends a group, a second time if the connection turns out to be gone: watchers drop what they see twice.
    async fn send(&self, group: &Pipeline) -> RedisResult<()> {
        let mut place = self.connection.lock().await;
        // Out of its place, so that a call that is given up leaves no connection that still owes a response.
        if let Some(mut connection) = place.take() {
            match group.exec_async(&mut connection).await {
                Err(error) if error.is_connection_dropped() => {}
                sent => return settle(sent, &mut place, connection),
            }
        }
        let mut connection = self.client.connect(RESPONSE).await?;
        let sent = group.exec_async(&mut connection).await;
        settle(sent, &mut place, connection)
    }

    /// The commands for a group, one for each entry.
    fn group(&self, events: &[Arc<TraceEvent>]) -> Result<Pipeline, AppendError> {
        let mut pipeline = redis::pipe();
        for (chunk, events) in events.chunks(ENTRY).enumerate() {
            let entry = Entry::of(events).map_err(|(index, error)| AppendError::Rejected {
                index: chunk * ENTRY + index,
                reason: format!("it can't be written as JSON: {error}"),
            })?;
            pipeline.add_command(entry.command(self, events)).ignore();
        }
        Ok(pipeline)
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
struct Entry {
    /// The runs that the events are of, in the order in which they appear.
    runs: Vec<TraceId>,
    /// For each event its run, as its place among them from 1, and its JSON.
    events: Vec<(usize, Vec<u8>)>,
    /// The roots that are open after this, and those that are not.
    opening: Vec<(String, i64)>,
    closing: Vec<String>,
}

impl Entry {
    fn of(events: &[Arc<TraceEvent>]) -> Result<Self, (usize, serde_json::Error)> {
        let mut places = HashMap::new();
        let mut entry = Self {
            runs: Vec::new(),
            events: Vec::with_capacity(events.len()),
            opening: Vec::new(),
            closing: Vec::new(),
        };
        for (index, event) in events.iter().enumerate() {
            let json = serde_json::to_vec(&**event).map_err(|error| (index, error))?;
            let place = *places.entry(event.trace_id).or_insert_with(|| {
                entry.runs.push(event.trace_id);
                entry.runs.len()
            });
            entry.events.push((place, json));
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

    fn command(self, publisher: &Publisher, events: &[Arc<TraceEvent>]) -> Cmd {
        let Publisher { keys, bounds, instance, .. } = publisher;
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(3 + self.runs.len());
        command.arg(keys.feed()).arg(keys.all()).arg(keys.open());
        self.runs.iter().for_each(|run| {
            command.arg(keys.run(*run));
        });
        let ttl = u64::try_from(bounds.ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, MOST_MILLIS);
        command
            .arg(InstanceId::random().to_string())
            .arg(bounds.entries)
            .arg(bounds.entries_of_a_run)
            .arg(ttl);
        command.arg(bounds.open_roots).arg(self.opening.len()).arg(self.closing.len());
        for (root, since) in &self.opening {
            command.arg(root).arg(*since);
        }
        command.arg(&self.closing);
        for ((run, json), event) in self.events.iter().zip(events) {
            let mark = if event.instance == *instance { "" } else { INGESTED };
            command.arg(*run).arg(mark).arg(json);
        }
        command
    }
}

/// The longest lifetime that Redis can add to the present.
const MOST_MILLIS: u64 = 1 << 52;
