//! How much of a disk is free.

use std::path::Path;

use super::memory::size;
use super::runner::Answer;

/// Fails if fewer bytes are free than should be.
pub(super) fn look(path: &Path, min_free: u64) -> Answer {
    let free = fs4::available_space(path)
        .map_err(|error| format!("cannot read the free space on the disk of {}: {error}", path.display()))?;
    let note = format!("{} free on the disk of {}", size(free), path.display());
    if free < min_free {
        return Err(format!("{note}, less than {}", size(min_free)).into());
    }
    Ok(Some(note))
}
