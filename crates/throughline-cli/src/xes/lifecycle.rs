//! The life cycle of an activity: the transactional model of IEEE 1849, as the lifecycle extension has it.

use std::collections::{HashMap, VecDeque};

use throughline_core::{SpanId, Status, Text, Timestamp};

/// What a transition means for the span of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The activity has started.
    Begin,
    /// It is the same activity as before, and it has not ended: it was suspended, or it was resumed.
    Continue,
    /// It has ended, like this.
    End(Status),
    /// It has not started yet (`schedule`, `assign`, `reassign`), or the transition is none of the standard's.
    Other,
}

impl Transition {
    /// The transition of this name, in any case: logs write `COMPLETE` as often as `complete`.
    pub(crate) fn parse(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "start" => Self::Begin,
            "suspend" | "resume" => Self::Continue,
            "complete" => Self::End(Status::Success),
            "ate_abort" => Self::End(Status::Failed),
            // Aborted because its case was, revoked, or never carried out.
            "pi_abort" | "withdraw" | "autoskip" | "manualskip" => Self::End(Status::Cancelled),
            _ => Self::Other,
        }
    }

    /// The status of an event of this transition, which may be one of an activity that has started.
    pub(crate) const fn status(self, is_of_open: bool) -> Status {
        match self {
            Self::Begin => Status::Pending,
            Self::Continue if is_of_open => Status::Pending,
            Self::End(status) => status,
            Self::Continue | Self::Other => Status::Success,
        }
    }
}

/// Whether a transition says that the whole case was aborted.
pub(crate) fn aborts_case(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("pi_abort")
}

/// An activity that has started and not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) span_id: SpanId,
    /// `None` if nobody knows.
    pub(crate) started: Option<Timestamp>,
    /// The `seq` of what comes next.
    pub(crate) next_seq: u32,
}

/// The activities of a run that are open. Those of one name and one `concept:instance` are first in, first out.
#[derive(Debug, Default)]
pub(crate) struct OpenActivities(HashMap<(Text, Option<String>), VecDeque<Open>>);

impl OpenActivities {
    pub(crate) fn begin(&mut self, activity: Text, instance: Option<String>, open: Open) {
        self.0.entry((activity, instance)).or_default().push_back(open);
    }

    /// The activity that a suspension or a resumption is about.
    pub(crate) fn continued(&mut self, activity: &Text, instance: &Option<String>) -> Option<Open> {
        let open = self.0.get_mut(&(activity.clone(), instance.clone()))?.front_mut()?;
        let before = *open;
        open.next_seq += 1;
        Some(before)
    }

    pub(crate) fn end(&mut self, activity: &Text, instance: &Option<String>) -> Option<Open> {
        self.0.get_mut(&(activity.clone(), instance.clone()))?.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}
