//! [`Identity`]: which file it is, whatever it is called.

use std::fs::Metadata;

/// Which file it is.
pub(crate) type Identity = (u64, u64);

#[cfg(unix)]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Where files have no number, by when they were created.
#[cfg(not(unix))]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    let created =
        metadata.created().ok().and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    created.map_or((0, 0), |at| (at.as_secs(), u64::from(at.subsec_nanos())))
}
