//! Decisions as text.

use super::printer::Printer;
use super::style::{Emphasis, Style};
use super::text;
use crate::{Basis, Consequence, Decision, DecisionOutcome, Decisions};

/// How many alternatives and consequences of a decision are shown.
const LIST: usize = 10;

impl Decisions {
    /// The decisions as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.head(self.run.as_ref());
        if self.run.is_none() {
            return printer.finish();
        }
        if self.outcomes.is_empty() {
            printer.put(printer.line());
            printer.say(Emphasis::Dim, "no decisions were recorded");
        }
        let shown = self.outcomes.len().min(style.max_rows());
        for outcome in &self.outcomes[..shown] {
            printer.put(printer.line());
            write_choice(
                &mut printer,
                &outcome.decision,
                outcome.led_to_cause.then_some("led to the failure"),
            );
            write_consequences(&mut printer, outcome);
        }
        if shown < self.outcomes.len() {
            printer.say(Emphasis::Dim, &format!("⋮ {}", text::more(self.outcomes.len() - shown, "decision")));
        }
        printer.problems(&self.problems);
        printer.finish()
    }
}

/// What was chosen, among what, and why.
pub(super) fn write_choice(printer: &mut Printer<'_>, decision: &Decision, note: Option<&str>) {
    let mut line = printer.line();
    line.push(Emphasis::Live, "  ◆ ").push(Emphasis::Normal, &decision.name);
    match &decision.choice {
        Some(choice) => line.push(Emphasis::Normal, " chose ").push(Emphasis::Heading, choice),
        None => line.push(Emphasis::Dim, " recorded no choice"),
    };
    if let Some(confidence) = decision.confidence {
        line.push(Emphasis::Normal, &format!(", {:.0} % sure", confidence * 100.0));
    }
    line.push_some(Emphasis::Dim, ", by ", decision.decider.as_deref());
    line.push(Emphasis::Dim, &format!("  {}", text::offset(decision.offset_us)));
    line.push_some(Emphasis::Bad, "  ← ", note);
    printer.put(line);
    if let Some(reasoning) = &decision.reasoning {
        printer.wrapped(6, Emphasis::Dim, reasoning, 3);
    }
    for alternative in decision.alternatives.iter().take(LIST) {
        let mut line = printer.line();
        let emphasis = if alternative.chosen { Emphasis::Live } else { Emphasis::Normal };
        line.pad(6).push(emphasis, if alternative.chosen { "● " } else { "○ " });
        line.within(32, |line| {
            line.push(emphasis, &alternative.name);
        });
        line.pad_to(32);
        let score = alternative.score.map_or_else(String::new, |score| format!("{score:.2}"));
        line.push_right(Emphasis::Normal, &score, 6);
        line.push_some(Emphasis::Dim, "  ", alternative.reason.as_deref());
        printer.put(line);
    }
    if decision.alternatives.len() > LIST {
        printer.say(Emphasis::Dim, &format!("      ⋮ {} more", decision.alternatives.len() - LIST));
    }
}

fn write_consequences(printer: &mut Printer<'_>, outcome: &DecisionOutcome) {
    printer.say(
        Emphasis::Dim,
        match outcome.basis {
            Basis::Linked => "    what it caused",
            Basis::Followed => "    what followed",
            Basis::Nothing => "    nothing followed",
        },
    );
    // The one that holds the cause is shown wherever it stands.
    let late = outcome.consequences.iter().skip(LIST).find(|consequence| consequence.holds_cause);
    for consequence in outcome.consequences.iter().take(LIST).chain(late) {
        write_consequence(printer, consequence);
    }
    let shown = outcome.consequences.len().min(LIST) + usize::from(late.is_some());
    let more = outcome.consequences.len() - shown + outcome.more;
    if more > 0 {
        printer.say(Emphasis::Dim, &format!("      ⋮ {}", text::more(more, "step")));
    }
}

fn write_consequence(printer: &mut Printer<'_>, consequence: &Consequence) {
    let span = &consequence.span;
    let mut line = printer.line();
    line.pad(6).push_state(span).within(44, |line| {
        line.push_span(span);
    });
    line.pad_to(44);
    line.push_right(Emphasis::Normal, &span.duration_us.map_or_else(String::new, text::duration), 11);
    line.push_right(Emphasis::Dim, &text::offset(span.offset_us), 12);
    if consequence.spans > 1 {
        line.push(Emphasis::Dim, &format!("  {}", text::count(consequence.spans, "span")));
        if consequence.failed > 0 {
            line.push(Emphasis::Bad, &format!(", {} failed", consequence.failed));
        }
    }
    if consequence.holds_cause {
        line.push(Emphasis::Bad, "  ← the cause");
    }
    printer.put(line);
}
