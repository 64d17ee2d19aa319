//! Whether the files that a connection has open are those at their paths.
//!
//! SQLite writes to the files that it opened, wherever they are by now: what is committed after somebody has deleted, moved or
//! replaced one of them is lost with the process, although the disk has it. So nothing is acknowledged before a look at the
//! paths that comes after the commit.

use std::io;
use std::path::{Path, PathBuf};

use throughline_model::{AppendError, OpenError, ReadError};

use crate::error::STORE;
use crate::paths::{beside, resolved};

/// The files of a database as they were when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    /// The database without links, by which the files beside it are found.
    target: PathBuf,
    database: Known,
    /// SQLite's log, and the index of it that connections share. Some databases are open without one or both.
    log: Option<Known>,
    index: Option<Known>,
}

/// A file, and where it was found.
#[derive(Debug, Clone)]
struct Known {
    path: PathBuf,
    identity: Identity,
}

/// Which file something is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// A file is not where it was.
#[derive(Debug)]
pub(crate) struct Gone {
    path: PathBuf,
    /// `None` if there is another file.
    error: Option<io::Error>,
}

impl Presence {
    /// Of a database that is open. Until it is closed, SQLite neither removes nor replaces the files beside it.
    pub(crate) fn of(database: &Path) -> Result<Self, Gone> {
        // Absolute, for the process may change its folder. The database by its name and not by what a link leads to, for the
        // link may be changed; SQLite puts its own files beside what it leads to.
        let named = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
        let target = resolved(&named);
        let beside = |suffix| match Known::find(beside(&target, suffix)) {
            Err(Gone { error: Some(error), .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        };
        let (log, index, database) = (beside("-wal")?, beside("-shm")?, Known::find(named)?);
        Ok(Self { target, database, log, index })
    }

    /// The path by which the files beside the database are found, whatever name it was given by.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The path of SQLite's log, if the database is open with one.
    pub(crate) fn log(&self) -> Option<&Path> {
        self.log.as_ref().map(|log| log.path.as_path())
    }

    /// An error if the other is of another database.
    pub(crate) fn check_same_database(&self, other: &Self) -> Result<(), Gone> {
        match self.database.identity == other.database.identity {
            true => Ok(()),
            false => Err(Gone { path: self.database.path.clone(), error: None }),
        }
    }

    /// Whether the log was deleted and the database was not, and nobody has begun another log since.
    pub(crate) fn lacks_only_its_log(&self) -> bool {
        let is_deleted = |known: &Known| {
            known.path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let index_is_ours = |index: &Known| index.check().is_ok() || is_deleted(index);
        self.database.check().is_ok()
            && self.log.as_ref().is_some_and(is_deleted)
            && self.index.as_ref().is_none_or(index_is_ours)
    }

    /// An error if the database is not where it was.
    pub(crate) fn check_database(&self) -> Result<(), Gone> {
        self.database.check().map(drop)
    }

    /// Answers how many bytes the log has, if all files are where they were.
    pub(crate) fn check(&self) -> Result<u64, Gone> {
        self.check_database()?;
        if let Some(index) = &self.index {
            index.check()?;
        }
        self.log.as_ref().map_or(Ok(0), Known::check)
    }
}

impl Known {
    fn find(path: PathBuf) -> Result<Self, Gone> {
        let (identity, _) = look(&path)?;
        Ok(Self { path, identity })
    }

    /// Answers how large it is.
    fn check(&self) -> Result<u64, Gone> {
        match look(&self.path)? {
            (identity, bytes) if identity == self.identity => Ok(bytes),
            _ => Err(Gone { path: self.path.clone(), error: None }),
        }
    }
}

/// Asks for no more than is needed: a kernel that was asked for a file's times dates the next write to it anew, in the
/// journal of the file system, which costs a store a tenth of its speed.
#[cfg(target_os = "linux")]
fn look(path: &Path) -> Result<(Identity, u64), Gone> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::SIZE)
        .map_err(|error| Gone { path: path.to_owned(), error: Some(error.into()) })?;
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    Ok((Identity { device, inode: found.stx_ino }, found.stx_size))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn look(path: &Path) -> Result<(Identity, u64), Gone> {
    use std::os::unix::fs::MetadataExt as _;

    let found = path.metadata().map_err(|error| Gone { path: path.to_owned(), error: Some(error) })?;
    Ok((Identity { device: found.dev(), inode: found.ino() }, found.len()))
}

/// Elsewhere files that are open can't be deleted, moved or replaced.
#[cfg(not(unix))]
fn look(path: &Path) -> Result<(Identity, u64), Gone> {
    let found = path.metadata().map_err(|error| Gone { path: path.to_owned(), error: Some(error) })?;
    Ok((Identity { device: 0, inode: 0 }, found.len()))
}

impl Gone {
    fn reason(&self) -> String {
        let path = self.path.display();
        match &self.error {
            Some(error) if error.kind() != io::ErrorKind::NotFound => format!(
                "{path} can't be looked at any more; check its folder and the file system, then restart this process"
            ),
            Some(_) => format!(
                "{path} was deleted or moved while this process had it open; put back the same file, or restart this process, \
                 which then begins with what is there"
            ),
            None => format!(
                "{path} is another file than the one that this process has open; put back the same file, or restart this \
                 process, which then begins with what is there"
            ),
        }
    }

    pub(crate) fn into_append_error(self) -> AppendError {
        AppendError::Broken { reason: self.reason(), source: self.error.map(Into::into) }
    }

    pub(crate) fn into_read_error(self) -> ReadError {
        ReadError::Unavailable { reason: self.reason(), source: self.error.map(Into::into) }
    }

    /// The file vanished while it was opened.
    pub(crate) fn into_open_error(self) -> OpenError {
        OpenError::Unavailable { store: STORE, reason: self.reason(), source: self.error.map(Into::into) }
    }
}
