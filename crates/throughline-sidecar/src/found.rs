//! What is found in files, and why nothing is.

use std::io;
use std::path::{Path, PathBuf};

/// A line, and where it was found.
#[derive(Debug, Clone, Copy)]
pub struct FoundLine<'a> {
    /// The path that is followed, whatever its file is called by now.
    pub path: &'a Path,
    /// The line without its end; at most its first megabyte.
    pub bytes: &'a [u8],
    /// How many bytes of it were left out.
    pub cut: u64,
}

/// Why logs can't be followed.
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
    /// What took the lines failed.
    #[error("{0}")]
    Output(#[source] io::Error),
}

impl LogsError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }
}
