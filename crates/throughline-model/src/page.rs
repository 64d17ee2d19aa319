//! [`Page`] and [`Paged`]: answers a part at a time.

use serde::Serialize;

use crate::{Cursor, ReadError};

/// Which page of a result to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The maximum number of items; [`usize::MAX`] for as many as the store gives at a time.
    pub limit: usize,
    /// The cursor of the previous page; `None` for the first page.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first page, with at most this many items.
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }

    /// Turns to the page that another one names as the next; `false` if that was the last.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the page is empty or names itself as the next: reading all pages would never end.
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

/// A page of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paged<T> {
    /// The items of this page: at most as many as requested, or fewer if the store has its own limit.
    pub items: Vec<T>,
    /// Where to continue; `None` if this was all. A page that names a next one is not empty.
    pub next: Option<Cursor>,
}
