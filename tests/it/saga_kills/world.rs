//! What the steps of the saga change outside of the store: each puts a file into a folder, and its compensation removes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(super) struct World(PathBuf);

impl World {
    pub(super) fn at(folder: &Path) -> Self {
        Self(folder.join("world"))
    }

    pub(super) fn create(&self) {
        fs::create_dir(&self.0).unwrap();
    }

    /// Fails if it is there already: no step is done twice.
    pub(super) fn put(&self, what: &str) -> io::Result<()> {
        File::create_new(self.0.join(what))?.sync_all()?;
        self.sync()
    }

    pub(super) fn put_if_missing(&self, what: &str) -> io::Result<()> {
        if self.has(what) { Ok(()) } else { self.put(what) }
    }

    /// Does no harm where there is nothing.
    pub(super) fn remove(&self, what: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(what)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(),
        }
    }

    pub(super) fn has(&self, what: &str) -> bool {
        self.0.join(what).is_file()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
