//! A tree as text.

use super::printer::{self, Printer};
use super::style::{Emphasis, Style};
use super::text;
use crate::explain::headline::one_line;
use crate::{Tree, TreeNode};
use throughline_model::RunState;

/// The columns at the right: how long it took, when it began.
const DURATION: usize = 12;
const OFFSET: usize = 13;
/// How many lines an error takes at most.
const ERROR: usize = 3;

impl Tree {
    /// The tree as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.head(self.run.as_ref());
        if self.run.is_some() {
            printer.put(printer.line());
        }
        let branches = Branches::of(&self.nodes, style.columns() / 6);
        let matters = |row: usize| !matches!(self.nodes[row].span.state, RunState::Succeeded);
        let shown = printer::choose_rows(self.nodes.len(), style.max_rows(), matters);
        let mut hidden = 0;
        for ((node, prefix), shown) in self.nodes.iter().zip(branches).zip(shown) {
            if !shown {
                hidden += 1;
                continue;
            }
            say_hidden(&mut printer, &mut hidden);
            write(&mut printer, node, &prefix);
        }
        say_hidden(&mut printer, &mut hidden);
        printer.problems(&self.problems);
        printer.finish()
    }
}

fn write(printer: &mut Printer<'_>, node: &TreeNode, prefix: &Prefix) {
    let span = &node.span;
    let left = printer.style.columns() - DURATION - OFFSET;
    let mut line = printer.line();
    line.push(Emphasis::Dim, &prefix.own);
    line.within(left, |line| match node.choice.as_deref() {
        Some(choice) => {
            line.push(Emphasis::Live, "◆ ").push(Emphasis::Normal, &span.name);
            line.push(Emphasis::Normal, " → ").push(Emphasis::Live, choice);
        }
        None => {
            line.push_state(span).push_span(span);
        }
    });
    line.pad_to(left);
    let took = span.duration_us.map_or_else(String::new, text::duration);
    line.push_right(Emphasis::Normal, &took, DURATION);
    line.push_right(Emphasis::Dim, &text::offset_of(span), OFFSET);
    printer.put(line);
    if let Some(error) = &span.error {
        let room = printer.style.columns().saturating_sub(text::width(&prefix.below));
        for words in text::wrap(&one_line(error), room, printer.at_most(ERROR)) {
            let mut line = printer.line();
            line.push(Emphasis::Dim, &prefix.below).push(Emphasis::Bad, &words);
            printer.put(line);
        }
    }
}

fn say_hidden(printer: &mut Printer<'_>, hidden: &mut usize) {
    if *hidden > 0 {
        printer.say(Emphasis::Dim, &format!("⋮ {}", text::more(*hidden, "span")));
        *hidden = 0;
    }
}

/// The lines in front of a row, and in front of what is said below it.
struct Prefix {
    own: String,
    below: String,
}

/// Draws the branches of a tree whose rows are only known by their depth.
struct Branches {
    /// Depth, whether it is the last of its siblings, whether it has children.
    rows: std::vec::IntoIter<(usize, bool, bool)>,
    /// For each depth whether more siblings follow there.
    open: Vec<bool>,
    /// How deep branches are drawn; what is deeper says its depth.
    deepest: usize,
}

impl Branches {
    fn of(nodes: &[TreeNode], deepest: usize) -> Self {
        let mut rows = Vec::with_capacity(nodes.len());
        // Read from the end: a row is the last of its siblings if none stood at its depth since a shallower one.
        let mut seen: Vec<bool> = Vec::new();
        for node in nodes.iter().rev() {
            let has_children = seen.get(node.depth + 1).copied().unwrap_or(false);
            seen.resize(node.depth + 1, false);
            rows.push((node.depth, !seen[node.depth], has_children));
            seen[node.depth] = true;
        }
        rows.reverse();
        Self { rows: rows.into_iter(), open: Vec::new(), deepest }
    }
}

impl Iterator for Branches {
    type Item = Prefix;

    fn next(&mut self) -> Option<Prefix> {
        let (depth, last, has_children) = self.rows.next()?;
        self.open.truncate(depth);
        self.open.resize(depth, false);
        self.open.push(!last);
        if depth > self.deepest {
            let deeper = format!("{}⋯ {depth} deep ", "   ".repeat(self.deepest.saturating_sub(6)));
            return Some(Prefix { below: " ".repeat(deeper.chars().count()), own: deeper });
        }
        let bar = |open: &bool| if *open { "│  " } else { "   " };
        let around: String = self.open.iter().take(depth).skip(1).map(bar).collect();
        let (own, beside) = match depth {
            0 => (String::new(), ""),
            _ if last => (format!("{around}└─ "), "   "),
            _ => (format!("{around}├─ "), "│  "),
        };
        let below = format!("{around}{beside}{}", if has_children { "│ " } else { "  " });
        Some(Prefix { own, below })
    }
}
