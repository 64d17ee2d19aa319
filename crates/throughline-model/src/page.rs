//! [`Page`] and [`Paged`]: answers a part at a time.

use serde::Serialize;

use crate::Cursor;

/// Which part of the answer to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many at most; [`usize::MAX`] for as many as the store gives at a time.
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first so many.
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paged<T> {
    /// The items of this page: at most as many as were asked for, and fewer where a store has a limit of its own.
    pub items: Vec<T>,
    /// Where to continue; `None` if this was all. A page that names a next one is not empty.
    pub next: Option<Cursor>,
}
