//! [`Tail`]: one path, whose file grows, is renamed, is truncated, and comes late.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::archive::{Archive, folder_of, is_gzip, is_of_rotation};
use crate::found::{Fault, LogsError, Trouble};
use crate::identity::{Identity, identity};
use crate::lines::{Each, Lines};

/// How many bytes at the beginning, and before the place that was read to, tell a file from one that replaced its contents.
const MARK: usize = 256;
const CHUNK: usize = 64 * 1024;
/// For how long nothing may come of a file that was renamed until it is left: its writer may not know yet.
const RENAMED: Duration = Duration::from_secs(5);

/// A path that is followed.
pub(crate) struct Tail {
    path: PathBuf,
    pub(crate) trouble: Trouble,
    open: Option<Open>,
    /// Files that were at the path before, each with when something came of it last.
    renamed: Vec<(Open, Instant)>,
    pub(crate) is_of_folder: bool,
    /// Of a file that was found in a folder, since when it is there no more and nothing has come of it.
    gone: Option<Instant>,
}

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
    /// A path that somebody named.
    pub(crate) fn new(path: PathBuf) -> Self {
        let trouble = Trouble::default();
        Self { path, trouble, open: None, renamed: Vec::new(), is_of_folder: false, gone: None }
    }

    /// A file that was found in a folder.
    pub(crate) fn of_folder(path: PathBuf) -> Self {
        Self { is_of_folder: true, ..Self::new(path) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it reads this file, at its path or since it was renamed.
    pub(crate) fn reads(&self, identity: Identity) -> bool {
        self.renamed.iter().map(|(open, _)| open).chain(&self.open).any(|open| open.identity == identity)
    }

    /// Whether it has nothing to read and nothing to wait for: its file left the folder that it was found in.
    pub(crate) fn is_over(&self) -> bool {
        self.is_of_folder && self.open.is_none() && self.renamed.is_empty() && !self.trouble.is_any()
    }

    /// Whether it waits for a file to appear.
    pub(crate) fn is_missing(&self) -> bool {
        self.open.is_none() && !self.trouble.is_any()
    }

    /// Opens what is at the path, if there is something: from then on it is read, whatever it is called.
    pub(crate) fn pin(&mut self) -> Result<(), LogsError> {
        if self.open.is_some() {
            return Ok(());
        }
        let failed = |error| LogsError::read(&self.path, error);
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(LogsError::NoFile { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        match File::open(&self.path).and_then(Open::new) {
            Ok(open) => self.open = Some(open),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Starts with the last so many lines of what is there.
    pub(crate) fn skip_to_last(&mut self, lines: usize) -> Result<(), LogsError> {
        self.pin()?;
        match &mut self.open {
            Some(open) => open.skip_to_last(lines).map_err(|error| LogsError::read(&self.path, error)),
            None => Ok(()),
        }
    }

    /// Is told whether its file is still in the folder that it was found in, under whatever name.
    pub(crate) fn see_folder(&mut self, is_there: impl Fn(Identity) -> bool, now: Instant) {
        let is_gone = self.is_of_folder && self.open.as_ref().is_some_and(|open| !is_there(open.identity));
        self.gone = is_gone.then(|| self.gone.unwrap_or(now));
    }

    /// Hands over the lines that are new. Says whether there were any bytes.
    pub(crate) fn read(&mut self, now: Instant, each: Each<'_>) -> Result<bool, Fault> {
        let mut is_new = self.read_renamed(now, each)?;
        self.pin()?;
        let Some(open) = &mut self.open else { return Ok(is_new) };
        let read = open.read(&self.path, each);
        let Ok(metadata) = fs::metadata(&self.path) else {
            // Away and not replaced: its writer has it open, and may still write.
            let came = read?;
            self.leave(came, now, each)?;
            return Ok(is_new | came);
        };
        if identity(&metadata) == open.identity {
            return Ok(is_new | read?);
        }
        // What was written to it before it was renamed comes before what is in the new one.
        is_new |= match read.and_then(|came| Ok(came | open.read(&self.path, each)?)) {
            Err(Fault::Source(_)) => false,
            read => read?,
        };
        let between = self.between(&metadata);
        self.renamed.extend(self.open.take().map(|open| (open, now)));
        // What is in these is read as far as it can be: the new file is what the path is about.
        for mut archive in between {
            is_new = true;
            let read = match is_gzip(&archive.path) {
                true => archive.read(each),
                false => archive
                    .open()
                    .and_then(Open::new)
                    .map_err(|error| LogsError::read(&self.path, error).into())
                    .and_then(|mut open| {
                        open.read(&self.path, each)?;
                        self.renamed.push((open, now));
                        Ok(())
                    }),
            };
            if let Err(Fault::Output(error)) = read {
                return Err(error.into());
            }
        }
        self.pin()?;
        if let Some(open) = &mut self.open {
            is_new |= open.read(&self.path, each)?;
        }
        Ok(is_new)
    }

    /// Hands over last lines that have no line end.
    pub(crate) fn end(&mut self, each: Each<'_>) -> io::Result<()> {
        for open in self.renamed.iter_mut().map(|(open, _)| open).chain(&mut self.open) {
            open.lines.end(&self.path, each)?;
        }
        Ok(())
    }

    fn read_renamed(&mut self, now: Instant, each: Each<'_>) -> Result<bool, Fault> {
        let mut is_new = false;
        let mut kept = Vec::new();
        for (mut open, since) in std::mem::take(&mut self.renamed) {
            let came = match open.read(&self.path, each) {
                // It is no longer at the path, and nobody can do anything about it.
                Err(Fault::Source(_)) => None,
                read => Some(read?),
            };
            is_new |= came == Some(true);
            match came {
                Some(true) => kept.push((open, now)),
                Some(false) if !is_over(since, now) => kept.push((open, since)),
                _ => open.lines.end(&self.path, each)?,
            }
        }
        self.renamed = kept;
        Ok(is_new)
    }

    /// Leaves a file that is not in its folder any more, once nothing comes of it: it would take up room for ever.
    fn leave(&mut self, came: bool, now: Instant, each: Each<'_>) -> io::Result<()> {
        if came {
            self.gone = self.gone.map(|_| now);
        }
        if self.gone.is_some_and(|since| is_over(since, now))
            && let Some(mut open) = self.open.take()
        {
            open.lines.end(&self.path, each)?;
        }
        Ok(())
    }

    /// The files that were at the path after the one that is open and before the one that is there now, oldest first.
    fn between(&self, now: &Metadata) -> Vec<Archive> {
        let Some(open) = &self.open else { return Vec::new() };
        let Ok(old) = open.file.metadata().and_then(|old| old.modified()) else { return Vec::new() };
        // What was rotated is as good as not there, then; the file itself is read.
        let mut later = rotated(&self.path).unwrap_or_default();
        later.retain(|archive| {
            let is_known = archive.identity == identity(now) || self.reads(archive.identity);
            let is_later = match is_gzip(&archive.path) {
                // It may be one of those that were read, compressed since: that keeps its time.
                true => archive.modified > old && !self.has_read_what_begins_as(archive),
                false => archive.modified >= old,
            };
            is_later && !is_known
        });
        later
    }

    fn has_read_what_begins_as(&self, archive: &Archive) -> bool {
        // One that can't be read is none that could be shown.
        let Ok(head) = archive.head(MARK) else { return true };
        head.is_empty()
            || self.renamed.iter().map(|(open, _)| open).chain(&self.open).any(|open| open.head == head)
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) > RENAMED
}

/// The files beside a path that were there before, oldest first: `app.log.1`, `app.log-20260301.gz`.
///
/// # Errors
/// If the folder can't be listed.
pub(crate) fn rotated(path: &Path) -> Result<Vec<Archive>, LogsError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    Archive::all(folder_of(path), |entry| entry.strip_prefix(name).is_some_and(is_of_rotation))
}

impl Open {
    fn new(file: File) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity, offset: 0, head: Vec::new(), before: Vec::new(), lines: Lines::new() })
    }

    fn read(&mut self, path: &Path, each: Each<'_>) -> Result<bool, Fault> {
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
