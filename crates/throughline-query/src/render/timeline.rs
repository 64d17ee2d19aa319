//! A timeline as text: one row to a span, with a bar that says when it ran.

use super::printer::{self, Printer};
use super::style::{Emphasis, Style};
use super::text;
use crate::{SpanSummary, Timeline};
use throughline_model::RunState;

/// The columns at the left: when it began, and how long it took behind the bar.
const OFFSET: usize = 11;
const DURATION: usize = 11;

impl Timeline {
    /// The timeline as text for people: a row for each span and point, in the order in which they began.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.head(self.run.as_ref());
        if self.run.is_some() {
            printer.put(printer.line());
        }
        let columns = (style.columns() / 3).clamp(12, 48);
        let matters = |row: usize| !matches!(self.spans[row].span.state, RunState::Succeeded);
        let shown = printer::choose_rows(self.spans.len(), style.max_rows(), matters);
        let hidden = shown.iter().filter(|shown| !**shown).count();
        for (node, _) in self.spans.iter().zip(shown).filter(|(_, shown)| *shown) {
            let span = &node.span;
            let mut line = printer.line();
            line.push_right(Emphasis::Dim, &text::offset_of(span), OFFSET);
            let bar = bar(span, self.duration_us, columns);
            line.push(Emphasis::Dim, " │").push(Emphasis::of(span.state), &bar).push(Emphasis::Dim, "│");
            line.push_right(
                Emphasis::Normal,
                &span.duration_us.map_or_else(String::new, text::duration),
                DURATION,
            );
            line.pad(2);
            match &node.choice {
                Some(choice) => {
                    line.push(Emphasis::Live, "◆ ").push(Emphasis::Normal, &span.name);
                    line.push(Emphasis::Normal, " → ").push(Emphasis::Live, choice);
                }
                None => {
                    line.push_state(span).push_span(span);
                }
            }
            if let Some(error) = &span.error {
                line.pad(2).push_error(error);
            }
            printer.put(line);
        }
        if hidden > 0 {
            printer.say(Emphasis::Dim, &format!("⋮ {}", text::more(hidden, "span")));
        }
        printer.problems(&self.problems);
        printer.finish()
    }
}

/// When a span ran, as a piece of a line that is the whole run.
fn bar(span: &SpanSummary, whole_us: u64, columns: usize) -> String {
    let column = |micros: u64| {
        let scaled = u128::from(micros.min(whole_us)) * columns as u128 / u128::from(whole_us.max(1));
        usize::try_from(scaled).unwrap_or(columns).min(columns - 1)
    };
    let start = column(span.offset_us);
    let is_open = !matches!(span.state, RunState::Succeeded | RunState::Failed | RunState::Cancelled);
    let end = match span.duration_us {
        _ if is_open => columns - 1,
        // A span that ends where a column begins does not reach into that column.
        Some(took) => column(span.offset_us.saturating_add(took).saturating_sub(1)).max(start),
        None => start,
    };
    let body = match span.duration_us {
        _ if is_open => "┅",
        None => "•",
        Some(_) => "━",
    };
    format!("{}{}{}", " ".repeat(start), body.repeat(end - start + 1), " ".repeat(columns - 1 - end))
}
