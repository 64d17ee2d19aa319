//! [`CompensationLedger`]: did the compensation work?

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::cause::Causes;
use super::{Problem, Span, SpanSummary, TraceQuery};
use throughline_model::names::{attrs, tags};
use throughline_model::{ErrorInfo, Relation, RunState, RunSummary, SpanId, Status, Text, Timestamp};

/// For each saga that failed or that no process is working on: each step that had to be undone or may have to be, and
/// whether it was. Returned by [`TraceQuery::compensation_ledger`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CompensationLedger {
    /// The run; `None` if there are no events.
    pub run: Option<RunSummary>,
    /// What had to be undone, saga by saga, in the order in which they began.
    pub sagas: Vec<SagaCompensation>,
    /// Compensations without a known step: the span they link to is not among the events, or they link to none.
    pub unmatched: Vec<SpanSummary>,
    /// Data problems: what is missing or contradictory in the events.
    pub problems: Vec<Problem>,
}

impl CompensationLedger {
    /// Whether everything that had to be undone was undone, in the right order, and no step stands or is in doubt; also if
    /// nothing had to be undone.
    pub fn is_clean(&self) -> bool {
        self.unmatched.is_empty() && self.sagas.iter().all(SagaCompensation::is_clean)
    }

    /// Whether nothing had to be undone, and nothing was.
    pub fn is_empty(&self) -> bool {
        self.unmatched.is_empty() && self.sagas.iter().all(|saga| saga.entries.is_empty())
    }

    /// What was left behind, of all sagas.
    pub fn orphaned(&self) -> impl Iterator<Item = &OrphanedResource> {
        self.sagas.iter().flat_map(|saga| &saga.orphaned)
    }

    /// The steps that [stand](CompensationState::Standing), of all sagas: each can still be undone.
    pub fn standing(&self) -> impl Iterator<Item = &CompensationEntry> {
        self.entries(CompensationState::Standing)
    }

    /// All that was done and is not undone, of all sagas, and that no process is about to undo: what
    /// [stands](CompensationState::Standing), and what [was left behind](CompensationState::is_orphaned) where undoing was
    /// tried or ended.
    pub fn all_that_stands(&self) -> impl Iterator<Item = &CompensationEntry> {
        self.sagas.iter().flat_map(|saga| &saga.entries).filter(|entry| entry.state.stands())
    }

    /// The steps that are [in doubt](CompensationState::InDoubt), of all sagas: somebody has to find out whether they had
    /// their effect.
    pub fn in_doubt(&self) -> impl Iterator<Item = &CompensationEntry> {
        self.entries(CompensationState::InDoubt)
    }

    fn entries(&self, state: CompensationState) -> impl Iterator<Item = &CompensationEntry> {
        self.sagas.iter().flat_map(move |saga| saga.in_state(state))
    }
}

/// What one saga had to undo, or may have to. Steps outside of any saga belong to the enclosing workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SagaCompensation {
    /// The saga, or the workflow that encloses steps without a saga; `None` if there is neither.
    pub saga: Option<SpanSummary>,
    /// When it began to undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// The same, in microseconds from the first event of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_offset_us: Option<u64>,
    /// How long undoing took in microseconds, until its last compensation ended; not set while one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Whether resuming the run continues the saga: neither has ended, and no step is being undone yet. Once undoing has
    /// begun, the saga can only be undone.
    pub can_be_resumed: bool,
    /// The steps, in the order in which they should be undone: the last to end first. What is in doubt has the place of the
    /// last that was recorded of it.
    pub entries: Vec<CompensationEntry>,
    /// What was left behind.
    pub orphaned: Vec<OrphanedResource>,
}

impl SagaCompensation {
    /// Whether all steps were undone, in the right order.
    pub fn is_clean(&self) -> bool {
        self.entries.iter().all(|entry| entry.state == CompensationState::Compensated)
    }

    pub(super) fn in_state(&self, state: CompensationState) -> impl Iterator<Item = &CompensationEntry> {
        self.entries.iter().filter(move |entry| entry.state == state)
    }
}

/// One step and its compensation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CompensationEntry {
    /// The step.
    pub step: SpanSummary,
    /// The resource that it created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Text>,
    /// Whether it was undone.
    pub state: CompensationState,
    /// The last attempt to undo it: when it began, how long it took, its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensation: Option<SpanSummary>,
    /// How many attempts there were.
    pub attempts: usize,
    /// The step that should have been undone before this one, if the order was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_follow: Option<SpanSummary>,
}

/// Whether a step was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompensationState {
    /// It was undone.
    Compensated,
    /// It was undone, but before a step that may depend on it: not in the reverse order of completion.
    OutOfOrder,
    /// Its compensation is running.
    Running,
    /// Its compensation has not started yet; the saga is still running.
    Waiting,
    /// Its compensation was dropped, or the process died.
    Interrupted,
    /// Its compensation failed.
    Failed,
    /// Its compensation never started, and its saga has ended.
    Missing,
    /// It completed, its compensation never started, and no process is working on its saga, which has not ended: it can
    /// still be undone.
    Standing,
    /// It may have had its effect: it failed, was dropped, or its process died in it, and nobody tried to undo it.
    InDoubt,
}

impl CompensationState {
    /// Whether the step's effect is gone.
    pub const fn is_undone(self) -> bool {
        matches!(self, Self::Compensated | Self::OutOfOrder)
    }

    /// Whether it may still be undone by the running saga.
    pub const fn is_underway(self) -> bool {
        matches!(self, Self::Running | Self::Waiting)
    }

    /// Whether the step's effect was left behind. What stands was not, for it can still be undone, and what is in doubt may
    /// have had no effect.
    pub const fn is_orphaned(self) -> bool {
        matches!(self, Self::Interrupted | Self::Failed | Self::Missing)
    }

    /// Whether the step's effect is there, and no process is about to undo it.
    pub const fn stands(self) -> bool {
        matches!(self, Self::Standing) || self.is_orphaned()
    }

    /// Whether nobody knows if the step had its effect.
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::InDoubt)
    }

    /// The state as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compensated => "compensated",
            Self::OutOfOrder => "out of order",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::Standing => "standing",
            Self::InDoubt => "in doubt",
        }
    }
}

/// What a step left behind: it had to be undone, and was not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OrphanedResource {
    /// The step.
    pub step: SpanId,
    /// The step's name.
    pub step_name: Text,
    /// The resource that it created, if it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Text>,
    /// Why it is still there.
    pub state: CompensationState,
    /// The error of the compensation, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

/// A step of the ledger, and the attempts to undo it.
struct Owed<'q> {
    step: Span<'q>,
    /// Whether it may have had its effect: no attempt at it succeeded, and none is under way.
    is_doubtful: bool,
    attempts: Vec<Span<'q>>,
}

impl<'q> Owed<'q> {
    /// The attempt that speaks for all: the first that succeeded, else the last.
    fn speaker(&self) -> Option<Span<'q>> {
        let done = self.attempts.iter().find(|attempt| attempt.status() == Status::Success);
        done.or(self.attempts.last()).copied()
    }
}

impl TraceQuery {
    /// For each saga that failed, was cancelled, or was interrupted: which steps had to be undone or may have to be, and
    /// whether they were. A saga that succeeded has nothing to undo.
    ///
    /// A step has to be undone if it is tagged `compensable` and completed; a compensation is found by its link
    /// `compensates`. A compensable step that did not complete may have had its effect: it is *in doubt*, unless it was
    /// tried again with success, or a compensation of it began. What completed in a saga that has not ended, but that no
    /// process is working on, *stands*. Steps outside of any saga belong to the enclosing workflow in the same way, so that
    /// this also works with other saga engines; but as a workflow that was interrupted is usually resumed, its steps are
    /// only listed if it had begun to undo them.
    pub fn compensation_ledger(&self) -> CompensationLedger {
        let run = self.summary();
        let (sagas, unmatched) = self.compensations_by_saga(run.as_ref(), &Causes::new(self));
        CompensationLedger { run, sagas, unmatched, problems: self.problems().to_vec() }
    }

    /// What the ledger says of each saga, and the compensations that belong to no step.
    pub(crate) fn compensations_by_saga(
        &self,
        run: Option<&RunSummary>,
        causes: &Causes<'_>,
    ) -> (Vec<SagaCompensation>, Vec<SpanSummary>) {
        let (attempts, unmatched) = self.compensations_by_step(causes);
        if attempts.is_empty() && !self.spans().any(|span| span.has_tag(tags::COMPENSABLE)) {
            return (Vec::new(), unmatched.into_iter().map(|span| span.summary()).collect());
        }
        let (owners, mut duties) = (self.owners(), Duties::default());

        let mut owed: BTreeMap<Option<u32>, Vec<Owed<'_>>> = BTreeMap::new();
        for (last, (step, is_doubtful)) in self.steps_to_undo(causes, &attempts) {
            let (step, owner) = (self.at(step), owners[step as usize]);
            let mut attempts = attempts.get(&last).cloned().unwrap_or_default();
            // What undid an earlier life's attempt did not undo the one that was made after it.
            if step.linked(Relation::RetryOf).next().is_some() {
                attempts.retain(|attempt| attempt.start_place() > step.start_place());
            }
            let is_done = step.has_tag(tags::COMPENSABLE) && step.status() == Status::Success;
            let due = match owner.map(|owner| duties.of(self.at(owner))) {
                None | Some(Duty::Nothing) => false,
                // Whether the saga will undo what is in doubt is not known before it has come to its end.
                Some(Duty::Undoing) => is_done,
                Some(Duty::Left | Duty::Ended) => is_done || is_doubtful,
            };
            if due || !attempts.is_empty() {
                owed.entry(owner).or_default().push(Owed { step, is_doubtful, attempts });
            }
        }
        let can_be_resumed = run.is_some_and(RunSummary::can_be_resumed);
        let settle = |(owner, owed): (Option<u32>, Vec<Owed<'_>>)| {
            let owner = owner.map(|owner| self.at(owner));
            let mut saga = settle(owner, owner.map_or(Duty::Nothing, |owner| duties.of(owner)), owed);
            saga.can_be_resumed &= can_be_resumed;
            saga
        };
        let sagas = owed.into_iter().map(settle).collect();
        (sagas, unmatched.into_iter().map(|span| span.summary()).collect())
    }

    /// The steps that may have to be undone, and whether each is in doubt, by the last attempt at it: all attempts at a step
    /// are one step, done by the last attempt that completed.
    fn steps_to_undo(
        &self,
        causes: &Causes<'_>,
        attempts: &BTreeMap<u32, Vec<Span<'_>>>,
    ) -> BTreeMap<u32, (u32, bool)> {
        let mut steps: BTreeMap<u32, (u32, bool)> =
            attempts.keys().map(|last| (*last, (*last, false))).collect();
        let (mut succeeded, mut doubtful) = (HashMap::<u32, Span<'_>>::new(), HashMap::<u32, u32>::new());
        let mut under_way = HashSet::new();
        for span in self.spans().filter(|span| !causes.is_in_compensation(*span)) {
            let last = causes.last_attempt(span.index);
            let is_compensable = span.has_tag(tags::COMPENSABLE);
            if span.status() == Status::Success {
                succeeded.insert(last, span);
                doubtful.remove(&last);
                if is_compensable {
                    steps.insert(last, (span.index, false));
                }
            } else if span.state() == RunState::Running {
                under_way.insert(last);
            } else if is_compensable {
                // What was done before does not count any more once it had been undone.
                let undone_since = |done: &Span<'_>| {
                    attempts.get(&last).into_iter().flatten().any(|undo| {
                        undo.status() == Status::Success
                            && (done.start_place()..span.start_place()).contains(&undo.start_place())
                    })
                };
                if succeeded.get(&last).is_none_or(undone_since) {
                    doubtful.insert(last, span.index);
                }
            }
        }
        doubtful.retain(|last, _| !under_way.contains(last));
        steps.extend(doubtful.into_iter().map(|(last, step)| (last, (step, true))));
        steps
    }

    /// The compensations of each step in the order in which they began, and those without a step.
    fn compensations_by_step(&self, causes: &Causes<'_>) -> (BTreeMap<u32, Vec<Span<'_>>>, Vec<Span<'_>>) {
        let (mut by_step, mut unmatched) = (BTreeMap::<u32, Vec<Span<'_>>>::new(), Vec::new());
        for span in self.compensations() {
            let mut known = false;
            for step in span.linked(Relation::Compensates).filter_map(|id| self.index.find(id)) {
                // What undoes an attempt undoes the step.
                let attempts = by_step.entry(causes.last_attempt(step)).or_default();
                if attempts.last() != Some(&span) {
                    attempts.push(span);
                }
                known = true;
            }
            if !known {
                unmatched.push(span);
            }
        }
        (by_step, unmatched)
    }

    /// For each span who must undo it: the saga around it, else the workflow around it, else the root.
    fn owners(&self) -> Vec<Option<u32>> {
        let mut saga: Vec<Option<u32>> = vec![None; self.index.len() as usize];
        let mut workflow = saga.clone();
        for &index in &self.index.outline().rows {
            let at = index as usize;
            let Some(parent) = self.at(index).parent() else { continue };
            let around = parent.index as usize;
            if parent.is_saga() {
                saga[at] = Some(parent.index);
            } else if parent.is_workflow() {
                // A workflow within a saga answers for its own steps.
                workflow[at] = Some(parent.index);
            } else {
                saga[at] = saga[around];
                workflow[at] = workflow[around].or_else(|| parent.parent().is_none().then_some(parent.index));
            }
        }
        saga.into_iter().zip(workflow).map(|(saga, workflow)| saga.or(workflow)).collect()
    }
}

/// What becomes of the steps of a saga or a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// They are not to be undone, as far as is known.
    Nothing,
    /// A process is undoing them, or is about to.
    Undoing,
    /// No process is working on them: they can still be undone.
    Left,
    /// It failed or was cancelled: nobody will undo what has not been undone.
    Ended,
}

/// The duty of each owner, found out once: one may have very many steps.
#[derive(Default)]
struct Duties(HashMap<u32, Duty>);

impl Duties {
    fn of(&mut self, owner: Span<'_>) -> Duty {
        *self.0.entry(owner.index).or_insert_with(|| duty(owner))
    }
}

fn duty(owner: Span<'_>) -> Duty {
    let began_to_undo = || owner.children().any(|child| child.is_compensation() || child.is_compensating());
    match owner.state() {
        RunState::Failed | RunState::Cancelled => Duty::Ended,
        RunState::Succeeded => Duty::Nothing,
        RunState::Interrupted | RunState::Unfinished if !is_to_be_resumed(owner) => {
            match owner.is_saga() || began_to_undo() {
                true => Duty::Left,
                false => Duty::Nothing,
            }
        }
        RunState::Running | RunState::Interrupted | RunState::Unfinished => match began_to_undo() {
            true => Duty::Undoing,
            false => Duty::Nothing,
        },
    }
}

/// Whether the run has been resumed since the last event of a span that was interrupted: the process at work has not come
/// to it yet.
fn is_to_be_resumed(span: Span<'_>) -> bool {
    span.query
        .root()
        .is_some_and(|root| root.state() == RunState::Running && root.end_place() > span.end_place())
}

fn settle(owner: Option<Span<'_>>, duty: Duty, mut owed: Vec<Owed<'_>>) -> SagaCompensation {
    owed.sort_by_key(|owed| std::cmp::Reverse(owed.step.end_place()));
    let out_of_order = out_of_order(&owed);
    let entries: Vec<CompensationEntry> = owed
        .iter()
        .zip(out_of_order)
        .map(|(owed, should_follow)| {
            let compensation = owed.speaker();
            let state = match compensation.map(|span| span.state()) {
                Some(RunState::Succeeded) if should_follow.is_some() => CompensationState::OutOfOrder,
                Some(RunState::Succeeded) => CompensationState::Compensated,
                Some(RunState::Failed) => CompensationState::Failed,
                Some(RunState::Running) => CompensationState::Running,
                Some(RunState::Cancelled | RunState::Interrupted | RunState::Unfinished) => {
                    CompensationState::Interrupted
                }
                None if owed.is_doubtful => CompensationState::InDoubt,
                None => match duty {
                    Duty::Undoing => CompensationState::Waiting,
                    Duty::Left => CompensationState::Standing,
                    Duty::Ended | Duty::Nothing => CompensationState::Missing,
                },
            };
            CompensationEntry {
                step: owed.step.summary(),
                resource: owed.step.attr(attrs::RESOURCE).map(|resource| resource.to_owned().into()),
                state,
                compensation: compensation.map(|span| span.summary()),
                attempts: owed.attempts.len(),
                should_follow: should_follow.map(|step| step.summary()),
            }
        })
        .collect();
    let orphaned = entries
        .iter()
        .filter(|entry| entry.state.is_orphaned())
        .map(|entry| OrphanedResource {
            step: entry.step.span_id,
            step_name: entry.step.name.clone(),
            resource: entry.resource.clone(),
            state: entry.state,
            error: entry.compensation.as_ref().and_then(|span| span.error.clone()),
        })
        .collect();
    let attempts = || owed.iter().flat_map(|owed| &owed.attempts);
    let signals = || owner.into_iter().flat_map(|owner| owner.children()).filter(Span::is_compensating);
    let first = attempts().copied().chain(signals()).min_by_key(Span::start_place);
    let open = attempts().any(|attempt| attempt.status() == Status::Pending);
    let last = attempts().filter_map(Span::ended).max().filter(|_| !open);
    SagaCompensation {
        saga: owner.map(|owner| owner.summary()),
        began: first.map(|first| first.started()),
        began_offset_us: first.map(|first| first.query.offset_us(first.first_event())),
        took_us: first
            .zip(last)
            .map(|(first, last)| u64::try_from(last.since(first.started()).as_micros()).unwrap_or(u64::MAX)),
        can_be_resumed: owner.is_some_and(|owner| owner.status() == Status::Pending)
            && signals().next().is_none(),
        entries,
        orphaned,
    }
}

/// For each step, one that began after it had ended (and so may be built upon it) and that nobody had tried to undo before
/// the step was undone. That a later step could be undone only by a later attempt does not count: what is left of it then
/// is told by its state. Steps that overlapped may be undone in any order among themselves. A step that never succeeded has
/// no place in the order: it may have had no effect for others to be built upon, and is often undone once somebody has
/// found out.
fn out_of_order<'q>(owed: &[Owed<'q>]) -> Vec<Option<Span<'q>>> {
    let has_place = |owed: &&Owed<'q>| owed.step.status() == Status::Success;
    let mut by_start: Vec<(u32, u32, Span<'q>)> = owed
        .iter()
        .filter(has_place)
        .filter_map(|owed| Some((owed.step.start_place(), owed.attempts.first()?.start_place(), owed.step)))
        .collect();
    by_start.sort_unstable_by_key(|(start, ..)| *start);
    // From each place on, the step whose undoing was first tried last.
    for at in (0..by_start.len().saturating_sub(1)).rev() {
        let (_, tried, step) = by_start[at + 1];
        if tried > by_start[at].1 {
            (by_start[at].1, by_start[at].2) = (tried, step);
        }
    }
    let check = |owed: &Owed<'q>| {
        let undone = Some(owed).filter(has_place)?.speaker()?.start_place();
        let later = by_start.partition_point(|(start, ..)| *start < owed.step.end_place());
        let (_, latest, step) = by_start.get(later)?;
        (*latest > undone).then_some(*step)
    };
    owed.iter().map(check).collect()
}
