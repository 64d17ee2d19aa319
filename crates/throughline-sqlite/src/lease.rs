//! Leases: how a living process is distinguished from a dead one.
//!
//! Each instance locks a file of its own, `traces.db-leases/<instance>.lease`, for as long as it lives. The operating
//! system releases the lock at once when the process ends, however it ends; nothing has to be renewed, and no clock is
//! involved. Whether an instance is alive is found out by trying its lock.
//!
//! Like SQLite's write-ahead log, this needs a local file system: over NFS locks may outlive their process, or be seen
//! by one machine only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};
use throughline_model::{Instance, InstanceId, Liveness, OpenError, Process, Timestamp};

use crate::claim;
use crate::error::{STORE, open_error};
use crate::paths::leases;
use crate::periodic::Periodic;
use crate::writer::Writer;

/// How often an instance shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The lease of this instance. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) instance: InstanceId,
    path: PathBuf,
    // Ends before the lock does: it has the same file.
    _signs_of_life: Periodic,
    _locked: File,
}

fn lease_path(database: &Path, instance: InstanceId) -> PathBuf {
    leases(database).join(format!("{instance}.lease"))
}

impl Lease {
    /// Takes out the lease of an instance, marks those as closed whose process is dead, and frees their claims. All in
    /// one write transaction, so that no other process removes a lease file between its creation and its locking.
    pub(crate) fn take(writer: &mut Writer, database: &Path, of: &Instance) -> Result<Self, OpenError> {
        let path = lease_path(database, of.id);
        let taken = writer.transaction(|connection| {
            let locked = lock_new(database, &path);
            if locked.is_ok() {
                register(connection, database, of)?;
            }
            Ok(locked)
        });
        let locked = taken.map_err(|error| open_error(database, error))??;
        let signs_of_life = touch_from_now_on(&locked, database)?;
        Ok(Self { instance: of.id, path, _signs_of_life: signs_of_life, _locked: locked })
    }

    /// Gives the lease back, and with it every claim: open spans of this instance are interrupted from now on.
    pub(crate) fn give_back(self, writer: &mut Writer) -> rusqlite::Result<()> {
        writer.transaction(|connection| {
            mark_closed(connection, key(self.instance), Some(Timestamp::now()))?;
            claim::release_all(connection, self.instance)
        })?;
        // The row says that it is closed. If the file can't be removed, the next process that opens the store does it.
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }
}

fn register(connection: &Connection, database: &Path, of: &Instance) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO instance (key, service, opened) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE \
         SET service = ?2, opened = ?3, closed = NULL",
        params![key(of.id), of.service.as_str(), Timestamp::now().as_micros()],
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO process (instance, version, host, pid) VALUES (?1, ?2, ?3, ?4)",
        params![key(of.id), of.version.as_deref(), of.host.as_deref(), of.pid],
    )?;
    // What it held when it was last open ended with the lease that it had then.
    claim::release_all(connection, of.id)?;
    close_dead(connection, database)?;
    claim::release_closed(connection)
}

/// Creates a file if need be, and locks it.
pub(crate) fn lock(path: &Path) -> Result<File, TryLockError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path);
    let file = opened.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn lock_new(database: &Path, path: &Path) -> Result<File, OpenError> {
    let fail = |error: io::Error| OpenError::Unusable {
        store: STORE,
        reason: format!(
            "the lease file {} can't be created; give this user write access to the folder of {}",
            path.display(),
            database.display()
        ),
        source: Some(error.into()),
    };
    std::fs::create_dir_all(leases(database)).map_err(fail)?;
    lock(path).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Unavailable {
            store: STORE,
            reason: format!(
                "this instance already has {} open; open it with an instance of its own each time",
                database.display()
            ),
            source: None,
        },
        TryLockError::Error(error) => fail(error),
    })
}

/// Marks every instance as closed that is registered and no longer holds its lock.
fn close_dead(connection: &Connection, database: &Path) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT key FROM instance WHERE opened IS NOT NULL AND closed IS NULL")?;
    let keys = statement.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    for key in keys {
        let path = lease_path(database, InstanceId::from_u64(key as u64));
        if !is_locked(&path).unwrap_or(true) {
            mark_closed(connection, key, last_touched(&path))?;
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Marks an instance as closed that was last seen then.
fn mark_closed(connection: &Connection, key: i64, seen: Option<Timestamp>) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE instance SET closed = ?2 WHERE key = ?1")?
        .execute(params![key, Timestamp::now().as_micros()])?;
    connection
        .prepare_cached("UPDATE process SET seen = ?2 WHERE instance = ?1")?
        .execute(params![key, seen.map(Timestamp::as_micros)])
        .map(drop)
}

/// Touches a lease file once a second. The lock says that a process lives; this says until when it did, and nothing depends
/// on it.
fn touch_from_now_on(locked: &File, database: &Path) -> Result<Periodic, OpenError> {
    let file = locked.try_clone().map_err(|error| OpenError::Unavailable {
        store: STORE,
        reason: format!(
            "the operating system has no file handle left for the lease of {}",
            database.display()
        ),
        source: Some(error.into()),
    })?;
    Periodic::start("throughline-lease", SIGN_OF_LIFE, move || {
        // A file system that can't, keeps the time when the file was made.
        let _ = file.set_modified(SystemTime::now());
        SIGN_OF_LIFE
    })
}

/// When a lease file was last touched.
fn last_touched(path: &Path) -> Option<Timestamp> {
    let touched = path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(touched.as_micros()).ok()?))
}

/// Whether somebody holds the lock of a lease file. Tried as a shared lock, so that readers who look at the same moment
/// don't take each other for the owner.
fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The number of an instance in the columns `key` of `instance` and `instance` of `claim`.
pub(crate) fn key(instance: InstanceId) -> i64 {
    instance.to_u64() as i64
}

/// How an instance stands. If its lease can't be checked it counts as alive: to call a running step interrupted would do
/// more harm.
pub(crate) fn liveness(
    connection: &Connection,
    database: &Path,
    instance: InstanceId,
) -> rusqlite::Result<Liveness> {
    if instance == InstanceId::NOBODY {
        return Ok(Liveness::Dead);
    }
    let row = connection
        .prepare_cached("SELECT opened, closed FROM instance WHERE key = ?1")?
        .query_row([key(instance)], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))
        .optional()?;
    Ok(match row {
        None => Liveness::Unknown,
        Some((None, _)) => Liveness::Imported,
        Some((Some(_), Some(_))) => Liveness::Dead,
        Some((Some(_), None)) if is_locked(&lease_path(database, instance)).unwrap_or(true) => {
            Liveness::Alive
        }
        Some((Some(_), None)) => Liveness::Dead,
    })
}

/// In which process an instance ran; `None` if it never held a lease here.
pub(crate) fn process(
    connection: &Connection,
    database: &Path,
    instance: InstanceId,
) -> rusqlite::Result<Option<Process>> {
    let found = connection
        .prepare_cached(
            "SELECT service, version, host, pid, opened, seen FROM instance LEFT JOIN process ON instance = key \
             WHERE key = ?1 AND opened IS NOT NULL",
        )?
        .query_row([key(instance)], |row| {
            let text = |at| row.get::<_, Option<String>>(at);
            let of = Instance::new(instance, text(0)?.unwrap_or_default());
            let mut process = of.process(Timestamp::from_micros(row.get(4)?));
            process.version = text(1)?.map(Into::into);
            process.host = text(2)?.map(Into::into);
            process.pid = row.get(3)?;
            Ok((process, row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros)))
        })
        .optional()?;
    Ok(found.map(|(mut process, seen)| {
        let seen = seen.or_else(|| last_touched(&lease_path(database, instance)));
        process.last_seen = process.last_seen.max(seen.unwrap_or(process.started));
        process
    }))
}
