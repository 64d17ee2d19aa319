//! [`Explanation`]: why did it fail?

pub(crate) mod headline;
mod resumption;

use serde::Serialize;
use serde_json::Value;

use super::cause::Causes;
use super::index::NONE;
use super::{Decision, Problem, SagaCompensation, Span, SpanSummary, TraceQuery};
use throughline_model::names::errors;
use throughline_model::{Relation, RunState, RunSummary, Status};

/// Why a run failed, or its state if it did not. Returned by [`TraceQuery::explain`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The run; `None` if there are no events.
    pub run: Option<RunSummary>,
    /// What is explained.
    pub verdict: Verdict,
    /// The answer in a sentence.
    pub headline: String,
    /// Where it went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The path from the root down to the cause, both included.
    pub path: Vec<PathStep>,
    /// The work that led to the cause: steps off the path that ended before it, earliest first. At most the last
    /// [`Explanation::STEPS_BEFORE`].
    pub steps_before: Vec<PathStep>,
    /// How many earlier steps are not listed.
    pub earlier_steps: usize,
    /// Decisions before the cause: those linked to the path first, then the latest first.
    pub decisions: Vec<UpstreamDecision>,
    /// All attempts of the cause, or of the enclosing step that was retried; the last is on the path. Empty if it was
    /// tried only once.
    pub attempts: Vec<SpanSummary>,
    /// What failed or was cancelled because of the cause.
    pub cascades: Vec<Cascade>,
    /// What had to be undone, and whether it was.
    pub compensations: Vec<SagaCompensation>,
    /// Other failures, each at its own origin: recovered from, tolerated, or independent.
    pub other_failures: Vec<OtherFailure>,
    /// Open spans without an open span inside: where a run is, or was when its process died. Attempts that were interrupted
    /// and made again are left out.
    pub open: Vec<SpanSummary>,
    /// How often the run was resumed by another instance.
    pub resumed: usize,
    /// For each of these times how long nothing had happened, in microseconds: from the last event of an earlier instance
    /// to the resumption.
    pub resumed_after_us: Vec<u64>,
    /// Data problems: what is missing or contradictory in the events.
    pub problems: Vec<Problem>,
}

impl Explanation {
    /// How many steps before the cause are listed.
    pub const STEPS_BEFORE: usize = 100;
}

/// What an explanation explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// There are no events.
    Empty,
    /// The run succeeded, and nothing in it failed; it may have been interrupted and [resumed](Explanation::resumed).
    Succeeded,
    /// The run succeeded; everything that failed in it was retried successfully.
    Recovered,
    /// The run succeeded although something in it failed permanently, which is explained as the cause.
    Tolerated,
    /// The run failed.
    Failed,
    /// The run was dropped.
    Cancelled,
    /// The process died during the run.
    Interrupted,
    /// The run is still running.
    Running,
    /// The record ends before the run does.
    Unfinished,
}

/// Where a run went wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// The span, with its error.
    pub span: SpanSummary,
    /// How it went wrong.
    pub kind: CauseKind,
    /// The last span that ended inside it, if there is one. If a step failed with its own error, this is what happened just
    /// before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_inside: Option<SpanSummary>,
}

/// How a span went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CauseKind {
    /// It ended with an error.
    Error,
    /// It panicked.
    Panic,
    /// It was dropped: the first of the spans that were cancelled.
    Cancelled,
    /// Its process died while it ran.
    Interrupted,
    /// It was left open on purpose, so that somebody resumes or undoes it.
    LeftOpen,
}

/// A span with its input and output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PathStep {
    /// The span.
    pub span: SpanSummary,
    /// Its input, if that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Its output, if that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// A decision that came before a cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct UpstreamDecision {
    /// The decision.
    pub decision: Decision,
    /// Whether the cause, or an enclosing span, links to this decision.
    pub linked: bool,
}

/// A span that failed or was cancelled because of the cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cascade {
    /// The span.
    pub span: SpanSummary,
    /// How the cause affected it.
    pub kind: CascadeKind,
}

/// How a cause affected another span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CascadeKind {
    /// It encloses the cause, and ended as the cause did.
    Propagated,
    /// It ran beside the cause and was cancelled after it.
    Cancelled,
}

/// A failure that is not the cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OtherFailure {
    /// The span that failed.
    pub span: SpanSummary,
    /// What became of it.
    pub outcome: FailureOutcome,
    /// The last attempt after it, if it was retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried_by: Option<SpanSummary>,
}

/// What became of a failure that is not the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureOutcome {
    /// It was retried, and succeeded in the end.
    Recovered,
    /// It was retried, but has not succeeded so far.
    Retried,
    /// The enclosing work continued without it.
    Tolerated,
    /// A failure that is independent of the cause.
    Independent,
}

impl TraceQuery {
    /// Explains why the run failed: the root cause with the path to it, what led there, what followed. For a run that did
    /// not fail, it gives the state of the run and the failures that were recovered from.
    ///
    /// The root cause is the deepest failed span whose failure was not caused by a failed child. The following are not
    /// causes: a failed attempt that was retried, a failed compensation, a parent that ended with its child's error, a
    /// branch that was cancelled because its sibling failed, a failure that the enclosing work tolerated.
    pub fn explain(&self) -> Explanation {
        let causes = Causes::new(self);
        let found = causes.find();
        let run = self.summary();
        let (compensations, _) = self.compensations_by_saga(run.as_ref(), &causes);
        let resumed_after_us = self.resumed_after_us();
        let mut explanation = Explanation {
            run,
            verdict: Verdict::Empty,
            headline: String::new(),
            cause: None,
            path: Vec::new(),
            steps_before: Vec::new(),
            earlier_steps: 0,
            decisions: Vec::new(),
            attempts: Vec::new(),
            cascades: Vec::new(),
            compensations,
            other_failures: Vec::new(),
            open: self.innermost_open_spans(&causes),
            resumed: resumed_after_us.len(),
            resumed_after_us,
            problems: self.problems().to_vec(),
        };
        let mut on_path = vec![false; self.index.len() as usize];
        if let (Some(cause), Some(top)) = (found.span, found.top) {
            let (cause, top) = (self.at(cause), self.at(top));
            let path = self.path(cause.id());
            for span in &path {
                on_path[span.index as usize] = true;
            }
            explanation.cause = Some(describe(cause, &causes));
            explanation.attempts = attempts(&path, &causes);
            explanation.cascades = cascades(cause, top, &on_path, &causes);
            explanation.decisions = self.decisions_before(cause, &path, &causes);
            (explanation.steps_before, explanation.earlier_steps) = steps_before(&path, &causes);
            explanation.path = path.into_iter().map(path_step).collect();
        }
        explanation.other_failures = other_failures(&on_path, &causes);
        explanation.verdict = self.verdict(&explanation);
        explanation.headline = headline::headline(&explanation);
        explanation
    }

    fn verdict(&self, explanation: &Explanation) -> Verdict {
        let Some(standing) = self.standing() else { return Verdict::Empty };
        match standing.state() {
            RunState::Failed => Verdict::Failed,
            RunState::Cancelled => Verdict::Cancelled,
            RunState::Interrupted => Verdict::Interrupted,
            RunState::Running => Verdict::Running,
            RunState::Unfinished => Verdict::Unfinished,
            RunState::Succeeded if explanation.cause.is_some() => Verdict::Tolerated,
            RunState::Succeeded if !explanation.other_failures.is_empty() => Verdict::Recovered,
            RunState::Succeeded => Verdict::Succeeded,
        }
    }

    fn innermost_open_spans(&self, causes: &Causes<'_>) -> Vec<SpanSummary> {
        let is_open = |span: &Span<'_>| {
            // An earlier attempt may be at work beside the later one.
            let was_made_again = causes.within_retried[span.index as usize] != NONE;
            span.status() == Status::Pending && (!was_made_again || span.state() == RunState::Running)
        };
        self.spans()
            .filter(|span| is_open(span) && !span.children().any(|child| is_open(&child)))
            .map(|span| span.summary())
            .collect()
    }

    fn decisions_before(
        &self,
        cause: Span<'_>,
        path: &[Span<'_>],
        causes: &Causes<'_>,
    ) -> Vec<UpstreamDecision> {
        let mut linked: Vec<u32> = path
            .iter()
            .flat_map(|span| span.linked(Relation::DecidedBy))
            .filter_map(|id| self.index.find(id))
            .collect();
        linked.sort_unstable();
        let mut decisions: Vec<(bool, Span<'_>)> = self
            .spans()
            .map(|span| (linked.binary_search(&span.index).is_ok(), span))
            .filter(|(linked, span)| {
                let earlier = span.start_place() < cause.start_place();
                *linked || (span.is_decision() && earlier && !causes.in_compensation[span.index as usize])
            })
            .collect();
        decisions.sort_by_key(|(linked, span)| (!linked, std::cmp::Reverse(span.start_place())));
        decisions
            .into_iter()
            .map(|(linked, span)| UpstreamDecision { decision: Decision::of(span), linked })
            .collect()
    }
}

fn path_step(span: Span<'_>) -> PathStep {
    PathStep { span: span.summary(), input: span.input().cloned(), output: span.output().cloned() }
}

fn describe(cause: Span<'_>, causes: &Causes<'_>) -> Cause {
    let kind = match cause.status() {
        Status::Failed if cause.error().is_some_and(|error| error.kind == errors::PANIC) => CauseKind::Panic,
        Status::Cancelled => CauseKind::Cancelled,
        Status::Pending if cause.is_left_to_nobody() => CauseKind::LeftOpen,
        Status::Pending => CauseKind::Interrupted,
        Status::Failed | Status::Success => CauseKind::Error,
    };
    let last_inside = cause
        .children()
        .filter(|child| child.status() != Status::Pending && !causes.in_compensation[child.index as usize])
        .max_by_key(|child| child.end_place())
        .map(|child| child.summary());
    Cause { span: cause.summary(), kind, last_inside }
}

/// The work that ended before the path went by, outermost steps first, which is also the order of time.
fn steps_before(path: &[Span<'_>], causes: &Causes<'_>) -> (Vec<PathStep>, usize) {
    let mut steps = Vec::new();
    for (parent, next) in path.iter().zip(path.iter().skip(1)) {
        steps.extend(parent.children().take_while(|sibling| sibling.index < next.index).filter(|sibling| {
            let at = sibling.index as usize;
            sibling.end_place() < next.start_place()
                && sibling.status() != Status::Pending
                && causes.retried_by[at] == NONE
                && !causes.in_compensation[at]
                && !sibling.is_decision()
        }));
    }
    let earlier = steps.len().saturating_sub(Explanation::STEPS_BEFORE);
    (steps.into_iter().skip(earlier).map(path_step).collect(), earlier)
}

/// The attempts of the innermost step on the path that was tried more than once.
fn attempts(path: &[Span<'_>], causes: &Causes<'_>) -> Vec<SpanSummary> {
    let retried = |span: &Span<'_>| causes.retried_by[span.index as usize] != NONE;
    let last = path.iter().rev().find(|last| {
        let original = last.linked(Relation::RetryOf).filter_map(|id| causes.query.span(id));
        original.into_iter().any(|original| causes.last_attempt[original.index as usize] == last.index)
    });
    let Some(last) = last else { return Vec::new() };
    let earlier = causes
        .query
        .spans()
        .filter(|span| retried(span) && causes.last_attempt[span.index as usize] == last.index);
    earlier.chain([*last]).map(|span| span.summary()).collect()
}

fn cascades(cause: Span<'_>, top: Span<'_>, on_path: &[bool], causes: &Causes<'_>) -> Vec<Cascade> {
    let ended_badly = |span: &Span<'_>| matches!(span.status(), Status::Failed | Status::Cancelled);
    let propagated = std::iter::successors(cause.parent(), Span::parent)
        .take_while(|span| causes.query.index.outline().is_within(span.index, top.index))
        .filter(ended_badly)
        .map(|span| Cascade { span: span.summary(), kind: CascadeKind::Propagated });
    let cancelled = causes
        .query
        .index
        .outline()
        .subtree(top.index)
        .iter()
        .map(|index| causes.at(*index))
        .filter(|span| {
            let outermost = span
                .parent()
                .is_some_and(|parent| on_path[parent.index as usize] || parent.status() != Status::Cancelled);
            span.status() == Status::Cancelled
                && outermost
                && !on_path[span.index as usize]
                && !causes.in_compensation[span.index as usize]
                && span.end_place() > cause.end_place()
        })
        .map(|span| Cascade { span: span.summary(), kind: CascadeKind::Cancelled });
    propagated.chain(cancelled).collect()
}

fn other_failures(on_path: &[bool], causes: &Causes<'_>) -> Vec<OtherFailure> {
    // Whether the work around a failed span, or around one that it brought down, went on.
    let mut tolerated = vec![false; on_path.len()];
    let mut failures = Vec::new();
    for &index in &causes.query.index.outline().rows {
        let (span, at) = (causes.at(index), index as usize);
        if span.status() != Status::Failed || causes.in_compensation[at] || on_path[at] {
            continue;
        }
        tolerated[at] = span.parent().is_some_and(|parent| {
            parent.status() == Status::Success
                || causes.is_tolerated(span)
                || tolerated[parent.index as usize]
        });
        if causes.culprit(span, Status::Failed).is_some() {
            continue;
        }
        let retried = causes.within_retried[at];
        let last = (retried != NONE).then(|| causes.at(causes.last_attempt[retried as usize]));
        let outcome = match last.map(|last| last.status()) {
            // The last attempt failed too, and speaks for this one.
            Some(Status::Failed) => continue,
            Some(Status::Success) => FailureOutcome::Recovered,
            Some(_) => FailureOutcome::Retried,
            None if tolerated[at] => FailureOutcome::Tolerated,
            None => FailureOutcome::Independent,
        };
        let retried_by = last.map(|last| last.summary());
        failures.push((index, OtherFailure { span: span.summary(), outcome, retried_by }));
    }
    failures.sort_by_key(|(index, _)| *index);
    failures.into_iter().map(|(_, failure)| failure).collect()
}
