//! [`TraceReader`], the questions about runs and events that every store answers.

use std::time::Duration;

use crate::{
    BoxError, BoxFuture, DeployCheck, Filter, InstanceId, Liveness, OpenRun, Page, Paged, RunState,
    RunSummary, Timestamp, TraceEvent, TraceId,
};

/// Reads what a store keeps. Every store answers the same questions with the same answers; the conformance
/// suite (feature `testing`) holds them to it.
pub trait TraceReader: Send + Sync + 'static {
    /// All events of one run in their order; empty if there is no such run.
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>>;

    /// Events that match, newest first.
    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>>;

    /// Runs that match, the last started first. A run matches by its summary: its start lies in the time
    /// range, its workflow, service and correlation id are equal, every attribute stood on one of its events;
    /// and by its events: `statuses`, `event_type` and `tags` are met by any one of them (all three by the
    /// same event).
    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>>;

    /// The summary of one run.
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>>;

    /// Runs that have not ended: running, interrupted or unfinished; the oldest first, at most `limit`.
    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>>;

    /// Of these instances, how each stands.
    fn liveness<'a>(&'a self, instances: &'a [InstanceId])
    -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>>;

    /// Ids of runs that begin with these hex digits, at most `limit`.
    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>>;

    /// Whether a deployment would cut a run short: what runs now, what is stuck (no event for `stuck_after`),
    /// what a dead process left behind.
    fn safe_to_deploy(&self, stuck_after: Duration) -> BoxFuture<'_, Result<DeployCheck, ReadError>> {
        Box::pin(async move {
            let mut check = DeployCheck::default();
            let now = Timestamp::now();
            for run in self.open_runs(usize::MAX).await? {
                match run.summary.state {
                    RunState::Running if now.since(run.last_event) >= stuck_after => check.stuck.push(run),
                    RunState::Running => check.running.push(run),
                    RunState::Interrupted => check.interrupted.push(run),
                    _ => {}
                }
            }
            Ok(check)
        })
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store did not answer; trying again may help.
    #[error("the store did not answer: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The question is wrong: a cursor of another store, a prefix that is not hex.
    #[error("the store can't answer that: {reason}")]
    BadQuestion {
        /// What is wrong, and the mend.
        reason: String,
    },
    /// What is stored can't be read.
    #[error("the store holds what can't be read: {reason}")]
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
