//! Where the files of a database are.

use std::path::{Path, PathBuf};

/// The path of a file that is kept beside a database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The path by which the files beside a database are found, whatever name it was given by.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The folder with the leases of a database.
pub(crate) fn leases(database: &Path) -> PathBuf {
    beside(database, "-leases")
}
