//! [`RunSummary::of`], the definition of how a run stands.

use std::ops::Deref;

use super::{Position, RunFold, cause_of_run};
use crate::{FailureSummary, Filter, InstanceId, Liveness, RootSummary, RunState, RunSummary, TraceEvent};

impl RunSummary {
    /// The summary of these events of one run, in any order; `None` if there are none.
    ///
    /// This is the definition that every store is held to:
    ///
    /// - The **root span** is the span of the earliest [root event](TraceEvent::is_root); one that
    ///   [has a parent in another process](TraceEvent::has_remote_parent) only if there is no other. If there are several root
    ///   spans, the others are steps like any other.
    /// - The **state** is the status of the root span's last event, that with the greatest `seq`. If that is
    ///   `pending` (a start, or a resumption), the liveness of the instance that emitted it decides between
    ///   running, interrupted and unfinished.
    /// - `ended` and `duration_us` are the timestamp and the duration of that event, unless it is `pending`.
    /// - [**Detached**](crate::names::tags::DETACHED) spans, such as the jobs that a request put into a queue or a saga
    ///   that is being undone after its caller was dropped, decide together with the root span, each by its last event. A root span that a detached one tries again
    ///   (`retry_of`) is left out, be it the first. How a detached span ended that is no root span, such as a saga, does
    ///   not matter: only that it did. The state is `pending` if one of them is (the latest such event
    ///   names the instance), else failed if one failed, else cancelled if one was, else success. If there are any,
    ///   `ended` is the time of the latest of these events, and `duration_us` the time from `started` to it.
    /// - `service`, `workflow` and `correlation_id` are those of the root span's first event. If that names no
    ///   workflow (an HTTP request in which one runs), the earliest event that names one does; the same goes
    ///   for the correlation id.
    /// - `started` is the time of the earliest event of the run, `first_failure` its earliest event of status
    ///   `failed`, in the order of events.
    /// - `cause` is the last event of the span that [`cause_of_run`] finds.
    /// - A run of which **no root event** has appeared takes service, workflow and correlation id from its earliest event. While any
    ///   of its spans is open, the instance of the latest such span decides how it stands; else it has failed
    ///   if any event failed, was cancelled if any span was, and succeeded otherwise. It has no `ended` and no
    ///   `duration_us`.
    pub fn of<'a>(
        events: impl IntoIterator<Item = &'a TraceEvent>,
        liveness: impl FnOnce(InstanceId) -> Liveness,
    ) -> Option<Self> {
        let events: Vec<&TraceEvent> = events.into_iter().collect();
        let fold = RunFold::of(events.iter().copied());
        let cause = cause_of_run(&fold, events.iter().copied());
        let cause = cause.map(|cause| FailureSummary::among(cause, events.iter().copied()));
        Some(Self { cause, ..fold.summary(liveness)? })
    }
}

impl<E: Clone + Deref<Target = TraceEvent>> RunFold<E> {
    /// The fold of all events of a run, each of them its own key. Takes time in proportion to their number, whatever
    /// their order.
    pub fn of(events: impl IntoIterator<Item = E>) -> Self {
        let events: Vec<E> = events.into_iter().collect();
        let mut fold = Self::new();
        // With the root event in it the root span stays what it is, and with all detached events in it nothing is found to be
        // detached later: what `add` calls missing comes with the rest.
        let roots = events.iter().filter(|event| event.is_root());
        let root = roots.min_by_key(|event| (event.has_remote_parent(), Position::of(event)));
        let detached = events.iter().filter(|event| event.is_detached());
        for event in root.into_iter().chain(detached).chain(&events) {
            let _ = fold.add(event.clone(), event);
        }
        fold
    }

    /// The run in a line, without its cause, which only all its events tell: see [`cause_of_run`]. `None` before the first
    /// event.
    pub fn summary(&self, liveness: impl FnOnce(InstanceId) -> Liveness) -> Option<RunSummary> {
        let (head, standing) = (self.head()?, self.standing()?);
        let liveness = match standing.owner {
            InstanceId::NOBODY => Liveness::Dead,
            owner => liveness(owner),
        };
        Some(RunSummary {
            workflow: self.workflow().cloned(),
            correlation_id: self.correlation_id().cloned(),
            root: self.last().map(|last| RootSummary::of(&head.key, last.status)),
            ended: self.ended(),
            duration_us: self.duration_us(),
            first_failure: self.first_failure().map(|failure| FailureSummary::from(&*failure.key)),
            ..RunSummary::new(
                head.position.id.trace_id,
                RunState::of(standing.status, liveness),
                &head.service,
                self.started()?,
            )
        })
    }
}

/// Whether a run is what a filter wants: its summary, and the events that are asked for.
pub fn run_matches<'a>(
    filter: &Filter,
    summary: &RunSummary,
    events: impl Iterator<Item = &'a TraceEvent> + Clone,
) -> bool {
    let asks_for_events =
        !filter.statuses.is_empty() || filter.event_type.is_some() || !filter.tags.is_empty();
    filter.scope.contains(summary.started, summary.workflow.as_ref())
        && filter.matches_state(summary.state)
        && filter.service.as_ref().is_none_or(|service| *service == summary.service)
        && (filter.correlation_id.is_none() || filter.correlation_id == summary.correlation_id)
        && filter
            .attrs
            .iter()
            .all(|(key, value)| events.clone().any(|event| event.attrs.get(key) == Some(value)))
        && (!asks_for_events || events.clone().any(|event| filter.matches_kind(event)))
}
