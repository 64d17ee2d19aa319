//! The embedded durable store of Throughline, and its outbox, on SQLite.
//!
//! [`SqliteStore`] keeps events in one file. An event is acknowledged when the transaction that wrote it has been
//! synced to the disk; the emitter's groups make that cheap. Several processes may write to one file, any number
//! may read it ([`SqliteReader`]) and watch it, and none waits for a reader. [`SqliteImporter`] loads logs in
//! bulk, [`SqliteSpool`] is a local outbox for stores that can be away.
//!
//! ```
//! use throughline_model::{Page, Filter, TraceReader};
//! use throughline_sqlite::SqliteStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("traces.db");
//! let store = SqliteStore::new(&path);
//! let error = store.open_reader().map(drop).unwrap_err();
//! assert!(error.to_string().contains("traces.db"));
//!
//! let mut importer = store.open_importer()?;
//! # use throughline_model::{SpanId, Timestamp, TraceEvent, TraceId};
//! let event =
//!     TraceEvent::new(TraceId::random(), SpanId::random(), "stage:score", Timestamp::now(), "loan-service");
//! assert_eq!(importer.append(&[event.clone()])?, 1);
//! assert_eq!(importer.append(&[event])?, 0);
//! importer.finish()?;
//!
//! let reader = store.open_reader()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let runs = reader.runs(&Filter::new(), &Page::first(10)).await?;
//! assert_eq!(runs.items.len(), 1);
//! # Ok(()) })
//! # }
//! ```
//!
//! # The file
//!
//! It is an ordinary SQLite database in WAL mode, and reads well in the `sqlite3` shell: `select * from events`,
//! `runs` and `failures` show ids as hex, times as RFC 3339 and payloads as JSON. Beside it lie SQLite's own
//! `-wal` and `-shm`, and a folder `-leases` with an empty, locked file for each living process: this is how a
//! step that runs is told from one that was interrupted.
//!
//! Keep it on a local file system. Over NFS neither SQLite's shared memory nor the locks of the leases can be
//! relied on. A log whose tail was torn off by a power cut opens at its last whole commit.

mod block;
mod connection;
mod error;
mod importer;
mod lease;
mod names;
mod prune;
mod reader;
mod retention;
mod rollup;
mod run;
mod run_rows;
mod spool;
mod store;
mod writer;

pub use connection::Synchronous;
pub use importer::{ImportError, Imported, SqliteImporter};
pub use prune::{PruneError, PrunePolicy, PruneReport};
pub use reader::{SqliteReader, StoreInfo};
pub use spool::SqliteSpool;
pub use store::SqliteStore;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
