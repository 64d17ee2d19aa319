//! What the store on SQLite promises, beyond what every store does.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod causes;
mod claims;
mod conformance;
mod errors;
mod fields;
mod import;
mod lease;
mod open_runs;
mod pages;
mod presence;
mod processes;
mod prune;
mod prune_open;
mod shell;
mod spool;
mod torn;
mod upgrade;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_model::{Instance, InstanceId, StoreConfig, TraceEvent, TraceStore};
use throughline_sqlite::{SqliteStore, Synchronous};

/// A file that is gone with the test.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("traces.db")
    }

    /// Without syncing, which most tests don't need.
    fn store(&self) -> SqliteStore {
        unsynced(&self.path())
    }
}

fn unsynced(path: &Path) -> SqliteStore {
    SqliteStore::new(path).synchronous(Synchronous::Off)
}

async fn open(store: SqliteStore) -> Arc<dyn TraceStore> {
    open_as(store, InstanceId::random()).await
}

async fn open_as(store: SqliteStore, id: InstanceId) -> Arc<dyn TraceStore> {
    store.open(Instance::new(id, "loan-service")).await.unwrap()
}

fn shared(events: &[TraceEvent]) -> Vec<Arc<TraceEvent>> {
    events.iter().cloned().map(Arc::new).collect()
}
