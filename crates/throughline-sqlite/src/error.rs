//! What SQLite's error codes mean to a person: which file, what is wrong, how to fix it.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use throughline_model::{AppendError, OpenError, ReadError};

/// The name of this store in delivery reports and errors.
pub(crate) const STORE: &str = "sqlite";

/// What is wrong with a database file.
pub(crate) struct Diagnosis {
    pub(crate) reason: String,
    /// Whether it may go away without a change of the program.
    pub(crate) is_temporary: bool,
}

/// Reads an error of SQLite. Values never appear in it: SQLite's messages name tables and columns only.
pub(crate) fn diagnose(path: &Path, error: &Error) -> Diagnosis {
    let path = path.display();
    let code = match error {
        // A statement that can't be prepared, as one that names a column which is not there.
        Error::SqlInputError { error, .. } => Some(error.code),
        error => error.sqlite_error_code(),
    };
    let (is_temporary, what) = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            true,
            "is locked by another connection, and has been for longer than the busy timeout; look for a process \
             that has it open",
        ),
        Some(ErrorCode::DiskFull) => {
            (true, "can't grow: the disk is full, or the file has reached its size limit; free some space")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (true, "can't be read or written by the operating system; check the disk")
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            (true, "could not be worked on: the operation ran out of memory or was interrupted")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (false, "is read-only here; give this user write access to the file and its folder")
        }
        Some(ErrorCode::NotADatabase) => {
            (false, "is not a SQLite database; name another file, or move this one away")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            false,
            "is damaged; restore it from a backup, or save what can be read with `sqlite3 FILE .recover`",
        ),
        Some(ErrorCode::CannotOpen) => (
            false,
            "can't be opened; check the access rights of the file, of its folder and of the files beside it",
        ),
        // A statement that does not fit the tables.
        Some(ErrorCode::Unknown | ErrorCode::SchemaChanged | ErrorCode::ConstraintViolation) => (
            false,
            "has tables that this release can't work with, as after an upgrade by a later one; restart this process \
             with the release that the other processes run",
        ),
        _ => (false, "can't be used"),
    };
    Diagnosis { reason: format!("{path} {what}"), is_temporary }
}

pub(crate) fn open_error(path: &Path, error: Error) -> OpenError {
    let Diagnosis { reason, is_temporary } = diagnose(path, &error);
    let source = Some(error.into());
    match is_temporary {
        true => OpenError::Unavailable { store: STORE, reason, source },
        false => OpenError::Unusable { store: STORE, reason, source },
    }
}

pub(crate) fn unusable(reason: String) -> OpenError {
    OpenError::Unusable { store: STORE, reason, source: None }
}

pub(crate) fn empty(path: &Path) -> OpenError {
    let reason = format!("{} is empty; nothing has been written to it yet", path.display());
    OpenError::NothingYet { store: STORE, reason }
}

pub(crate) fn append_error(path: &Path, error: Error) -> AppendError {
    let Diagnosis { reason, is_temporary } = diagnose(path, &error);
    let source = Some(error.into());
    match is_temporary {
        true => AppendError::Unavailable { reason, retry_after: None, source },
        false => AppendError::Broken { reason, source },
    }
}

/// Why a question failed, before it is known which file it was asked of.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(Error),
    /// A row that this library did not write, or that was changed since.
    Damaged(String),
    /// An error that is complete without the file, such as an invalid query.
    Read(ReadError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl Fault {
    pub(crate) fn invalid_query(reason: String) -> Self {
        Self::Read(ReadError::InvalidQuery { reason })
    }

    pub(crate) fn into_read_error(self, path: &Path) -> ReadError {
        match self {
            Self::Read(error) => error,
            Self::Damaged(what) => {
                ReadError::Damaged { reason: format!("{}: {what}", path.display()), source: None }
            }
            Self::Sql(error) => {
                let Diagnosis { reason, is_temporary } = diagnose(path, &error);
                let source = Some(error.into());
                match is_temporary {
                    true => ReadError::Unavailable { reason, source },
                    false => ReadError::Damaged { reason, source },
                }
            }
        }
    }
}
