//! What the sagas of a run did, and what of it stands.

use std::collections::HashMap;

use super::{History, PastSpan, Position};
use crate::names::{SAGA_COMPENSATING, attrs};
use crate::{Relation, SpanId, Status};

/// A step of a saga that can be undone: all attempts at it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PastSagaStep<'h> {
    /// The attempts, in the order of their starts; at least one.
    pub attempts: Vec<&'h PastSpan>,
}

impl<'h> PastSagaStep<'h> {
    /// The last attempt.
    pub fn last(&self) -> &'h PastSpan {
        self.attempts[self.attempts.len() - 1]
    }

    /// The attempts that succeeded and are not undone: what they did stands.
    pub fn standing(&self) -> impl Iterator<Item = &'h PastSpan> {
        self.attempts.iter().copied().filter(|span| span.status == Status::Success && !span.is_undone)
    }

    /// Whether anything of it stands.
    pub fn stands(&self) -> bool {
        self.standing().next().is_some()
    }

    /// Whether it may have had its effect or not: no attempt succeeded, and none is undone.
    pub fn is_in_doubt(&self) -> bool {
        self.attempts.iter().all(|span| span.status != Status::Success && !span.is_undone)
    }

    /// Whether an attempt succeeded, be it undone or not.
    pub fn has_succeeded(&self) -> bool {
        self.attempts.iter().any(|span| span.status == Status::Success)
    }

    /// Whether an attempt is undone.
    pub fn is_undone(&self) -> bool {
        self.attempts.iter().any(|span| span.is_undone)
    }

    /// When it succeeded last; if it never did, when the last event of it came. It keeps its place when it is undone: those
    /// who undo the rest give the inputs of all again, in this order.
    fn place(&self) -> (bool, Option<Position>, Position) {
        let successes = self.attempts.iter().filter(|span| span.status == Status::Success);
        let ended = successes.filter_map(|span| span.ended).max();
        (ended.is_none(), ended, self.last().last_event)
    }
}

impl History {
    /// The sagas of this name, in the order of their starts.
    pub fn sagas<'h>(&'h self, name: &str) -> impl DoubleEndedIterator<Item = &'h PastSpan> {
        self.spans().filter(move |span| span.is_saga() && span.attrs.get(attrs::SAGA) == Some(name))
    }

    /// Whether a saga began to undo its steps.
    pub fn is_being_undone(&self, saga: SpanId) -> bool {
        self.children(saga).any(|span| span.event_type == SAGA_COMPENSATING)
    }

    /// The steps of a saga that can be undone, in the order in which they succeeded; those that did not are the last. A step
    /// of a saga within it is none of its own.
    pub fn compensable_steps(&self, saga: SpanId) -> Vec<PastSagaStep<'_>> {
        self.compensable_steps_of(|id| id == saga).remove(&saga).unwrap_or_default()
    }

    /// The same of each of these sagas that has any. All are found in one walk: a run may have very many.
    pub fn compensable_steps_of(
        &self,
        is_wanted: impl Fn(SpanId) -> bool,
    ) -> HashMap<SpanId, Vec<PastSagaStep<'_>>> {
        let mut steps: HashMap<SpanId, Vec<PastSagaStep<'_>>> = HashMap::new();
        // The step that each attempt belongs to.
        let mut step_of: HashMap<(SpanId, SpanId), usize> = HashMap::new();
        let sagas = self.nearest(|at| self.spans[at].is_saga());
        let saga_around = |at| sagas[self.above(at)?].map(|saga| self.spans[saga].id);
        for (at, span) in self.spans.iter().enumerate() {
            let Some(saga) = saga_around(at).filter(|saga| is_wanted(*saga)) else { continue };
            if span.is_saga() || span.is_compensation {
                continue;
            }
            let steps = steps.entry(saga).or_default();
            let mut retried = span.linked(Relation::RetryOf);
            let earlier = retried.find_map(|earlier| step_of.get(&(saga, earlier)).copied());
            let step = earlier.unwrap_or_else(|| {
                steps.push(PastSagaStep { attempts: Vec::new() });
                steps.len() - 1
            });
            step_of.insert((saga, span.id), step);
            steps[step].attempts.push(span);
        }
        for steps in steps.values_mut() {
            steps.retain(|step| step.attempts.iter().any(|span| span.is_compensable));
            steps.sort_by_key(PastSagaStep::place);
        }
        steps.retain(|_, steps| !steps.is_empty());
        steps
    }

    /// Whether a saga of the run was left open, and what one of its steps did stands.
    pub fn has_standing_steps(&self) -> bool {
        let is_open = |saga| self.span(saga).is_some_and(|saga| saga.status == Status::Pending);
        self.compensable_steps_of(is_open).values().flatten().any(PastSagaStep::stands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Link;
    use crate::names::{SAGA_STARTED, tags};
    use crate::testing::{RunBuilder, run};

    fn saga(run: &mut RunBuilder, parent: SpanId, name: &str) -> SpanId {
        let saga = run.begin_in(parent, SAGA_STARTED);
        run.edit(|event| event.attrs = event.attrs.with(attrs::SAGA, name.to_owned()));
        saga
    }

    /// A step that can be undone; its end is the caller's.
    fn step(run: &mut RunBuilder, parent: SpanId, name: &str, retries: Option<SpanId>) -> SpanId {
        let step = run.begin_in(parent, name);
        run.edit(|event| {
            event.tags.push(tags::COMPENSABLE.into());
            event.links.extend(retries.map(|earlier| Link::to(Relation::RetryOf, earlier)));
        });
        step
    }

    fn undo(run: &mut RunBuilder, parent: SpanId, step: SpanId) {
        let undo = run.begin_in(parent, "compensate:it");
        run.edit(|event| {
            event.tags.push(tags::COMPENSATION.into());
            event.links.push(Link::to(Relation::Compensates, step));
        });
        run.succeed(undo);
    }

    fn names(steps: &[PastSagaStep<'_>]) -> Vec<String> {
        steps.iter().map(|step| step.last().event_type.to_string()).collect()
    }

    #[test]
    fn steps_stand_in_the_order_of_their_success_and_those_without_one_are_the_last() {
        let mut run = run("loan");
        let root = run.root();
        let of = saga(&mut run, root, "loan");
        let slow = step(&mut run, of, "slow", None);
        let hanging = step(&mut run, of, "hanging", None);
        let quick = step(&mut run, of, "quick", None);
        run.succeed(quick);
        run.succeed(slow);
        let history = History::of(&run.events());
        let steps = history.compensable_steps(of);
        assert_eq!(names(&steps), ["quick", "slow", "hanging"]);
        assert_eq!(steps.iter().map(PastSagaStep::stands).collect::<Vec<_>>(), [true, true, false]);
        assert!(steps[2].is_in_doubt() && steps[2].last().id == hanging);
        assert!(history.has_standing_steps());
    }

    #[test]
    fn attempts_at_a_step_are_one_step_and_what_was_undone_does_not_stand() {
        let mut run = run("loan");
        let root = run.root();
        let of = saga(&mut run, root, "loan");
        let first = step(&mut run, of, "stage:a", None);
        run.fail(first, "Timeout", "too slow");
        let second = step(&mut run, of, "stage:a", Some(first));
        run.succeed(second);
        let history = History::of(&run.events());
        let steps = history.compensable_steps(of);
        assert_eq!((steps.len(), steps[0].attempts.len()), (1, 2));
        assert_eq!(steps[0].standing().map(|span| span.id).collect::<Vec<_>>(), [second]);
        assert!(!steps[0].is_in_doubt());
        undo(&mut run, of, second);
        let history = History::of(&run.events());
        let steps = history.compensable_steps(of);
        assert!(!steps[0].stands() && !steps[0].is_in_doubt());
        assert!(!history.has_standing_steps());
        // What was done again after it was undone stands again.
        let third = step(&mut run, of, "stage:a", Some(second));
        run.succeed(third);
        assert!(History::of(&run.events()).compensable_steps(of)[0].stands());
    }

    #[test]
    fn a_step_belongs_to_the_nearest_saga_around_it_however_deep_it_lies() {
        let mut run = run("loan");
        let root = run.root();
        let outer = saga(&mut run, root, "outer");
        let within = run.begin_in(outer, "stage:within");
        let deep = step(&mut run, within, "stage:deep", None);
        run.succeed(deep);
        let inner = saga(&mut run, within, "inner");
        let other = step(&mut run, inner, "stage:other", None);
        run.succeed(other);
        let history = History::of(&run.events());
        assert_eq!(names(&history.compensable_steps(outer)), ["stage:deep"]);
        assert_eq!(names(&history.compensable_steps(inner)), ["stage:other"]);
        assert_eq!(history.sagas("inner").map(|saga| saga.id).collect::<Vec<_>>(), [inner]);
        run.succeed(inner);
        run.succeed(outer);
        assert!(!History::of(&run.events()).has_standing_steps(), "both sagas have ended");
    }
}
