//! The thread of a store that applies its retention.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_model::OpenError;

use crate::connection::{Place, STORE_FILE, Synchronous};
use crate::error::STORE;
use crate::prune::{PrunePolicy, shrink, size, step};
use crate::store::{Open, lock};

/// Removes runs while the store is open, until it is dropped.
pub(crate) struct Retention {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// How often to look whether there is anything to remove.
    const INTERVAL: Duration = Duration::from_secs(1);
    /// Runs that one step removes: some milliseconds of work.
    const RUNS: i64 = 32;
    /// Pages that one step returns to the file system.
    const PAGES: i64 = 256;

    pub(crate) fn start(
        place: &Place,
        policy: PrunePolicy,
        open: Arc<Mutex<Open>>,
    ) -> Result<Self, OpenError> {
        // Removals need not be synced: what a power cut undoes is removed again.
        let place = Place { synchronous: Synchronous::Normal, ..place.clone() };
        let connection = STORE_FILE.open(&place, false)?;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("throughline-retention".to_owned())
            .spawn(move || {
                let mut pause = Duration::ZERO;
                while !wait(&signal, pause) {
                    pause = one_step(&connection, &policy, &open);
                }
            })
            .map_err(|error| OpenError::Unavailable {
                store: STORE,
                reason: "the operating system can't start a thread for the retention".to_owned(),
                source: Some(error.into()),
            })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Waits that long, or until the end; returns whether the end has come.
fn wait(signal: &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let ended = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (ended, _) =
        signal.1.wait_timeout_while(ended, pause, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
    *ended
}

/// Returns how long to wait until the next step: while there is more to do, as long as this one took, so that the
/// writer has at least half of the time.
fn one_step(connection: &Connection, policy: &PrunePolicy, open: &Mutex<Open>) -> Duration {
    let began = Instant::now();
    // Held so that the writer waits for a mutex instead of polling for SQLite's lock.
    let guard = lock(open);
    let removed = step(connection, policy, Retention::RUNS).and_then(|step| {
        let size = size(connection)?;
        let shrinks = policy.bytes.is_some_and(|bytes| size.file > bytes) && size.file > size.used;
        if shrinks {
            shrink(connection, Retention::PAGES)?;
        }
        Ok(step.runs > 0 || shrinks)
    });
    drop(guard);
    match removed {
        Ok(true) => began.elapsed(),
        // A failed step is retried: a full disk or a locked file is reported by the writer, which runs into it as
        // well.
        Ok(false) | Err(_) => Retention::INTERVAL,
    }
}
