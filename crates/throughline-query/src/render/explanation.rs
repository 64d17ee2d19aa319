//! An explanation as text.

use serde_json::Value;

use super::ledger;
use super::printer::{self, Printer};
use super::style::{Emphasis, Style};
use super::text;
use crate::explain::headline::{list, position, tells_resumptions};
use crate::{CascadeKind, Explanation, FailureOutcome, OtherFailure, PathStep, SpanSummary, Verdict};

/// How many rows a list within an explanation has at most.
const LIST: usize = 12;

impl Explanation {
    /// The explanation as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.head(self.run.as_ref());
        if self.run.is_none() {
            return printer.finish();
        }
        printer.put(printer.line());
        self.write_headline(&mut printer);
        self.write_path(&mut printer);
        self.write_steps_before(&mut printer);
        self.write_attempts(&mut printer);
        self.write_decisions(&mut printer);
        self.write_cascades(&mut printer);
        if self.compensations.iter().any(|saga| !saga.entries.is_empty()) {
            printer.heading("Compensation");
            for saga in &self.compensations {
                ledger::write_saga(&mut printer, saga);
            }
        }
        self.write_other_failures(&mut printer);
        self.write_open(&mut printer);
        printer.problems(&self.problems);
        printer.finish()
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
        for (at, words) in text::wrap(&self.headline, printer.style.columns() - 2, 4).iter().enumerate() {
            let mut line = printer.line();
            line.push(emphasis, if at == 0 { sign } else { "  " }).push(emphasis, words);
            printer.put(line);
        }
        if self.resumed > 0 && !tells_resumptions(self.verdict) {
            printer.say(Emphasis::Dim, &format!("  resumed {}", text::count(self.resumed, "time")));
        }
        let Some(cause) = &self.cause else { return };
        if let Some(error) = &cause.span.error {
            printer.chain(2, error);
        }
        if let Some(last) = &cause.last_inside {
            let mut line = printer.line();
            line.push(Emphasis::Dim, "  last inside it: ").push_state(last).push_span(last);
            line.push(Emphasis::Dim, &format!("  {}", text::offset(last.offset_us)));
            printer.put(line);
        }
    }

    fn write_path(&self, printer: &mut Printer<'_>) {
        if self.path.is_empty() {
            return;
        }
        printer.heading("How it got there");
        // Of a long path the top, for orientation, and the end, where it went wrong.
        let hidden = self.path.len().saturating_sub(LIST);
        let shown = self.path.iter().enumerate().filter(|(at, _)| *at < 2 || *at >= 2 + hidden);
        let end = self.path.len() - 1;
        for (row, (at, step)) in shown.enumerate() {
            if row == 2 && hidden > 0 {
                printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(hidden, "span")));
            }
            let indent =
                format!("  {}{}", "   ".repeat(row.saturating_sub(1)), if row > 0 { "└─ " } else { "" });
            let mut line = printer.line();
            line.push(Emphasis::Dim, &indent).push_state(&step.span).push_span(&step.span);
            write_times(&mut line, &step.span);
            if at == end {
                line.push(Emphasis::Bad, "  ← here");
            }
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
        printer.heading("Steps before it");
        let hidden = self.steps_before.len().saturating_sub(LIST);
        if hidden + self.earlier_steps > 0 {
            printer.say(
                Emphasis::Dim,
                &format!("  ⋮ {} before", text::count(hidden + self.earlier_steps, "step")),
            );
        }
        for step in self.steps_before.iter().skip(hidden) {
            write_step(printer, step);
        }
    }

    fn write_attempts(&self, printer: &mut Printer<'_>) {
        if self.attempts.is_empty() {
            return;
        }
        printer.heading("Attempts");
        let hidden = self.attempts.len().saturating_sub(LIST);
        if hidden > 0 {
            printer.say(Emphasis::Dim, &format!("  ⋮ {} before", text::count(hidden, "attempt")));
        }
        for span in self.attempts.iter().skip(hidden) {
            let mut line = printer.line();
            line.pad(2).push_state(span).push_span(span);
            write_times(&mut line, span);
            if let Some(error) = &span.error {
                line.pad(2).push_error(error);
            }
            printer.put(line);
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
                upstream.linked.then_some("led here"),
            );
        }
        if self.decisions.len() > LIST {
            let more = self.decisions.len() - LIST;
            printer.say(Emphasis::Dim, &format!("  ⋮ {} before", text::count(more, "decision")));
        }
    }

    fn write_cascades(&self, printer: &mut Printer<'_>) {
        if self.cascades.is_empty() {
            return;
        }
        printer.heading("Also affected");
        for (kind, what) in [(CascadeKind::Propagated, "enclosing:"), (CascadeKind::Cancelled, "cancelled:")]
        {
            let of_kind = || self.cascades.iter().filter(move |cascade| cascade.kind == kind);
            if of_kind().next().is_some() {
                let names = list(of_kind().map(|cascade| cascade.span.name.to_string()), LIST);
                let mut line = printer.line();
                line.pad(2)
                    .push(Emphasis::Dim, what)
                    .push(Emphasis::Normal, " ")
                    .push(Emphasis::Normal, &names);
                printer.put(line);
            }
        }
    }

    fn write_other_failures(&self, printer: &mut Printer<'_>) {
        if self.other_failures.is_empty() {
            return;
        }
        printer.heading("Other failures");
        for failure in self.other_failures.iter().take(LIST) {
            write_failure(printer, failure);
        }
        if self.other_failures.len() > LIST {
            let more = self.other_failures.len() - LIST;
            printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(more, "failure")));
        }
    }

    fn write_open(&self, printer: &mut Printer<'_>) {
        let cause = self.cause.as_ref().map(|cause| cause.span.span_id);
        let open = || self.open.iter().filter(move |span| Some(span.span_id) != cause);
        if open().next().is_none() {
            return;
        }
        printer.heading("Not ended");
        for span in open().take(LIST) {
            let mut line = printer.line();
            line.pad(2).push_state(span).push(Emphasis::Normal, &position(span));
            line.push(Emphasis::of(span.state), &format!(" {}", span.state));
            line.push(Emphasis::Dim, &format!(" since {}", text::offset(span.offset_us)));
            printer.put(line);
        }
        if open().count() > LIST {
            printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(open().count() - LIST, "span")));
        }
    }
}

fn write_times(line: &mut printer::Line, span: &SpanSummary) {
    let took = span.duration_us.map_or_else(String::new, |took| format!("  {}", text::duration(took)));
    line.push(Emphasis::Normal, &took).push(Emphasis::Dim, &format!("  {}", text::offset(span.offset_us)));
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

fn write_step(printer: &mut Printer<'_>, step: &PathStep) {
    let mut line = printer.line();
    let names_end = (printer.style.columns() / 2 - 12).clamp(20, 38);
    line.pad(2).push_state(&step.span).within(names_end, |line| {
        line.push_span(&step.span);
    });
    line.pad_to(names_end);
    line.push_right(Emphasis::Normal, &step.span.duration_us.map_or_else(String::new, text::duration), 11);
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

fn write_failure(printer: &mut Printer<'_>, failure: &OtherFailure) {
    let mut line = printer.line();
    line.pad(2).push_state(&failure.span).push_span(&failure.span);
    let what = match failure.outcome {
        FailureOutcome::Recovered => "recovered: a retry succeeded",
        FailureOutcome::Retried => "retried",
        FailureOutcome::Tolerated => "tolerated: the work continued without it",
        FailureOutcome::Independent => "an independent failure",
    };
    line.push(Emphasis::Dim, &format!("  {}  {what}", text::offset(failure.span.offset_us)));
    if let Some(retry) = failure.retried_by.as_ref().filter(|_| failure.outcome == FailureOutcome::Retried) {
        line.push(Emphasis::Dim, &format!(", the last attempt is {}", retry.state));
    }
    printer.put(line);
    if let Some(error) = &failure.span.error {
        let mut line = printer.line();
        line.pad(4).push_error(error);
        printer.put(line);
    }
}
