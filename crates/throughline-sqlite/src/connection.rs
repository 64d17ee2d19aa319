//! Opening the file: what it must be, what is set on each connection, and migrations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use throughline_model::OpenError;

use crate::error::{empty, open_error, unusable};
use crate::paths::beside;
use crate::presence::{Gone, Presence};

/// After so many pages, about 16 MB, the log is moved into the database: measured in ADR 2.
pub(crate) const CHECKPOINT_AFTER: u32 = 4000;

/// How long a reader waits for a file that is being created: the creator brings it to the disk several times.
const CREATION: Duration = Duration::from_secs(1);

/// How often SQLite asks the operating system to bring its writes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// After every commit, before it is acknowledged. What was acknowledged survives the death of the process,
    /// of the operating system and of the power supply.
    #[default]
    Full,
    /// At checkpoints only. What was acknowledged survives the death of the process, but the last seconds may
    /// be lost with the operating system or the power supply. As events are written in groups, it is hardly faster
    /// than `Full`.
    Normal,
    /// Never. An acknowledgement promises nothing if the operating system dies, and the file itself may be damaged
    /// then. For tests.
    Off,
}

impl Synchronous {
    fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
            Self::Off => "OFF",
        }
    }
}

/// What kind of database a file is to be.
pub(crate) struct Kind {
    /// `PRAGMA application_id`, by which the kind is recognised.
    pub(crate) application: i32,
    pub(crate) what: &'static str,
    /// The script that leads from each version (`PRAGMA user_version`) to the next.
    pub(crate) migrations: &'static [&'static str],
}

/// The store. `THLN` in ASCII.
pub(crate) const STORE_FILE: Kind = Kind {
    application: 0x5448_4c4e,
    what: "a Throughline store",
    migrations: &[
        include_str!("schema/001.sql"),
        include_str!("schema/002.sql"),
        include_str!("schema/003.sql"),
        include_str!("schema/004.sql"),
        include_str!("schema/005.sql"),
        include_str!("schema/006.sql"),
        include_str!("schema/007.sql"),
        include_str!("schema/008.sql"),
        include_str!("schema/009.sql"),
    ],
};

/// The outbox. `THLS` in ASCII.
pub(crate) const SPOOL_FILE: Kind = Kind {
    application: 0x5448_4c53,
    what: "a Throughline spool",
    migrations: &[include_str!("schema/spool-001.sql"), include_str!("schema/spool-002.sql")],
};

/// The longest that SQLite waits, 24 days.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// Where the file is, and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) busy_timeout: Duration,
}

/// A file that is open for writing.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) presence: Presence,
    pub(crate) busy_timeout: Duration,
}

impl Kind {
    /// Opens the file for writing. Creates it if it does not exist, and migrates it if its schema is older.
    pub(crate) fn open(&self, place: &Place) -> Result<Opened, OpenError> {
        let path = place.path.as_path();
        check_folder(path)?;
        let before = Presence::of(path).ok();
        let fail = |error| open_error(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
        let before = before.map_or_else(|| Presence::of(path), Ok).map_err(Gone::into_open_error)?;
        // SQLite counts milliseconds in 32 bits, and rusqlite panics beyond.
        let busy_timeout = place.busy_timeout.min(LONGEST_BUSY_TIMEOUT);
        connection.busy_timeout(busy_timeout).map_err(fail)?;
        self.version(&connection, path)?;
        if connection.is_readonly("main").map_err(fail)? {
            return Err(unusable(format!(
                "{} is read-only here; give this user write access to the file and its folder",
                path.display()
            )));
        }
        // Takes effect in a file that is still empty only, and before the journal mode is set.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(fail)?;
        let mode = set_wal(&connection, place.busy_timeout).map_err(fail)?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(unusable(format!(
                "{} can't have a write-ahead log in its folder; put it on a local disk",
                path.display()
            )));
        }
        connection.pragma_update(None, "synchronous", place.synchronous.pragma()).map_err(fail)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_AFTER).map_err(fail)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(fail)?;
        // The page cache is left at its small default: measured, a larger one costs more in misses of the
        // processor's caches than it saves in copies from the system's cache.
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(64);
        self.migrate(&mut connection, path)?;
        let presence = Presence::of(path).map_err(Gone::into_open_error)?;
        presence.check_same_database(&before).map_err(Gone::into_open_error)?;
        Ok(Opened { connection, presence, busy_timeout })
    }

    /// Opens the file for reading. It must exist and have this schema version. Whoever is creating it at this moment is
    /// waited for.
    pub(crate) fn open_read_only(&self, path: &Path) -> Result<(Connection, Presence), OpenError> {
        if !path.exists() {
            return Err(unusable(format!(
                "there is no file {}; the first process that writes to it creates it",
                path.display()
            )));
        }
        check_folder(path)?;
        let began = Instant::now();
        loop {
            match self.try_open_read_only(path) {
                Err(error) if error.is_retryable() && began.elapsed() < CREATION => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(OpenError::NothingYet { .. }) if lacks_its_log(path) => {
                    return Err(unusable(format!(
                        "{} is empty, and its log {} is missing; if this is a copy, copy both files, or copy the database \
                         after the process that writes it has ended",
                        path.display(),
                        beside(path, "-wal").display()
                    )));
                }
                opened => return opened,
            }
        }
    }

    fn try_open_read_only(&self, path: &Path) -> Result<(Connection, Presence), OpenError> {
        let before = Presence::of(path).map_err(Gone::into_open_error)?;
        let fail = |error| open_error(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
        let version = match self.version(&connection, path) {
            // On a read-only medium SQLite can't create the files beside the database that coordinate it with writers.
            // There are no writers then, so the database can be read as it is, if no log is left to be read.
            Err(error) if !error.is_retryable() && has_no_log(path) => {
                connection =
                    Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
                        .map_err(fail)?;
                self.version(&connection, path)?
            }
            version => version?,
        };
        match version {
            0 => return Err(empty(path)),
            version if version < self.migrations.len() => {
                return Err(unusable(format!(
                    "{} has schema version {version}, this release reads version {}; any process of this release \
                     that opens it for writing migrates it",
                    path.display(),
                    self.migrations.len()
                )));
            }
            _ => {}
        }
        connection.busy_timeout(Duration::from_secs(2)).map_err(fail)?;
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(64);
        let presence = Presence::of(path).map_err(Gone::into_open_error)?;
        presence.check_same_database(&before).map_err(Gone::into_open_error)?;
        Ok((connection, presence))
    }

    /// The schema version of the file; 0 if it is empty.
    fn version(&self, connection: &Connection, path: &Path) -> Result<usize, OpenError> {
        // One statement, so that the three belong together while another process creates the file.
        let (application, version, objects) = connection
            .query_row(
                "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) \
                 FROM pragma_application_id, pragma_user_version",
                [],
                |row| Ok((row.get::<_, i32>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
            )
            .map_err(|error| open_error(path, error))?;
        let ours = self.migrations.len();
        match usize::try_from(version) {
            Ok(0) if objects == 0 && application == 0 => Ok(0),
            Ok(version @ 1..) if application == self.application && version <= ours => Ok(version),
            _ if application == self.application => Err(unusable(format!(
                "{} has schema version {version}, this release knows version {ours}; use the release that wrote \
                 it, or a later one",
                path.display()
            ))),
            _ => Err(unusable(format!(
                "{} is a SQLite database, but not {}; name another file",
                path.display(),
                self.what
            ))),
        }
    }

    fn migrate(&self, connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
        if self.version(connection, path)? == self.migrations.len() {
            return Ok(());
        }
        let fail = |error| open_error(path, error);
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate).map_err(fail)?;
        // Checked again under the lock: another process may have been quicker.
        let version = self.version(&transaction, path)?;
        for script in self.migrations.iter().skip(version) {
            transaction.execute_batch(script).map_err(fail)?;
        }
        transaction.pragma_update(None, "application_id", self.application).map_err(fail)?;
        transaction.pragma_update(None, "user_version", self.migrations.len() as i64).map_err(fail)?;
        transaction.commit().map_err(fail)
    }
}

/// Switches to a write-ahead log; returns the journal mode that the file has then.
///
/// While others create the same file SQLite reports at once that it is busy, without waiting: each of two that hold a read
/// lock and want to write would wait for the other.
fn set_wal(connection: &Connection, timeout: Duration) -> rusqlite::Result<String> {
    let began = Instant::now();
    loop {
        let set = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match set {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < timeout =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

pub(crate) fn check_folder(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Err(unusable(format!("{} is a directory; name a file in it", path.display())));
    }
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => Err(unusable(format!(
            "there is no folder {} for {}; create it first",
            folder.display(),
            path.file_name().unwrap_or_default().display()
        ))),
        _ => Ok(()),
    }
}

fn has_no_log(path: &Path) -> bool {
    beside(path, "-wal").metadata().map_or(true, |log| log.len() == 0)
}

/// Whether a database that is no longer as it was created has nothing in it, and no log that would have it.
fn lacks_its_log(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.len() > 0) && has_no_log(path)
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Kind = Kind { application: 7, what: "a test", migrations: &["CREATE TABLE a (x)"] };
    const NEW: Kind = Kind {
        migrations: &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y; INSERT INTO a (x, y) VALUES (1, 2)"],
        ..OLD
    };

    fn place(folder: &Path) -> Place {
        Place { path: folder.join("x.db"), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO }
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_once_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        drop(OLD.open(&place).unwrap());
        let error = NEW.open_read_only(&place.path).unwrap_err().to_string();
        assert!(error.contains("schema version 1") && error.contains("x.db"), "{error}");
        for _ in 0..2 {
            let connection = NEW.open(&place).unwrap().connection;
            let rows: i64 = connection.query_row("SELECT sum(y) FROM a", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 2);
        }
        let error = OLD.open(&place).map(drop).unwrap_err();
        assert!(!error.is_retryable());
        let error = error.to_string();
        assert!(error.contains("schema version 2") && error.contains("later one"), "{error}");
    }

    #[test]
    fn a_file_of_another_application_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        Connection::open(&place.path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&place.path).unwrap();
        let error = NEW.open(&place).map(drop).unwrap_err().to_string();
        assert!(error.contains("not a test"), "{error}");
        assert_eq!(std::fs::read(&place.path).unwrap(), before);
    }
}
