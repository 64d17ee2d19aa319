//! [`Files`]: the log files of a service, followed.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::archive::{self, Archive, is_gzip, is_of_rotation};
use crate::found::{Fault, FoundLine, LogsError, Trouble};
use crate::identity::{Identity, identity};
use crate::lines::Each;
use crate::stream::Stream;
use crate::tail::{Tail, rotated};

/// What the files of a folder end with that are logs.
const ENDINGS: [&str; 4] = ["json", "jsonl", "log", "ndjson"];

/// The log files of a service, opened for reading alone.
///
/// A path may be a file that is there or comes later, a file that was compressed with gzip, or a folder, of which all files
/// are followed that end in `.log`, `.jsonl`, `.ndjson` or `.json`. What is renamed is read to its end before what takes its
/// place, and what is truncated from its beginning. A path that can't be read keeps nobody from reading the others.
pub struct Files {
    /// Compressed files and those that were rotated, to be read once.
    archives: VecDeque<Once>,
    tails: Vec<Tail>,
    folders: Vec<Folder>,
    streams: Vec<Stream>,
    last: Option<usize>,
    troubles: Vec<LogsError>,
}

/// What is read once.
enum Once {
    Archive(Archive),
    /// A path that somebody named.
    Path(PathBuf),
}

struct Folder {
    path: PathBuf,
    trouble: Trouble,
    /// The files in it that are read or were read, under whatever name.
    known: HashSet<Identity>,
}

impl Files {
    /// Follows these paths.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut files = Self {
            archives: VecDeque::new(),
            tails: Vec::new(),
            folders: Vec::new(),
            streams: Vec::new(),
            last: None,
            troubles: Vec::new(),
        };
        for path in paths {
            if path.is_dir() {
                files.folders.push(Folder { path, trouble: Trouble::default(), known: HashSet::new() });
            } else if is_gzip(&path) {
                files.archives.push_back(Once::Path(path));
            } else {
                files.tails.push(Tail::new(path));
            }
        }
        files
    }

    /// Reads what is piped in, too: its lines are those of the path `-`. A thread reads it from now on.
    #[must_use]
    pub fn with_stream(mut self, source: impl io::Read + Send + 'static) -> Self {
        self.streams.push(Stream::new(source));
        self
    }

    /// Reads first what was rotated, oldest first: the files beside each path that are called after it, such as `app.log.1` and
    /// `app.log.2.gz`, and those of each folder that are called after a log.
    #[must_use]
    pub fn with_rotated(mut self) -> Self {
        // Whatever is at the paths is opened before others are looked for: what is renamed meanwhile is none of them.
        self.look_into_folders(Instant::now());
        for tail in &mut self.tails {
            // The next look tells.
            let _ = tail.pin();
        }
        let of_paths = self.tails.iter().filter(|tail| !tail.is_of_folder).map(|tail| rotated(tail.path()));
        let mut found = Vec::new();
        for archives in of_paths {
            match archives {
                Ok(archives) => found.extend(archives),
                Err(error) => self.troubles.push(error),
            }
        }
        // A folder that can't be listed was told of already.
        let of_folders = self.folders.iter().map(|folder| Archive::all(&folder.path, is_archive_of_a_log));
        found.extend(of_folders.flatten().flatten());
        let mut known = HashSet::new();
        for archive in found {
            let is_followed = self.tails.iter().any(|tail| tail.reads(archive.identity));
            if !is_followed && known.insert(archive.identity) {
                self.archives.push_back(Once::Archive(archive));
            }
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
        self.tails.iter().filter(|tail| tail.is_missing()).map(Tail::path)
    }

    /// What could not be read, since this was asked last. What does not change is told once.
    pub fn troubles(&mut self) -> Vec<LogsError> {
        std::mem::take(&mut self.troubles)
    }

    /// Whether nothing more can come: there are no paths, and streams are at their ends.
    pub fn is_over(&self) -> bool {
        self.tails.is_empty()
            && self.folders.is_empty()
            && self.archives.is_empty()
            && self.streams.iter().all(Stream::is_over)
    }

    /// Hands over the lines that are new. Says whether there was anything. What can't be read is one of the
    /// [`troubles`](Self::troubles), and the rest is read all the same.
    ///
    /// # Errors
    ///
    /// If what takes a line fails.
    pub fn read(&mut self, each: impl FnMut(FoundLine<'_>) -> io::Result<()>) -> io::Result<bool> {
        self.read_at(Instant::now(), each)
    }

    fn read_at(
        &mut self,
        now: Instant,
        mut each: impl FnMut(FoundLine<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let each: Each<'_> = &mut each;
        let mut is_new = false;
        while let Some(archive) = self.archives.pop_front() {
            is_new = true;
            Trouble::default().note(archive.read(each).map(|()| true), &mut self.troubles)?;
        }
        self.look_into_folders(now);
        let last = self.last.take();
        for tail in &mut self.tails {
            let skipped = last.map_or(Ok(()), |lines| tail.skip_to_last(lines));
            let read = skipped.map_err(Fault::from).and_then(|()| tail.read(now, each));
            is_new |= tail.trouble.note(read, &mut self.troubles)?;
        }
        self.tails.retain(|tail| !tail.is_over());
        for stream in &mut self.streams {
            is_new |= Trouble::default().note(stream.read(each), &mut self.troubles)?;
        }
        Ok(is_new)
    }

    /// Waits for the ends of streams, and hands over what comes until then.
    ///
    /// # Errors
    ///
    /// If what takes a line fails.
    pub fn wait_for_streams(
        &mut self,
        mut each: impl FnMut(FoundLine<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for stream in &mut self.streams {
            Trouble::default().note(stream.wait(&mut each).map(|()| true), &mut self.troubles)?;
        }
        Ok(())
    }

    /// Hands over last lines that have no line end: nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// If what takes a line fails.
    pub fn end(&mut self, mut each: impl FnMut(FoundLine<'_>) -> io::Result<()>) -> io::Result<()> {
        self.tails.iter_mut().try_for_each(|tail| tail.end(&mut each))?;
        self.streams.iter_mut().try_for_each(|stream| stream.end(&mut each))
    }

    fn look_into_folders(&mut self, now: Instant) {
        for folder in &mut self.folders {
            match folder.new_files(&mut self.tails, now) {
                Ok(new) => {
                    folder.trouble = Trouble::default();
                    self.tails.extend(new);
                }
                Err(error) => folder.trouble.tell(error, &mut self.troubles),
            }
        }
    }
}

impl Once {
    fn read(self, each: Each<'_>) -> Result<(), Fault> {
        match self {
            Self::Archive(archive) => archive.read(each),
            Self::Path(path) => {
                let file = File::open(&path).map_err(|error| LogsError::read(&path, error))?;
                archive::read(&path, file, each)
            }
        }
    }
}

impl Folder {
    /// A file that was renamed within the folder is none, nor is a second name of one.
    fn new_files(&mut self, tails: &mut [Tail], now: Instant) -> Result<Vec<Tail>, LogsError> {
        let failed = |error| LogsError::read(&self.path, error);
        let (mut known, mut there) = (HashSet::new(), HashSet::new());
        let mut new = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // It may be gone by now.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let identity = identity(&metadata);
            there.insert(identity);
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
        for tail in tails.iter_mut().filter(|tail| tail.path().parent() == Some(&self.path)) {
            tail.see_folder(|identity| there.contains(&identity), now);
        }
        new.sort();
        new.retain(|(_, identity)| known.insert(*identity));
        self.known = known;
        Ok(new.into_iter().map(|(path, _)| Tail::of_folder(path)).collect())
    }
}

/// Whether this is what programs that rotate call a log of a folder: `app.log.1`, `app.log-20260301.gz`, `app-1.jsonl.gz`.
fn is_archive_of_a_log(name: &str) -> bool {
    ENDINGS.iter().any(|ending| {
        let ending = format!(".{ending}");
        name.match_indices(&ending).any(|(at, _)| is_of_rotation(&name[at + ending.len()..]))
    })
}

#[cfg(test)]
mod tests;
