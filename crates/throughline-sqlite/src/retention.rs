//! The thread of a store that applies its retention.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_model::OpenError;

use crate::connection::{Place, STORE_FILE, Synchronous};
use crate::error::STORE;
use crate::expired::Pass;
use crate::prune::{PrunePolicy, Removed, limits, remove, shrink, size};
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
    const RUNS: usize = 32;
    /// Pages that one step returns to the file system.
    const PAGES: i64 = 256;

    pub(crate) fn start(
        place: &Place,
        policy: PrunePolicy,
        open: Arc<Mutex<Option<Open>>>,
    ) -> Result<Self, OpenError> {
        // Removals need not be synced: what a power cut undoes is removed again.
        let place = Place { synchronous: Synchronous::Normal, ..place.clone() };
        let connection = STORE_FILE.open(&place, false)?.connection;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("throughline-retention".to_owned())
            .spawn(move || {
                let (mut pause, mut progress) = (Duration::ZERO, Progress::default());
                while !wait(&signal, pause) {
                    pause = one_step(&connection, &place.path, &policy, &open, &mut progress);
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

/// How far the thread has got.
#[derive(Debug, Default)]
struct Progress {
    pass: Pass,
    /// Steps of this pass that found nothing to remove.
    in_vain: u32,
}

impl Progress {
    /// How long to wait after a step that took so long. As long as that while there is more to do, so that the writer has at
    /// least half of the time. After a pass, a second for each step of it that was in vain: it is quick even where
    /// many runs have to stay, and those don't cost much more than one step a second.
    fn pause(&mut self, removed: bool, is_last: bool, took: Duration) -> Duration {
        self.in_vain += u32::from(!removed);
        if !is_last {
            return took;
        }
        Retention::INTERVAL * std::mem::take(&mut self.in_vain).max(1)
    }
}

/// Returns how long to wait until the next step.
fn one_step(
    connection: &Connection,
    database: &Path,
    policy: &PrunePolicy,
    open: &Mutex<Option<Open>>,
    progress: &mut Progress,
) -> Duration {
    let began = Instant::now();
    let mut step = || {
        // The writer need not wait for this: it only reads.
        let found = progress.pass.look(connection, database, limits(connection, policy)?, Retention::RUNS)?;
        let mut removed = Removed::default();
        if !found.runs.is_empty() {
            // Held so that the writer waits for a mutex instead of polling for SQLite's lock.
            let _guard = lock(open);
            removed = remove(connection, database, &found)?;
        }
        let size = size(connection)?;
        let shrinks = policy.bytes.is_some_and(|bytes| size.file > bytes) && size.file > size.used;
        if shrinks {
            let _guard = lock(open);
            shrink(connection, Retention::PAGES)?;
        }
        Ok::<_, rusqlite::Error>((removed.runs > 0 || shrinks, found.is_last && !shrinks))
    };
    match step() {
        Ok((removed, is_last)) => progress.pause(removed, is_last, began.elapsed()),
        Err(_) => {
            // It is retried: a full disk or a locked file is reported by the writer, which runs into it as well. From the
            // start, for what was found and not removed is behind the pass.
            *progress = Progress::default();
            Retention::INTERVAL
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_quick_and_rests_a_second_for_each_step_in_vain() {
        let took = Duration::from_millis(3);
        let mut progress = Progress::default();
        assert_eq!(progress.pause(true, false, took), took);
        assert_eq!(progress.pause(true, true, took), Retention::INTERVAL);
        for _ in 0..9 {
            assert_eq!(progress.pause(false, false, took), took);
        }
        assert_eq!(progress.pause(false, true, took), Retention::INTERVAL * 10);
        assert_eq!(progress.pause(false, true, took), Retention::INTERVAL);
    }
}
