//! [`Statement`]: what a verdict says, sentence by sentence, and the events that each rests on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::headline::{one_line, position};
use super::values::{facts, is_empty, is_limit, limits_in, short, values};
use super::{CauseKind, Explanation, FailureOutcome, Verdict};
use crate::decisions::Consequences;
use crate::{Decision, Span, TraceQuery};
use throughline_model::fold::{Agreement, Ground, agreement};
use throughline_model::names::{data, tags};
use throughline_model::{ErrorInfo, EventId, SpanId, Status, Text};

/// A sentence of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Statement {
    /// What kind of thing it says.
    pub says: Says,
    /// How sure it is.
    pub certainty: Certainty,
    /// The sentence.
    pub text: String,
    /// The spans that it is about, the first of them above all.
    pub spans: Vec<SpanId>,
    /// The events that it rests on, as `trace:span:seq`.
    pub events: Vec<Text>,
}

/// What kind of thing a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Says {
    /// What the run ended with.
    Symptom,
    /// What that came from.
    Origin,
    /// What the origin recorded before it failed.
    Recorded,
    /// Another failure has a cause of its own: putting one right will not be enough.
    Independent,
    /// A step succeeded though something in it failed, and its output was used by the origin.
    HiddenFailure,
    /// A step that ended well gave back nothing just before the origin.
    EmptyOutput,
    /// The code continued without something that had failed.
    Fallback,
    /// The same error had been tolerated before.
    SameErrorTolerated,
    /// Another failure, inside the origin or beside the way to it, had been tolerated before.
    CopedWith,
    /// Earlier attempts failed with another error.
    EarlierAttempt,
    /// A decision led to the origin.
    Decision,
    /// A limit had been used up.
    LimitReached,
    /// Something differs from runs that succeeded.
    Differs,
    /// A run that this one caused went wrong.
    Child,
    /// In which process it was interrupted.
    Process,
    /// For how long a step has been at work that has not ended.
    AtWork,
    /// The record does not say something that would help.
    Missing,
}

/// How sure a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Certainty {
    /// An event says so.
    Recorded,
    /// Links between events say so.
    Linked,
    /// It follows from the texts of errors, values, and the order of events.
    Inferred,
    /// It follows from a comparison with runs that succeeded.
    Compared,
}

impl Certainty {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Linked => "linked",
            Self::Inferred => "inferred",
            Self::Compared => "by comparison",
        }
    }
}

/// How many statements there are of one kind.
const OF_A_KIND: usize = 3;
/// How far up it is looked which step put up with a failure.
const NEAR: usize = 32;
/// With less confidence than this a decision is a suspect, and with less of a lead over the next choice.
const SURE: f64 = 0.7;
const LEAD: f64 = 0.1;

impl Statement {
    pub(crate) fn new(says: Says, certainty: Certainty, text: String, spans: &[Span<'_>]) -> Self {
        Self {
            says,
            certainty,
            text,
            spans: spans.iter().map(Span::id).collect(),
            events: spans.iter().map(|span| id(span.last_event().id())).collect(),
        }
    }
}

fn id(event: EventId) -> Text {
    event.to_string().into()
}

impl TraceQuery {
    /// What is said of a run, the most important first.
    pub(super) fn statements<'q>(
        &'q self,
        explanation: &'q Explanation,
        consequences: &Consequences<'q>,
    ) -> Vec<Statement> {
        let Some(found) = &consequences.found else { return Vec::new() };
        if matches!(explanation.verdict, Verdict::Empty | Verdict::Running | Verdict::Unfinished) {
            return Vec::new();
        }
        let (top, cause) = (self.at(found.top), self.at(found.cause));
        let mut saying = Saying { query: self, explanation, cause, statements: Vec::new() };
        saying.symptom(top);
        saying.origin(top, consequences);
        saying.recorded();
        saying.other_failures(consequences);
        saying.hidden_failures(consequences);
        saying.empty_output();
        saying.fallbacks(consequences);
        saying.attempts();
        saying.decisions(consequences);
        saying.limits();
        saying.missing(top, consequences);
        saying.statements
    }
}

/// Statements being made.
struct Saying<'q> {
    query: &'q TraceQuery,
    explanation: &'q Explanation,
    cause: Span<'q>,
    statements: Vec<Statement>,
}

impl<'q> Saying<'q> {
    fn say(&mut self, says: Says, certainty: Certainty, text: String, spans: &[Span<'_>]) {
        let mut of_this_kind = self.statements.iter().filter(|other| other.says == says);
        // What is said once need not be said of every other span of that name.
        let is_new = of_this_kind.clone().all(|other| other.text != text);
        if is_new && of_this_kind.by_ref().count() < OF_A_KIND {
            self.statements.push(Statement::new(says, certainty, text, spans));
        }
    }

    fn symptom(&mut self, top: Span<'_>) {
        let text = match (top.error(), top.status()) {
            (Some(error), Status::Cancelled) => format!("it was cancelled: {}", one_line(error)),
            (Some(error), _) => format!("it ended with {}", one_line(error)),
            (None, Status::Failed) => "it failed, and no error was recorded".to_owned(),
            (None, Status::Cancelled) => "it was cancelled".to_owned(),
            (None, _) => return,
        };
        self.say(Says::Symptom, Certainty::Recorded, text, &[top]);
    }

    fn origin(&mut self, top: Span<'q>, consequences: &Consequences<'q>) {
        let (Some(cause), Some(found)) = (&self.explanation.cause, &consequences.found) else { return };
        // Each span on the way down is what the next step rests on.
        let way = found.steps.iter().map(|(span, _)| self.query.at(*span)).filter(|span| *span != self.cause);
        let mut spans = vec![self.cause, top];
        spans.extend(way);
        spans.dedup();
        if self.cause == top {
            spans.truncate(1);
        }
        self.say(Says::Origin, cause.certainty, super::headline::place(cause), &spans);
    }

    fn recorded(&mut self) {
        let Some(cause) = &self.explanation.cause else { return };
        let failed =
            cause.recorded.iter().filter(|point| point.span.state != throughline_model::RunState::Succeeded);
        for point in failed.rev() {
            let facts = facts(&point.data, 4);
            let text = match facts.is_empty() {
                true => format!("it recorded {}", point.span.name),
                false => format!("it recorded {}, {facts}", point.span.name),
            };
            if let Some(span) = self.query.span(point.span.span_id) {
                self.say(Says::Recorded, Certainty::Recorded, text, &[span]);
            }
        }
    }

    fn other_failures(&mut self, consequences: &Consequences<'q>) {
        let own = self.cause.error();
        for failure in &self.explanation.other_failures {
            let Some(span) = self.query.span(failure.span.span_id) else { continue };
            let name = position(&failure.span);
            let is_before = span.end_place() < self.cause.end_place();
            match failure.outcome {
                FailureOutcome::Independent if self.explanation.verdict == Verdict::Failed => {
                    let when = if is_before { "before it" } else { "after it" };
                    let text = format!(
                        "{name} failed {when}, for a reason of its own{}: fixing one will not be enough",
                        span.error().map_or_else(String::new, |error| format!(" ({})", one_line(error)))
                    );
                    self.say(Says::Independent, Certainty::Inferred, text, &[span, self.cause]);
                }
                FailureOutcome::Tolerated | FailureOutcome::Recovered if is_before => {
                    let same = own
                        .zip(span.error())
                        .and_then(|(own, other)| agreement(own, other).max(agreement(other, own)));
                    if same.is_some_and(|same| same >= Agreement::Message) {
                        let text = format!("the same error was tolerated earlier in {name}");
                        self.say(Says::SameErrorTolerated, Certainty::Inferred, text, &[span, self.cause]);
                    }
                }
                _ => {}
            }
        }
        self.put_up_with(consequences);
    }

    /// Failures before the origin, inside it or beside the way to it, that the work had put up with, the last first. Those of
    /// which there are many are how the work goes, and say nothing, unless they are inside the origin.
    fn put_up_with(&mut self, consequences: &Consequences<'q>) {
        let mut kinds: Vec<(Span<'q>, Span<'q>, usize)> = Vec::new();
        let mut by_name: HashMap<Cow<'q, str>, usize> = HashMap::new();
        let way: HashSet<SpanId> = self.explanation.path.iter().map(|step| step.span.span_id).collect();
        for failure in self.explanation.other_failures.iter().rev() {
            let Some(span) = self.query.span(failure.span.span_id) else { continue };
            let Some(around) = span.parent().filter(|around| way.contains(&around.id())) else { continue };
            if failure.outcome == FailureOutcome::Tolerated
                && span.end_place() < self.cause.end_place()
                && span.name() != self.cause.name()
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
            let with = span.error().map_or_else(String::new, |error| format!(" with {}", one_line(error)));
            let often = if times > 1 { format!(" {times} times, the last time") } else { String::new() };
            let then = match consequences.causes.is_tolerated(span) {
                true => format!(" before, and {} continued", around.name()),
                false => format!(", and {} began nothing after it", around.name()),
            };
            let text = format!("{name} failed{often}{with}{then}");
            self.say(Says::CopedWith, Certainty::Inferred, text, &[span, around]);
        }
    }

    /// Steps that ended well although something in them had failed, and whose output was the origin's input.
    fn hidden_failures(&mut self, consequences: &Consequences<'q>) {
        let Some(input) = self.cause.input().or_else(|| self.cause.parent()?.input()) else { return };
        let given = values(input);
        for failure in &self.explanation.other_failures {
            let Some(span) = self.query.span(failure.span.span_id) else { continue };
            let mut around = std::iter::successors(span.parent(), Span::parent).take(NEAR);
            let Some(step) = around.find(|around| around.status() == Status::Success) else { continue };
            let Some(output) = step.output() else { continue };
            if step.is_workflow()
                || step.end_place() > self.cause.start_place()
                || consequences.causes.is_in_compensation(step)
            {
                continue;
            }
            // What it was given itself goes through everything and says nothing.
            let around = std::iter::successors(Some(step), Span::parent).take(NEAR);
            let known: Vec<&Value> = around.filter_map(|span| span.input()).flat_map(values).collect();
            let shared =
                values(output).into_iter().find(|value| given.contains(value) && !known.contains(value));
            let says = match shared {
                Some(value) => format!("its output {} went into {}", short(value), self.cause.name()),
                None if is_empty(output) => format!("its output was {}", short(output)),
                None => continue,
            };
            let with = span.error().map_or_else(String::new, |error| format!(" ({})", one_line(error)));
            let text = format!(
                "{} succeeded though {} failed in it{with}; {says}",
                step.name(),
                position(&failure.span)
            );
            self.say(Says::HiddenFailure, Certainty::Inferred, text, &[step, span, self.cause]);
        }
    }

    /// The last step before the origin whose output is known, if that was an empty list or text: most often the next step
    /// works with it.
    fn empty_output(&mut self) {
        let before = self.explanation.steps_before.iter().rev();
        let Some((step, output)) = before.filter_map(|step| Some((step, step.output.as_ref()?))).next()
        else {
            return;
        };
        let is_told = self.statements.iter().any(|other| {
            other.says == Says::HiddenFailure && other.spans.first() == Some(&step.span.span_id)
        });
        let is_bare =
            matches!(output, Value::Array(_) | Value::Object(_) | Value::String(_)) && is_empty(output);
        if let Some(span) = self.query.span(step.span.span_id).filter(|_| is_bare && !is_told)
            && span.status() == Status::Success
        {
            let text = format!("{} succeeded, but its output was {}", step.span.name, short(output));
            self.say(Says::EmptyOutput, Certainty::Inferred, text, &[span, self.cause]);
        }
    }

    fn fallbacks(&mut self, consequences: &Consequences<'q>) {
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
            let why = error.map_or_else(String::new, |error| format!(", because of {}", one_line(error)));
            let place = span.parent().map_or_else(String::new, |parent| format!("{} ", parent.name()));
            let text = format!("{place}continued without something: {what}{why}");
            self.say(Says::Fallback, Certainty::Recorded, text, &[span]);
        }
    }

    fn attempts(&mut self) {
        // A loop that tries a step again need not say so.
        let is_alike =
            |span: &Span<'_>| span.parent() == self.cause.parent() && span.name() == self.cause.name();
        let others = self.explanation.other_failures.iter().map(|failure| &failure.span);
        let alike = others.filter(|span| self.query.span(span.span_id).is_some_and(|span| is_alike(&span)));
        let says = |error: &Option<ErrorInfo>| error.as_ref().map(one_line).unwrap_or_default();
        let first_other = self.explanation.attempts.iter().chain(alike).find(|attempt| {
            let same = attempt.error.as_ref().zip(self.cause.error()).and_then(|(a, b)| agreement(a, b));
            attempt.error.is_some() && same.is_none()
        });
        if let Some(other) = first_other
            && let Some(span) = self.query.span(other.span_id)
        {
            let text = format!("an earlier attempt at it failed differently, with {}", says(&other.error));
            self.say(Says::EarlierAttempt, Certainty::Recorded, text, &[span]);
        }
    }

    fn decisions(&mut self, consequences: &Consequences<'q>) {
        for upstream in &self.explanation.decisions {
            let Some(span) = self.query.span(upstream.decision.span_id).filter(|_| upstream.led_to_cause)
            else {
                continue;
            };
            let is_linked = consequences.is_linked(span);
            let doubt = doubt(&upstream.decision);
            if !is_linked && doubt.is_none() {
                continue;
            }
            let choice = upstream.decision.choice.as_deref().unwrap_or("nothing");
            let doubt = doubt.map_or_else(String::new, |doubt| format!(", {doubt}"));
            let text = format!("{} chose {choice}{doubt}, which led here", upstream.decision.name);
            let certainty = if is_linked { Certainty::Linked } else { Certainty::Inferred };
            self.say(Says::Decision, certainty, text, &[span, self.cause]);
        }
    }

    /// Limits of which nothing was left, as far as an event says so and none after it says otherwise.
    fn limits(&mut self) {
        let mut last_said: BTreeMap<String, (Span<'q>, bool)> = BTreeMap::new();
        let before = self.query.spans().take_while(|span| span.start_place() <= self.cause.end_place());
        for span in before.filter(Span::has_payload) {
            for event in span.events() {
                for (key, value) in event.attrs.iter().filter(|(key, _)| is_limit(key)) {
                    let is_used_up = value.parse() == Ok(0.0);
                    last_said.insert(key.to_string(), (span, is_used_up));
                }
                for (name, remaining) in event.data.iter().flat_map(limits_in) {
                    last_said.insert(name, (span, remaining == 0.0));
                }
            }
        }
        let used_up = last_said.into_values().filter_map(|(span, is_used_up)| is_used_up.then_some(span));
        if let Some(span) = used_up.max_by_key(|span| span.start_place()) {
            let text = format!("{} says that nothing of a limit remained", span.name());
            self.say(Says::LimitReached, Certainty::Recorded, text, &[span]);
        }
    }

    /// What would have helped, and how to record it.
    fn missing(&mut self, top: Span<'q>, consequences: &Consequences<'q>) {
        let Some(cause) = &self.explanation.cause else { return };
        let name = self.cause.name();
        let is_guess = consequences.found.as_ref().is_some_and(|found| {
            found.steps.iter().any(|(_, ground)| {
                matches!(ground, Ground::NothingAfter | Ground::OnlyAftermath | Ground::LastFailure)
            })
        });
        let text = match cause.kind {
            CauseKind::Error if self.cause.error().is_none() => {
                format!("why {name} failed was not recorded: let it return an error that says so")
            }
            CauseKind::Cancelled if self.cause.error().is_none() && top.error().is_none() => {
                "who cancelled it was not recorded: set a deadline with ctx.timeout, or cancel where it is known".to_owned()
            }
            CauseKind::Error if is_guess => format!(
                "that {name} brought it down is a guess from the order of events: return its error, or one with it as source"
            ),
            _ => return,
        };
        self.say(Says::Missing, Certainty::Recorded, text, &[self.cause]);
    }
}

/// Why a decision is to be doubted.
fn doubt(decision: &Decision) -> Option<String> {
    if let Some(confidence) = decision.confidence.filter(|confidence| *confidence < SURE) {
        return Some(format!("{:.0} % sure", confidence * 100.0));
    }
    let chosen = decision.alternatives.iter().find(|alternative| alternative.chosen)?;
    let others = decision.alternatives.iter().filter(|alternative| !alternative.chosen);
    let next = others
        .filter(|other| other.score.is_some())
        .max_by(|a, b| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)))?;
    let (score, other) = (chosen.score?, next.score?);
    (score - other < LEAD).then(|| format!("by {score:.2} to {other:.2} for {}", next.name))
}
