//! A million events, in our store and in a plain table.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use throughline_core::{Instance, InstanceId, StoreConfig, Text, Timestamp, TraceEvent, TraceId};
use throughline_sqlite::{SqliteReader, SqliteStore};
use tokio::runtime::Runtime;

use crate::duel::bar;
use crate::load::{EVENTS_OF_A_RUN, runs};
use crate::peers::plain_sqlite::PlainSqlite;

/// How many events there are.
pub const EVENTS: usize = 1_000_000;

/// Over how much time they are spread.
pub const SPAN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A key that [`RUNS_OF_SHARED_KEY`] runs from all over the file have.
pub const SHARED_KEY: &str = "customer-93817";

/// How many runs have [`SHARED_KEY`]; all others have a key of their own.
pub const RUNS_OF_SHARED_KEY: usize = 5_000;

/// The groups that a store with many emitters commits.
const GROUP: usize = 64;

/// The same million events in both files.
#[derive(Debug)]
pub struct Million {
    /// Our file.
    pub path: PathBuf,
    /// Reads our file.
    pub reader: SqliteReader,
    /// The plain table.
    pub plain: PlainSqlite,
    /// Some of the traces, from all over the file.
    pub traces: Vec<TraceId>,
    /// Keys of which each is that of one run, from all over the file.
    pub keys: Vec<Text>,
    /// When the last event happened.
    pub end: Timestamp,
}

impl Million {
    /// Writes both files into a folder. Our store is given the events as a busy service would give them, in groups.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn build(folder: &Path, runtime: &Runtime) -> anyhow::Result<Self> {
        let end = Timestamp::now();
        let mut keys = HashMap::new();
        let mut traces = Vec::new();
        for event in bare_events(end).filter(|event| event.is_root() && event.seq == 0) {
            let is_shared = traces.len() % 13 == 0 && traces.len() / 13 < RUNS_OF_SHARED_KEY;
            let key = if is_shared { SHARED_KEY.to_owned() } else { format!("loan-{}", traces.len()) };
            keys.insert(event.trace_id, Text::from(key));
            traces.push(event.trace_id);
        }
        let events = || {
            bare_events(end).map(|mut event| {
                Arc::make_mut(&mut event).correlation_id = keys.get(&event.trace_id).cloned();
                event
            })
        };
        let path = folder.join("million.db");
        let store = SqliteStore::new(&path);
        fill(&store, events(), "a million events, our store", EVENTS, runtime)?;
        let reader = store.open_reader()?;
        let progress = bar("a million events, plain table", EVENTS as u64);
        let mut plain = PlainSqlite::create(&folder.join("plain.db"))?;
        plain.load(events(), || progress.inc(1))?;
        progress.finish_and_clear();
        let traces: Vec<_> = traces.into_iter().step_by(7).collect();
        let keys =
            traces.iter().filter_map(|trace| keys.get(trace)).filter(|key| *key != SHARED_KEY).cloned();
        Ok(Self { path, reader, plain, keys: keys.collect(), traces, end })
    }
}

/// Writes events to a store as a busy service would, in groups.
///
/// # Errors
/// If they can't be written.
pub fn fill(
    store: &SqliteStore,
    events: impl Iterator<Item = Arc<TraceEvent>>,
    what: &str,
    count: usize,
    runtime: &Runtime,
) -> anyhow::Result<()> {
    runtime.block_on(async {
        let open = store.open(Instance::new(InstanceId::from_u64(1), "loan-service")).await?;
        let progress = bar(what, count as u64);
        let mut group: Vec<Arc<TraceEvent>> = Vec::with_capacity(GROUP);
        for event in events {
            group.push(event);
            if group.len() == GROUP {
                open.append(&group).await?;
                progress.inc(GROUP as u64);
                group.clear();
            }
        }
        open.append(&group).await?;
        open.close().await?;
        progress.finish_and_clear();
        Ok(())
    })
}

fn bare_events(end: Timestamp) -> impl Iterator<Item = Arc<TraceEvent>> {
    runs(EVENTS / EVENTS_OF_A_RUN, end, SPAN, 42)
}
