//! What a [`RunFold`] says of its run.

use super::root::Root;
use super::{Mark, RunFold, RunStanding, SpanFold, rank};
use crate::{InstanceId, Status, Text, Timestamp};

impl<K: Clone> RunFold<K> {
    /// When its earliest event happened; `None` before the first.
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// The [root event](super::root_event), whose span is the root span; `None` while none has come.
    pub fn root(&self) -> Option<&Mark<K>> {
        match &self.root {
            Root::Span(root) => Some(&root.event),
            Root::Unknown(_) => None,
        }
    }

    /// The event that says what the run is: the first of the root span, without a root the earliest of all.
    pub fn head(&self) -> Option<&Mark<K>> {
        match &self.root {
            Root::Span(root) => Some(root.span.first()),
            Root::Unknown(rootless) => rootless.ends.as_ref().map(|ends| &ends.0),
        }
    }

    /// The last event of the root span; `None` without a root.
    pub fn last(&self) -> Option<&Mark<K>> {
        match &self.root {
            Root::Span(root) => Some(root.span.last()),
            Root::Unknown(_) => None,
        }
    }

    /// Its earliest event that failed.
    pub fn first_failure(&self) -> Option<&Mark<K>> {
        self.first_failure.as_ref()
    }

    /// Whether it is worth asking for its [cause](super::cause_of_run): it has ended, and something went wrong in it.
    pub fn may_have_cause(&self) -> bool {
        match self.decided_by().map(|last| last.status) {
            None | Some(Status::Pending) => false,
            Some(Status::Success) => self.first_failure.is_some(),
            Some(Status::Failed | Status::Cancelled) => true,
        }
    }

    /// Its earliest event that names a workflow.
    pub fn names_workflow(&self) -> Option<&Mark<K>> {
        self.names_workflow.as_ref()
    }

    /// Its earliest event that names a correlation id.
    pub fn names_correlation_id(&self) -> Option<&Mark<K>> {
        self.names_correlation_id.as_ref()
    }

    /// The workflow that the [head](Self::head) names, else the first that any event does.
    pub fn workflow(&self) -> Option<&Text> {
        [self.head(), self.names_workflow()].into_iter().flatten().find_map(|mark| mark.workflow.as_ref())
    }

    /// The correlation id that the [head](Self::head) names, else the first that any event does.
    pub fn correlation_id(&self) -> Option<&Text> {
        let marks = [self.head(), self.names_correlation_id()];
        marks.into_iter().flatten().find_map(|mark| mark.correlation_id.as_ref())
    }

    /// The last events of the spans that decide how a run with a root stands: of the root span and the detached ones,
    /// but for those that were tried again.
    fn deciding<'f>(&'f self, root: &'f Mark<K>) -> impl Iterator<Item = &'f Mark<K>> {
        let alone = Some(root).filter(|root| !self.detached.contains(root.span_id()));
        let all = move || alone.into_iter().chain(self.detached.marks());
        let counts = |last: &Mark<K>| !self.detached.is_retried(last.span_id());
        // Spans that all claim to try each other again decide nothing: the root span does.
        let none_counts = !all().any(counts);
        all().filter(move |last| counts(last) || (none_counts && last.span_id() == root.span_id()))
    }

    /// The last event of the span by which a run with a root stands as it does.
    pub fn decided_by(&self) -> Option<&Mark<K>> {
        // Of equal ones the latest. But how a detached span ended that is no root says nothing of the run, and one that was
        // left to nobody says nothing of who works on the rest.
        let says_how = |last: &Mark<K>| match last.status {
            Status::Pending => last.instance() != InstanceId::NOBODY,
            _ => last.is_root,
        };
        self.deciding(self.last()?).max_by_key(|last| (rank(last.status), says_how(last), last.position))
    }

    /// Its status; `None` before the first event.
    pub fn standing(&self) -> Option<RunStanding> {
        let standing = |status, by: &Mark<K>| RunStanding { status, owner: by.instance() };
        match &self.root {
            Root::Span(_) => self.decided_by().map(|last| standing(last.status, last)),
            Root::Unknown(rootless) => {
                let (_, latest) = &**rootless.ends.as_ref()?;
                let lasts = || rootless.spans.iter().map(SpanFold::last);
                let open =
                    lasts().filter(|last| last.status == Status::Pending).max_by_key(|last| last.position);
                Some(match open {
                    Some(open) => standing(Status::Pending, open),
                    None if self.first_failure.is_some() => standing(Status::Failed, latest),
                    None if lasts().any(|last| last.status == Status::Cancelled) => {
                        standing(Status::Cancelled, latest)
                    }
                    None => standing(Status::Success, latest),
                })
            }
        }
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        match &self.root {
            Root::Span(root) => {
                // As `deciding` has it, without a look at each detached span.
                let last = root.span.last();
                let span = last.span_id();
                let counts = !self.detached.contains(span) && !self.detached.is_retried(span);
                let root_decides = counts || !self.detached.counts();
                self.detached.is_open() || (root_decides && last.status == Status::Pending)
            }
            Root::Unknown(rootless) => rootless.spans.open() > 0,
        }
    }

    /// When the root span and all that was detached from it had ended; `None` while the run is open.
    pub fn ended(&self) -> Option<Timestamp> {
        let root = self.last().filter(|_| !self.is_open())?;
        self.deciding(root).map(Mark::timestamp).max()
    }

    /// How long it took: what the last event of the root span says or, if anything was detached, from the start to
    /// the [end](Self::ended).
    pub fn duration_us(&self) -> Option<u64> {
        let (ended, root) = (self.ended()?, self.last()?);
        match self.detached.is_empty() {
            true => root.duration_us,
            false => u64::try_from(ended.since(self.started?).as_micros()).ok(),
        }
    }

    /// Whether anything of it was undone, or is being undone.
    pub fn is_compensating(&self) -> bool {
        self.is_compensating
    }

    /// Whether anything is [detached](crate::names::tags::DETACHED) from it.
    pub fn has_detached(&self) -> bool {
        !self.detached.is_empty()
    }
}
