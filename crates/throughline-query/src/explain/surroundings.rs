//! What surrounds a cause: the work before it, its attempts, what it took along, what else failed, what is open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::headline::one_line;
use super::{
    Cascade, CascadeKind, Cause, CauseKind, Certainty, Explanation, FailureOutcome, OtherFailure, PathStep,
    Recorded, UpstreamDecision, path_step,
};
use crate::cause::Causes;
use crate::decisions::Consequences;
use crate::{Decision, Span, SpanSummary, TraceQuery};
use throughline_model::fold::{Agreement, Found, Ground, agreement};
use throughline_model::names::{attrs, errors};
use throughline_model::{Attrs, Relation, RunState, Status, Text};

/// How far up it is looked whether a failure is part of cleaning up.
const NEAR: usize = 32;

impl TraceQuery {
    pub(super) fn innermost_open_spans(&self, causes: &Causes<'_>) -> Vec<SpanSummary> {
        let is_open = |span: &Span<'_>| {
            // An earlier attempt may be at work beside the later one.
            let was_made_again = causes.within_retried(*span).is_some();
            span.status() == Status::Pending && (!was_made_again || span.state() == RunState::Running)
        };
        self.spans()
            .filter(|span| is_open(span) && !span.children().any(|child| is_open(&child)))
            .map(|span| span.summary())
            .collect()
    }

    /// Decisions before a cause: those that led to it first, of these the linked ones, then the latest first.
    pub(super) fn decisions_before(
        &self,
        cause: Span<'_>,
        path: &[Span<'_>],
        consequences: &Consequences<'_>,
    ) -> Vec<UpstreamDecision> {
        let mut linked: Vec<u32> = path
            .iter()
            .flat_map(|span| span.linked(Relation::DecidedBy))
            .filter_map(|id| self.index.find(id))
            .collect();
        linked.sort_unstable();
        let mut decisions: Vec<_> = self
            .spans()
            .map(|span| (linked.binary_search(&span.index).is_ok(), span))
            .filter(|(linked, span)| {
                let earlier = span.start_place() < cause.start_place();
                *linked || (span.is_decision() && earlier && !consequences.causes.is_in_compensation(*span))
            })
            .map(|(linked, span)| (linked, consequences.led_to_cause(span), span))
            .collect();
        decisions.sort_by_key(|(linked, led, span)| (!led, !linked, std::cmp::Reverse(span.start_place())));
        decisions
            .into_iter()
            .map(|(linked, led_to_cause, span)| UpstreamDecision {
                decision: Decision::of(span),
                linked,
                led_to_cause,
            })
            .collect()
    }

    pub(super) fn describe(&self, cause: Span<'_>, found: &Found, causes: &Causes<'_>) -> Cause {
        let kind = match cause.status() {
            Status::Failed if cause.error().is_some_and(|error| error.kind == errors::PANIC) => {
                CauseKind::Panic
            }
            Status::Cancelled => CauseKind::Cancelled,
            Status::Pending if cause.is_left_to_nobody() => CauseKind::LeftOpen,
            Status::Pending => CauseKind::Interrupted,
            Status::Failed | Status::Success => CauseKind::Error,
        };
        let is_forward = |child: &Span<'_>| !causes.is_in_compensation(self.at(child.index));
        let last_inside = cause
            .children()
            .filter(|child| child.status() != Status::Pending && !child.is_point() && is_forward(child))
            .max_by_key(|child| child.end_place())
            .map(|child| child.summary());
        let points =
            cause.children().filter(|child| child.is_point() && !child.is_decision() && is_forward(child));
        let mut recorded: Vec<Recorded> = points
            .rev()
            .take(Cause::RECORDED)
            .map(|point| Recorded {
                span: point.summary(),
                data: point.first_event().data.clone().unwrap_or_default(),
            })
            .collect();
        recorded.reverse();
        let steps = cause.children().filter(|child| !child.is_point() && is_forward(child));
        let (inside, _) = fold(&steps.collect::<Vec<_>>());
        Cause {
            span: cause.summary(),
            kind,
            certainty: certainty(found, causes),
            as_likely: causes.as_likely(found).into_iter().map(|other| other.summary()).collect(),
            perhaps_cleaned_up: causes.perhaps_cleaned_up(found).map(|other| other.summary()),
            attrs: own_attrs(cause),
            recorded,
            inside,
            waiting_for: waiting_for(cause, causes).map(|span| span.summary()),
            last_inside,
        }
    }
}

/// How sure it is that what was found is the origin: as sure as the least sure step on the way to it, and as that the way ends
/// there.
fn certainty(found: &Found, causes: &Causes<'_>) -> Certainty {
    match found.steps.as_slice() {
        _ if causes.may_come_from(found.cause).is_some() => Certainty::Inferred,
        [] => Certainty::Recorded,
        steps if steps.iter().all(|(_, ground)| *ground == Ground::Linked) => Certainty::Linked,
        _ => Certainty::Inferred,
    }
}

/// The attributes of a span that the span around it does not have, but for those that its name says already.
fn own_attrs(span: Span<'_>) -> Attrs {
    const NAMED: [&str; 5] =
        [attrs::SAGA, attrs::DEPENDENCY, attrs::HTTP_METHOD, attrs::HTTP_ROUTE, attrs::CAUSED_BY];
    let keys = span.events().flat_map(|event| event.attrs.iter().map(|(key, _)| key));
    keys.filter(|key| !NAMED.contains(&key.as_str()))
        .filter_map(|key| Some((key.clone(), span.attr(key)?)))
        .filter(|(key, value)| span.parent().is_none_or(|parent| parent.attr(key) != Some(value)))
        .map(|(key, value)| (key, Text::from(value.to_owned())))
        .collect()
}

/// What a span was waiting for when its time ran out: the innermost of the spans that were dropped with it.
fn waiting_for<'q>(cause: Span<'_>, causes: &Causes<'q>) -> Option<Span<'q>> {
    let cause = causes.at(cause.index);
    if cause.status() != Status::Failed {
        return None;
    }
    let dropped = |span: Span<'q>| {
        let dropped = span.children().filter(|child| {
            child.status() == Status::Cancelled
                && !causes.is_in_compensation(*child)
                && !causes.is_tolerated(*child)
        });
        dropped.max_by_key(Span::end_place)
    };
    let first = dropped(cause)?;
    let by_deadline = |span: Span<'q>| span.error().is_some_and(|error| error.kind == errors::DEADLINE);
    if !cause.error().is_some_and(throughline_model::fold::is_time_out) && !by_deadline(first) {
        return None;
    }
    std::iter::successors(Some(first), |span| dropped(*span)).last()
}

/// The last of these steps, in a long list those that are like each other taken together, and how many more there are.
fn fold(steps: &[Span<'_>]) -> (Vec<PathStep>, usize) {
    let is_like = |a: &Span<'_>, b: &Span<'_>| {
        steps.len() > Explanation::FOLDED
            && a.state() == b.state()
            && a.error() == b.error()
            && a.is_point() == b.is_point()
            && a.name() == b.name()
    };
    let rows = steps.chunk_by(is_like);
    let mut rows: Vec<_> = rows.filter_map(|row| row.last().map(|last| (*last, row.len()))).collect();
    if rows.len() > Explanation::FOLDED {
        rows = take_together(rows);
    }
    let more = rows.len().saturating_sub(Explanation::STEPS_BEFORE);
    let earlier = rows.drain(..more).map(|(_, times)| times).sum();
    (rows.into_iter().map(|(last, times)| PathStep { times, ..path_step(last) }).collect(), earlier)
}

/// Rows that are like each other, such as those of a loop of several steps, each kind where it first was: the last span of
/// each and how many there are.
fn take_together<'q>(rows: Vec<(Span<'q>, usize)>) -> Vec<(Span<'q>, usize)> {
    let mut kinds: HashMap<_, usize> = HashMap::new();
    let mut together: Vec<(Span<'q>, usize)> = Vec::new();
    for (last, times) in rows {
        let kind = (last.name(), last.state(), last.error().map(one_line));
        match kinds.entry(kind) {
            Entry::Occupied(known) => {
                let (_, before) = together[*known.get()];
                together[*known.get()] = (last, before + times);
            }
            Entry::Vacant(new) => {
                new.insert(together.len());
                together.push((last, times));
            }
        }
    }
    together
}

/// The work that ended before the path went by, outermost steps first, which is also the order of time.
pub(super) fn steps_before<'q>(path: &[Span<'q>], causes: &Causes<'q>) -> (Vec<PathStep>, usize) {
    let mut steps = Vec::new();
    for (parent, next) in path.iter().zip(path.iter().skip(1)) {
        steps.extend(parent.children().take_while(|sibling| sibling.index < next.index).filter(|sibling| {
            sibling.end_place() < next.start_place()
                && sibling.status() != Status::Pending
                && !causes.is_retried(*sibling)
                && !causes.is_in_compensation(*sibling)
                && !sibling.is_decision()
        }));
    }
    fold(&steps)
}

/// The attempts of the innermost step on the path that was tried more than once.
pub(super) fn attempts<'q>(path: &[Span<'q>], causes: &Causes<'q>) -> Vec<SpanSummary> {
    let retried = |span: &Span<'q>| causes.is_retried(*span);
    let last = path.iter().rev().find(|last| {
        let original = last.linked(Relation::RetryOf).filter_map(|id| causes.query.span(id));
        original.into_iter().any(|original| causes.last_attempt(original.index) == last.index)
    });
    let Some(last) = last else { return Vec::new() };
    let earlier =
        causes.query.spans().filter(|span| retried(span) && causes.last_attempt(span.index) == last.index);
    earlier.chain([*last]).map(|span| span.summary()).collect()
}

pub(super) fn cascades<'q>(
    cause: Span<'q>,
    top: Span<'q>,
    on_path: &[bool],
    causes: &Causes<'q>,
) -> Vec<Cascade> {
    let ended_badly = |span: &Span<'_>| matches!(span.status(), Status::Failed | Status::Cancelled);
    let propagated = std::iter::successors(cause.parent(), Span::parent)
        .take_while(|span| causes.query.index.outline().is_within(span.index, top.index))
        .filter(ended_badly)
        .map(|span| Cascade { span: span.summary(), kind: CascadeKind::Propagated });
    let outline = causes.query.index.outline();
    let cancelled = outline
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
                && !causes.is_in_compensation(*span)
                && span.end_place() > cause.end_place()
        })
        .map(|span| Cascade { span: span.summary(), kind: CascadeKind::Cancelled });
    propagated.chain(cancelled).collect()
}

/// Whether a span ended with an error that has that of another in it, beside something else.
fn tells_of(span: Span<'_>, other: Span<'_>) -> bool {
    span.error().zip(other.error()).is_some_and(|(error, inside)| {
        error.message.len() > inside.message.len()
            && error.message.contains(&*inside.message)
            && agreement(error, inside) >= Some(Agreement::Message)
    })
}

/// The failures that are neither the cause nor brought about by it, in the order in which they ended; and those beside the cause
/// from which it took what they used.
pub(super) fn other_failures(
    on_path: &[bool],
    found: Option<&Found>,
    causes: &Causes<'_>,
) -> (Vec<OtherFailure>, Vec<Cascade>) {
    // Whether the error of a failed span, or of one that it brought down, went no further; and whether the work around it went on.
    let mut tolerated = vec![false; on_path.len()];
    let mut continued = vec![false; on_path.len()];
    let mut by_itself: Vec<Option<bool>> = vec![None; on_path.len()];
    let mut fails_by_itself = |span: Span<'_>| {
        *by_itself[span.index as usize].get_or_insert_with(|| causes.culprit(span).is_none())
    };
    let (mut failures, mut taken_along) = (Vec::new(), Vec::new());
    let cause = found.map(|found| causes.at(found.cause));
    let failed_at = cause.map_or(u32::MAX, |cause| cause.end_place());
    let own_message = cause.and_then(|cause| cause.error()).map(|error| &error.message);
    let is_another =
        |span: Span<'_>| cause.is_none() || own_message != span.error().map(|error| &error.message);
    // What the cause says itself, whatever passed it on says for that reason.
    let is_in_cause = |span: Span<'_>| cause.is_some_and(|cause| tells_of(cause, span));
    let ground = found.and_then(|found| found.steps.last()).map(|(_, ground)| *ground);
    let stands_for_all =
        matches!(ground, Some(Ground::LastFailure | Ground::NothingAfter | Ground::OneOfSeveral));
    // What the error around the cause calls by its name is what it means, and not what else failed there.
    let around = cause.and_then(|cause| cause.parent()).filter(|_| stands_for_all);
    // A long error is taken apart once, and not for each failure.
    let said = around.map(|around| causes.said_by(around)).unwrap_or_default();
    let means_the_cause = cause.zip(around).is_some_and(|(cause, _)| causes.is_called_by_name(&said, cause));
    let is_meant = |span: Span<'_>| {
        !means_the_cause
            || around.is_none_or(|around| {
                span.parent().is_none_or(|parent| parent.id() != around.id())
                    || causes.is_called_by_name(&said, span)
            })
    };
    let is_item = |span: Span<'_>| cause.is_some_and(|cause| causes.are_items(cause, causes.at(span.index)));
    for &index in &causes.query.index.outline().rows {
        let (span, at) = (causes.at(index), index as usize);
        if span.status() != Status::Failed || causes.is_in_compensation(span) || on_path[at] {
            continue;
        }
        tolerated[at] = span.parent().is_some_and(|parent| {
            // What failed for a reason of its own had put up with what failed in it before.
            let at = parent.index as usize;
            let mut failed_by_itself = || parent.status() == Status::Failed && fails_by_itself(parent);
            // And what was dropped was dropped from outside.
            matches!(parent.status(), Status::Success | Status::Cancelled)
                || (causes.is_tolerated(span)
                    && !(on_path[at] && is_another(span) && tells_of(parent, span) && !is_in_cause(span)))
                || tolerated[parent.index as usize]
                || !is_meant(span)
                || failed_by_itself()
        });
        continued[at] = span.parent().is_some_and(|parent| {
            parent.status() == Status::Success
                || causes.is_tolerated(span)
                || continued[parent.index as usize]
        });
        // What a step recorded on the way to its own error is a fact about that error.
        let is_of_parent = span.is_point()
            && span.error().is_none()
            && span.parent().is_some_and(|parent| parent.error().is_some());
        if is_of_parent || !fails_by_itself(span) {
            continue;
        }
        let last = causes.within_retried(span).map(|retried| causes.at(causes.last_attempt(retried)));
        let cleans_up = || {
            let mut around = std::iter::successors(Some(span), Span::parent).take(NEAR);
            span.start_place() > failed_at && around.any(|span| causes.is_aftermath(span))
        };
        let outcome = match last.map(|last| last.status()) {
            // The last attempt failed too, and speaks for this one.
            Some(Status::Failed) => continue,
            Some(Status::Success) => FailureOutcome::Recovered,
            Some(_) => FailureOutcome::Retried,
            None if cleans_up() => FailureOutcome::Aftermath,
            // An error that says nothing stands for all of them.
            None if stands_for_all && is_another(span) && is_item(span) => FailureOutcome::Independent,
            None if tolerated[at] && continued[at] => FailureOutcome::Tolerated,
            None if tolerated[at] => FailureOutcome::NotPassedOn,
            None if cause.is_some_and(|cause| causes.is_taken_along(span, cause)) => {
                taken_along.push(Cascade { span: span.summary(), kind: CascadeKind::Failed });
                continue;
            }
            None => FailureOutcome::Independent,
        };
        failures.push((span.end_place(), span, outcome, last));
    }
    failures.sort_by_key(|(ended, ..)| *ended);
    let failure = |(_, span, outcome, last): (u32, Span<'_>, FailureOutcome, Option<Span<'_>>)| {
        OtherFailure { span: span.summary(), outcome, retried_by: last.map(|last| last.summary()) }
    };
    (failures.into_iter().map(failure).collect(), taken_along)
}
