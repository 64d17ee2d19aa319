//! What the writer knows about a run: enough to keep its summary up to date without reading its events again.
//!
//! The definition of a summary is that of [`RunSummary`](throughline_model::RunSummary); events may come in any
//! order.

use rustc_hash::{FxHashMap, FxHashSet};
use throughline_model::names::{SAGA_COMPENSATING, tags};
use throughline_model::{Attrs, InstanceId, SpanId, Status, Text, Timestamp, TraceEvent};

/// The place of an event among those of its run: by (timestamp, instance, n), then by identity.
pub(crate) type Position = (Timestamp, InstanceId, u64, SpanId, u32);

pub(crate) fn position(event: &TraceEvent) -> Position {
    (event.timestamp, event.instance, event.n, event.span_id, event.seq)
}

/// An event that a summary depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The number of the event.
    pub(crate) id: i64,
    pub(crate) position: Position,
    pub(crate) status: Status,
    pub(crate) service: Text,
    pub(crate) workflow: Option<Text>,
    pub(crate) correlation: Option<Text>,
}

impl Mark {
    pub(crate) fn new(id: i64, event: &TraceEvent) -> Self {
        Self {
            id,
            position: position(event),
            status: event.status,
            service: event.service.clone(),
            workflow: event.workflow.clone(),
            correlation: event.correlation_id.clone(),
        }
    }

    fn span(&self) -> SpanId {
        self.position.3
    }

    /// Within a span `seq` comes first, for the clocks of two process lives may differ.
    fn in_span(&self) -> (u32, Position) {
        (self.position.4, self.position)
    }
}

/// The first and the last event of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Mark,
    pub(crate) last: Mark,
}

impl Span {
    fn of(mark: &Mark) -> Self {
        Self { first: mark.clone(), last: mark.clone() }
    }

    fn add(&mut self, mark: &Mark) -> Change {
        let (earlier, later) = (mark.in_span() < self.first.in_span(), mark.in_span() > self.last.in_span());
        if later {
            self.last = mark.clone();
        }
        if earlier {
            self.first = mark.clone();
        }
        match (earlier, later) {
            (true, _) => Change::Everything,
            (false, true) => Change::Course,
            (false, false) => Change::Nothing,
        }
    }
}

/// The earliest root event, and the first and the last event of its span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rooted {
    pub(crate) root: Mark,
    pub(crate) span: Span,
}

/// Where a run's state is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// From its root span: that of the earliest root event.
    Rooted(Box<Rooted>),
    /// From all spans, for no root event has come.
    Rootless {
        /// The last event of each span.
        spans: FxHashMap<SpanId, Mark>,
        /// The earliest and the latest event; none before the first.
        ends: Option<Box<(Mark, Mark)>>,
    },
}

impl Standing {
    /// Adds an event of a run without a root.
    pub(crate) fn add_rootless(&mut self, mark: Mark) -> Change {
        let Self::Rootless { spans, ends } = self else { return Change::Nothing };
        let change = match ends {
            None => {
                *ends = Some(Box::new((mark.clone(), mark.clone())));
                Change::Everything
            }
            Some(ends) => {
                if mark.position > ends.1.position {
                    ends.1 = mark.clone();
                }
                let is_earlier = mark.position < ends.0.position;
                if is_earlier {
                    ends.0 = mark.clone();
                }
                if is_earlier { Change::Everything } else { Change::Course }
            }
        };
        let last = spans.entry(mark.span()).or_insert_with(|| mark.clone());
        if mark.in_span() > last.in_span() {
            *last = mark;
        }
        change
    }
}

/// What of a run's row is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Nothing,
    /// How it goes: columns without an index over all runs.
    Course,
    Everything,
}

/// A run as its row has it, and what the writer remembers besides.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: i64,
    /// What of its row is out of date.
    pub(crate) change: Change,
    pub(crate) started: Timestamp,
    pub(crate) standing: Standing,
    /// The earliest event that names a workflow.
    pub(crate) named: Option<Mark>,
    /// The earliest event that names a correlation id.
    pub(crate) keyed: Option<Mark>,
    pub(crate) failure: Option<Mark>,
    /// The last event of each detached root span.
    pub(crate) detached: FxHashMap<SpanId, Mark>,
    /// What detached root spans tried again.
    pub(crate) retried: FxHashSet<SpanId>,
    pub(crate) compensating: bool,
    /// What a `1` in the column `correlation` of its events stands for.
    pub(crate) correlation: Option<Text>,
    /// What a `1` in the column `attrs` of its events stands for.
    pub(crate) attrs: Attrs,
    /// Hashes of the attributes and decisions that are known to have their rows.
    pub(crate) noted: FxHashSet<u64>,
}

impl Run {
    /// A run of which this is the first event to arrive. It is still to be [added](Self::add).
    pub(crate) fn begin(id: i64, event: &TraceEvent) -> Self {
        Self {
            id,
            change: Change::Everything,
            started: event.timestamp,
            standing: Standing::Rootless { spans: FxHashMap::default(), ends: None },
            named: None,
            keyed: None,
            failure: None,
            detached: FxHashMap::default(),
            retried: FxHashSet::default(),
            compensating: false,
            correlation: event.correlation_id.clone(),
            attrs: event.attrs.clone(),
            noted: FxHashSet::default(),
        }
    }

    /// Takes note of a new event. Answers with the span whose events the caller must hand to
    /// [`set_root_span`](Self::set_root_span), where the root span is another from now on and older events of it
    /// may be there.
    pub(crate) fn add(&mut self, id: i64, event: &TraceEvent, is_first: bool) -> Option<SpanId> {
        let at = position(event);
        if event.timestamp < self.started {
            self.started = event.timestamp;
            self.mark(Change::Everything);
        }
        let mark = || Mark::new(id, event);
        if keep_earliest(&mut self.named, at, event.workflow.is_some(), mark)
            | keep_earliest(&mut self.keyed, at, event.correlation_id.is_some(), mark)
        {
            self.mark(Change::Everything);
        }
        if keep_earliest(&mut self.failure, at, event.status == Status::Failed, mark) {
            self.mark(Change::Course);
        }
        if event.is_detached_root() {
            self.add_detached(mark(), event.retried());
            self.mark(Change::Course);
        }
        if !self.compensating && (event.event_type == SAGA_COMPENSATING || event.has_tag(tags::COMPENSATION))
        {
            self.compensating = true;
            self.mark(Change::Course);
        }
        self.stand(id, event, is_first)
    }

    /// Adds an event of a detached root span, and what it says that the span tries again.
    pub(crate) fn add_detached(&mut self, mark: Mark, retried: impl Iterator<Item = SpanId>) {
        self.retried.extend(retried);
        let last = self.detached.entry(mark.span()).or_insert_with(|| mark.clone());
        if mark.in_span() > last.in_span() {
            *last = mark;
        }
    }

    fn mark(&mut self, change: Change) {
        self.change = self.change.max(change);
    }

    fn stand(&mut self, id: i64, event: &TraceEvent, is_first: bool) -> Option<SpanId> {
        let at = position(event);
        match &mut self.standing {
            Standing::Rooted(rooted) => {
                let Rooted { root, span } = &mut **rooted;
                if event.span_id == span.first.span() {
                    let mark = Mark::new(id, event);
                    let mut change = span.add(&mark);
                    if event.is_root() && at < root.position {
                        *root = mark;
                        change = Change::Everything;
                    }
                    self.mark(change);
                    return None;
                }
                if !event.is_root() || at > root.position {
                    return None;
                }
            }
            standing @ Standing::Rootless { .. } => {
                if !event.is_root() {
                    let change = standing.add_rootless(Mark::new(id, event));
                    self.mark(change);
                    return None;
                }
            }
        }
        let mark = Mark::new(id, event);
        self.standing = Standing::Rooted(Box::new(Rooted { span: Span::of(&mark), root: mark }));
        self.mark(Change::Everything);
        (!is_first).then_some(event.span_id)
    }

    /// Completes a change of the root span with all events of the new one.
    pub(crate) fn set_root_span(&mut self, marks: &[Mark]) {
        if let Standing::Rooted(rooted) = &mut self.standing {
            for mark in marks {
                rooted.span.add(mark);
            }
        }
    }

    /// The event that the summary takes its facts from; none before the first.
    pub(crate) fn head(&self) -> Option<&Mark> {
        match &self.standing {
            Standing::Rooted(rooted) => Some(&rooted.span.first),
            Standing::Rootless { ends, .. } => ends.as_ref().map(|ends| &ends.0),
        }
    }

    /// The root span's last event.
    pub(crate) fn last(&self) -> Option<&Mark> {
        match &self.standing {
            Standing::Rooted(rooted) => Some(&rooted.span.last),
            Standing::Rootless { .. } => None,
        }
    }

    pub(crate) fn root(&self) -> Option<&Mark> {
        match &self.standing {
            Standing::Rooted(rooted) => Some(&rooted.root),
            Standing::Rootless { .. } => None,
        }
    }

    /// The status that decides the state of the run, and the instance that has it in hand.
    pub(crate) fn status(&self) -> (Status, InstanceId) {
        let (spans, ends) = match &self.standing {
            Standing::Rooted(rooted) => {
                let deciding = self.deciding(&rooted.span.last);
                let by = deciding.max_by_key(|last| (decides(last.status), last.position));
                return by.map_or((rooted.span.last.status, rooted.span.last.position.1), |last| {
                    (last.status, last.position.1)
                });
            }
            Standing::Rootless { spans, ends } => (spans, ends),
        };
        let open =
            spans.values().filter(|last| last.status == Status::Pending).max_by_key(|last| last.position);
        let latest = ends.as_ref().map_or(InstanceId::IMPORTED, |ends| ends.1.position.1);
        match open {
            Some(open) => (Status::Pending, open.position.1),
            None if self.failure.is_some() => (Status::Failed, latest),
            None if spans.values().any(|last| last.status == Status::Cancelled) => {
                (Status::Cancelled, latest)
            }
            None => (Status::Success, latest),
        }
    }

    /// The last events of the spans that decide how a run with a root stands: of the root span and the detached ones,
    /// but for those that were tried again.
    fn deciding<'r>(&'r self, root: &'r Mark) -> impl Iterator<Item = &'r Mark> {
        let alone = Some(root).filter(|root| !self.detached.contains_key(&root.span()));
        let all = || alone.into_iter().chain(self.detached.values());
        let counts = |last: &&Mark| !self.retried.contains(&last.span());
        // Spans that all claim to try each other again decide nothing.
        let fallback = Some(root).filter(|_| !all().any(|last| counts(&last)));
        alone.into_iter().chain(self.detached.values()).filter(counts).chain(fallback)
    }

    /// When the root span and all that was detached from it had ended.
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        let root = self.last()?;
        let ended = || self.deciding(root).map(|last| last.position.0).max();
        (self.status().0 != Status::Pending).then(ended)?
    }

    pub(crate) fn workflow(&self) -> Option<&Text> {
        let named = || self.named.as_ref().and_then(|mark| mark.workflow.as_ref());
        self.head().and_then(|head| head.workflow.as_ref()).or_else(named)
    }

    pub(crate) fn correlation_id(&self) -> Option<&Text> {
        let keyed = || self.keyed.as_ref().and_then(|mark| mark.correlation.as_ref());
        self.head().and_then(|head| head.correlation.as_ref()).or_else(keyed)
    }
}

/// Of the spans that decide how a run stands, those of the greatest rank do: what is open, else what failed.
const fn decides(status: Status) -> u8 {
    match status {
        Status::Pending => 3,
        Status::Failed => 2,
        Status::Cancelled => 1,
        Status::Success => 0,
    }
}

/// Whether the mark was replaced.
fn keep_earliest(kept: &mut Option<Mark>, at: Position, counts: bool, mark: impl FnOnce() -> Mark) -> bool {
    let replace = counts && kept.as_ref().is_none_or(|kept| at < kept.position);
    if replace {
        *kept = Some(mark());
    }
    replace
}
