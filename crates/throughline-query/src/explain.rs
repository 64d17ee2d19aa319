//! [`Explanation`]: why did it fail?

mod beside;
pub(crate) mod headline;
mod resumption;
mod statements;
mod surroundings;
mod values;

use serde::Serialize;
use serde_json::{Map, Value};

use super::decisions::Consequences;
use super::{Decision, Problem, SagaCompensation, Span, SpanSummary, TraceQuery};
pub use statements::{Certainty, Says, Statement};
use throughline_model::{Attrs, RunState, RunSummary};
#[cfg(feature = "render")]
pub(crate) use values::facts;
pub(crate) use values::holds_nothing;

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
    /// What is said, sentence by sentence, each with the events that it rests on: what the run ended with, what the origin
    /// of that is, and what else may have led to it, the likeliest first.
    pub statements: Vec<Statement>,
    /// Where it went wrong: the origin of what the run ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The path from the root down to the cause, both included; of a run that is running, down to the step that has been at work
    /// for the longest.
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
    /// How many steps before the cause, and how many inside it, are listed.
    pub const STEPS_BEFORE: usize = 100;
    /// In a list of more than this many steps those that are like each other are taken together.
    pub const FOLDED: usize = 12;
    /// Of how many steps it is said for how long they have been at work.
    pub const AT_WORK: usize = 3;
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
    /// How sure it is that this is the origin.
    pub certainty: Certainty,
    /// Other failures that may have brought the run down as well as this one, which was the first: they failed beside it, and the
    /// error of what is around them does not say which it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub as_likely: Vec<SpanSummary>,
    /// What failed last and brought the run down, if it was taken for cleaning up after this failure only because of its name: it
    /// may be the origin as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perhaps_cleaned_up: Option<SpanSummary>,
    /// Its own attributes: those that the span around it does not have.
    #[serde(skip_serializing_if = "Attrs::is_empty")]
    pub attrs: Attrs,
    /// The point events that it recorded, at most the last [`Cause::RECORDED`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Recorded>,
    /// The steps inside it, in the order in which they began; at most the last [`Explanation::STEPS_BEFORE`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<PathStep>,
    /// What it was waiting for when its time ran out: the innermost span that was dropped with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<SpanSummary>,
    /// The last span that ended inside it, if there is one. If a step failed with its own error, this is what happened just
    /// before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_inside: Option<SpanSummary>,
}

impl Cause {
    /// How many of the point events that it recorded are listed.
    pub const RECORDED: usize = 10;
}

/// A point event, with what was recorded about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recorded {
    /// The event.
    pub span: SpanSummary,
    /// Its payload.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
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
    /// The span; of several in a row, the last.
    pub span: SpanSummary,
    /// How many there were in a row, one like the other: of the same name, which ended in the same way. More than one only
    /// in long lists.
    #[serde(skip_serializing_if = "is_one")]
    pub times: usize,
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
    /// Whether the cause is among its consequences: by the same rule as [`DecisionOutcome::led_to_cause`](crate::DecisionOutcome::led_to_cause).
    pub led_to_cause: bool,
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
    /// It ran beside the cause, and its error says that something it used was taken from it.
    Failed,
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
    /// The enclosing work ended after it, and not with its error.
    NotPassedOn,
    /// It failed while it cleaned up after the cause, or told somebody of it.
    Aftermath,
    /// A failure that is independent of the cause.
    Independent,
}

impl TraceQuery {
    /// Explains why the run failed: the root cause with the path to it, what led there, what followed. For a run that did
    /// not fail, it gives the state of the run and the failures that were recovered from.
    ///
    /// The root cause is the deepest failed span whose failure was not caused by another: the origin. What the run ended
    /// with is the symptom. The rules by which the one is found from the other are those of
    /// [`Causes`](throughline_model::fold::Causes).
    pub fn explain(&self) -> Explanation {
        let consequences = Consequences::new(self);
        let causes = &consequences.causes;
        let run = self.summary();
        let (compensations, _) = self.compensations_by_saga(run.as_ref(), causes);
        let resumed_after_us = self.resumed_after_us();
        let mut explanation = Explanation {
            run,
            verdict: Verdict::Empty,
            headline: String::new(),
            statements: Vec::new(),
            cause: None,
            path: Vec::new(),
            steps_before: Vec::new(),
            earlier_steps: 0,
            decisions: Vec::new(),
            attempts: Vec::new(),
            cascades: Vec::new(),
            compensations,
            other_failures: Vec::new(),
            open: self.innermost_open_spans(causes),
            resumed: resumed_after_us.len(),
            resumed_after_us,
            problems: self.problems().to_vec(),
        };
        let mut explained = vec![false; self.index.len() as usize];
        let found = consequences.found;
        if let Some(found) = found {
            let (cause, top) = (self.at(found.cause), self.at(found.top));
            let path = self.path(cause.id());
            for span in &path {
                explained[span.index as usize] = true;
            }
            explanation.cause = Some(self.describe(cause, found, causes));
            explanation.attempts = surroundings::attempts(&path, causes);
            explanation.cascades = surroundings::cascades(cause, top, &explained, causes);
            explanation.decisions = self.decisions_before(cause, &path, &consequences);
            (explanation.steps_before, explanation.earlier_steps) = surroundings::steps_before(&path, causes);
            explanation.path = path.into_iter().map(path_step).collect();
        }
        if explanation.path.is_empty()
            && let Some(open) = explanation.open.iter().find(|span| span.state == RunState::Running)
        {
            explanation.path = self.path(open.span_id).into_iter().map(path_step).collect();
        }
        let (other_failures, taken_along) = surroundings::other_failures(&explained, found, causes);
        explanation.other_failures = other_failures;
        explanation.cascades.extend(taken_along);
        explanation.verdict = self.verdict(&explanation);
        explanation.headline = headline::headline(&explanation);
        explanation.statements = self.statements(&explanation, &consequences);
        explanation
    }

    fn verdict(&self, explanation: &Explanation) -> Verdict {
        let Some((_, state)) = self.standing() else { return Verdict::Empty };
        match state {
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
}

fn is_one(times: &usize) -> bool {
    *times == 1
}

fn path_step(span: Span<'_>) -> PathStep {
    PathStep { span: span.summary(), times: 1, input: span.input().cloned(), output: span.output().cloned() }
}
