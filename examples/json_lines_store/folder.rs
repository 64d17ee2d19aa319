//! What is on disk, and how it is read.
//!
//! ```text
//! store.lock            held while somebody writes
//! runs/TRACE.jsonl      the events of a run: a line is a JSON array, the events of one call of `append`
//! leases/INSTANCE       locked for as long as the instance lives; left behind, so that the dead are known
//! claims/TRACE          the instance that works on the run
//! ```
//!
//! A line counts once its newline is there. That makes a line atomic: a reader that comes too early, or a crash halfway
//! through a write, shows all events of a call or none of them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_model::fold::Position;
use throughline_model::{TraceEvent, TraceId};

/// The folder of a store.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes what is not there yet.
    pub(crate) fn create(&self) -> io::Result<()> {
        for folder in [self.runs(), self.leases(), self.claims()] {
            fs::create_dir_all(folder)?;
        }
        // The folder must survive a crash of the machine as well, or nothing in it does.
        sync_folder(&self.root)?;
        self.root.canonicalize()?.parent().map_or(Ok(()), sync_folder)
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    pub(crate) fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    fn run(&self, id: TraceId) -> PathBuf {
        self.runs().join(format!("{id}.jsonl"))
    }

    /// The ids of all runs, in their order.
    pub(crate) fn run_ids(&self) -> io::Result<Vec<TraceId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.runs())? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            // Whatever else people put into the folder is none of our business.
            ids.extend(id.and_then(|id| id.parse::<TraceId>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The events of a run in their order; none if there is no such run.
    pub(crate) fn events(&self, id: TraceId) -> io::Result<Vec<TraceEvent>> {
        let bytes = match fs::read(self.run(id)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        let mut events = Vec::new();
        // Appending does not look at what is there, so an event may be there twice: the first one counts.
        let mut seen = HashSet::new();
        for line in bytes[..whole_lines(&bytes)].split_inclusive(|byte| *byte == b'\n') {
            let group: Vec<TraceEvent> = serde_json::from_slice(line)?;
            events.extend(group.into_iter().filter(|event| seen.insert(event.id())));
        }
        events.sort_by_key(Position::of);
        Ok(events)
    }

    /// Writes events of one run down, all or none, and waits until the disk has them. The caller holds the lock.
    pub(crate) fn append(&self, id: TraceId, events: &[&Arc<TraceEvent>]) -> io::Result<()> {
        let path = self.run(id);
        let mut line = serde_json::to_vec(events)?;
        line.push(b'\n');
        let mut file = File::options().read(true).append(true).create(true).open(&path)?;
        let length = repair(&file, &path)?;
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What was written is not acknowledged, so it should not stay. If this fails as well, no harm is done: half
            // a line is repaired by the next one to append, and a whole one is a repeated event.
            let _ = file.set_len(length);
            return Err(error);
        }
        // The name of a new file must survive, too.
        if length == 0 { sync_folder(&self.runs()) } else { Ok(()) }
    }
}

/// How many of the bytes are lines that have come to their end.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Cuts off what a crash has left of a line, and says how long the file is. Nobody else is writing: the lock is ours.
fn repair(file: &File, path: &Path) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length == 0 || last_byte(file)? == b'\n' {
        return Ok(length);
    }
    let length = whole_lines(&fs::read(path)?) as u64;
    file.set_len(length)?;
    Ok(length)
}

fn last_byte(mut file: &File) -> io::Result<u8> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Waits until the disk has the names of the files in a folder. Only Unix opens folders as files.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
