//! The embedded durable store of Throughline, and its outbox, on SQLite.
//!
//! [`SqliteStore`] keeps events in one file. An event is acknowledged when the transaction that wrote it has been synced
//! to the disk; events are written in groups, which makes that cheap. Several processes may write to one file, any number
//! may read it ([`SqliteReader`]) and watch it, and readers never block writers. [`SqliteImporter`] loads logs in bulk;
//! [`SqliteSpool`] is a local outbox for stores that may be unreachable.
//!
//! ```
//! use throughline_model::{Filter, Page, SpanId, Timestamp, TraceEvent, TraceId, TraceReader};
//! use throughline_sqlite::SqliteStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("traces.db");
//! let store = SqliteStore::new(&path);
//! // A reader does not create the file.
//! let error = store.open_reader().map(drop).unwrap_err();
//! assert!(error.to_string().contains("there is no file"));
//!
//! let (trace, span) = (TraceId::from_key("loan-42"), SpanId::from_u64(1).ok_or("not zero")?);
//! let event = TraceEvent::new(trace, span, "stage:score", Timestamp::now(), "loan-service");
//! let mut importer = store.open_importer()?;
//! assert_eq!(importer.append(&[event])?, 1);
//! importer.finish()?;
//!
//! let reader = store.open_reader()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let runs = reader.runs(&Filter::new(), &Page::first(10)).await?;
//! assert_eq!(runs.items[0].trace_id, trace);
//! # Ok(()) })
//! # }
//! ```
//!
//! # The file
//!
//! It is an ordinary SQLite database in WAL mode, and is readable in the `sqlite3` shell: the views `events`, `runs` and
//! `failures` show ids as hex, times as RFC 3339 and payloads as JSON. Beside it are SQLite's own `-wal` and `-shm`, and a
//! directory `-leases` with an empty, locked file for each live process. The locks distinguish a running step from an
//! interrupted one, and the claim of a live process on a run from that of a dead one. A lock on the file `waiting` there says
//! that a process waits to write.
//!
//! Nothing is acknowledged, and no question answered, while one of these files (the database, `-wal`, `-shm`) is not where it
//! was when it was opened. Closing the store moves everything into the database, so that it can be copied alone.
//!
//! Keep it on a local file system. Over NFS neither SQLite's shared memory nor the locks of the leases can be relied on.
//! If a power failure truncates the write-ahead log, the file opens at its last complete commit.
//!
//! # Upgrades
//!
//! A process that opens the file for writing migrates an older schema. Processes of the previous release that have
//! the file open may continue to write and read it meanwhile; once they close it, they can't open it again: the error names
//! the schema version of the file and says to use the newer release.

mod block;
mod cache;
mod cause;
mod claim;
mod connection;
mod error;
mod expired;
mod importer;
mod instances;
mod json;
mod latest;
mod lease;
mod log;
mod mover;
mod names;
mod paths;
mod periodic;
mod presence;
mod prune;
mod reader;
mod replace;
mod retention;
mod rollup;
mod run;
mod run_count;
mod run_rows;
mod skip_index;
mod spool;
mod store;
mod turn;
mod unused;
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
