//! A diff as text.

use serde_json::Value;

use super::page::Page;
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
        let mut page = Page::new(style);
        head(&mut page, "+ ", Emphasis::Good, self.here.as_ref());
        head(&mut page, "- ", Emphasis::Bad, self.there.as_ref());
        page.put(page.line());
        match &self.first_divergence {
            None => page.say(Emphasis::Good, "✓ both runs did the same"),
            Some(first) => write_first(&mut page, first),
        }
        self.write_inputs(&mut page);
        self.write_choices(&mut page);
        self.write_changed(&mut page);
        write_unmatched(&mut page, "Only here", "+ ", Emphasis::Good, &self.only_here);
        write_unmatched(&mut page, "Only there", "- ", Emphasis::Bad, &self.only_there);
        self.write_slower(&mut page);
        page.problems(&self.problems);
        page.finish()
    }

    fn write_inputs(&self, page: &mut Page<'_>) {
        let Some(first) = self.inputs.first() else { return };
        page.heading(&format!("Inputs of {} that differ", first.span));
        for change in self.inputs.iter().take(LIST) {
            let pointer = if change.pointer.is_empty() { "(all of it)" } else { &change.pointer };
            page.say(Emphasis::Normal, &format!("  {pointer}"));
            for (sign, emphasis, value) in
                [("-", Emphasis::Bad, &change.there), ("+", Emphasis::Good, &change.here)]
            {
                let value = value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
                page.say(emphasis, &format!("    {sign} {value}"));
            }
        }
        say_more(page, self.inputs.len(), "value");
    }

    fn write_choices(&self, page: &mut Page<'_>) {
        if self.choices.is_empty() {
            return;
        }
        page.heading("Different choices");
        for change in self.choices.iter().take(LIST) {
            page.say(Emphasis::Normal, &format!("  {}", text::path_end(&change.path, room(page, 2))));
            for (sign, emphasis, decision) in
                [("-", Emphasis::Bad, &change.there), ("+", Emphasis::Good, &change.here)]
            {
                let mut line = page.line();
                line.pad(4)
                    .push(emphasis, sign)
                    .push(emphasis, " ")
                    .push(emphasis, decision.choice.as_deref().unwrap_or("nothing"));
                line.push_some(Emphasis::Dim, "  ", decision.reasoning.as_deref());
                page.put(line);
            }
        }
        say_more(page, self.choices.len(), "decision");
    }

    fn write_changed(&self, page: &mut Page<'_>) {
        if self.changed.is_empty() {
            return;
        }
        page.heading("Different outcomes");
        for change in self.changed.iter().take(LIST) {
            let mut line = page.line();
            line.pad(2)
                .push(Emphasis::Normal, &text::path_end(&change.path, room(page, 30)))
                .push(Emphasis::Normal, ": ");
            line.push(Emphasis::of(change.there.state), change.there.state.as_str())
                .push(Emphasis::Normal, " → ");
            line.push(Emphasis::of(change.here.state), change.here.state.as_str());
            page.put(line);
            if let Some(error) = &change.here.error {
                let mut line = page.line();
                line.pad(4).push_error(error);
                page.put(line);
            }
        }
        say_more(page, self.changed.len(), "span");
    }

    fn write_slower(&self, page: &mut Page<'_>) {
        if self.slower.is_empty() {
            return;
        }
        page.heading("Much slower");
        for span in self.slower.iter().take(LIST) {
            let mut line = page.line();
            line.pad(2)
                .push(Emphasis::Normal, &text::path_end(&span.path, room(page, 45)))
                .push(Emphasis::Normal, ": ");
            line.push(Emphasis::Normal, &text::duration(span.there_us)).push(Emphasis::Normal, " → ");
            line.push(Emphasis::Warn, &text::duration(span.here_us));
            if span.there_us > 0 {
                let times = span.here_us as f64 / span.there_us as f64;
                line.push(Emphasis::Dim, &format!("  {times:.1} times as long"));
            }
            page.put(line);
        }
        say_more(page, self.slower.len(), "span");
    }
}

fn head(page: &mut Page<'_>, sign: &str, emphasis: Emphasis, run: Option<&RunSummary>) {
    let mut line = page.line();
    line.push(emphasis, sign);
    match run {
        None => {
            line.push(Emphasis::Dim, "no events");
        }
        Some(run) => {
            line.push(Emphasis::Heading, run.workflow.as_deref().unwrap_or(&run.service));
            line.push_some(Emphasis::Heading, " · ", run.correlation_id.as_deref());
            line.push(Emphasis::Normal, " · ").push(Emphasis::of(run.state), run.state.as_str());
            if let Some(took) = run.duration_us {
                line.push(Emphasis::of(run.state), &format!(" after {}", text::duration(took)));
            }
        }
    }
    page.put(line);
    if let Some(run) = run {
        page.say(Emphasis::Dim, &format!("  trace {} · started {}", run.trace_id, run.started));
    }
}

fn write_first(page: &mut Page<'_>, first: &Divergence) {
    let mut line = page.line();
    line.push(Emphasis::Warn, "first divergence: ")
        .push(Emphasis::Normal, &text::path_end(&first.path, room(page, 50)));
    line.push(
        Emphasis::Warn,
        match first.kind {
            DivergenceKind::Choice => " chose differently",
            DivergenceKind::State => " ended differently",
            DivergenceKind::OnlyHere => " happened only here",
            DivergenceKind::OnlyThere => " happened only there",
        },
    );
    line.push(Emphasis::Dim, &format!("  {}", text::offset(first.span.offset_us)));
    page.put(line);
    if let Some(error) = &first.span.error {
        page.say(Emphasis::Bad, &format!("  {}", one_line(error)));
    }
}

fn write_unmatched(
    page: &mut Page<'_>,
    heading: &str,
    sign: &str,
    emphasis: Emphasis,
    spans: &[UnmatchedSpan],
) {
    if spans.is_empty() {
        return;
    }
    page.heading(heading);
    for unmatched in spans.iter().take(LIST) {
        let mut line = page.line();
        line.pad(2)
            .push(emphasis, sign)
            .push(Emphasis::Normal, &text::path_end(&unmatched.path, room(page, 35)));
        if unmatched.below > 0 {
            line.push(Emphasis::Dim, &format!(" and {} below", text::count(unmatched.below, "span")));
        }
        line.push(Emphasis::Dim, &format!("  {}", text::offset(unmatched.span.offset_us)));
        page.put(line);
    }
    say_more(page, spans.len(), "span");
}

fn say_more(page: &mut Page<'_>, count: usize, noun: &str) {
    if count > LIST {
        page.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(count - LIST, noun)));
    }
}

/// The columns left for a path beside so many others.
fn room(page: &Page<'_>, others: usize) -> usize {
    page.style.columns().saturating_sub(others)
}
