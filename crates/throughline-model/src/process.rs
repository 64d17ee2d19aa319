//! [`Process`], where an instance ran.

use crate::{Text, Timestamp};

/// The process in which an instance ran, as it is known from its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// The service's name.
    pub service: Text,
    /// The service's version.
    pub version: Option<Text>,
    /// The name of the host.
    pub host: Option<Text>,
    /// The number that the operating system of the host gave it.
    pub pid: Option<u32>,
    /// When it opened the store.
    pub started: Timestamp,
    /// The last sign of life that the store has of it. Of a process that died it is about when that happened.
    pub last_seen: Timestamp,
}
