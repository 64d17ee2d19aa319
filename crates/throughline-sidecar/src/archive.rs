//! [`Archive`]: a file that was rotated away, read once.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use crate::found::{Fault, LogsError};
use crate::identity::{Identity, identity};
use crate::lines::{Each, Lines};

/// How often a folder is looked at until nothing in it is renamed meanwhile.
const LOOKS: usize = 5;

/// A file that was rotated away.
pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    pub(crate) modified: SystemTime,
    pub(crate) identity: Identity,
    /// What is not compressed yet is opened when it is found: once it is compressed it is another file.
    file: Option<File>,
}

impl Archive {
    /// The archives in a folder that have such names, oldest first. A file and its compressed copy are one.
    ///
    /// # Errors
    /// If the folder is there and can't be listed.
    pub(crate) fn all(folder: &Path, is_archive: impl Fn(&str) -> bool) -> Result<Vec<Self>, LogsError> {
        let mut found = listed(folder, &is_archive)?;
        for _ in 1..LOOKS {
            let again = listed(folder, &is_archive)?;
            let is_the_same = found.iter().map(Self::key).eq(again.iter().map(Self::key));
            found = again;
            if is_the_same {
                break;
            }
        }
        // Only of what was listed last: a folder may have many files, and a process may open few.
        found.iter_mut().for_each(Self::pin);
        let plain: HashSet<_> = found.iter().map(|archive| archive.path.clone()).collect();
        let mut known = HashSet::new();
        found.retain(|archive| {
            let is_copy = is_gzip(&archive.path) && plain.contains(&archive.path.with_extension(""));
            !is_copy && known.insert(archive.identity)
        });
        Ok(found)
    }

    /// Opens what is not compressed yet, and is then what was opened.
    fn pin(&mut self) {
        self.file = if is_gzip(&self.path) { None } else { File::open(&self.path).ok() };
        if let Some(opened) = self.file.as_ref().and_then(|file| file.metadata().ok()) {
            self.identity = identity(&opened);
        }
    }

    fn key(&self) -> (&Path, Identity) {
        (&self.path, self.identity)
    }

    /// Hands over its lines.
    pub(crate) fn read(mut self, each: Each<'_>) -> Result<(), Fault> {
        let file = self.open().map_err(|error| LogsError::read(&self.path, error))?;
        read(&self.path, file, each)
    }

    /// How its contents begin, as far as so many bytes.
    pub(crate) fn head(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        decompressed(&self.path, File::open(&self.path)?).take(bytes as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// The file, whatever it is called by now.
    pub(crate) fn open(&mut self) -> io::Result<File> {
        if let Some(file) = self.file.take() {
            return Ok(file);
        }
        let is_this =
            |path: &Path| fs::metadata(path).is_ok_and(|metadata| identity(&metadata) == self.identity);
        if is_this(&self.path) {
            return File::open(&self.path);
        }
        let mut beside = fs::read_dir(folder_of(&self.path))?.flatten().map(|entry| entry.path());
        File::open(beside.find(|path| is_this(path)).unwrap_or_else(|| self.path.clone()))
    }
}

fn listed(folder: &Path, is_archive: &dyn Fn(&str) -> bool) -> Result<Vec<Archive>, LogsError> {
    let entries = match fs::read_dir(folder) {
        // What is not there, or is no folder, is told of by whoever reads the path itself.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(|error| LogsError::read(folder, error))?,
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_archive))
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
            let (modified, identity) = (metadata.modified().ok()?, identity(&metadata));
            Some(Archive { path, modified, identity, file: None })
        })
        .collect();
    // Within one tick of the clock of files, by name.
    found.sort_by_cached_key(|archive| {
        (archive.modified, Reverse(numbered(&archive.path).unwrap_or_default()), archive.path.clone())
    });
    Ok(found)
}

/// Hands over the lines of a file, which is compressed if it is called so.
pub(crate) fn read(path: &Path, file: File, each: Each<'_>) -> Result<(), Fault> {
    let mut source = decompressed(path, file);
    let mut lines = Lines::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return Ok(lines.end(path, each)?),
            Ok(read) => lines.take(&chunk[..read], path, each)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                lines.end(path, each)?;
                return Err(match is_gzip(path) {
                    true => LogsError::Gzip { path: path.to_owned(), source: error }.into(),
                    false => LogsError::read(path, error).into(),
                });
            }
        }
    }
}

fn decompressed(path: &Path, file: File) -> Box<dyn Read> {
    match is_gzip(path) {
        true => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        false => Box::new(file),
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether programs that rotate add this to a name: a number, a date or `old`, and what compresses.
pub(crate) fn is_of_rotation(ending: &str) -> bool {
    if ending == ".gz" {
        return true;
    }
    let which = ending.strip_suffix(".gz").unwrap_or(ending);
    let Some(which) = which.strip_prefix(['.', '-']) else { return false };
    let is_of_date = |c: char| c.is_ascii_digit() || "-_.:TZ".contains(c);
    which == "old" || (which.starts_with(|c: char| c.is_ascii_digit()) && which.chars().all(is_of_date))
}

/// The number of a file of those that are counted: the higher, the older, as `2` of `app.log.2.gz`.
fn numbered(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let (_, number) = name.strip_suffix(".gz").unwrap_or(name).rsplit_once('.')?;
    number.parse().ok()
}

pub(crate) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}
