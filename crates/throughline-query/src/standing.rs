//! How a run stands: its state, its summary, and what went wrong in it. Each is worked out once.

use std::collections::{BTreeSet, HashSet};

use super::cause::Causes;
use super::kind::Fact;
use super::known::Run;
use super::{Span, TraceQuery};
use throughline_model::fold::{Found, Mark, RootMarks, RunFold, RunMarks};
use throughline_model::{RunState, RunSummary, Status, TraceEvent};

impl TraceQuery {
    /// The run in a line; `None` if there are no events.
    pub fn summary(&self) -> Option<RunSummary> {
        let run = self.stands()?;
        let mut summary = run.summary.clone();
        if run.may_have_cause {
            summary.cause = self.find_cause().map(|found| self.at(found.cause).last_event().into());
        }
        Some(summary)
    }

    /// The span that decides the state of the run, and that state, which is not that of the span if it is a detached one: how
    /// that ended does not matter.
    pub(super) fn standing(&self) -> Option<(Span<'_>, RunState)> {
        self.stands()?.decided_by.map(|(span, state)| (self.at(span), state))
    }

    /// What went wrong in the run, and where.
    pub(super) fn find_cause(&self) -> Option<&Found> {
        self.find_cause_with(|| Causes::new(self).find())
    }

    /// The same, for those that have the causes.
    pub(super) fn find_cause_with(&self, find: impl FnOnce() -> Option<Found>) -> Option<&Found> {
        self.known.found.get_or_init(find).as_ref()
    }

    fn stands(&self) -> Option<&Run> {
        let work_out = || {
            let fold = self.fold()?;
            let state = |last: &Mark<_>| RunState::of(last.status, self.liveness_of(last.instance()));
            let decided_by = |last: &Mark<_>| Some((self.index.find(last.span_id())?, state(last)));
            let mut summary = fold.summary(|owner| self.liveness_of(owner))?;
            if !fold.has_detached() {
                // Where nothing was measured it is worked out, as it is for every span.
                summary.duration_us = self.root()?.duration_us();
            }
            Some(Run {
                decided_by: fold.decided_by().and_then(decided_by),
                may_have_cause: fold.may_have_cause(),
                summary,
            })
        };
        self.known.run.get_or_init(work_out).as_ref()
    }

    /// The state of the run by the rules of [`RunSummary::of`], with [`root`](Self::root) as its root span: if there is
    /// no root, the span that stands in for it.
    fn fold(&self) -> Option<RunFold<&TraceEvent>> {
        let root = self.root()?;
        let mark = |event| Mark::of(event, event);
        // Not to be searched for in all events where none has it.
        let first = |fact, has: fn(&&TraceEvent) -> bool| {
            let may_be = self.kinds().iter().any(|kind| kind.has(fact));
            may_be.then(|| self.ordered_events().find(has)).flatten().map(mark)
        };
        let (mut detached, mut retried) = (BTreeSet::new(), HashSet::new());
        let tagged = self.spans().filter(|span| span.has(Fact::Tags));
        for event in tagged.flat_map(|span| span.events()).filter(|event| event.is_detached()) {
            detached.insert(event.span_id);
            retried.extend(event.retried());
        }
        let detached = detached.into_iter().filter_map(|span| self.span(span));
        Some(RunFold::restore(RunMarks {
            started: self.event_at(0).timestamp,
            root: Some(RootMarks {
                root: mark(root.first_event()),
                head: mark(root.first_event()),
                last: mark(root.last_event()),
            }),
            rootless: Vec::new(),
            detached: detached.map(|span| mark(span.last_event())).collect(),
            retried,
            names_workflow: first(Fact::NamesWorkflow, |event| event.workflow.is_some()),
            names_correlation_id: first(Fact::NamesKey, |event| event.correlation_id.is_some()),
            first_failure: first(Fact::Failure, |event| event.status == Status::Failed),
            is_compensating: false,
        }))
    }
}
