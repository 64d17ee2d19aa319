//! [`SqliteStore`], and the store that it describes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_model::{
    AppendError, BoxFuture, Instance, OpenError, StoreConfig, TraceAnalytics, TraceEvent, TraceReader,
    TraceStore,
};

use crate::connection::{Place, STORE_FILE, Synchronous};
use crate::error::{STORE, append_error};
use crate::importer::SqliteImporter;
use crate::lease::Lease;
use crate::prune::{PruneError, PrunePolicy, PruneReport, prune};
use crate::reader::SqliteReader;
use crate::retention::Retention;
use crate::writer::Writer;

/// The description of a store in a SQLite file. Nothing is touched before it is opened; the file is made then.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    place: Place,
    policy: PrunePolicy,
}

impl SqliteStore {
    /// A store in this file. Its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place {
                path: path.into(),
                synchronous: Synchronous::default(),
                busy_timeout: Duration::from_secs(5),
            },
            policy: PrunePolicy::default(),
        }
    }

    /// Removes whole runs this long after they ended. It is done by a thread of the store that writes, a few
    /// runs at a time; open runs stay. Unless told otherwise nothing is removed.
    #[must_use]
    pub fn retention_age(mut self, age: Duration) -> Self {
        self.policy = self.policy.age(age);
        self
    }

    /// Removes whole ended runs, the oldest first, when the file holds more than so many bytes. Its log adds up
    /// to some 16 MB to that, more while a reader keeps an old state of the file in use.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.policy = self.policy.bytes(bytes);
        self
    }

    /// How often writes are brought to the disk; [`Synchronous::Full`] unless told otherwise, without which
    /// "acknowledged" does not mean "durable".
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.place.synchronous = synchronous;
        self
    }

    /// How long to wait for another process that writes to the file, before a write fails (retryably); five
    /// seconds unless told otherwise.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.place.busy_timeout = timeout;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Opens the file for reading, as another process would: without a lease, and without making it. Blocks for
    /// a moment.
    ///
    /// # Errors
    ///
    /// If there is no such file, if it is empty, of another kind or of a schema that this release can't read.
    pub fn open_reader(&self) -> Result<SqliteReader, OpenError> {
        SqliteReader::open(&self.place.path)
    }

    /// Opens the file to load events in bulk; makes it if need be. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Those of opening a store.
    pub fn open_importer(&self) -> Result<SqliteImporter, OpenError> {
        SqliteImporter::open(&self.place)
    }

    /// Removes ended runs by a policy, now and until it is met, and gives the room back to the file system.
    /// Blocks until that is done; other writers get their turns in between.
    ///
    /// # Errors
    ///
    /// Those of opening a store, and of writing to it.
    pub fn prune(&self, policy: &PrunePolicy) -> Result<PruneReport, PruneError> {
        prune(&self.place, policy)
    }

    fn open_store(mut self, instance: &Instance) -> Result<Arc<dyn TraceStore>, OpenError> {
        let connection = STORE_FILE.open(&self.place, false)?;
        self.place.path = resolved(&self.place.path);
        let lease = Lease::take(&connection, &self.place.path, instance)?;
        let reader = SqliteReader::open(&self.place.path)?;
        let open = Arc::new(Mutex::new(Open { writer: Writer::new(connection), lease: Some(lease) }));
        let retention = match self.policy.is_empty() {
            true => None,
            false => Some(Retention::start(&self.place, self.policy, Arc::clone(&open))?),
        };
        Ok(Arc::new(OpenStore { path: self.place.path, open, reader, retention: Mutex::new(retention) }))
    }
}

/// The path by which the file's companions are found, whatever name it was given by.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl StoreConfig for SqliteStore {
    fn open(
        self: Box<Self>,
        instance: Instance,
    ) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        Box::pin(async move { self.open_store(&instance) })
    }
}

/// What is shared with the thread that keeps to the retention.
pub(crate) struct Open {
    pub(crate) writer: Writer,
    lease: Option<Lease>,
}

struct OpenStore {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
    reader: SqliteReader,
    retention: Mutex<Option<Retention>>,
}

impl OpenStore {
    fn with_writer<T>(&self, write: impl FnOnce(&mut Open) -> rusqlite::Result<T>) -> Result<T, AppendError> {
        let mut open = lock(&self.open);
        if open.lease.is_none() {
            return Err(AppendError::Broken {
                reason: format!("{} was closed here; open it again", self.path.display()),
                source: None,
            });
        }
        write(&mut open).map_err(|error| append_error(&self.path, error))
    }

    fn close_now(&self) -> Result<(), AppendError> {
        let retention = lock_plain(&self.retention).take();
        drop(retention);
        let mut open = lock(&self.open);
        let Some(lease) = open.lease.take() else { return Ok(()) };
        // Counts that are not folded are counted by readers: to fold them now only makes that quicker.
        let folded = open.writer.fold();
        lease.give_back(open.writer.connection()).and(folded).map_err(|error| append_error(&self.path, error))
    }
}

/// A panic while the lock was held may have left a transaction open: it is rolled back.
pub(crate) fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        guard.writer.abandon();
        guard
    })
}

fn lock_plain<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TraceStore for OpenStore {
    fn name(&self) -> &str {
        STORE
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            if events.is_empty() {
                return Ok(());
            }
            self.with_writer(|open| open.writer.append(events).map(drop))
        })
    }

    fn linger(&self) -> Duration {
        Duration::from_micros(150)
    }

    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(self.reader.clone())
    }

    fn analytics(&self) -> Arc<dyn TraceAnalytics> {
        Arc::new(self.reader.clone())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.close_now() })
    }
}
