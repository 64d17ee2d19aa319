//! [`SqliteStore`], and the store that it describes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use throughline_model::{
    AppendError, BoxFuture, Claim, Instance, OpenError, Readers, StoreConfig, TraceEvent, TraceId,
    TraceStore, Upkeep,
};
use tokio::sync::oneshot;

use crate::claim;
use crate::connection::{Place, STORE_FILE, Synchronous};
use crate::error::{STORE, append_error, open_error};
use crate::importer::SqliteImporter;
use crate::lease::Lease;
use crate::mover::Mover;
use crate::paths::resolved;
use crate::presence::Gone;
use crate::prune::{PruneError, PrunePolicy, PruneReport, prune};
use crate::reader::SqliteReader;
use crate::retention::Retention;
use crate::writer::Writer;

/// The description of a store in a SQLite file. Nothing is touched before it is opened; then the file is created if it
/// does not exist.
///
/// Services hand it to the builder of Throughline, which [opens](StoreConfig::open) it for writing. Tools that only read
/// take [`open_reader`](Self::open_reader).
///
/// ```
/// use std::sync::Arc;
/// use throughline_model::{
///     Instance, InstanceId, SpanId, StoreConfig, Timestamp, TraceEvent, TraceId,
/// };
/// use throughline_sqlite::SqliteStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("traces.db");
/// let instance = Instance::new(InstanceId::from_u64(1), "loan-service");
/// let store = SqliteStore::new(&path).open(instance).await?;
///
/// let (trace, span) = (TraceId::from_key("loan-42"), SpanId::from_u64(1).ok_or("not zero")?);
/// let event = TraceEvent::new(trace, span, "stage:score", Timestamp::now(), "loan-service");
/// store.append(&[Arc::new(event)]).await?;
///
/// // It is on the disk now, and other processes see it as well.
/// assert_eq!(store.readers().reader.trace(trace).await?.len(), 1);
/// store.close().await?;
/// # Ok(())
/// # })
/// # }
/// ```
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

    /// Removes whole runs this long after they ended; runs that a dead process left open, and imported ones that never
    /// ended, this long after their last event. A run that a living process works on stays. A thread of the store that writes
    /// does it, a few runs at a time. By default nothing is removed.
    #[must_use]
    pub fn retention_age(mut self, age: Duration) -> Self {
        self.policy = self.policy.age(age);
        self
    }

    /// Removes whole runs that no living process works on, the oldest first, while the file holds more than so many bytes.
    /// SQLite's log adds about 16 MB to that, or more while a reader still uses an old state of the file.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.policy = self.policy.bytes(bytes);
        self
    }

    /// When writes are synced to the disk; [`Synchronous::Full`] by default. With any other setting an acknowledged
    /// event may be lost in a power cut.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.place.synchronous = synchronous;
        self
    }

    /// How long to wait for another process that is writing to the file before a write fails with a retryable error;
    /// five seconds by default.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.place.busy_timeout = timeout;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Opens the file for reading, as a process does that does not write: without a lease, and without creating it.
    /// Blocks for a moment; [`StoreConfig::open_readers`] does not.
    ///
    /// # Errors
    ///
    /// If there is no such file, or if it is empty, of another kind, or of a schema that this release can't read.
    pub fn open_reader(&self) -> Result<SqliteReader, OpenError> {
        SqliteReader::open(&self.place.path)
    }

    /// Opens the file to load events in bulk; creates it if it does not exist. Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Those of opening a store.
    pub fn open_importer(&self) -> Result<SqliteImporter, OpenError> {
        SqliteImporter::open(&self.place)
    }

    /// Removes runs by a policy until it is met, and returns the space to the file system. Blocks until that is done;
    /// other processes can write in between.
    ///
    /// # Errors
    ///
    /// Those of opening a store, and of writing to it.
    pub fn prune(&self, policy: &PrunePolicy) -> Result<PruneReport, PruneError> {
        prune(&self.place, policy)
    }

    fn open_store(mut self, instance: &Instance) -> Result<Arc<dyn TraceStore>, OpenError> {
        let opened = STORE_FILE.open(&self.place)?;
        let reader = SqliteReader::open(&self.place.path)?;
        reader.check_same_database(&opened.presence).map_err(Gone::into_open_error)?;
        self.place.path = resolved(&self.place.path);
        let mut writer = Writer::new(opened);
        if self.place.synchronous == Synchronous::Full {
            writer.extend_log().map_err(|error| open_error(&self.place.path, error))?;
        }
        let mover = writer.move_log_beside(&self.place)?;
        let lease = Lease::take(&mut writer, &self.place.path, instance)?;
        let upkeep = Upkeep::default();
        let retention = match self.policy.is_empty() {
            true => None,
            false => Some(Retention::start(&self.place, self.policy, upkeep.clone())?),
        };
        let open = Mutex::new(Some(Open { mover, writer, lease, retention }));
        Ok(Arc::new(OpenStore { path: self.place.path, open, reader, upkeep }))
    }
}

impl StoreConfig for SqliteStore {
    fn name(&self) -> &'static str {
        STORE
    }

    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let config = self.clone();
        Box::pin(on_a_thread(move || config.open_store(&instance)))
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let path = self.place.path.clone();
        Box::pin(on_a_thread(move || SqliteReader::open(&path).map(Readers::of)))
    }
}

/// Opens a file on a thread of its own: another process may hold it up, and the runtime of the caller has other work.
async fn on_a_thread<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let (tx, rx) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("throughline-open".to_owned()).spawn(move || {
        // The caller may have stopped waiting.
        let _ = tx.send(open());
    });
    let unavailable = |source| OpenError::Unavailable {
        store: STORE,
        reason: "the operating system can't start a thread to open the file".to_owned(),
        source,
    };
    spawned.map_err(|error| unavailable(Some(error.into())))?;
    rx.await.map_err(|error| unavailable(Some(error.into())))?
}

/// What a store has until it is closed.
struct Open {
    mover: Mover,
    writer: Writer,
    lease: Lease,
    retention: Option<Retention>,
}

struct OpenStore {
    path: PathBuf,
    open: Mutex<Option<Open>>,
    reader: SqliteReader,
    upkeep: Upkeep,
}

impl OpenStore {
    fn with_writer<T>(
        &self,
        write: impl FnOnce(&mut Writer, &Lease) -> rusqlite::Result<T>,
    ) -> Result<T, AppendError> {
        let mut open = self.lock();
        let Some(Open { writer, lease, .. }) = &mut *open else {
            return Err(AppendError::Broken {
                reason: format!("{} is closed; open it again", self.path.display()),
                source: None,
            });
        };
        let written = write(writer, lease);
        // Also the better answer to why something failed.
        writer.confirm().map_err(Gone::into_append_error)?;
        written.map_err(|error| append_error(&self.path, error))
    }

    /// A panic while the lock was held may have left a transaction open: it is rolled back.
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(|poisoned| {
            let mut guard = poisoned.into_inner();
            if let Some(open) = &mut *guard {
                open.writer.abandon();
            }
            // What was amiss is put right: the next call need not do it again.
            self.open.clear_poison();
            guard
        })
    }

    fn close_now(&self) -> Result<(), AppendError> {
        let Some(Open { mover, mut writer, lease, retention }) = self.lock().take() else { return Ok(()) };
        drop((retention, mover));
        writer.confirm().map_err(Gone::into_append_error)?;
        // Readers count what is not folded yet. To fold it now makes them faster, nothing more.
        let folded = writer.fold();
        let closed = lease.give_back(&mut writer).and(folded).and_then(|()| writer.empty_log());
        writer.confirm().map_err(Gone::into_append_error)?;
        closed.map_err(|error| append_error(&self.path, error))
    }
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
            self.with_writer(|writer, _| writer.append(events).map(drop))
        })
    }

    fn prepare(&self, events: &[Arc<TraceEvent>]) {
        if let Some(Open { writer, .. }) = &mut *self.lock() {
            // Whatever is wrong, the group that comes next finds out.
            let _ = writer.prepare(events);
        }
    }

    fn group_commit_delay(&self) -> Duration {
        Duration::from_micros(150)
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            self.with_writer(|writer, lease| {
                writer.transaction(|connection| claim::claim(connection, &self.path, trace, lease.instance))
            })
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.with_writer(|writer, lease| {
                writer.transaction(|connection| claim::release(connection, trace, lease.instance))
            })
        })
    }

    fn readers(&self) -> Readers {
        Readers::of(self.reader.clone())
    }

    fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.close_now() })
    }
}
