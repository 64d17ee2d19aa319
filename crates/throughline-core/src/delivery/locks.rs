//! The locks of the [queue](super::queue). The check of its interleavings (`tests/it/interleavings.rs`) compiles the queue
//! with other ones.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
