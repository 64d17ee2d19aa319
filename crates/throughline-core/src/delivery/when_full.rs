//! [`WhenFull`], what a step does that finds no room in the store's queue.

use std::time::Duration;

/// What a step or an event does that finds no room in the store's queue, which is full when the store is away or slow.
/// The ends of steps that run need no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits, however long that takes.
    Block,
    /// It waits for so long, and then fails with [`NotRecorded::QueueFull`](crate::NotRecorded::QueueFull).
    BlockFor(Duration),
    /// It fails at once with [`NotRecorded::QueueFull`](crate::NotRecorded::QueueFull).
    Fail,
}
