//! Why a store, a feed or a spool could not do what it was asked: [`OpenError`], [`AppendError`], [`ReadError`].

use std::time::Duration;

/// A boxed error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store or a feed could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It can't be reached, or is busy; retrying may help.
    #[error("{store} cannot be reached: {reason}")]
    Unavailable {
        /// The store's name.
        store: &'static str,
        /// What to look at.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// It can't be used as it is; retrying does not help.
    #[error("{store} cannot be used: {reason}")]
    Unusable {
        /// The store's name.
        store: &'static str,
        /// What is wrong, and how to fix it.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// There is nothing to read yet: no process has written to it.
    #[error("{store} cannot be read yet: {reason}")]
    NothingYet {
        /// The store's name.
        store: &'static str,
        /// What is missing.
        reason: String,
    },
}

impl OpenError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NothingYet { .. })
    }
}

/// Why a group of events was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The store did not respond, or responded that it is busy, full or throttled. The events may or may not be stored;
    /// appending the identical events again is safe.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// How long the server asked to wait, where it did.
        retry_after: Option<Duration>,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// The store permanently rejects the event at this place of the call. Nothing of its trace was appended; events of other
    /// traces may have been, and can be appended again.
    #[error("the store rejects the event: {reason}")]
    Rejected {
        /// The place in the call.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The store will not accept anything until somebody repairs it. The call is not repeated; events that must not be
    /// lost are sent again later, together with new ones.
    #[error("the store has failed: {reason}")]
    Broken {
        /// What is wrong, and how to fix it.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
}

impl AppendError {
    /// Whether the identical group may be accepted later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Why a query could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store did not respond; retrying may help.
    #[error("the store did not respond: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// The query is invalid: a cursor of another store, a prefix that is not hex.
    #[error("invalid query: {reason}")]
    InvalidQuery {
        /// What is wrong, and how to fix it.
        reason: String,
    },
    /// This store does not support this query.
    #[error("this store does not support `{question}`; use a store that does, such as SQLite")]
    Unsupported {
        /// The query.
        question: &'static str,
    },
    /// What is stored can't be read.
    #[error("the store holds data that can't be read: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
}

impl ReadError {
    /// Whether the same query may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
