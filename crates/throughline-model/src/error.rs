//! Why a store, a feed or a spool could not do what it was asked: [`OpenError`], [`AppendError`], [`ReadError`].

use std::time::Duration;

/// A box for what went wrong underneath.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store or a feed could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It can't be reached, or is busy; trying again may help.
    #[error("{store} cannot be reached: {reason}")]
    Unavailable {
        /// The store's name.
        store: &'static str,
        /// What to look at.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// It can't be used as it is; trying again does not help.
    #[error("{store} cannot be used: {reason}")]
    Unusable {
        /// The store's name.
        store: &'static str,
        /// What is wrong, and how to fix it.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl OpenError {
    /// Whether the same call may go well later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Why a group of events was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The store did not answer, or answered that it is busy, full or throttled. The events may or may not be
    /// there; appending the identical events again is safe.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// How long the server asked to wait, where it did.
        retry_after: Option<Duration>,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The store will never take the event at this place of the call. Of its trace nothing was appended; whether
    /// events of other traces were is not said, and they may be appended again.
    #[error("the store rejects the event: {reason}")]
    Rejected {
        /// The place in the call.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The store will never take anything again, as it is.
    #[error("the store has failed: {reason}")]
    Broken {
        /// What is wrong, and how to fix it.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl AppendError {
    /// Whether the identical group may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store did not answer; trying again may help.
    #[error("the store did not respond: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The question is wrong: a cursor of another store, a prefix that is not hex.
    #[error("invalid query: {reason}")]
    InvalidQuery {
        /// What is wrong, and how to fix it.
        reason: String,
    },
    /// This store does not answer questions of this kind.
    #[error("this store does not support `{question}`; use a store that does, such as SQLite")]
    Unsupported {
        /// The question.
        question: &'static str,
    },
    /// What is stored can't be read.
    #[error("the store holds data that can't be read: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl ReadError {
    /// Whether the same question may be answered later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
