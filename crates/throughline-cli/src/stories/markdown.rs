//! Markdown for an issue tracker. Every text of a run is in a code span or a code block that it can't leave.

use std::io::{self, Write};

use serde_json::Value;
use throughline_core::query::{CompensationEntry, PathStep};

use super::{Story, error_of, sign};
use crate::output::{clean, micros, moment};

/// How many characters of a text are shown in a line, and in a cell of a table.
const LINE: usize = 400;
const CELL: usize = 120;
/// How many rows a list or a table has.
const ROWS: usize = 50;

/// Writes a run.
pub(crate) fn write(story: &Story, output: &mut dyn Write) -> io::Result<()> {
    let Story { run, query, .. } = story;
    let explanation = query.explain();
    writeln!(output, "## {} {}: {}\n", sign(run.state), span(&story.title(), LINE), run.state)?;
    writeln!(output, "{}\n", span(&explanation.headline, LINE))?;
    let mut facts = vec![
        ("Run", run.trace_id.to_string()),
        ("Service", span(&run.service, CELL)),
        ("Started", format!("{} UTC", moment(run.started))),
    ];
    facts.extend(run.duration_us.map(|took| ("Took", micros(took))));
    for (name, fact) in facts {
        writeln!(output, "- {name}: {fact}")?;
    }
    let mut said = explanation.statements.iter().filter(|statement| statement.text != explanation.headline);
    if let Some(first) = said.next() {
        heading(output, "Verdict")?;
        for statement in std::iter::once(first).chain(said).take(ROWS) {
            writeln!(output, "- {} ({})", span(&statement.text, LINE), statement.certainty.as_str())?;
        }
    }
    if !explanation.path.is_empty() {
        heading(output, "How it got there")?;
        let hidden = explanation.path.len().saturating_sub(ROWS);
        if hidden > 0 {
            writeln!(output, "- … {hidden} spans around these")?;
        }
        for step in &explanation.path[hidden..] {
            write_step(output, step)?;
        }
    }
    write_ledger(story, output)?;
    write_decisions(story, output)?;
    writeln!(output)
}

fn heading(output: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(output, "\n### {text}\n")
}

fn write_step(output: &mut dyn Write, step: &PathStep) -> io::Result<()> {
    let took = step.span.duration_us.map_or_else(String::new, |took| format!(", {}", micros(took)));
    writeln!(output, "- {} {}{took}", sign(step.span.state), span(&step.span.name, LINE))?;
    if let Some(error) = error_of(&step.span) {
        writeln!(output, "  - error: {}", span(&error, LINE))?;
    }
    for (name, value) in [("input", &step.input), ("output", &step.output)] {
        if let Some(value) = value {
            writeln!(output, "  - {name}: {}", span(&value.to_string(), LINE))?;
        }
    }
    Ok(())
}

fn write_ledger(story: &Story, output: &mut dyn Write) -> io::Result<()> {
    let ledger = story.query.compensation_ledger();
    let entries: Vec<&CompensationEntry> = ledger.sagas.iter().flat_map(|saga| &saga.entries).collect();
    if entries.is_empty() {
        return Ok(());
    }
    heading(output, "Compensation")?;
    let rows = entries.iter().map(|entry| {
        let error = entry.compensation.as_ref().and_then(error_of);
        // Words, as JSON has them.
        let state = serde_json::to_value(entry.state).ok();
        let state = state.as_ref().and_then(Value::as_str).unwrap_or_default().replace('_', " ");
        [
            cell(&entry.step.name),
            state,
            cell(entry.resource.as_deref().unwrap_or_default()),
            cell(&error.unwrap_or_default()),
        ]
    });
    table(output, ["Step", "State", "Resource", "Error"], rows)
}

fn write_decisions(story: &Story, output: &mut dyn Write) -> io::Result<()> {
    let decisions = story.query.decisions();
    if decisions.outcomes.is_empty() {
        return Ok(());
    }
    heading(output, "Decisions")?;
    let rows = decisions.outcomes.iter().map(|outcome| {
        let decision = &outcome.decision;
        let others = decision.alternatives.iter().filter(|alternative| !alternative.chosen);
        let others: Vec<&str> = others.map(|alternative| alternative.name.as_str()).collect();
        let mut choice = cell(decision.choice.as_deref().unwrap_or_default());
        if outcome.led_to_cause {
            choice.push_str(" (led to the cause)");
        }
        [
            cell(&decision.name),
            choice,
            cell(&others.join(", ")),
            cell(decision.reasoning.as_deref().unwrap_or_default()),
        ]
    });
    table(output, ["Decision", "Choice", "Instead of", "Because"], rows)
}

fn table<const N: usize>(
    output: &mut dyn Write,
    head: [&str; N],
    rows: impl ExactSizeIterator<Item = [String; N]>,
) -> io::Result<()> {
    writeln!(output, "| {} |\n|{}", head.join(" | "), "---|".repeat(N))?;
    let hidden = rows.len().saturating_sub(ROWS);
    for row in rows.take(ROWS) {
        writeln!(output, "| {} |", row.join(" | "))?;
    }
    if hidden > 0 {
        writeln!(output, "\n… and {hidden} more")?;
    }
    Ok(())
}

/// A text as a code span: between more backticks than there are in a row in it.
fn span(text: &str, most: usize) -> String {
    let text = clean(text);
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    if shown.trim().is_empty() {
        // A code span of blanks is none.
        return "–".to_owned();
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // Blanks keep a backtick at an end apart from the fence, and are not shown.
    let blank = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{blank}{shown}{blank}{fence}")
}

/// A text as a code span in a table, whose cells end at a bar even there.
fn cell(text: &str) -> String {
    if text.is_empty() { String::new() } else { span(text, CELL).replace('|', "\\|") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text of the code span that this is, as [CommonMark](https://spec.commonmark.org/0.31.2/#code-spans) reads it;
    /// `None` if anything is left before or behind.
    fn read(span: &str) -> Option<String> {
        let ticks = span.len() - span.trim_start_matches('`').len();
        let rest = &span[ticks..];
        let mut at = 0;
        while at < rest.len() {
            let run = rest[at..].len() - rest[at..].trim_start_matches('`').len();
            if run == ticks && ticks > 0 {
                let inner = &rest[..at];
                let stripped = inner.strip_prefix(' ').and_then(|inner| inner.strip_suffix(' '));
                let text = stripped.filter(|_| !inner.trim().is_empty()).unwrap_or(inner);
                return (at + run == rest.len()).then(|| text.to_owned());
            }
            at += run.max(1);
            while !rest.is_char_boundary(at) {
                at += 1;
            }
        }
        None
    }

    #[test]
    fn a_text_of_backticks_stays_in_its_code_span() {
        assert_eq!(span("plain", 10), "`plain`");
        assert_eq!(span("`tick`", 10), "`` `tick` ``");
        assert_eq!(span("", 10), "–");
        assert_eq!(cell("a | b"), "`a \\| b`");
        assert_eq!(span("a\nb", 10), "`a\\nb`");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_code_span_or_its_cell(text in "([`| \\\\\n]|\\PC){0,40}") {
            let span = span(&text, 1_000);
            prop_assert!(!span.contains('\n'));
            if !clean(&text).trim().is_empty() {
                prop_assert_eq!(read(&span), Some(clean(&text).into_owned()), "{}", span);
            }
            let cell = cell(&text);
            // A bar ends a cell unless a backslash stands before it.
            let mut before = ' ';
            for c in cell.chars() {
                prop_assert!(c != '|' || before == '\\', "{}", cell);
                before = c;
            }
        }
    }
}
