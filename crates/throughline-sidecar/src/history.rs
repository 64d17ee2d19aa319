//! [`History`]: what was scraped, as JSON lines in a file of bounded size.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::snapshot::Snapshot;

/// The longest line that is read back.
const LONGEST: u64 = 16 << 20;

/// What was scraped, a JSON object a line. A file that has become too large takes the place of `FILE.1`.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    largest: u64,
}

impl History {
    /// The history in this file, which becomes at most so large. What is rotated away takes as much again.
    pub fn new(path: impl Into<PathBuf>, largest: u64) -> Self {
        Self { path: path.into(), largest }
    }

    /// Adds a snapshot. The folder is created if need be.
    ///
    /// # Errors
    ///
    /// If the file can't be written; the error names it.
    pub fn append(&self, snapshot: &Snapshot) -> io::Result<()> {
        self.try_append(snapshot).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}; check that it may be written", self.path.display()),
            )
        })
    }

    fn try_append(&self, snapshot: &Snapshot) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut line = serde_json::to_vec(snapshot)?;
        line.push(b'\n');
        let mut file = self.open()?;
        let length = file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > self.largest {
            drop(file);
            fs::rename(&self.path, rotated(&self.path))?;
            file = self.open()?;
        } else if length > 0 {
            // A process that was killed while it wrote leaves a line without its end.
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        file.write_all(&line)
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).open(&self.path)
    }

    /// Reads the history, oldest first, and counts the lines that can't be read.
    ///
    /// # Errors
    ///
    /// If the file can't be read; the error names it.
    pub fn read(&self, mut each: impl FnMut(Snapshot)) -> io::Result<u64> {
        let mut malformed = 0;
        for (path, may_be_missing) in [(rotated(&self.path), true), (self.path.clone(), false)] {
            let file = match File::open(&path) {
                Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("{}: {error}; `throughline scrape` writes it", path.display()),
                    )
                })?,
            };
            let mut reader = BufReader::new(file);
            let mut line = Vec::new();
            while reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? > 0 {
                match serde_json::from_slice(&line) {
                    Ok(snapshot) => each(snapshot),
                    Err(_) => malformed += u64::from(!line.trim_ascii().is_empty()),
                }
                line.clear();
            }
        }
        Ok(malformed)
    }
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(at: &str) -> Snapshot {
        Snapshot { took_ms: 1, ..Snapshot::away("http://localhost/metrics", at, "connection refused") }
    }

    fn moments(history: &History) -> (Vec<String>, u64) {
        let mut moments = Vec::new();
        let malformed = history.read(|snapshot| moments.push(snapshot.at)).unwrap();
        (moments, malformed)
    }

    #[test]
    fn a_history_is_bounded_and_keeps_what_is_newest() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(folder.path().join("new/metrics.jsonl"), 2_000);
        for n in 0..100 {
            history.append(&snapshot(&n.to_string())).unwrap();
        }
        let files = fs::read_dir(folder.path().join("new")).unwrap();
        let sizes: Vec<_> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 2_000), "{sizes:?}");
        let (moments, malformed) = moments(&history);
        let first = 100 - moments.len();
        assert_eq!(moments, (first..100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(moments.len() > 8 && malformed == 0, "{moments:?}");
    }

    #[test]
    fn a_line_that_was_torn_costs_no_other_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let history = History::new(&path, 1 << 20);
        history.append(&snapshot("1")).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"at\":\"2").unwrap();
        history.append(&snapshot("3")).unwrap();
        assert_eq!(moments(&history), (vec!["1".to_owned(), "3".to_owned()], 1));
    }

    #[test]
    fn a_history_that_is_not_there_is_named() {
        let error = History::new("none/metrics.jsonl", 1).read(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("none/metrics.jsonl: "), "{error}");
    }
}
