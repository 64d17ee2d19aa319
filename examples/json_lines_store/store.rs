//! The store: opens the folder, appends, claims.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use throughline_model::{
    AppendError, BoxFuture, Claim, Instance, InstanceId, OpenError, PagedAnalytics, Readers, StoreConfig,
    TraceEvent, TraceId, TraceStore,
};
use tokio::runtime::Handle;

use super::folder::Folder;
use super::lease::{self, Lease, WriteLock};
use super::reader::JsonLinesReader;

/// What ledgers and errors call this store.
const NAME: &str = "json-lines";

/// The description of a store in a folder.
#[derive(Debug, Clone)]
pub(crate) struct JsonLinesStore {
    folder: Folder,
}

impl JsonLinesStore {
    /// A store in this folder, which is made when the store is opened.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::new(folder.into()) }
    }
}

impl StoreConfig for JsonLinesStore {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let folder = self.folder.clone();
        Box::pin(async move {
            let store = OpenStore::open(folder, instance.id).map_err(cannot_open)?;
            Ok(Arc::new(store) as Arc<dyn TraceStore>)
        })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let folder = self.folder.clone();
        Box::pin(async move {
            folder.run_ids().map_err(cannot_open)?;
            Ok(readers(folder))
        })
    }
}

fn readers(folder: Folder) -> Readers {
    let reader = Arc::new(JsonLinesReader::new(folder, Handle::current()));
    Readers { analytics: Arc::new(PagedAnalytics::new(Arc::clone(&reader) as _)), reader }
}

fn cannot_open(error: io::Error) -> OpenError {
    let source = Some(error.into());
    OpenError::Unusable { store: NAME, reason: "its folder cannot be opened".to_owned(), source }
}

/// The store, open for one instance.
struct OpenStore {
    folder: Folder,
    instance: InstanceId,
    /// `None` once the store is closed.
    lease: Mutex<Option<Lease>>,
    readers: Readers,
}

impl OpenStore {
    fn open(folder: Folder, instance: InstanceId) -> io::Result<Self> {
        folder.create()?;
        let lease = Lease::take(&folder, instance)?.ok_or(ErrorKind::ResourceBusy)?;
        // An instance that comes back has lost what it had claimed.
        lease::release_all(&folder, &WriteLock::wait(&folder)?, instance)?;
        let readers = readers(folder.clone());
        Ok(Self { folder, instance, lease: Mutex::new(Some(lease)), readers })
    }

    fn append_each_run(&self, events: &[Arc<TraceEvent>]) -> io::Result<()> {
        let mut by_run = BTreeMap::<TraceId, Vec<&Arc<TraceEvent>>>::new();
        for event in events {
            by_run.entry(event.trace_id).or_default().push(event);
        }
        let _lock = WriteLock::wait(&self.folder)?;
        by_run.iter().try_for_each(|(run, events)| self.folder.append(*run, events))
    }

    fn close_now(&self) -> io::Result<()> {
        lease::release_all(&self.folder, &WriteLock::wait(&self.folder)?, self.instance)?;
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

/// None of these futures waits: each blocks the thread that the emitter keeps for its store, for as long as a disk takes.
impl TraceStore for OpenStore {
    fn name(&self) -> &str {
        NAME
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move { self.append_each_run(events).map_err(failed) })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            let lock = WriteLock::wait(&self.folder).map_err(failed)?;
            lease::claim(&self.folder, &lock, trace, self.instance).map_err(failed)
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let lock = WriteLock::wait(&self.folder).map_err(failed)?;
            lease::release(&self.folder, &lock, trace, self.instance).map_err(failed)
        })
    }

    fn readers(&self) -> Readers {
        self.readers.clone()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.close_now().map_err(failed) })
    }
}

fn failed(error: io::Error) -> AppendError {
    match error.kind() {
        ErrorKind::NotFound => {
            let reason = "its folder is gone: bring it back, or restart the service to begin anew".to_owned();
            AppendError::Broken { reason, source: Some(error.into()) }
        }
        // A disk that is full today may have room tomorrow.
        _ => {
            let reason = "its folder cannot be written to".to_owned();
            AppendError::Unavailable { reason, retry_after: None, source: Some(error.into()) }
        }
    }
}
