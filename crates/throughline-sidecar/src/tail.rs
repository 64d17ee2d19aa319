//! [`Tail`]: one path, whose file grows, is renamed, is truncated, and comes late.

use std::cmp::Reverse;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::found::LogsError;
use crate::lines::{Each, Lines};

/// How many bytes at the beginning, and before the place that was read to, tell a file from one that replaced its contents.
const MARK: usize = 256;
const CHUNK: usize = 64 * 1024;
/// How long a file that was renamed is still read: its writer may not know yet.
const RENAMED: Duration = Duration::from_secs(5);

/// A path that is followed.
pub(crate) struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// Files that were at the path before, each with when that was seen.
    renamed: Vec<(Open, Instant)>,
}

/// Which file it is, whatever it is called.
pub(crate) type Identity = (u64, u64);

struct Open {
    file: File,
    identity: Identity,
    offset: u64,
    /// How the file begins.
    head: Vec<u8>,
    /// What precedes `offset`.
    before: Vec<u8>,
    lines: Lines,
}

impl Tail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, open: None, renamed: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it reads this file, at its path or since it was renamed.
    pub(crate) fn reads(&self, identity: Identity) -> bool {
        self.renamed.iter().map(|(open, _)| open).chain(&self.open).any(|open| open.identity == identity)
    }

    /// Starts with the last so many lines of what is there.
    pub(crate) fn skip_to_last(&mut self, lines: usize) -> Result<(), LogsError> {
        if let Some(open) = self.opened()? {
            open.skip_to_last(lines).map_err(|error| LogsError::read(&self.path, error))?;
        }
        Ok(())
    }

    /// Hands over the lines that are new. Says whether there were any bytes.
    pub(crate) fn read(&mut self, each: Each<'_>) -> Result<bool, LogsError> {
        let mut is_new = false;
        let path = &self.path;
        let now = Instant::now();
        let is_over = |since: &Instant| now.saturating_duration_since(*since) > RENAMED;
        for (open, since) in &mut self.renamed {
            is_new |= open.read(path, each)?;
            if is_over(since) {
                open.lines.end(path, each)?;
            }
        }
        self.renamed.retain(|(_, since)| !is_over(since));
        if self.opened()?.is_none() {
            return Ok(is_new);
        }
        let Some(open) = &mut self.open else { return Ok(is_new) };
        is_new |= open.read(&self.path, each)?;
        // Away and not replaced: its writer has it open, and may still write.
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(is_new) };
        if identity(&metadata) == open.identity {
            return Ok(is_new);
        }
        // What was written to it before it was renamed comes before what is in the new one.
        is_new |= open.read(&self.path, each)?;
        let between = self.between(&metadata)?;
        self.renamed.extend(self.open.take().map(|open| (open, now)));
        for file in between {
            let mut open = Open::new(file).map_err(|error| LogsError::read(&self.path, error))?;
            is_new |= open.read(&self.path, each)?;
            self.renamed.push((open, now));
        }
        self.opened()?;
        if let Some(open) = &mut self.open {
            is_new |= open.read(&self.path, each)?;
        }
        Ok(is_new)
    }

    /// Hands over last lines that have no line end.
    pub(crate) fn end(&mut self, each: Each<'_>) -> Result<(), LogsError> {
        for open in self.renamed.iter_mut().map(|(open, _)| open).chain(&mut self.open) {
            open.lines.end(&self.path, each)?;
        }
        Ok(())
    }

    pub(crate) fn exists(&self) -> bool {
        self.open.is_some()
    }

    /// The file at the path, once there is one.
    fn opened(&mut self) -> Result<Option<&mut Open>, LogsError> {
        if self.open.is_none() {
            let opened = File::open(&self.path).and_then(Open::new);
            match opened {
                Ok(open) => self.open = Some(open),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogsError::read(&self.path, error)),
            }
        }
        Ok(self.open.as_mut())
    }

    /// The files that were at the path after the one that is open and before the one that is there now, oldest first.
    fn between(&self, now: &Metadata) -> Result<Vec<File>, LogsError> {
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let old = open.file.metadata().and_then(|old| old.modified());
        let old = old.map_err(|error| LogsError::read(&self.path, error))?;
        let known: Vec<_> = self.renamed.iter().map(|(open, _)| open.identity).collect();
        let later = rotated(&self.path).into_iter().filter(|rotated| {
            rotated.modified >= old
                && ![open.identity, identity(now)].contains(&rotated.identity)
                && !known.contains(&rotated.identity)
                && !is_gzip(&rotated.path)
        });
        Ok(later.filter_map(|rotated| File::open(rotated.path).ok()).collect())
    }
}

impl Open {
    fn new(file: File) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity, offset: 0, head: Vec::new(), before: Vec::new(), lines: Lines::new() })
    }

    fn read(&mut self, path: &Path, each: Each<'_>) -> Result<bool, LogsError> {
        let failed = |error| LogsError::read(path, error);
        let length = self.file.metadata().map_err(failed)?.len();
        if !self.is_as_it_was().map_err(failed)? {
            self.lines.end(path, each)?;
            (self.offset, self.head, self.before) = (0, Vec::new(), Vec::new());
        }
        let is_new = length > self.offset;
        let mut chunk = vec![0; if is_new { CHUNK } else { 0 }];
        // Not until its end, which may move as fast as it is read.
        while self.offset < length {
            self.file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
            let read = self.file.read(&mut chunk).map_err(failed)?;
            if read == 0 {
                break;
            }
            let read = &chunk[..read];
            self.offset += read.len() as u64;
            self.remember(read);
            self.lines.take(read, path, each)?;
        }
        Ok(is_new)
    }

    fn remember(&mut self, read: &[u8]) {
        let missing = MARK.saturating_sub(self.head.len());
        self.head.extend_from_slice(&read[..read.len().min(missing)]);
        self.before.extend_from_slice(&read[read.len().saturating_sub(MARK)..]);
        let superfluous = self.before.len().saturating_sub(MARK);
        self.before.drain(..superfluous);
    }

    /// Whether what was read is still there: a file that was truncated may have grown beyond it again.
    fn is_as_it_was(&mut self) -> io::Result<bool> {
        let before = self.offset - self.before.len() as u64;
        for (at, mark) in [(0, &self.head), (before, &self.before)] {
            let mut found = vec![0; mark.len()];
            self.file.seek(SeekFrom::Start(at))?;
            match self.file.read_exact(&mut found) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            if found != *mark {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn skip_to_last(&mut self, lines: usize) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let (mut at, mut left) = (length, lines);
        let mut chunk = vec![0; CHUNK];
        let mut is_end = true;
        'back: while at > 0 {
            let size = at.min(CHUNK as u64);
            at -= size;
            let chunk = &mut chunk[..usize::try_from(size).unwrap_or(CHUNK)];
            self.file.seek(SeekFrom::Start(at))?;
            self.file.read_exact(chunk)?;
            // The line end at the very end of the file ends the last line, and begins none.
            let ends = memchr::memrchr_iter(b'\n', chunk);
            for end in ends.skip(usize::from(std::mem::take(&mut is_end) && chunk.ends_with(b"\n"))) {
                if left <= 1 {
                    at += end as u64 + 1;
                    break 'back;
                }
                left -= 1;
            }
        }
        self.offset = if lines == 0 { length } else { at };
        let mark = self.offset.min(MARK as u64);
        for (at, into) in [(0, &mut self.head), (self.offset - mark, &mut self.before)] {
            self.file.seek(SeekFrom::Start(at))?;
            (&self.file).take(mark).read_to_end(into)?;
        }
        Ok(())
    }
}

/// A file beside another that was at its path before.
pub(crate) struct Rotated {
    pub(crate) path: PathBuf,
    modified: SystemTime,
    identity: Identity,
}

/// The files beside a path that were there before, oldest first: `app.log.1`, `app.log-20260301.gz`.
pub(crate) fn rotated(path: &Path) -> Vec<Rotated> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let of_entry = entry.file_name();
            of_entry.to_str().and_then(|entry| entry.strip_prefix(name)).is_some_and(is_of_rotation)
        })
        .filter_map(|entry| {
            let metadata = fs::metadata(entry.path()).ok().filter(Metadata::is_file)?;
            let (modified, identity) = (metadata.modified().ok()?, identity(&metadata));
            Some(Rotated { path: entry.path(), modified, identity })
        })
        .collect();
    // Within one tick of the clock of files, by name.
    found.sort_by_cached_key(|rotated| {
        let age = numbered(&rotated.path, name).unwrap_or_default();
        (rotated.modified, Reverse(age), rotated.path.clone())
    });
    found
}

/// Whether programs that rotate add this to a name: a number, a date or `old`, and what compresses.
fn is_of_rotation(ending: &str) -> bool {
    if ending == ".gz" {
        return true;
    }
    let which = ending.strip_suffix(".gz").unwrap_or(ending);
    let Some(which) = which.strip_prefix(['.', '-']) else { return false };
    let is_of_date = |c: char| c.is_ascii_digit() || "-_.:TZ".contains(c);
    which == "old" || (which.starts_with(|c: char| c.is_ascii_digit()) && which.chars().all(is_of_date))
}

/// The number of a file of those that are counted: the higher, the older, as `2` of `app.log.2.gz`.
fn numbered(path: &Path, name: &str) -> Option<u32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
    rest.strip_suffix(".gz").unwrap_or(rest).parse().ok()
}

pub(crate) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

#[cfg(unix)]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Where files have no number, by when they were created.
#[cfg(not(unix))]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    let created = metadata.created().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    created.map_or((0, 0), |at| (at.as_secs(), u64::from(at.subsec_nanos())))
}
