//! What was put up with before the origin: failures, steps that were given up, outputs of which nothing came.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Certainty, NEAR, OF_A_KIND, Saying, Says};
use crate::Span;
use crate::decisions::Consequences;
use crate::duration::duration;
use crate::explain::FailureOutcome;
use crate::explain::headline::{position, with_sources};
use crate::explain::values::{holds_nothing, is_empty, is_given_null, short, values};
use throughline_model::fold::agreement;
use throughline_model::names::{data, errors, tags};
use throughline_model::{ErrorInfo, SpanId, Status};

impl<'q> Saying<'q> {
    /// Failures before the origin, inside it or beside the way to it, that the work had put up with, the last first. Those of
    /// which there are many are how the work goes, and say nothing, unless they are inside the origin.
    pub(super) fn put_up_with(&mut self, consequences: &Consequences<'q>) {
        let mut kinds: Vec<(Span<'q>, Span<'q>, usize)> = Vec::new();
        let mut by_name: HashMap<Cow<'q, str>, usize> = HashMap::new();
        let is_attempt = self.attempt_at_it();
        let way: HashSet<SpanId> = self.explanation.path.iter().map(|step| step.span.span_id).collect();
        for failure in self.explanation.other_failures.iter().rev() {
            let Some(span) = self.query.span(failure.span.span_id) else { continue };
            let Some(around) = span.parent().filter(|around| way.contains(&around.id())) else { continue };
            if matches!(failure.outcome, FailureOutcome::Tolerated | FailureOutcome::NotPassedOn)
                && span.end_place() < self.cause.end_place()
                && !is_attempt(span)
            {
                let kind = *by_name.entry(span.name()).or_insert(kinds.len());
                match kinds.get_mut(kind) {
                    Some((.., times)) => *times += 1,
                    None => kinds.push((span, around, 1)),
                }
            }
        }
        for (span, around, times) in kinds {
            let is_told = self.statements.iter().any(|other| {
                other.says == Says::SameErrorTolerated && other.spans.first() == Some(&span.id())
            });
            if is_told || times > OF_A_KIND && around != self.cause {
                continue;
            }
            let name = position(&span.summary());
            let with =
                span.error().map_or_else(String::new, |error| format!(" with {}", with_sources(error)));
            let often = if times > 1 { format!(" {times} times, the last time") } else { String::new() };
            let then = match consequences.causes.is_tolerated(span) {
                true => format!(" before, and {} continued", around.name()),
                false => format!(", and {} began nothing after it", around.name()),
            };
            let text = format!("{name} failed{often}{with}{then}");
            self.say(Says::CopedWith, Certainty::Inferred, text, &[span, around]);
        }
    }

    /// Steps that were given up before the origin, as when their time ran out, and without whose result the work around them
    /// continued: the last first.
    pub(super) fn given_up(&mut self, consequences: &Consequences<'q>) {
        let is_attempt = self.attempt_at_it();
        for span in self.given_up.clone() {
            let Some(around) = span.parent().filter(|around| self.is_on_the_way(*around)) else { continue };
            // What ran beside the origin may have been as good for the work, as a second request that was sent in case.
            let is_beside = around != self.cause && is_out_of_time(span);
            let then = match consequences.causes.is_tolerated(span) {
                _ if is_attempt(span) => continue,
                true => format!("and {} continued", around.name()),
                false if is_beside => format!("while {} was at work", self.cause.name()),
                false => continue,
            };
            self.say(
                Says::GivenUp,
                Certainty::Inferred,
                format!("{}, {then}", gave_up(span)),
                &[span, around],
            );
        }
    }

    /// Steps that were dropped before the origin, the last first, as far as they did not merely lose a race or fall with
    /// another one that failed.
    pub(super) fn find_given_up(&self, consequences: &Consequences<'q>) -> Vec<Span<'q>> {
        let causes = &consequences.causes;
        let until = self.cause.end_place();
        let spans = (0..self.query.index.len()).rev().map(|index| self.query.at(index));
        let dropped = spans.filter(|span| {
            span.status() == Status::Cancelled
                && span.end_place() < until
                && span.parent().is_some_and(|parent| parent.status() != Status::Cancelled)
                && causes.within_retried(*span).is_none()
                && !causes.is_in_compensation(*span)
        });
        dropped.take(LOOKED_AT).filter(|span| is_out_of_time(*span) || !lost_a_race(*span)).collect()
    }

    pub(super) fn is_on_the_way(&self, span: Span<'q>) -> bool {
        self.query.index.outline().is_within(self.cause.index, span.index)
    }

    /// Steps that ended well although something in them had failed or was given up: those whose output went into the origin or
    /// was empty, and those of which nobody knows what they gave back.
    pub(super) fn hidden_failures(&mut self, consequences: &Consequences<'q>) {
        let input = self.cause.input().or_else(|| self.cause.parent()?.input());
        let given = input.map(values).unwrap_or_default();
        let failures = self.explanation.other_failures.iter();
        let tolerated = failures.filter(|failure| {
            matches!(failure.outcome, FailureOutcome::Tolerated | FailureOutcome::NotPassedOn)
        });
        let failed = tolerated.filter_map(|failure| self.query.span(failure.span.span_id));
        let failed: Vec<Span<'q>> = failed.chain(self.given_up.iter().copied()).collect();
        let mut unknown: Vec<(Span<'q>, Span<'q>)> = Vec::new();
        let mut times: HashMap<Cow<'q, str>, usize> = HashMap::new();
        for span in failed {
            let ended_well = |around: &Span<'q>| {
                around.status() == Status::Success
                    && !around.is_workflow()
                    && around.end_place() < self.cause.end_place()
                    && !consequences.causes.is_in_compensation(*around)
            };
            let around = std::iter::successors(span.parent(), Span::parent).take(NEAR);
            let around = around.take_while(|around| !self.is_on_the_way(*around)).filter(ended_well);
            let around: Vec<Span<'q>> = around.collect();
            let known = around.iter().find_map(|step| Some((*step, self.came_of(*step, &given)?)));
            match known {
                Some((step, came_of_it)) => {
                    let text = format!("{} succeeded though {}; {came_of_it}", step.name(), in_it(span));
                    self.say(Says::HiddenFailure, Certainty::Inferred, text, &[step, span, self.cause]);
                }
                // What it gave back is known, and says nothing of the failure.
                None if around.iter().any(|step| step.output().is_some()) => {}
                None => {
                    if let Some(step) = around.first() {
                        unknown.push((*step, span));
                        *times.entry(span.name()).or_default() += 1;
                    }
                }
            }
        }
        unknown.sort_by_key(|(step, _)| std::cmp::Reverse(step.end_place()));
        // What fails all the time is how the work goes.
        for (step, span) in unknown.into_iter().filter(|(_, span)| times[&span.name()] <= OF_A_KIND) {
            let text = format!(
                "{} succeeded though {}; what it gave back was not recorded",
                step.name(),
                in_it(span)
            );
            self.say(Says::HiddenFailure, Certainty::Inferred, text, &[step, span, self.cause]);
        }
    }

    /// What is known to have come of the output of a step, if that may have led to the origin, which was given these values.
    fn came_of(&self, step: Span<'q>, given: &[&Value]) -> Option<String> {
        let output = step.output().filter(|_| step.end_place() <= self.cause.start_place())?;
        // What it was given itself goes through everything and says nothing.
        let around = std::iter::successors(Some(step), Span::parent).take(NEAR);
        let known: Vec<&Value> = around.filter_map(|span| span.input()).flat_map(values).collect();
        let mut shared = values(output).into_iter();
        match shared.find(|value| given.contains(value) && !known.contains(value)) {
            Some(value) => Some(format!("its output {} went into {}", short(value), self.cause.name())),
            None => is_empty(output).then(|| format!("its output was {}", short(output))),
        }
    }

    /// The last step before the origin whose output is known, if there was nothing in that: most often the next step works with
    /// it.
    pub(super) fn empty_output(&mut self) {
        let before = self.explanation.steps_before.iter().rev();
        let Some((step, output)) = before.filter_map(|step| Some((step, step.output.as_ref()?))).next()
        else {
            return;
        };
        let is_told = self.statements.iter().any(|other| {
            other.says == Says::HiddenFailure && other.spans.first() == Some(&step.span.span_id)
        });
        // A step that gives nothing back has `null` as its output; that says something if the origin was given it.
        let is_null = || self.cause.input().is_some_and(|input| is_given_null(input, output));
        let is_nothing = holds_nothing(output) || is_null();
        if let Some(span) = self.query.span(step.span.span_id).filter(|_| is_nothing && !is_told)
            && span.status() == Status::Success
        {
            let text = format!("{} succeeded, but its output was {}", step.span.name, short(output));
            self.say(Says::EmptyOutput, Certainty::Inferred, text, &[span, self.cause]);
        }
    }

    pub(super) fn fallbacks(&mut self, consequences: &Consequences<'q>) {
        let before = self.query.spans().filter(|span| {
            span.has_tag(tags::FALLBACK)
                && span.start_place() < self.cause.end_place()
                && !consequences.causes.is_in_compensation(*span)
        });
        let fallbacks: Vec<_> = before.collect();
        // The nearest is the likeliest.
        for span in fallbacks.into_iter().rev() {
            let what = span.data(data::MESSAGE).and_then(Value::as_str).unwrap_or("a fallback was taken");
            let error = span.last_event().error.as_deref();
            let why = error.map_or_else(String::new, |error| format!(", because of {}", with_sources(error)));
            let place = span.parent().map_or_else(String::new, |parent| format!("{} ", parent.name()));
            let text = format!("{place}continued without something: {what}{why}");
            self.say(Says::Fallback, Certainty::Recorded, text, &[span]);
        }
    }

    /// The first attempt before the origin that failed for another reason: what each failed of is compared, not what was made of
    /// it on the way up.
    pub(super) fn attempts(&mut self, consequences: &Consequences<'q>) {
        let own = self.cause.error();
        let is_the_same = |error: &ErrorInfo| {
            own.is_some_and(|own| agreement(error, own).is_some() || agreement(own, error).is_some())
        };
        for attempt in self.earlier_attempts.clone() {
            let origin = consequences.causes.origin_of(attempt);
            let text = match origin.error().filter(|_| origin.status() == Status::Failed) {
                _ if attempt.status() == Status::Cancelled => {
                    format!("an earlier attempt at it was given up{}", after(attempt))
                }
                Some(error) if origin == attempt => {
                    // Of what was made of it no more may be known than of the last attempt.
                    let last = self.explanation.path.iter().filter(|step| *step.span.name == *attempt.name());
                    let mut last = last.filter_map(|step| step.span.error.as_ref());
                    if is_the_same(error) || last.any(|last| agreement(error, last).is_some()) {
                        continue;
                    }
                    format!("an earlier attempt at it failed differently, with {}", with_sources(error))
                }
                Some(error) if !is_the_same(error) => {
                    let name = origin.name();
                    format!(
                        "an earlier attempt at it failed differently, in {name} with {}",
                        with_sources(error)
                    )
                }
                _ => continue,
            };
            self.say(Says::EarlierAttempt, Certainty::Recorded, text, &[origin]);
            return;
        }
        // Attempts that are linked have a place of their own on the page.
        let tried = self.earlier_attempts.last().filter(|_| self.explanation.attempts.is_empty());
        let failed = self.earlier_attempts.iter().all(|attempt| attempt.status() == Status::Failed);
        let times = self.earlier_attempts.len() + 1;
        if let Some(last) = tried.filter(|_| failed && times >= OFTEN) {
            let text =
                format!("{} was tried {times} times, and failed in the same way each time", last.name());
            let on_the_way = |span: &Span<'q>| span.name() == last.name() && span.parent() == last.parent();
            let way = std::iter::successors(Some(self.cause), Span::parent).find(on_the_way);
            let spans: Vec<Span<'q>> = self.earlier_attempts.iter().copied().chain(way).collect();
            self.say(Says::EarlierAttempt, Certainty::Recorded, text, &spans);
        }
    }

    /// The attempts before the last one at a step on the way to the origin, the first of them first. A loop that tries a step
    /// again need not say so; where one of its name succeeded, they are no attempts at one thing.
    pub(super) fn find_earlier_attempts(&self) -> Vec<Span<'q>> {
        let linked = self.explanation.attempts.iter().filter_map(|attempt| self.query.span(attempt.span_id));
        let linked: Vec<Span<'q>> = linked.filter(|span| !self.is_on_the_way(*span)).collect();
        if !linked.is_empty() {
            return linked;
        }
        let way = std::iter::successors(Some(self.cause), Span::parent);
        way.filter_map(|step| {
            let before = step.parent()?.children().rev().skip_while(|sibling| sibling.index >= step.index);
            let alike =
                before.take(NEARBY).filter(|sibling| !sibling.is_point() && sibling.name() == step.name());
            let mut alike: Vec<Span<'q>> = alike.take(LOOKED_AT).collect();
            alike.reverse();
            let failed = |span: &Span<'q>| match span.status() {
                Status::Failed => span.end_place() < step.start_place(),
                Status::Cancelled => is_out_of_time(*span) || !lost_a_race(*span),
                Status::Pending | Status::Success => false,
            };
            (!alike.is_empty() && alike.iter().all(failed)).then_some(alike)
        })
        .next()
        .unwrap_or_default()
    }

    /// Whether a span is one of these attempts.
    fn attempt_at_it(&self) -> impl Fn(Span<'q>) -> bool + use<'q> {
        let first = self.earlier_attempts.first().copied();
        move |span| first.is_some_and(|first| first.parent() == span.parent() && first.name() == span.name())
    }
}

/// How often a step has to have been tried for that to be worth a sentence where it failed in the same way each time.
const OFTEN: usize = 3;

/// At how many steps that were dropped, or tried again, it is looked.
const LOOKED_AT: usize = 64;

/// Among how many steps before another it is looked for earlier attempts at it.
const NEARBY: usize = 1_024;

/// What became of something inside a step that ended well.
fn in_it(span: Span<'_>) -> String {
    match span.error() {
        _ if span.status() == Status::Cancelled => format!("in it {}", gave_up(span)),
        Some(error) => format!("{} failed in it ({})", position(&span.summary()), with_sources(error)),
        None => format!("{} failed in it", position(&span.summary())),
    }
}

/// That a step was given up, why or when, and what it was waiting for.
fn gave_up(span: Span<'_>) -> String {
    fn inside<'q>(span: &Span<'q>) -> Option<Span<'q>> {
        span.children().filter(|child| child.status() == Status::Cancelled).max_by_key(Span::end_place)
    }
    let waiting = std::iter::successors(inside(&span), inside).last();
    let waiting =
        waiting.map_or_else(String::new, |waiting| format!(" while it waited for {}", waiting.name()));
    format!("{} was given up{}{waiting}", position(&span.summary()), after(span))
}

/// For which reason something was given up, if that was recorded, else after how long.
fn after(span: Span<'_>) -> String {
    match span.error().map(|error| &*error.message).filter(|message| !message.is_empty()) {
        Some(message) => format!(" ({message})"),
        None => span.duration_us().map_or_else(String::new, |took| format!(" after {}", duration(took))),
    }
}

/// Whether it was dropped because its time ran out, as far as that was recorded.
fn is_out_of_time(span: Span<'_>) -> bool {
    span.error().is_some_and(|error| error.kind == errors::DEADLINE)
}

/// Whether it was dropped for a reason that is known to be another one than its time, or because one beside it had succeeded.
fn lost_a_race(span: Span<'_>) -> bool {
    if span.error().is_some() {
        return true;
    }
    let Some(parent) = span.parent() else { return false };
    let ended_before = parent.children().filter(|sibling| {
        sibling.status() == Status::Success
            && !sibling.is_point()
            && sibling.start_place() < span.end_place()
            && (span.start_place()..span.end_place()).contains(&sibling.end_place())
    });
    let Some(winner) = ended_before.max_by_key(Span::end_place) else { return false };
    // Code that began something else in between did not drop it for that.
    let in_between = winner.end_place()..span.end_place();
    !parent.children().any(|sibling| in_between.contains(&sibling.start_place()))
}
