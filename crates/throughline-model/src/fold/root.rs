//! Where the state of a run is read from: its root span or, as long as there is none, all its spans.

use super::{Change, Mark, Position, RootMarks, SpanFold, Spans};
use crate::{SpanId, TraceEvent};

/// The event that says which span is the root span: the earliest root event. Those whose parent is in another process come after
/// all others, for the clock of that process may be behind: what began the run names no parent.
pub fn root_event<'e>(events: impl IntoIterator<Item = &'e TraceEvent>) -> Option<&'e TraceEvent> {
    let roots = events.into_iter().filter(|event| event.is_root());
    roots.min_by_key(|event| (event.has_remote_parent(), Position::of(event)))
}

/// What the state of a run is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root<K> {
    /// The span of the root event.
    Span(Box<RootSpan<K>>),
    /// All spans, for no root event has come.
    Unknown(Rootless<K>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootSpan<K> {
    /// The [root event](root_event).
    pub(super) event: Mark<K>,
    pub(super) span: SpanFold<Mark<K>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rootless<K> {
    pub(super) spans: Spans<Mark<K>>,
    /// The earliest and the latest event; none before the first.
    pub(super) ends: Option<Box<(Mark<K>, Mark<K>)>>,
}

impl<K> Default for Root<K> {
    fn default() -> Self {
        Self::Unknown(Rootless { spans: Spans::default(), ends: None })
    }
}

impl<K: Clone> Root<K> {
    /// The root span that these marks were kept of.
    pub(super) fn of_marks(marks: RootMarks<K>) -> Self {
        let mut span = SpanFold::new(marks.head);
        span.add(marks.last);
        Self::Span(Box::new(RootSpan { event: marks.root, span }))
    }

    /// Adds an event of the run. Says whether its span is the root span from now on, and earlier events of it were
    /// not kept.
    pub(super) fn add(
        &mut self,
        at: Position,
        event: &TraceEvent,
        mark: impl Fn() -> Mark<K>,
    ) -> (Change, bool) {
        let is_root = event.is_root();
        let comes_before =
            |other: &Mark<K>| (event.has_remote_parent(), at) < (other.has_remote_parent, other.position);
        match self {
            Self::Span(root) if root.span_id() == event.span_id => {
                let mut change = root.span.add(mark());
                if is_root && comes_before(&root.event) {
                    root.event = mark();
                    change = Change::Everything;
                }
                (change, false)
            }
            Self::Span(root) if is_root && comes_before(&root.event) => {
                **root = RootSpan { event: mark(), span: SpanFold::new(mark()) };
                (Change::Everything, true)
            }
            Self::Span(_) => (Change::Nothing, false),
            Self::Unknown(rootless) if is_root => {
                // Without a root all spans were kept, so nothing of this one is missing.
                let mut span = SpanFold::new(mark());
                if let Some(known) = rootless.spans.get(event.span_id) {
                    span.add(known.first().clone());
                    span.add(known.last().clone());
                }
                *self = Self::Span(Box::new(RootSpan { event: mark(), span }));
                (Change::Everything, false)
            }
            Self::Unknown(rootless) => (rootless.add(mark()), false),
        }
    }

    /// Adds an event of a run that is known to have no root.
    pub(super) fn add_rootless(&mut self, mark: Mark<K>) {
        if let Self::Unknown(rootless) = self {
            rootless.add(mark);
        }
    }

    /// Adds an event that may be of the root span, but is none that says which span that is.
    pub(super) fn add_missing(&mut self, mark: Mark<K>) {
        if let Self::Span(root) = self
            && root.span_id() == mark.span_id()
        {
            root.span.add(mark);
        }
    }

    /// The root span, if it is this one.
    pub(super) fn span_of(&self, id: SpanId) -> Option<&SpanFold<Mark<K>>> {
        match self {
            Self::Span(root) if root.span_id() == id => Some(&root.span),
            _ => None,
        }
    }
}

impl<K: Clone> RootSpan<K> {
    fn span_id(&self) -> SpanId {
        self.event.span_id()
    }
}

impl<K: Clone> Rootless<K> {
    fn add(&mut self, mark: Mark<K>) -> Change {
        let of_ends = match &mut self.ends {
            None => {
                self.ends = Some(Box::new((mark.clone(), mark.clone())));
                Change::Everything
            }
            Some(ends) if mark.position < ends.0.position => {
                ends.0 = mark.clone();
                Change::Everything
            }
            Some(ends) if mark.position > ends.1.position => {
                ends.1 = mark.clone();
                Change::Course
            }
            Some(_) => Change::Nothing,
        };
        of_ends.max(self.spans.add(mark).min(Change::Course))
    }
}
