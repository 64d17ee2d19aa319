//! A diff as text.

use serde_json::Value;

use super::printer::Printer;
use super::style::{Emphasis, Style};
use super::text;
use crate::explain::headline::one_line;
use crate::{Diff, Divergence, DivergenceKind, UnmatchedSpan};
use throughline_model::RunSummary;

/// How many rows each list of differences has.
const LIST: usize = 12;

impl Diff {
    /// The diff as text for people. `-` marks what happened in the other run, `+` what happened in this one.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        head(&mut printer, "- ", Emphasis::Bad, self.there.as_ref());
        head(&mut printer, "+ ", Emphasis::Good, self.here.as_ref());
        printer.put(printer.line());
        match &self.first_divergence {
            None => printer.say(Emphasis::Good, "✓ both runs did the same"),
            Some(first) => write_first(&mut printer, first),
        }
        self.write_inputs(&mut printer);
        self.write_attrs(&mut printer);
        self.write_choices(&mut printer);
        self.write_changed(&mut printer);
        write_unmatched(&mut printer, "Only in +", "+ ", Emphasis::Good, &self.only_here);
        write_unmatched(&mut printer, "Only in -", "- ", Emphasis::Bad, &self.only_there);
        self.write_slower(&mut printer);
        printer.problems(&self.problems);
        printer.finish()
    }

    fn write_inputs(&self, printer: &mut Printer<'_>) {
        let Some(first) = self.inputs.first() else { return };
        printer.heading(&format!("Inputs of {} that differ", first.span));
        for change in self.inputs.iter().take(LIST) {
            let pointer = if change.pointer.is_empty() { "(all of it)" } else { &change.pointer };
            printer.say(Emphasis::Normal, &format!("  {pointer}"));
            for (sign, emphasis, value) in
                [("-", Emphasis::Bad, &change.there), ("+", Emphasis::Good, &change.here)]
            {
                let value = value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
                printer.say(emphasis, &format!("    {sign} {value}"));
            }
        }
        say_more(printer, self.inputs.len(), "value");
    }

    fn write_attrs(&self, printer: &mut Printer<'_>) {
        if self.attrs.is_empty() {
            return;
        }
        printer.heading("Different attributes");
        let mut before = None;
        for change in self.attrs.iter().take(LIST) {
            if before.replace(&change.path) != Some(&change.path) {
                printer
                    .say(Emphasis::Normal, &format!("  {}", text::path_end(&change.path, room(printer, 2))));
            }
            for (sign, emphasis, value) in
                [("-", Emphasis::Bad, &change.there), ("+", Emphasis::Good, &change.here)]
            {
                if let Some(value) = value {
                    printer.say(emphasis, &format!("    {sign} {} {value}", change.key));
                }
            }
        }
        say_more(printer, self.attrs.len(), "attribute");
    }

    fn write_choices(&self, printer: &mut Printer<'_>) {
        if self.choices.is_empty() {
            return;
        }
        printer.heading("Different choices");
        for change in self.choices.iter().take(LIST) {
            printer.say(Emphasis::Normal, &format!("  {}", text::path_end(&change.path, room(printer, 2))));
            for (sign, emphasis, decision) in
                [("-", Emphasis::Bad, &change.there), ("+", Emphasis::Good, &change.here)]
            {
                let mut line = printer.line();
                line.pad(4)
                    .push(emphasis, sign)
                    .push(emphasis, " ")
                    .push(emphasis, decision.choice.as_deref().unwrap_or("nothing"));
                line.push_some(Emphasis::Dim, "  ", decision.reasoning.as_deref());
                printer.put(line);
            }
        }
        say_more(printer, self.choices.len(), "decision");
    }

    fn write_changed(&self, printer: &mut Printer<'_>) {
        if self.changed.is_empty() {
            return;
        }
        printer.heading("Different outcomes");
        for change in self.changed.iter().take(LIST) {
            let mut line = printer.line();
            line.pad(2)
                .push(Emphasis::Normal, &text::path_end(&change.path, room(printer, 30)))
                .push(Emphasis::Normal, ": ");
            line.push(Emphasis::of(change.there.state), change.there.state.as_str())
                .push(Emphasis::Normal, " → ");
            line.push(Emphasis::of(change.here.state), change.here.state.as_str());
            printer.put(line);
            if let Some(error) = &change.here.error {
                let mut line = printer.line();
                line.pad(4).push_error(error);
                printer.put(line);
            }
        }
        say_more(printer, self.changed.len(), "span");
    }

    fn write_slower(&self, printer: &mut Printer<'_>) {
        if self.slower.is_empty() {
            return;
        }
        printer.heading("Much slower");
        for span in self.slower.iter().take(LIST) {
            let mut line = printer.line();
            line.pad(2)
                .push(Emphasis::Normal, &text::path_end(&span.path, room(printer, 45)))
                .push(Emphasis::Normal, ": ");
            line.push(Emphasis::Normal, &text::duration(span.there_us)).push(Emphasis::Normal, " → ");
            line.push(Emphasis::Warn, &text::duration(span.here_us));
            if span.there_us > 0 {
                let times = span.here_us as f64 / span.there_us as f64;
                line.push(Emphasis::Dim, &format!("  {times:.1} times as long"));
            }
            printer.put(line);
        }
        say_more(printer, self.slower.len(), "span");
    }
}

fn head(printer: &mut Printer<'_>, sign: &str, emphasis: Emphasis, run: Option<&RunSummary>) {
    let mut line = printer.line();
    line.push(emphasis, sign);
    match run {
        None => {
            line.push(Emphasis::Dim, "no events");
        }
        Some(run) => {
            line.push_run(run);
        }
    }
    printer.put(line);
    if let Some(run) = run {
        printer.say(Emphasis::Dim, &format!("  trace {} · started {}", run.trace_id, run.started));
    }
}

fn write_first(printer: &mut Printer<'_>, first: &Divergence) {
    let mut line = printer.line();
    line.push(Emphasis::Warn, "first divergence: ")
        .push(Emphasis::Normal, &text::path_end(&first.path, room(printer, 50)));
    line.push(
        Emphasis::Warn,
        match first.kind {
            DivergenceKind::Choice => " chose differently",
            DivergenceKind::State => " ended differently",
            DivergenceKind::OnlyHere => " happened only in +",
            DivergenceKind::OnlyThere => " happened only in -",
        },
    );
    line.push(Emphasis::Dim, &format!("  {}", text::offset(first.span.offset_us)));
    printer.put(line);
    if let Some(error) = &first.span.error {
        printer.say(Emphasis::Bad, &format!("  {}", one_line(error)));
    }
}

fn write_unmatched(
    printer: &mut Printer<'_>,
    heading: &str,
    sign: &str,
    emphasis: Emphasis,
    spans: &[UnmatchedSpan],
) {
    if spans.is_empty() {
        return;
    }
    printer.heading(heading);
    for unmatched in spans.iter().take(LIST) {
        let mut line = printer.line();
        line.pad(2)
            .push(emphasis, sign)
            .push(Emphasis::Normal, &text::path_end(&unmatched.path, room(printer, 35)));
        if unmatched.below > 0 {
            line.push(Emphasis::Dim, &format!(" and {} below", text::count(unmatched.below, "span")));
        }
        line.push(Emphasis::Dim, &format!("  {}", text::offset(unmatched.span.offset_us)));
        printer.put(line);
    }
    say_more(printer, spans.len(), "span");
}

fn say_more(printer: &mut Printer<'_>, count: usize, noun: &str) {
    if count > LIST {
        printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(count - LIST, noun)));
    }
}

/// The columns left for a path beside so many others.
fn room(printer: &Printer<'_>, others: usize) -> usize {
    printer.style.columns().saturating_sub(others)
}
