//! Who is alive, and who works on what: locks that the operating system releases when a process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use throughline_model::{Claim, InstanceId, Liveness, TraceId};

use super::folder::Folder;

/// The file of an instance that is alive. It is locked until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
}

impl Lease {
    /// The lease of an instance; `None` if something else holds it.
    pub(crate) fn take(folder: &Folder, instance: InstanceId) -> io::Result<Option<Self>> {
        let path = folder.leases().join(instance.to_string());
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        Ok(try_lock(file.try_lock())?.then_some(Self { _file: file }))
    }
}

/// How an instance stands by its lease; `None` if it never had one.
pub(crate) fn by_lease(folder: &Folder, instance: InstanceId) -> io::Result<Option<Liveness>> {
    let file = match File::open(folder.leases().join(instance.to_string())) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // A shared lock, so that those who look do not take each other for the instance. Dropping the file gives it back.
    Ok(Some(if try_lock(file.try_lock_shared())? { Liveness::Dead } else { Liveness::Alive }))
}

fn try_lock(result: Result<(), TryLockError>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock of all that is written in the folder, by this process or another; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// How long to wait for others. They hold the lock no longer than a disk takes, unless their process is stopped; and
    /// waiting here blocks a thread that should notice deadlines.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Waits for the lock. `WouldBlock` is the error if somebody holds it for too long.
    pub(crate) fn wait(folder: &Folder) -> io::Result<Self> {
        let started = Instant::now();
        let file = File::options().write(true).create(true).truncate(false).open(folder.lock_file())?;
        while !try_lock(file.try_lock())? {
            if started.elapsed() > Self::PATIENCE {
                return Err(ErrorKind::WouldBlock.into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Self { _file: file })
    }
}

/// Makes a run this instance's to work on, unless an instance that lives has it.
///
/// To look who holds a claim and to take it over are two steps, between which another could do the same. The lock makes
/// them one.
pub(crate) fn claim(folder: &Folder, _: &WriteLock, trace: TraceId, me: InstanceId) -> io::Result<Claim> {
    if let Some(holder) = holder(folder, trace)?
        && holder != me
        && by_lease(folder, holder)? == Some(Liveness::Alive)
    {
        return Ok(Claim::HeldBy(holder));
    }
    // Written aside and renamed, so that a reader finds a whole claim or none.
    let new = folder.claims().join("new");
    fs::write(&new, me.to_string())?;
    fs::rename(&new, folder.claims().join(trace.to_string()))?;
    Ok(Claim::Granted)
}

/// Gives a run back, if it is this instance's.
pub(crate) fn release(folder: &Folder, _: &WriteLock, trace: TraceId, me: InstanceId) -> io::Result<()> {
    match holder(folder, trace)? {
        Some(holder) if holder == me => fs::remove_file(folder.claims().join(trace.to_string())),
        _ => Ok(()),
    }
}

/// Gives all runs of an instance back.
pub(crate) fn release_all(folder: &Folder, lock: &WriteLock, me: InstanceId) -> io::Result<()> {
    for entry in fs::read_dir(folder.claims())? {
        if let Some(trace) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            release(folder, lock, trace, me)?;
        }
    }
    Ok(())
}

/// Who has claimed a run, alive or dead.
fn holder(folder: &Folder, trace: TraceId) -> io::Result<Option<InstanceId>> {
    match fs::read_to_string(folder.claims().join(trace.to_string())) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // A claim that can't be read was written while the machine went down, and nobody who was alive then is now.
        read => Ok(read?.parse().ok()),
    }
}
