//! A thread that moves SQLite's log into the database.
//!
//! SQLite does that in the commit after which the log has become too long, and brings it to the disk: for tens of milliseconds
//! nothing else can be committed. So a thread of its own moves what there is while others write, and the next commit moves the
//! little that has come since. It has to be the one who writes: only when all of the log is moved does SQLite begin it anew.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::connection::CHECKPOINT_AFTER;

/// When so many more pages have come a commit does not wait for the thread any longer, and moves the log itself.
const AT_MOST: u32 = 4 * CHECKPOINT_AFTER;

/// The thread. It ends when this is dropped.
pub(crate) struct Mover {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// How many pages the log had when it was last moved; so that a reader who holds on to it does not have it moved after each commit.
    moved: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// The thread is to move the log, or is at it.
    Moving,
    /// It has; what came since is left to a commit.
    Moved,
    /// The thread is to end, or has ended.
    Over,
}

impl Mover {
    /// Starts the thread with a connection of its own, and has the commits of the other one tell it. Without a thread, commits move
    /// the log.
    pub(crate) fn start(writer: &mut Connection, own: Connection) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("throughline-log".to_owned())
            .spawn(move || of_thread.serve(&own))
            .ok();
        if thread.is_none() {
            shared.lock().phase = Phase::Over;
        }
        let of_commits = Arc::clone(&shared);
        writer.wal_hook(Some(move |log: &mut rusqlite::hooks::Wal, pages: i32| {
            if of_commits.is_left_to_commit(pages.unsigned_abs()) {
                // The commit is done, whatever becomes of this: another one tries it again.
                let _ = log.checkpoint();
            }
            Ok(())
        }))?;
        Ok(Self { shared, thread })
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.shared.lock().phase = Phase::Over;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit after which the log has so many pages is to move it.
    fn is_left_to_commit(&self, pages: u32) -> bool {
        let mut state = self.lock();
        if pages < state.moved {
            // It has begun anew.
            state.moved = 0;
        }
        match state.phase {
            Phase::Idle if pages >= state.moved + CHECKPOINT_AFTER => {
                state.phase = Phase::Moving;
                drop(state);
                self.work.notify_one();
                false
            }
            Phase::Moved => {
                (state.phase, state.moved) = (Phase::Idle, pages);
                true
            }
            Phase::Idle => false,
            Phase::Moving => pages >= state.moved + AT_MOST,
            Phase::Over => pages >= CHECKPOINT_AFTER,
        }
    }

    /// The work of the thread.
    fn serve(&self, connection: &Connection) {
        loop {
            let is_over = {
                let idle = |state: &mut State| matches!(state.phase, Phase::Idle | Phase::Moved);
                let state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
                state.phase == Phase::Over
            };
            if is_over {
                return;
            }
            // Whatever keeps it from moving all, the commit that comes next tries it again.
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            let mut state = self.lock();
            if state.phase == Phase::Moving {
                state.phase = Phase::Moved;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throughline_model::testing::sample_log;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::writer::Writer;

    fn phase(mover: &Mover) -> Phase {
        mover.shared.lock().phase
    }

    #[test]
    fn the_thread_moves_what_there_is_and_the_next_commit_the_rest_and_then_the_log_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let place = Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        let mover = writer.move_log_beside(&place).unwrap();
        let mut events = sample_log(1, 60_000, &[]).into_iter();
        let mut append = |writer: &mut Writer| {
            let group: Vec<_> = events.by_ref().take(16).collect();
            assert!(!group.is_empty(), "the log never became long enough");
            writer.append(&group).unwrap();
            writer.confirm().unwrap();
        };
        for _ in 0..2 {
            while phase(&mover) == Phase::Idle {
                append(&mut writer);
            }
            while phase(&mover) == Phase::Moving {
                append(&mut writer);
            }
            // The last of these commits may have moved the rest.
            if phase(&mover) == Phase::Moved {
                append(&mut writer);
            }
            assert_eq!(phase(&mover), Phase::Idle);
            append(&mut writer);
            let in_log = |row: &rusqlite::Row<'_>| row.get::<_, u32>(1);
            let pages = writer.connection().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], in_log).unwrap();
            assert!(pages < CHECKPOINT_AFTER / 4, "the log has {pages} pages and has not begun anew");
        }
    }

    #[test]
    fn commits_move_the_log_where_the_thread_does_not_get_to_it_and_once_it_is_over() {
        let shared = Shared::default();
        assert!(!shared.is_left_to_commit(CHECKPOINT_AFTER - 1));
        assert_eq!(shared.lock().phase, Phase::Idle);
        assert!(!shared.is_left_to_commit(CHECKPOINT_AFTER));
        assert_eq!(shared.lock().phase, Phase::Moving);
        assert!(!shared.is_left_to_commit(AT_MOST - 1));
        assert!(shared.is_left_to_commit(AT_MOST));
        shared.lock().phase = Phase::Over;
        assert!(!shared.is_left_to_commit(CHECKPOINT_AFTER - 1));
        assert!(shared.is_left_to_commit(CHECKPOINT_AFTER));
    }

    #[test]
    fn a_log_that_somebody_reads_is_not_moved_after_each_commit() {
        let shared = Shared::default();
        shared.lock().phase = Phase::Moved;
        assert!(shared.is_left_to_commit(5_000));
        // It has not begun anew.
        assert!(!shared.is_left_to_commit(5_001));
        assert_eq!(shared.lock().phase, Phase::Idle);
        assert!(!shared.is_left_to_commit(5_000 + CHECKPOINT_AFTER));
        assert_eq!(shared.lock().phase, Phase::Moving);
    }
}
