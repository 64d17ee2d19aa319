//! A log without any structure: bytes, then an fdatasync. What a durable store can't be faster than.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

/// A log that grows with every record.
#[derive(Debug)]
pub struct AppendLog(File);

impl AppendLog {
    /// An empty log.
    ///
    /// # Errors
    /// If the file can't be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).truncate(true).write(true).open(path)?))
    }

    /// Appends a record and waits until it is on the disk.
    ///
    /// # Errors
    /// If it can't be written or synced.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.0.write_all(record)?;
        self.0.sync_data()
    }
}

/// A log whose file was written full beforehand, so that a sync has no metadata to write. It serves many emitters:
/// a thread writes groups of given sizes, each with one fdatasync, and then acknowledges each record.
#[derive(Debug)]
pub struct GroupLog {
    records: mpsc::Sender<(Arc<[u8]>, oneshot::Sender<()>)>,
    thread: JoinHandle<io::Result<()>>,
}

impl GroupLog {
    /// A log for so many records of a length, which commits groups of these sizes in turn and, when they are used up,
    /// whatever waits.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn create(path: &Path, records: usize, length: usize, groups: Vec<usize>) -> io::Result<Self> {
        let capacity = (records * length) as u64;
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        io::copy(&mut io::Read::take(io::repeat(0), capacity), &mut file)?;
        file.sync_all()?;
        let (sender, received) = mpsc::channel();
        let thread = std::thread::spawn(move || write_groups(&file, &received, groups));
        Ok(Self { records: sender, thread })
    }

    /// Where emitters send their records, together with a channel for the acknowledgement.
    pub fn emitter(&self) -> LogEmitter {
        LogEmitter(self.records.clone())
    }

    /// Waits until all emitters are gone and everything is written.
    ///
    /// # Errors
    /// If writing failed.
    pub fn finish(self) -> anyhow::Result<()> {
        drop(self.records);
        self.thread.join().map_err(|_| anyhow!("the log's thread panicked"))?.context("the log failed")
    }
}

/// One end of a [`GroupLog`].
#[derive(Debug, Clone)]
pub struct LogEmitter(mpsc::Sender<(Arc<[u8]>, oneshot::Sender<()>)>);

impl LogEmitter {
    /// Hands a record over and waits until it is on the disk.
    ///
    /// # Errors
    /// If the log has failed.
    pub async fn emit(&self, record: Arc<[u8]>) -> anyhow::Result<()> {
        let (done, acknowledged) = oneshot::channel();
        self.0.send((record, done)).map_err(|_| anyhow!("the log has ended"))?;
        Ok(acknowledged.await?)
    }
}

/// How long a group waits for its next record.
const PATIENCE: Duration = Duration::from_millis(1);

fn write_groups(
    file: &File,
    records: &mpsc::Receiver<(Arc<[u8]>, oneshot::Sender<()>)>,
    groups: Vec<usize>,
) -> io::Result<()> {
    let mut at = 0;
    let mut bytes = Vec::new();
    let mut waiting = Vec::new();
    let mut groups = groups.into_iter();
    while let Ok(first) = records.recv() {
        let mut take = |(record, done): (Arc<[u8]>, _)| {
            bytes.extend_from_slice(&record);
            waiting.push(done);
        };
        take(first);
        match groups.next() {
            Some(size) => {
                // Towards the end some emitters are done, and a group may be asked for more records than there
                // are emitters left.
                let more = std::iter::from_fn(|| records.recv_timeout(PATIENCE).ok());
                more.take(size.saturating_sub(1)).for_each(take);
            }
            None => records.try_iter().for_each(take),
        }
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        at += bytes.len() as u64;
        bytes.clear();
        // An emitter that no longer waits needs no acknowledgement.
        waiting.drain(..).for_each(|done: oneshot::Sender<()>| done.send(()).unwrap_or(()));
    }
    Ok(())
}
