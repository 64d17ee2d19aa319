//! A store that kills its own process at one of its writes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use throughline::event::TraceEvent;
use throughline::store::{
    AppendError, BoxFuture, Claim, Instance, Lease, Limits, OpenError, Readers, StoreConfig, TraceStore,
};
use throughline::{SqliteStore, TraceId};
use tokio::sync::watch;

use crate::process::say;

/// What [`KillingStore`] says before the description of a write that the file has.
pub(super) const WRITTEN: &str = "written: ";

/// The instant at which a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instant {
    /// At which of its writes, from 1.
    pub(super) write: usize,
    pub(super) side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    /// The file has nothing of the write.
    Before,
    /// The file has it, and nobody has been told.
    After,
}

/// A SQLite file whose process dies at this instant, if there is one.
pub(super) struct KillingStore {
    file: SqliteStore,
    dies: Option<Instant>,
    claims: Claims,
}

/// How many claims are held. Nobody waits for a claim to be released, but it is a write, too.
#[derive(Clone)]
pub(super) struct Claims(Arc<watch::Sender<usize>>);

impl Claims {
    pub(super) async fn released(&self) {
        self.0.subscribe().wait_for(|held| *held == 0).await.unwrap();
    }
}

impl KillingStore {
    pub(super) fn new(file: SqliteStore, dies: Option<Instant>) -> Self {
        Self { file, dies, claims: Claims(Arc::new(watch::Sender::new(0))) }
    }

    pub(super) fn claims(&self) -> Claims {
        self.claims.clone()
    }
}

impl StoreConfig for KillingStore {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (opening, dies, claims) = (self.file.open(instance), self.dies, self.claims());
        Box::pin(async move {
            let (file, writes) = (opening.await?, AtomicUsize::new(0));
            Ok(Arc::new(Open { file, dies, claims, writes }) as Arc<dyn TraceStore>)
        })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.file.open_readers()
    }
}

struct Open {
    file: Arc<dyn TraceStore>,
    dies: Option<Instant>,
    claims: Claims,
    writes: AtomicUsize,
}

impl Open {
    fn die_at(&self, write: usize, side: Side) {
        if self.dies == Some(Instant { write, side }) {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }

    /// Makes a write, and says so; or dies.
    async fn write<T>(
        &self,
        what: String,
        call: impl Future<Output = Result<T, AppendError>>,
    ) -> Result<T, AppendError> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        self.die_at(write, Side::Before);
        let written = call.await.unwrap();
        self.die_at(write, Side::After);
        say(format_args!("{WRITTEN}{what}"));
        Ok(written)
    }
}

impl TraceStore for Open {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        assert_eq!(events.len(), 1, "as many as the limits say");
        let what = super::event(&events[0]);
        Box::pin(self.write(what, self.file.append(events)))
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            let claim = self.write("claim".to_owned(), self.file.claim(trace)).await?;
            self.claims.0.send_modify(|held| *held += 1);
            Ok(claim)
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.write("release".to_owned(), self.file.release(trace)).await?;
            self.claims.0.send_modify(|held| *held -= 1);
            Ok(())
        })
    }

    /// An event at a time, so that what is written together otherwise can be torn apart.
    fn limits(&self) -> Limits {
        self.file.limits().events(1)
    }

    fn group_commit_delay(&self) -> Duration {
        self.file.group_commit_delay()
    }

    fn lease(&self) -> Lease {
        self.file.lease()
    }

    fn readers(&self) -> Readers {
        self.file.readers()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.file.close()
    }
}
