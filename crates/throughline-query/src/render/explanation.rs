//! An explanation as text: a page that says what a person needs first.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::ledger;
use super::printer::{self, Keeps, Printer};
use super::style::{Emphasis, Style};
use super::text;
use crate::compare::without_digits;
use crate::explain::headline::{list, one_line, position, tells_resumptions, with_sources};
use crate::{
    CascadeKind, Cause, Explanation, FailureOutcome, OtherFailure, PathStep, Says, SpanSummary, Statement,
    Verdict,
};
use throughline_model::names::attrs;
use throughline_model::{ErrorInfo, RunState, SpanId};

/// How many rows a list within an explanation has at most.
const LIST: usize = 12;
/// How many lines a sentence takes at most.
const SENTENCE: usize = 3;

impl Explanation {
    /// The explanation as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.shorten(self.names());
        printer.head(self.run.as_ref());
        if self.run.is_none() {
            return printer.finish();
        }
        printer.put(printer.line());
        self.write_headline(&mut printer);
        self.write_suspects(&mut printer);
        self.write_path(&mut printer);
        if let Some(cause) = self.cause.as_ref().filter(|cause| !cause.inside.is_empty()) {
            printer.section("Inside it", Keeps::Last);
            write_steps(&mut printer, &cause.inside);
        }
        self.write_steps_before(&mut printer);
        self.write_attempts(&mut printer);
        self.write_decisions(&mut printer);
        self.write_cascades(&mut printer);
        if self.compensations.iter().any(|saga| !saga.entries.is_empty()) {
            printer.section("Compensation", Keeps::Ends);
            for saga in &self.compensations {
                ledger::write_saga(&mut printer, saga);
            }
        }
        self.write_other_failures(&mut printer);
        self.write_open(&mut printer);
        printer.problems(&self.problems);
        printer.finish_page()
    }

    /// The names that sentences may have in them, the likeliest first.
    fn names(&self) -> impl Iterator<Item = &str> {
        let cause = self.cause.iter().flat_map(|cause| {
            let recorded = cause.recorded.iter().map(|point| &point.span);
            [&cause.span].into_iter().chain(&cause.waiting_for).chain(recorded)
        });
        let spoken_of = self.statements.iter().flat_map(|statement| &statement.spans);
        let spoken_of: HashSet<&SpanId> = spoken_of.collect();
        let inside = self.cause.iter().flat_map(|cause| &cause.inside);
        let steps = self.path.iter().rev().chain(&self.steps_before).chain(inside).map(|step| &step.span);
        let others = self.other_failures.iter().map(|failure| &failure.span);
        let others = others.filter(move |span| spoken_of.contains(&span.span_id));
        let affected = self.cascades.iter().map(|cascade| &cascade.span);
        let spans = cause.chain(others).chain(&self.open).chain(steps).chain(affected);
        let workflow = self.run.iter().filter_map(|run| run.workflow.as_deref());
        workflow.chain(spans.map(|span| span.name.as_str()))
    }

    fn write_headline(&self, printer: &mut Printer<'_>) {
        let (sign, emphasis) = match self.verdict {
            Verdict::Failed => ("✗ ", Emphasis::Bad),
            Verdict::Cancelled => ("⊘ ", Emphasis::Warn),
            Verdict::Interrupted => ("! ", Emphasis::Warn),
            Verdict::Running => ("● ", Emphasis::Live),
            Verdict::Unfinished | Verdict::Empty => ("? ", Emphasis::Dim),
            Verdict::Succeeded | Verdict::Recovered | Verdict::Tolerated => ("✓ ", Emphasis::Good),
        };
        let room = printer.style.columns() - 2;
        let headline = printer.sentence(&self.headline).into_owned();
        for (at, words) in text::wrap(&headline, room, printer.at_most(6)).iter().enumerate() {
            let mut line = printer.line();
            line.push(emphasis, if at == 0 { sign } else { "  " }).push(emphasis, words);
            printer.put(line);
        }
        if self.resumed > 0 && !tells_resumptions(self.verdict) {
            printer.say(Emphasis::Dim, &format!("  resumed {}", text::count(self.resumed, "time")));
        }
        for statement in self.statements.iter().filter(|statement| statement.says == Says::AtWork) {
            printer.wrapped(2, Emphasis::Live, &statement.text, SENTENCE);
        }
        let Some(cause) = &self.cause else { return };
        if let Some(error) = &cause.span.error {
            printer.chain(2, error);
        }
        self.write_symptom(printer, cause);
        write_facts(printer, cause);
        let facts = [Says::Process, Says::Recorded];
        for statement in self.statements.iter().filter(|statement| facts.contains(&statement.says)) {
            printer.wrapped(2, Emphasis::Normal, &statement.text, SENTENCE);
        }
        let asides = [Says::Missing, Says::PutUpWith];
        for statement in self.statements.iter().filter(|statement| asides.contains(&statement.says)) {
            printer.wrapped(2, Emphasis::Dim, &statement.text, SENTENCE);
        }
    }

    /// What the run ended with: that is what people hold in their hand.
    fn write_symptom(&self, printer: &mut Printer<'_>, cause: &Cause) {
        let symptom = self.statements.iter().find(|statement| statement.says == Says::Symptom);
        let Some(symptom) = symptom.filter(|symptom| symptom.spans.first() != Some(&cause.span.span_id))
        else {
            return;
        };
        let error = cause.span.error.as_ref().map(with_sources);
        let same = error.is_some_and(|error| symptom.text.ends_with(&format!("with {error}")));
        let text = if same { "it ended with the same error" } else { &symptom.text };
        let text = format!("{text} (origin {})", cause.certainty.as_str());
        printer.wrapped(2, Emphasis::Normal, &text, SENTENCE);
    }

    fn write_suspects(&self, printer: &mut Printer<'_>) {
        let is_suspect = |statement: &&Statement| {
            !matches!(
                statement.says,
                Says::Symptom
                    | Says::Origin
                    | Says::Recorded
                    | Says::Missing
                    | Says::PutUpWith
                    | Says::Process
                    | Says::AtWork
            )
        };
        if self.statements.iter().any(|statement| is_suspect(&statement)) {
            let heading = if self.cause.is_some() { "What may have led to it" } else { "Beside good runs" };
            printer.heading(heading);
        }
        for statement in self.statements.iter().filter(is_suspect) {
            let text = format!("{} ({})", statement.text, statement.certainty.as_str());
            printer.labelled(2, "• ", &text, SENTENCE);
        }
    }

    fn write_path(&self, printer: &mut Printer<'_>) {
        if self.path.is_empty() {
            return;
        }
        printer.section(if self.cause.is_some() { "How it got there" } else { "Where it is" }, Keeps::Ends);
        // Of a long path the top, for orientation, and the end, where it went wrong.
        let most = if printer.style.lines() == usize::MAX { usize::MAX } else { LIST };
        let hidden = self.path.len().saturating_sub(most);
        let shown = self.path.iter().enumerate().filter(|(at, _)| *at < 2 || *at >= 2 + hidden);
        let end = self.path.len() - 1;
        for (row, (at, step)) in shown.enumerate() {
            if row == 2 && hidden > 0 {
                printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(hidden, "span")));
            }
            let indent = format!(
                "  {}{}",
                "   ".repeat(row.saturating_sub(1).min(LIST)),
                if row > 0 { "└─ " } else { "" }
            );
            let times = times(&step.span);
            let here = if at == end { "← here " } else { "" };
            let names_end = printer.style.columns().saturating_sub(text::width(&times));
            let mut line = printer.line();
            line.push(Emphasis::Dim, &indent).push(Emphasis::Bad, here).push_state(&step.span);
            line.within(names_end, |line| {
                line.push_span(&step.span);
            });
            line.push(Emphasis::Dim, &times);
            printer.put(line);
            let below = indent.chars().count() + 2;
            write_value(printer, below, "in ", step.input.as_ref());
            write_value(printer, below, "out", step.output.as_ref());
        }
    }

    fn write_steps_before(&self, printer: &mut Printer<'_>) {
        if self.steps_before.is_empty() {
            return;
        }
        printer.section("Steps before it", Keeps::Last);
        if self.earlier_steps > 0 {
            printer.say(Emphasis::Dim, &format!("  ⋮ {} before", text::count(self.earlier_steps, "step")));
        }
        write_steps(printer, &self.steps_before);
    }

    fn write_attempts(&self, printer: &mut Printer<'_>) {
        if self.attempts.is_empty() {
            return;
        }
        printer.section("Attempts", Keeps::Last);
        for span in &self.attempts {
            let mut line = printer.line();
            line.pad(2).push_state(span).push_span(span).push(Emphasis::Dim, &times(span));
            let error = span.error.as_ref().map(one_line).unwrap_or_default();
            let fits = line.width + 2 + text::width(&error) <= printer.style.columns();
            if fits {
                line.pad(2).push(Emphasis::Bad, &error);
            }
            printer.put(line);
            if !fits {
                printer.wrapped(4, Emphasis::Bad, &error, SENTENCE);
            }
        }
    }

    fn write_decisions(&self, printer: &mut Printer<'_>) {
        if self.decisions.is_empty() {
            return;
        }
        printer.heading("Decisions before it");
        for upstream in self.decisions.iter().take(LIST) {
            super::decisions::write_choice(
                printer,
                &upstream.decision,
                upstream.led_to_cause.then_some("led here"),
            );
        }
        if self.decisions.len() > LIST {
            let more = self.decisions.len() - LIST;
            printer.say(Emphasis::Dim, &format!("  ⋮ {} before", text::count(more, "decision")));
        }
    }

    /// What was cancelled or failed with it; what it brought down is on the path.
    fn write_cascades(&self, printer: &mut Printer<'_>) {
        let names = |kind| {
            let of_kind = self.cascades.iter().filter(|cascade| cascade.kind == kind);
            list(of_kind.map(|cascade| cascade.span.name.to_string()), LIST)
        };
        let affected =
            [("cancelled: ", names(CascadeKind::Cancelled)), ("failed: ", names(CascadeKind::Failed))];
        if affected.iter().any(|(_, names)| !names.is_empty()) {
            printer.heading("Also affected");
        }
        for (what, names) in affected.iter().filter(|(_, names)| !names.is_empty()) {
            printer.labelled(2, what, names, SENTENCE);
        }
    }

    /// The other failures; those that are like each other are taken together.
    fn write_other_failures(&self, printer: &mut Printer<'_>) {
        if self.other_failures.is_empty() {
            return;
        }
        printer.heading("Other failures");
        let mut groups: Vec<Vec<&OtherFailure>> = Vec::new();
        let mut by_likeness: HashMap<(&str, FailureOutcome, Option<String>), usize> = HashMap::new();
        for failure in &self.other_failures {
            let error = failure.span.error.as_ref().map(kind_of_error);
            let group = *by_likeness
                .entry((failure.span.name.as_str(), failure.outcome, error))
                .or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(failure);
        }
        for group in &groups {
            write_failures(printer, group);
        }
    }

    fn write_open(&self, printer: &mut Printer<'_>) {
        let shown = self.path.last().map(|step| step.span.span_id);
        let open = || self.open.iter().filter(move |span| Some(span.span_id) != shown);
        if open().next().is_none() {
            return;
        }
        printer.heading("Not ended");
        for span in open() {
            let mut line = printer.line();
            line.pad(2).push_state(span).push(Emphasis::Normal, &printer.sentence(&position(span)));
            line.push(Emphasis::of(span.state), &format!(" {}", span.state));
            line.push(Emphasis::Dim, &format!(" since {}", text::offset(span.offset_us)));
            printer.put(line);
        }
    }
}

/// How long a span took, and when it began.
fn times(span: &SpanSummary) -> String {
    let took = span.duration_us.map_or_else(String::new, |took| format!("  {}", text::duration(took)));
    format!("{took}  {}", text::offset(span.offset_us))
}

/// The attributes of the cause that are its own.
fn write_facts(printer: &mut Printer<'_>, cause: &Cause) {
    let fact = |(key, value): &(throughline_model::Text, throughline_model::Text)| match key.as_str() {
        attrs::HTTP_STATUS => value.to_string(),
        key => format!("{key} {value}"),
    };
    let facts: Vec<String> = cause.attrs.iter().map(fact).collect();
    if !facts.is_empty() {
        printer.wrapped(2, Emphasis::Normal, &facts.join(" · "), SENTENCE);
    }
    for point in cause.recorded.iter().filter(|point| point.span.state == RunState::Succeeded) {
        let facts = crate::explain::facts(&point.data, 6);
        if !facts.is_empty() {
            printer.labelled(2, &format!("· {}  ", point.span.name), &facts, SENTENCE);
        }
    }
}

fn write_value(printer: &mut Printer<'_>, indent: usize, what: &str, value: Option<&Value>) {
    if let Some(value) = value {
        let mut line = printer.line();
        line.pad(indent)
            .push(Emphasis::Dim, what)
            .push(Emphasis::Normal, " ")
            .push(Emphasis::Normal, &value.to_string());
        printer.put(line);
    }
}

fn write_steps(printer: &mut Printer<'_>, steps: &[PathStep]) {
    let name = |step: &PathStep| match step.times {
        1 => String::new(),
        times => format!(" ×{times}"),
    };
    let needed =
        steps.iter().map(|step| 4 + printer::span_width(&step.span) + name(step).chars().count()).max();
    let says_more = steps.iter().any(|step| step.span.error.is_some() || step.output.is_some());
    // What a step gave back has a third of the page at least.
    let most = printer.style.columns() - if says_more { printer.style.columns() / 3 + 11 } else { 11 };
    let names_end = needed.unwrap_or(0).min(most).max(20);
    for step in steps {
        let times = name(step);
        let mut line = printer.line();
        line.pad(2).push_state(&step.span).within(names_end - times.chars().count(), |line| {
            line.push_span(&step.span);
        });
        line.push(Emphasis::Normal, &times).pad_to(names_end);
        let took = step.span.duration_us.filter(|_| step.times == 1).map_or_else(String::new, text::duration);
        line.push_right(Emphasis::Normal, &took, 11);
        match (&step.span.error, &step.output) {
            (Some(error), _) => {
                line.pad(2).push_error(error);
            }
            (None, Some(output)) => {
                line.push(Emphasis::Dim, "  → ").push(Emphasis::Normal, &output.to_string());
            }
            (None, None) => {}
        }
        printer.put(line);
    }
}

/// Failures of one name, with one error and one outcome.
fn write_failures(printer: &mut Printer<'_>, failures: &[&OtherFailure]) {
    let [failure, ..] = failures else { return };
    let count = failures.len();
    let mut what = match failure.outcome {
        FailureOutcome::Recovered => "recovered: a retry succeeded",
        FailureOutcome::Retried => "retried",
        FailureOutcome::Tolerated => "tolerated: the work continued without it",
        FailureOutcome::NotPassedOn => "its error was not passed on",
        FailureOutcome::Aftermath => "perhaps while it cleaned up after the cause",
        FailureOutcome::Independent => "failed as well",
    }
    .to_owned();
    if let Some(retry) = failure.retried_by.as_ref().filter(|_| failure.outcome == FailureOutcome::Retried) {
        what.push_str(&format!(", the last attempt is {}", retry.state));
    }
    let times = if count > 1 { format!(" ×{count}") } else { String::new() };
    // They stand in the order in which they ended.
    let began = || failures.iter().map(|failure| failure.span.offset_us);
    let mut when = text::offset(began().min().unwrap_or_default());
    if count > 1 {
        when.push_str(&format!(" to {}", text::offset(began().max().unwrap_or_default())));
    }
    let what = format!("{times}  {when}  {what}");
    let mut line = printer.line();
    let names_end = printer.style.columns().saturating_sub(text::width(&what)).max(20);
    line.pad(2).push_state(&failure.span).within(names_end, |line| {
        line.push_span(&failure.span);
    });
    line.push(Emphasis::Dim, &what);
    printer.put(line);
    if let Some(error) = &failure.span.error {
        let others = failures.iter().filter(|other| other.span.error.as_ref() != Some(error)).count();
        let more = if others > 0 { format!(" (and {others} more like it)") } else { String::new() };
        printer.wrapped(4, Emphasis::Bad, &format!("{}{more}", one_line(error)), 2);
    }
}

/// What is the same of errors of one kind: the variant, where there is one, else the text without its numbers.
fn kind_of_error(error: &ErrorInfo) -> String {
    match error.kind.contains("::") {
        true => error.kind.to_string(),
        false => without_digits(&one_line(error)),
    }
}
