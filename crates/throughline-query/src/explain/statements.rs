//! [`Statement`]: what a verdict says, sentence by sentence, and the events that each rests on.

mod suspects;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::headline::{position, with_sources};
use super::values::{facts, is_limit, limits_in};
use super::{CauseKind, Explanation, FailureOutcome, Verdict};
use crate::decisions::Consequences;
use crate::{Decision, Span, TraceQuery};
use throughline_model::fold::{Agreement, Ground, agreement, may_be_chance, says_why};
use throughline_model::names::{self, data};
use throughline_model::{ErrorInfo, EventId, Relation, SpanId, Status, Text};

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
    /// Another failure has the same error, and may have the same cause.
    SameErrorBeside,
    /// A step succeeded though something in it failed or was given up, and its output went into the origin, was empty, or is
    /// not known.
    HiddenFailure,
    /// A step that ended well gave back nothing just before the origin.
    EmptyOutput,
    /// The code continued without something that had failed.
    Fallback,
    /// The same error had been tolerated before.
    SameErrorTolerated,
    /// Another failure, inside the origin or beside the way to it, had been tolerated before.
    CopedWith,
    /// A step before the origin was given up, as when its time ran out, and the work continued without it.
    GivenUp,
    /// An earlier attempt failed for another reason, or was given up.
    EarlierAttempt,
    /// A decision led to the origin.
    Decision,
    /// A limit had been used up.
    LimitReached,
    /// Something differs from runs that succeeded.
    Differs,
    /// Something went wrong in runs that succeeded, too, and is no suspect.
    PutUpWith,
    /// A run that this one caused went wrong, or may have.
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

impl Statement {
    /// What is suspected to have led to the origin because the work put up with it.
    pub(crate) fn suspect(&self) -> Option<SpanId> {
        let at = match self.says {
            Says::CopedWith
            | Says::SameErrorTolerated
            | Says::GivenUp
            | Says::Fallback
            | Says::EmptyOutput => 0,
            // Of what happened in a step that ended well.
            Says::HiddenFailure => 1,
            _ => return None,
        };
        self.spans.get(at).copied()
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
        let mut saying = Saying {
            query: self,
            explanation,
            cause,
            earlier_attempts: Vec::new(),
            given_up: Vec::new(),
            statements: Vec::new(),
        };
        saying.earlier_attempts = saying.find_earlier_attempts();
        saying.given_up = saying.find_given_up(consequences);
        saying.symptom(top);
        saying.origin(top, consequences);
        saying.recorded();
        saying.other_failures(consequences);
        saying.given_up(consequences);
        saying.hidden_failures(consequences);
        saying.empty_output();
        saying.fallbacks(consequences);
        saying.attempts(consequences);
        saying.decisions(consequences);
        saying.limits();
        saying.children();
        saying.missing(top, consequences);
        saying.statements
    }
}

/// Statements being made.
struct Saying<'q> {
    query: &'q TraceQuery,
    explanation: &'q Explanation,
    cause: Span<'q>,
    /// The attempts before the last one at a step on the way to the origin, the first of them first.
    earlier_attempts: Vec<Span<'q>>,
    /// Steps that were given up before the origin, the last first.
    given_up: Vec<Span<'q>>,
    statements: Vec<Statement>,
}

impl<'q> Saying<'q> {
    fn say(&mut self, says: Says, certainty: Certainty, text: String, spans: &[Span<'_>]) {
        let mut of_this_kind = self.statements.iter().filter(|other| other.says == says);
        // What is said once need not be said of every other span of that name.
        if of_this_kind.all(|other| other.text != text) && !self.has_enough(says) {
            self.statements.push(Statement::new(says, certainty, text, spans));
        }
    }

    /// Whether as many statements of a kind have been made as there are at most.
    fn has_enough(&self, says: Says) -> bool {
        self.statements.iter().filter(|other| other.says == says).count() >= OF_A_KIND
    }

    fn symptom(&mut self, top: Span<'_>) {
        let text = match (top.error(), top.status()) {
            (Some(error), Status::Cancelled) => format!("it was cancelled: {}", with_sources(error)),
            (Some(error), _) => format!("it ended with {}", with_sources(error)),
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
        spans.extend(consequences.causes.as_likely(found));
        spans.extend(consequences.causes.perhaps_cleaned_up(found));
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
        let is_own = |error: &ErrorInfo| own == Some(error);
        let agrees = |error: &ErrorInfo| {
            let same = |a, b| agreement(a, b) >= Some(Agreement::Message) && !may_be_chance(a, b);
            own.is_some_and(|own| same(own, error) || same(error, own))
        };
        for failure in &self.explanation.other_failures {
            let error = failure.span.error.as_ref();
            let says = match failure.outcome {
                FailureOutcome::Independent if self.explanation.verdict != Verdict::Failed => continue,
                FailureOutcome::Independent if error.is_some_and(is_own) => Says::SameErrorBeside,
                FailureOutcome::Independent => Says::Independent,
                FailureOutcome::Tolerated | FailureOutcome::NotPassedOn | FailureOutcome::Recovered => {
                    Says::SameErrorTolerated
                }
                FailureOutcome::Retried | FailureOutcome::Aftermath => continue,
            };
            if self.has_enough(says) {
                continue;
            }
            let Some(span) = self.query.span(failure.span.span_id) else { continue };
            let is_before = span.end_place() < self.cause.end_place();
            if says == Says::SameErrorTolerated && !(is_before && error.is_some_and(agrees)) {
                continue;
            }
            let (name, when) = (position(&failure.span), if is_before { "before it" } else { "after it" });
            let text = match says {
                Says::SameErrorTolerated => format!("the same error was tolerated earlier in {name}"),
                Says::SameErrorBeside => {
                    format!("{name} failed {when} with the same error: what helps one may help both")
                }
                _ => {
                    let error = error.map_or_else(String::new, |error| format!(" ({})", with_sources(error)));
                    match self.stands_beside(span, consequences) {
                        true => format!(
                            "{name} failed {when}, for a reason of its own{error}: fixing one will not be enough"
                        ),
                        false => {
                            format!(
                                "{name} failed {when} as well, perhaps for a reason of its own{error}: fixing one may not be enough"
                            )
                        }
                    }
                }
            };
            self.say(says, Certainty::Inferred, text, &[span, self.cause]);
        }
        self.put_up_with(consequences);
    }

    /// Whether another failure brought down what is around it and the origin as well: they are items of one batch, or an error
    /// on the way to the origin names it.
    fn stands_beside(&self, span: Span<'q>, consequences: &Consequences<'q>) -> bool {
        let around = std::iter::successors(span.parent(), Span::parent).take(NEAR);
        let mut around = around.filter(|around| self.is_on_the_way(*around));
        let is_named_by = |around: Span<'q>| {
            around.error().zip(span.error()).is_some_and(|(error, other)| agreement(error, other).is_some())
        };
        consequences.causes.are_items(self.cause, span) || around.any(is_named_by)
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

    /// A run of its own that the origin began, if it ended with the error of that, or began nothing else after it and says no
    /// more than that this failed.
    fn children(&mut self) {
        let own = self.cause.first_event().trace_id;
        let elsewhere = |rel: Relation| {
            move |span: Span<'q>| {
                span.links().find(|link| link.rel == rel && link.trace_id.is_some_and(|id| id != own))
            }
        };
        let began = |span: &Span<'q>| span.first_event().event_type == names::CHILD_BEGAN;
        let failed_by = elsewhere(Relation::FailedBy)(self.cause);
        let child = match failed_by {
            Some(link) => self.query.spans().filter(began).find(|span| {
                elsewhere(Relation::Began)(*span).is_some_and(|began| began.trace_id == link.trace_id)
            }),
            None => self.cause.children().next_back().filter(began),
        };
        let name = child.map(|child| {
            let [workflow, key] =
                [data::WORKFLOW, data::KEY].map(|key| child.data(key).and_then(Value::as_str));
            [workflow, key].into_iter().flatten().collect::<Vec<_>>().join(" ")
        });
        let name = name.filter(|name| !name.is_empty());
        let (certainty, text) = match (failed_by, child, name) {
            (Some(link), _, name) => {
                let name = name.or_else(|| Some(link.trace_id?.to_string())).unwrap_or_default();
                (Certainty::Linked, format!("what failed is in child {name}, whose error it ended with"))
            }
            (None, Some(child), Some(name)) if self.may_speak_of(child) => (
                Certainty::Inferred,
                format!("how child {name} ended, which it began last, is in its own record"),
            ),
            _ => return,
        };
        let root = failed_by.or_else(|| elsewhere(Relation::Began)(child?)).map(|link| link.span_id);
        let spans: Vec<Span<'q>> = [self.cause].into_iter().chain(child).collect();
        let mut statement = Statement::new(Says::Child, certainty, text, &spans);
        statement.spans.extend(root);
        self.statements.push(statement);
    }

    /// Whether the error of the origin says no more than that something failed, or names the workflow of a run that it began.
    fn may_speak_of(&self, child: Span<'q>) -> bool {
        let Some(error) = self.cause.error() else { return true };
        let named = child.data(data::WORKFLOW).and_then(Value::as_str);
        !says_why(error) || named.is_some_and(|workflow| error.message.contains(workflow))
    }

    /// What would have helped, and how to record it.
    fn missing(&mut self, top: Span<'q>, consequences: &Consequences<'q>) {
        let Some(cause) = &self.explanation.cause else { return };
        let name = self.cause.name();
        let is_guess = consequences.found.as_ref().is_some_and(|found| {
            found.steps.iter().any(|(_, ground)| {
                matches!(
                    ground,
                    Ground::NothingAfter
                        | Ground::OnlyAftermath
                        | Ground::Spent
                        | Ground::LastFailure
                        | Ground::BeforeCleanUp
                        | Ground::PerhapsCleanedUp
                        | Ground::TakenAlong
                )
            })
        });
        let text = match cause.kind {
            CauseKind::Error if self.cause.error().is_none() => {
                format!("why {name} failed was not recorded: let it return an error that says so")
            }
            CauseKind::Cancelled if self.cause.error().is_none() && top.error().is_none() => {
                "who cancelled it was not recorded: set a deadline with ctx.timeout, or cancel where it is known".to_owned()
            }
            CauseKind::Error | CauseKind::Panic if !cause.as_likely.is_empty() => format!(
                "which of them brought it down was not recorded: return the error of {name}, or one with it as source, if it was that"
            ),
            _ if let Some(last) = &cause.perhaps_cleaned_up => format!(
                "that {} only cleaned up after {name} is a guess from its name: undo with ctx.compensate, or return the error of {name} with its own",
                last.name
            ),
            // The error of another process is no source of one here.
            CauseKind::Error | CauseKind::Panic if is_guess && is_behind_a_call(self.cause) => format!(
                "that {name} brought it down is a guess from the order of events: let the service answer with its error, and the call end with what it answered"
            ),
            CauseKind::Error | CauseKind::Panic if is_guess => format!(
                "that {name} brought it down is a guess from the order of events: return its error, or one with it as source"
            ),
            CauseKind::Error if let Some(inside) = consequences.causes.may_come_from(self.cause.index)
                && !consequences.causes.is_tolerated(inside) =>
            {
                let inside = inside.name();
                format!(
                    "whether {inside} brought {name} down was not recorded: if so, return its error, or one with it as source"
                )
            }
            _ => return,
        };
        self.say(Says::Missing, Certainty::Recorded, text, &[self.cause]);
    }
}

/// Whether a span is in a service that was called by what it is a part of.
fn is_behind_a_call(span: Span<'_>) -> bool {
    let mut above = std::iter::successors(Some(span), Span::parent);
    let is_answer = |span: Span<'_>| {
        let caller = span.parent().filter(|_| span.first_event().event_type == names::HTTP_REQUEST);
        caller.is_some_and(|caller| caller.first_event().event_type.starts_with(names::DEPENDENCY_PREFIX))
    };
    above.any(is_answer)
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
