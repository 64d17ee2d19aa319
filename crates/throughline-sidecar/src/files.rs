//! [`Files`]: the log files of a service, followed.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::found::{FoundLine, LogsError};
use crate::lines::{Each, Lines};
use crate::tail::{Identity, Tail, identity, is_gzip, rotated};

/// What the files of a folder end with that are logs.
const ENDINGS: [&str; 4] = ["json", "jsonl", "log", "ndjson"];

/// The log files of a service, opened for reading alone.
///
/// A path may be a file that is there or comes later, a file that was compressed with gzip, or a folder, of which all files
/// are followed that end in `.log`, `.jsonl`, `.ndjson` or `.json`. What is renamed is read to its end before what takes its
/// place, and what is truncated from its beginning.
pub struct Files {
    /// Compressed files and those that were rotated, to be read once.
    archives: VecDeque<PathBuf>,
    tails: Vec<Tail>,
    folders: Vec<Folder>,
    last: Option<usize>,
}

struct Folder {
    path: PathBuf,
    /// The files in it that are read or were read, under whatever name.
    known: HashSet<Identity>,
}

impl Files {
    /// Follows these paths.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut files =
            Self { archives: VecDeque::new(), tails: Vec::new(), folders: Vec::new(), last: None };
        for path in paths {
            if path.is_dir() {
                files.folders.push(Folder { path, known: HashSet::new() });
            } else if is_gzip(&path) {
                files.archives.push_back(path);
            } else {
                files.tails.push(Tail::new(path));
            }
        }
        files
    }

    /// Reads first what was rotated: the files beside each path that are called after it, such as `app.log.1` and
    /// `app.log.2.gz`, oldest first.
    #[must_use]
    pub fn with_rotated(mut self) -> Self {
        for tail in &self.tails {
            self.archives.extend(rotated(tail.path()).into_iter().map(|rotated| rotated.path));
        }
        self
    }

    /// Starts with the last so many lines of each file that is there.
    #[must_use]
    pub fn last(mut self, lines: usize) -> Self {
        self.last = Some(lines);
        self
    }

    /// The paths at which there was no file yet.
    pub fn missing(&self) -> impl Iterator<Item = &Path> {
        self.tails.iter().filter(|tail| !tail.exists()).map(Tail::path)
    }

    /// Hands over the lines that are new. Says whether there was anything.
    ///
    /// # Errors
    ///
    /// If a file can't be read, or what takes a line fails. After [`LogsError::Gzip`], what could be read of that file was handed
    /// over, and the next call continues with the others.
    pub fn read(&mut self, mut each: impl FnMut(FoundLine<'_>) -> io::Result<()>) -> Result<bool, LogsError> {
        let each: Each<'_> = &mut each;
        let mut is_new = false;
        while let Some(archive) = self.archives.pop_front() {
            is_new = true;
            read_archive(&archive, each)?;
        }
        for folder in &mut self.folders {
            self.tails.extend(folder.new_files(&self.tails)?);
        }
        let last = self.last.take();
        for tail in &mut self.tails {
            if let Some(lines) = last {
                tail.skip_to_last(lines)?;
            }
            is_new |= tail.read(each)?;
        }
        Ok(is_new)
    }

    /// Hands over last lines that have no line end: nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// If what takes a line fails.
    pub fn end(&mut self, mut each: impl FnMut(FoundLine<'_>) -> io::Result<()>) -> Result<(), LogsError> {
        self.tails.iter_mut().try_for_each(|tail| tail.end(&mut each))
    }
}

impl Folder {
    /// A file that was renamed within the folder is none, nor is a second name of one.
    fn new_files(&mut self, tails: &[Tail]) -> Result<Vec<Tail>, LogsError> {
        let failed = |error| LogsError::read(&self.path, error);
        let mut known = HashSet::new();
        let mut new = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // It may be gone by now.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let identity = identity(&metadata);
            if self.known.contains(&identity) || tails.iter().any(|tail| tail.reads(identity)) {
                known.insert(identity);
                continue;
            }
            let is_log = path
                .extension()
                .and_then(|ending| ending.to_str())
                .is_some_and(|ending| ENDINGS.iter().any(|of_log| ending.eq_ignore_ascii_case(of_log)));
            let is_followed = tails.iter().any(|tail| tail.path() == path);
            if metadata.is_file() && is_log && !is_followed {
                new.push((path, identity));
            }
        }
        new.sort();
        new.retain(|(_, identity)| known.insert(*identity));
        self.known = known;
        Ok(new.into_iter().map(|(path, _)| Tail::new(path)).collect())
    }
}

fn read_archive(path: &Path, each: Each<'_>) -> Result<(), LogsError> {
    let mut file = File::open(path).map_err(|error| LogsError::read(path, error))?;
    let mut decoder;
    let source: &mut dyn io::Read = if is_gzip(path) {
        decoder = MultiGzDecoder::new(io::BufReader::new(file));
        &mut decoder
    } else {
        &mut file
    };
    let mut lines = Lines::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return lines.end(path, each),
            Ok(read) => lines.take(&chunk[..read], path, each)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                lines.end(path, each)?;
                return Err(match is_gzip(path) {
                    true => LogsError::Gzip { path: path.to_owned(), source: error },
                    false => LogsError::read(path, error),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
