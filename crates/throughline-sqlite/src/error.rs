//! What SQLite's error codes mean to a person: which file, what is wrong, what to do.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use throughline_model::{AppendError, OpenError, ReadError};

/// What the ledger and errors call this store.
pub(crate) const STORE: &str = "sqlite";

/// What is wrong with a database file.
pub(crate) struct Diagnosis {
    pub(crate) reason: String,
    /// Whether it may pass by itself or by something other than a change of the program.
    pub(crate) passes: bool,
}

/// Reads an error of SQLite. Values never appear in it: SQLite's messages name tables and columns only.
pub(crate) fn diagnose(path: &Path, error: &Error) -> Diagnosis {
    let path = path.display();
    let (passes, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            true,
            "is locked by another connection that holds it for long; look for a process that has it open",
        ),
        Some(ErrorCode::DiskFull) => {
            (true, "can't grow: the disk (or the size set for it) is full; make room on it")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (true, "can't be read or written by the system; look at the disk")
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            (true, "was not done with for lack of memory or time")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (false, "is read-only here; give this user the right to write the file and its folder")
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
            "can't be opened; look at the rights of the file, of its folder and of the files beside it",
        ),
        _ => (false, "can't be used"),
    };
    Diagnosis { reason: format!("{path} {what}"), passes }
}

pub(crate) fn open_error(path: &Path, error: Error) -> OpenError {
    let Diagnosis { reason, passes } = diagnose(path, &error);
    let source = Some(error.into());
    match passes {
        true => OpenError::Unavailable { store: STORE, reason, source },
        false => OpenError::Unusable { store: STORE, reason, source },
    }
}

pub(crate) fn unusable(reason: String) -> OpenError {
    OpenError::Unusable { store: STORE, reason, source: None }
}

pub(crate) fn append_error(path: &Path, error: Error) -> AppendError {
    let Diagnosis { reason, passes } = diagnose(path, &error);
    let source = Some(error.into());
    match passes {
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
    Question(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    pub(crate) fn into_read_error(self, path: &Path) -> ReadError {
        match self {
            Self::Question(reason) => ReadError::BadQuestion { reason },
            Self::Damaged(what) => {
                ReadError::Damaged { reason: format!("{}: {what}", path.display()), source: None }
            }
            Self::Sql(error) => {
                let Diagnosis { reason, passes } = diagnose(path, &error);
                let source = Some(error.into());
                match passes {
                    true => ReadError::Unavailable { reason, source },
                    false => ReadError::Damaged { reason, source },
                }
            }
        }
    }
}
