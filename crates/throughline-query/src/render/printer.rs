//! [`Printer`] and [`Line`]: text is put together in columns and cut to the width of the output.

use std::borrow::Cow;
use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation;

use super::style::{Emphasis, Style};
use super::text;
use crate::explain::headline::{later_attempt, one_line};
use crate::{Problem, SpanSummary};
use throughline_model::{ErrorInfo, RunState, RunSummary, names};

/// How many errors behind an error are shown, and how many lines each takes.
const CHAIN: usize = 8;
const SOURCE: usize = 2;
/// How many lines an error takes.
const ERROR: usize = 4;
/// How many names are shortened in sentences: each sentence is searched for all of them.
const SHORTENED: usize = 64;
/// How many columns a name takes at least, however little room there is.
const NAME: usize = 8;

/// The text of an answer, growing line by line.
pub(super) struct Printer<'s> {
    pub(super) style: &'s Style,
    lines: Vec<String>,
    sections: Vec<Section>,
    /// Names that would fill lines, and what is written instead of them in sentences.
    shortened: Vec<(String, String)>,
}

/// A part of an answer, from its heading to the next.
struct Section {
    /// The first line under its heading.
    from: usize,
    keeps: Keeps,
}

/// What is kept of a section that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Its first lines.
    First,
    /// Its last lines.
    Last,
    /// Its first and its last lines.
    Ends,
}

/// How many lines are kept of each section at least.
const LEAST: usize = 3;

impl<'s> Printer<'s> {
    pub(super) fn new(style: &'s Style) -> Self {
        Self { style, lines: Vec::new(), sections: Vec::new(), shortened: Vec::new() }
    }

    pub(super) fn line(&self) -> Line {
        Line { cells: Vec::new(), room: self.style.columns(), width: 0, cut: false }
    }

    pub(super) fn put(&mut self, mut line: Line) {
        if line.cut {
            line.elide();
        }
        while line.cells.last().is_some_and(|(_, text)| text.trim_end_matches(' ').is_empty()) {
            line.cells.pop();
        }
        let mut out = String::new();
        let last = line.cells.len().saturating_sub(1);
        for (at, (emphasis, text)) in line.cells.iter().enumerate() {
            let text = if at == last { text.trim_end_matches(' ') } else { text };
            self.style.paint(*emphasis, text, &mut out);
        }
        self.lines.push(out);
    }

    /// A line of one kind.
    pub(super) fn say(&mut self, emphasis: Emphasis, text: &str) {
        let mut line = self.line();
        line.push(emphasis, text);
        self.put(line);
    }

    /// A heading with an empty line before it.
    pub(super) fn heading(&mut self, text: &str) {
        self.section(text, Keeps::First);
    }

    /// A heading with an empty line before it, and what is kept of that section if the page is full.
    pub(super) fn section(&mut self, text: &str, keeps: Keeps) {
        self.lines.push(String::new());
        self.say(Emphasis::Heading, text);
        self.sections.push(Section { from: self.lines.len(), keeps });
    }

    /// Says which names there are: in sentences, those that would fill lines are written without their middle.
    pub(super) fn shorten<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let room = self.style.columns() / 2;
        if self.style.lines() == usize::MAX {
            return;
        }
        // No name has fewer bytes than columns.
        let long = names.filter(|name| name.len() > room && text::width(name) > room);
        let long: BTreeSet<&str> = long.take(SHORTENED).collect();
        let short = |name: &str| (name.to_owned(), text::elide(name, room).into_owned());
        self.shortened = long.into_iter().map(short).collect();
        // A name may be the beginning of a longer one.
        self.shortened.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// A sentence with its names shortened.
    pub(super) fn sentence<'w>(&self, words: &'w str) -> Cow<'w, str> {
        let names = self.shortened.iter();
        names.fold(Cow::Borrowed(words), |words, (name, short)| match words.contains(name) {
            true => Cow::Owned(words.replace(name, short)),
            false => words,
        })
    }

    /// Text in at most so many lines, each behind an indent.
    pub(super) fn wrapped(&mut self, indent: usize, emphasis: Emphasis, words: &str, lines: usize) {
        let words = &self.sentence(words);
        for words in text::wrap(words, self.style.columns().saturating_sub(indent), self.at_most(lines)) {
            let mut line = self.line();
            line.pad(indent);
            line.push(emphasis, &words);
            self.put(line);
        }
    }

    /// A text with what it is in front, in at most so many lines.
    pub(super) fn labelled(&mut self, indent: usize, label: &str, words: &str, lines: usize) {
        let (label, words) = (&*self.sentence(label), &self.sentence(words));
        let beside = indent + text::width(label);
        let room = self.style.columns().saturating_sub(beside);
        for (at, words) in text::wrap(words, room, self.at_most(lines)).iter().enumerate() {
            let mut line = self.line();
            match at {
                0 => line.pad(indent).push(Emphasis::Dim, label),
                _ => line.pad(beside),
            };
            line.push(Emphasis::Normal, words);
            self.put(line);
        }
    }

    /// How many lines a text may take.
    pub(super) fn at_most(&self, lines: usize) -> usize {
        if self.style.lines() == usize::MAX { usize::MAX } else { lines }
    }

    /// An error, and below it the errors behind it.
    pub(super) fn error(&mut self, indent: usize, error: &ErrorInfo) {
        self.wrapped(indent, Emphasis::Bad, &one_line(error), ERROR);
        self.chain(indent, error);
    }

    /// The errors behind an error, a line each.
    pub(super) fn chain(&mut self, indent: usize, error: &ErrorInfo) {
        for source in error.chain.iter().take(self.at_most(CHAIN)) {
            self.labelled(indent, "because: ", source, SOURCE);
        }
    }

    /// What is common to all answers: which run this is, how it stands, when it started.
    pub(super) fn head(&mut self, run: Option<&RunSummary>) {
        let Some(run) = run else {
            self.say(Emphasis::Dim, "no events");
            return;
        };
        let mut line = self.line();
        line.push_run(run);
        self.put(line);
        let trace = run.trace_id;
        let started = match run.started.is_known() {
            true => format!("started {}", run.started),
            false => "no time".to_owned(),
        };
        self.say(Emphasis::Dim, &format!("trace {trace} · {started} · {}", run.service));
    }

    /// Data problems: what is missing or contradictory in the events, at the end of an answer.
    pub(super) fn problems(&mut self, problems: &[Problem]) {
        if problems.is_empty() {
            return;
        }
        self.heading("Data problems");
        for problem in problems {
            self.say(Emphasis::Dim, &format!("  {problem}"));
        }
    }

    pub(super) fn finish(self) -> String {
        self.lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    /// The answer on a page: the longest sections are cut until it fits.
    pub(super) fn finish_page(mut self) -> String {
        let ends: Vec<usize> =
            self.sections.iter().skip(1).map(|next| next.from - 2).chain([self.lines.len()]).collect();
        let lengths: Vec<usize> =
            self.sections.iter().zip(&ends).map(|(section, end)| end - section.from).collect();
        let mut kept = lengths.clone();
        let mut excess = self.lines.len().saturating_sub(self.style.lines());
        while excess > 0 {
            let longest = (0..kept.len()).rev().max_by_key(|at| kept[*at]).filter(|at| kept[*at] > LEAST);
            let Some(longest) = longest else { break };
            // The first cut saves nothing: a line says how many there were.
            excess -= usize::from(kept[longest] < lengths[longest]);
            kept[longest] -= 1;
        }
        for ((section, length), kept) in self.sections.iter().zip(lengths).zip(kept).rev() {
            // A line that says that there is one more takes no less room than that one.
            if kept + 1 >= length {
                continue;
            }
            let before = match section.keeps {
                Keeps::First => kept,
                Keeps::Last => 0,
                Keeps::Ends => kept / 2,
            };
            let mut note = String::new();
            let hidden = format!("  ⋮ {}", text::more(length - kept, "line"));
            self.style.paint(Emphasis::Dim, &hidden, &mut note);
            let from = section.from + before;
            self.lines.splice(from..from + length - kept, [note]);
        }
        self.finish()
    }
}

/// A line: escaped, never wider than its room.
pub(super) struct Line {
    cells: Vec<(Emphasis, String)>,
    room: usize,
    pub(super) width: usize,
    cut: bool,
}

impl Line {
    /// Appends which run it is, and how it stands.
    pub(super) fn push_run(&mut self, run: &RunSummary) -> &mut Self {
        let root = run.root.as_ref().map(|root| root.name.as_str());
        // A workflow without a name has no more than a service.
        let root = root.filter(|root| *root != names::WORKFLOW_STARTED);
        self.push(Emphasis::Heading, run.workflow.as_deref().or(root).unwrap_or(&run.service));
        if let Some(key) = &run.correlation_id {
            self.push(Emphasis::Normal, " · ").push(Emphasis::Heading, key);
        }
        if let Some(attempt) = later_attempt(run) {
            self.push(Emphasis::Normal, &format!(" · attempt {attempt}"));
        }
        self.push(Emphasis::Normal, " · ").push(Emphasis::of(run.state), run.state.as_str());
        if let Some(took) = run.duration_us {
            self.push(Emphasis::of(run.state), &format!(" after {}", text::duration(took)));
        }
        self
    }

    /// Appends a text, from wherever it comes.
    pub(super) fn push(&mut self, emphasis: Emphasis, text: &str) -> &mut Self {
        if !self.cut && !text.is_empty() {
            let mut cell = String::new();
            let (used, all) = text::append(text, self.room - self.width, &mut cell);
            self.width += used;
            self.cut = !all;
            self.cells.push((emphasis, cell));
        }
        self
    }

    /// Appends a text if it is there, with what is to stand before it.
    pub(super) fn push_some(&mut self, emphasis: Emphasis, before: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.push(emphasis, before).push(emphasis, text);
        }
        self
    }

    /// Appends what ends before this column, cut where it does not.
    pub(super) fn within(&mut self, column: usize, write: impl FnOnce(&mut Self)) -> &mut Self {
        let whole = self.room;
        self.room = column.max(self.width).min(whole);
        write(self);
        if self.cut && self.room < whole {
            self.elide();
        }
        self.room = whole;
        self
    }

    /// Appends a text at the right end of so many columns.
    pub(super) fn push_right(&mut self, emphasis: Emphasis, text: &str, columns: usize) -> &mut Self {
        self.pad(columns.saturating_sub(text::width(text)));
        self.push(emphasis, text)
    }

    pub(super) fn pad(&mut self, columns: usize) -> &mut Self {
        self.push(Emphasis::Normal, &" ".repeat(columns.min(self.room)))
    }

    pub(super) fn pad_to(&mut self, column: usize) -> &mut Self {
        self.pad(column.saturating_sub(self.width))
    }

    pub(super) fn push_state(&mut self, span: &SpanSummary) -> &mut Self {
        self.push(Emphasis::of(span.state), mark(span)).push(Emphasis::Normal, " ")
    }

    /// A span by its name, which attempt it was, and how it stands if it did not simply end.
    pub(super) fn push_span(&mut self, span: &SpanSummary) -> &mut Self {
        let beside = span_width(span) - text::width(&span.name);
        let room = (self.room - self.width).saturating_sub(beside).max(NAME);
        self.push(Emphasis::Normal, &text::elide(&span.name, room));
        if let Some(attempt) = span.attempt.filter(|attempt| *attempt > 1) {
            self.push(Emphasis::Normal, &format!(" attempt {attempt}"));
        }
        if !matches!(span.state, RunState::Succeeded | RunState::Failed) {
            self.push(Emphasis::of(span.state), &format!(" {}", span.state));
        }
        self
    }

    /// An error in a line: its type and what it says.
    pub(super) fn push_error(&mut self, error: &ErrorInfo) -> &mut Self {
        self.push(Emphasis::Bad, &one_line(error))
    }

    /// Puts a sign that something was left out in the last column.
    fn elide(&mut self) {
        while self.width + 1 > self.room {
            let Some((_, cell)) = self.cells.last_mut() else { break };
            match cell.grapheme_indices(true).next_back().map(|(at, last)| (at, text::width(last))) {
                Some((at, width)) => {
                    cell.truncate(at);
                    self.width -= width;
                }
                None => {
                    self.cells.pop();
                }
            }
        }
        let emphasis = self.cells.last().map_or(Emphasis::Normal, |(emphasis, _)| *emphasis);
        self.cells.push((emphasis, "…".to_owned()));
        self.width += 1;
        self.cut = false;
    }
}

/// How many columns [`Line::push_span`] takes, if there is room.
pub(super) fn span_width(span: &SpanSummary) -> usize {
    let attempt =
        span.attempt.filter(|attempt| *attempt > 1).map_or(0, |attempt| format!(" attempt {attempt}").len());
    let state = match span.state {
        RunState::Succeeded | RunState::Failed => 0,
        other => 1 + other.as_str().len(),
    };
    text::width(&span.name) + attempt + state
}

/// A sign for how a span stands.
pub(super) fn mark(span: &SpanSummary) -> &'static str {
    match span.state {
        RunState::Succeeded if span.point => "·",
        RunState::Succeeded => "✓",
        RunState::Failed => "✗",
        RunState::Cancelled => "⊘",
        RunState::Running => "●",
        RunState::Interrupted => "!",
        RunState::Unfinished => "?",
    }
}

/// Which of many rows are shown: all if they fit, else those that matter and, of the others, the first.
pub(super) fn choose_rows(count: usize, limit: usize, matters: impl Fn(usize) -> bool) -> Vec<bool> {
    if count <= limit {
        return vec![true; count];
    }
    let mut shown = vec![false; count];
    let first = (0..count).filter(|row| matters(*row)).chain(0..count);
    let mut left = limit;
    for row in first {
        if left > 0 && !shown[row] {
            shown[row] = true;
            left -= 1;
        }
    }
    shown
}
