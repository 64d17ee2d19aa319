//! A [Mermaid](https://mermaid.js.org/syntax/flowchart.html) flowchart of what happened.

use std::collections::HashMap;
use std::io::{self, Write};

use throughline_core::query::{Span, TraceQuery};
use throughline_core::{Relation, RunState, SpanId};

use super::{Story, sign};
use crate::output::{clean, micros};

/// How many spans are drawn: renderers refuse large diagrams, and people can't read them.
const MOST: usize = 80;
/// How many characters of a name are shown.
const NAME: usize = 60;

/// Writes the flowchart of a run: what leads to the cause, then what failed or is open, then what is nearest to the root.
pub(crate) fn write(story: &Story, output: &mut dyn Write) -> io::Result<()> {
    let chosen = choose(&story.query);
    let nodes: HashMap<SpanId, usize> = chosen.iter().enumerate().map(|(at, span)| (span.id(), at)).collect();
    let cause = story.query.failure().map(|span| span.id());
    writeln!(output, "flowchart TD")?;
    for (at, span) in chosen.iter().enumerate() {
        let took = span.duration().map_or_else(String::new, |took| {
            format!(" {}", micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)))
        });
        let label = label(&format!("{} {}{took}", sign(span.state()), shortened(&span.name())));
        let class = match span.state() {
            _ if Some(span.id()) == cause => "cause",
            RunState::Failed => "failed",
            RunState::Succeeded => "succeeded",
            _ => "open",
        };
        writeln!(output, "  n{at}[\"{label}\"]:::{class}")?;
    }
    for (at, span) in chosen.iter().enumerate() {
        if let Some(parent) = span.parent().and_then(|parent| nodes.get(&parent.id())) {
            writeln!(output, "  n{parent} --> n{at}")?;
        }
        for undone in span.linked(Relation::Compensates).filter_map(|id| nodes.get(&id)) {
            writeln!(output, "  n{at} -. undoes .-> n{undone}")?;
        }
        let hidden = span.children().filter(|child| !nodes.contains_key(&child.id())).count();
        if hidden > 0 {
            writeln!(output, "  n{at} --- m{at}[\"{hidden} more\"]")?;
        }
    }
    writeln!(output, "  classDef succeeded stroke:#2a7a3b")?;
    writeln!(output, "  classDef failed stroke:#b3261e")?;
    writeln!(output, "  classDef cause stroke:#b3261e,stroke-width:4px")?;
    writeln!(output, "  classDef open stroke-dasharray:4")
}

/// The spans that are drawn, each with all that enclose it, in the order in which they began.
fn choose(query: &TraceQuery) -> Vec<Span<'_>> {
    let mut chosen: HashMap<SpanId, Span<'_>> = HashMap::new();
    let matters = query.spans().filter(|span| span.state() != RunState::Succeeded);
    let mut by_depth: Vec<Span<'_>> = query.spans().collect();
    by_depth.sort_by_key(Span::depth);
    for span in query.failure().into_iter().chain(matters).chain(by_depth) {
        if chosen.len() >= MOST {
            break;
        }
        // Of a path that is too deep the end is drawn, which is what matters.
        let mut enclosing = Some(span);
        while let Some(span) =
            enclosing.filter(|span| chosen.len() < MOST && !chosen.contains_key(&span.id()))
        {
            chosen.insert(span.id(), span);
            enclosing = span.parent();
        }
    }
    query.spans().filter(|span| chosen.contains_key(&span.id())).collect()
}

fn shortened(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}

/// A text within quotes. All that may mean something to Mermaid, or to the HTML that it makes, is an
/// [entity code](https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters).
fn label(text: &str) -> String {
    let text = clean(text);
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        match c {
            // Before this it would be an icon.
            ':' if text[at..].starts_with(":fa-") => out.push_str("#58;"),
            ' ' | '.' | ',' | '-' | '_' | '/' | ':' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            '✓' | '✗' | '⊘' | '●' | '…' | '›' | 'µ' => out.push(c),
            c => out.push_str(&format!("#{};", u32::from(c))),
        }
    }
    // Behind these words Mermaid takes the last entity code of a line for a colour, and its semicolon for the end of a statement.
    if out.contains('#') { out.replace("style", "st#121;le").replace("classDef", "class#68;ef") } else { out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_leaves_its_label(text in "(\\PC|[\"`\n<&;#])*") {
            let label = label(&text);
            prop_assert!(!label.contains(['"', '`', '<', '>', '&', '\n', '[', ']', '{', '}', '(', ')']), "{}", label);
        }
    }
}
