//! SQLite's log, kept short.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Result};

use crate::connection::CHECKPOINT_AFTER;
use crate::turn::{Anew, Turn};

/// The log of a file as one of its writers knows it.
///
/// SQLite begins the log anew when all of it is in the database and nobody reads from it, which readers that overlap prevent for
/// ever. A checkpoint that waits for those who read at the moment ends that: who begins to read meanwhile reads the database.
#[derive(Debug)]
pub(crate) struct Log {
    /// How large it was at the last look.
    pub(crate) bytes: u64,
    /// How large it may be.
    limit: u64,
    /// How large it may get before it is emptied the next time.
    due: u64,
    /// How long to wait for those who read, the next time.
    patience: Duration,
    busy_timeout: Duration,
    /// Turns since the last time that it was moved beside others.
    turns: u32,
}

impl Log {
    /// Four times what SQLite lets it grow to while nobody holds it up.
    const LIMIT: u64 = 64 << 20;
    const FIRST_PATIENCE: Duration = Duration::from_millis(20);
    /// How long the end of a store waits for those who read.
    pub(crate) const LAST_PATIENCE: Duration = Duration::from_secs(1);

    pub(crate) fn new(busy_timeout: Duration) -> Self {
        Self {
            bytes: 0,
            limit: Self::LIMIT,
            due: Self::LIMIT,
            patience: Self::FIRST_PATIENCE,
            busy_timeout,
            turns: 0,
        }
    }

    /// What SQLite lets it grow to while nobody holds it up: see [`CHECKPOINT_AFTER`].
    const USUAL: u64 = (CHECKPOINT_AFTER as u64 + 96) * 4120;

    /// Writes zeros behind what the file of the log has, as far as it usually grows: to sync a file that does not grow takes half
    /// the time. What is behind the last whole transaction means nothing to SQLite. To be called while nobody can write.
    pub(crate) fn extend(path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let before = file.seek(SeekFrom::End(0))?;
        let extended = write_zeros(&mut file, Self::USUAL.saturating_sub(before));
        if extended.is_err() {
            // There is no room for it now.
            file.set_len(before)?;
        }
        extended
    }

    /// Whether it is to be emptied before the next transaction, which may take a while.
    pub(crate) fn is_due(&self) -> bool {
        self.bytes > self.due
    }

    /// Empties the log if it has become too large. A reader that stays for long must not hold up the writer for long, so that
    /// each attempt in vain makes the next one later, and more patient.
    pub(crate) fn keep_short(&mut self, connection: &Connection, turn: &mut Turn) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        if turn.begin_log_anew(connection, Anew::Truncated, self.patience)? {
            (self.due, self.patience) = (self.limit, Self::FIRST_PATIENCE);
        } else {
            self.due = self.bytes + self.limit / 4;
            self.patience = (2 * self.patience).min(self.busy_timeout);
        }
        Ok(())
    }

    /// Moves the log into the database every few turns of a bulk writer, so that the others who write need not do it.
    pub(crate) fn move_beside_others(&mut self, connection: &Connection, turn: &mut Turn) -> Result<()> {
        const TURNS: u32 = 8;
        self.turns = (self.turns + 1) % TURNS;
        if self.turns == 0 {
            turn.begin_log_anew(connection, Anew::Overwritten, Self::FIRST_PATIENCE)?;
        }
        Ok(())
    }
}

fn write_zeros(file: &mut File, bytes: u64) -> io::Result<()> {
    let zeros = [0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let part = &zeros[..zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use throughline_model::testing::sample_log;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::writer::Writer;

    #[test]
    fn the_log_stays_short_although_readers_overlap_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let place =
            Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        const LIMIT: u64 = 1 << 20;
        (writer.log().limit, writer.log().due) = (LIMIT, LIMIT);
        let is_over = AtomicBool::new(false);
        let largest = std::thread::scope(|scope| {
            let (path, is_over) = (&path, &is_over);
            scope.spawn(move || {
                let readers = [Connection::open(path).unwrap(), Connection::open(path).unwrap()];
                let begin = |at: usize| readers[at].execute_batch("BEGIN; SELECT count(*) FROM run").unwrap();
                begin(0);
                // Each begins to read before the other one ends.
                for at in [1, 0].into_iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    begin(at);
                    readers[1 - at].execute_batch("COMMIT").unwrap();
                }
            });
            let mut largest = 0;
            for group in sample_log(1, 4000, &[]).chunks(16) {
                writer.append(group).unwrap();
                writer.confirm().unwrap();
                largest = largest.max(writer.log().bytes);
            }
            is_over.store(true, Ordering::Relaxed);
            largest
        });
        assert!(largest > LIMIT, "{largest} bytes were written at most: too few to test anything");
        assert!(largest < 3 * LIMIT, "the log grew to {largest} bytes");
    }
}
