//! What is found in files, and why nothing is.

use std::io;
use std::path::{Path, PathBuf};

/// A line, and where it was found.
#[derive(Debug, Clone, Copy)]
pub struct FoundLine<'a> {
    /// The path that is followed, whatever its file is called by now; `-` for what was piped in.
    pub path: &'a Path,
    /// The line without its end; at most its first megabyte.
    pub bytes: &'a [u8],
    /// How many bytes of it were left out.
    pub cut: u64,
}

/// Why one of the logs can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// A file or a folder can't be read.
    #[error("{}: {source}; check the path and that it may be read", path.display())]
    Read {
        /// What can't be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that should be compressed is not, or not wholly.
    #[error("{}: {source}; a name that ends in .gz is that of a file compressed with gzip", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// What is at a path has no contents to follow.
    #[error("{}: that is no file; what comes through a pipe is read as `-`", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
}

impl LogsError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}

/// Why reading stops: at one of the logs, while the others are as good as they were, or for all.
#[derive(Debug)]
pub(crate) enum Fault {
    Source(LogsError),
    /// What takes the lines failed.
    Output(io::Error),
}

impl From<LogsError> for Fault {
    fn from(error: LogsError) -> Self {
        Self::Source(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What is wrong with one of the logs, told once and not at every look.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<String>);

impl Trouble {
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// Sorts out what came of a look: whether there was anything, and what is to be told.
    pub(crate) fn note(&mut self, read: Result<bool, Fault>, told: &mut Vec<LogsError>) -> io::Result<bool> {
        match read {
            Ok(is_new) => {
                self.0 = None;
                Ok(is_new)
            }
            Err(Fault::Output(error)) => Err(error),
            Err(Fault::Source(error)) => {
                self.tell(error, told);
                Ok(false)
            }
        }
    }

    pub(crate) fn tell(&mut self, error: LogsError, told: &mut Vec<LogsError>) {
        let text = Some(error.to_string());
        if self.0 != text {
            self.0 = text;
            told.push(error);
        }
    }
}
