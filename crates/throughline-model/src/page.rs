//! [`Page`] and [`Paged`]: answers a part at a time.

use serde::Serialize;

use crate::{Cursor, ReadError};

/// Which part of the answer to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first so many.
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }

    /// Turns to the page that another one names as the next; `false` if that was the last.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the page leads nowhere, for it is empty or names itself: whoever reads all pages would
    /// never come to an end.
    pub fn turn<T>(&mut self, found: &Paged<T>) -> Result<bool, ReadError> {
        let Some(next) = &found.next else { return Ok(false) };
        if found.items.is_empty() || self.after.as_ref() == Some(next) {
            return Err(ReadError::Damaged {
                reason: "the store gave a page that names a next one and leads nowhere".to_owned(),
                source: None,
            });
        }
        self.after = Some(next.clone());
        Ok(true)
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
