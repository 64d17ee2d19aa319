//! What the commands print, and how.

mod chart;
mod json;
mod run;
mod table;
mod text;
mod time;

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use anstyle::Style;
use clap::ValueEnum;
use serde::Serialize;
use throughline_core::query;
pub(crate) use throughline_core::query::is_unsafe;

pub(crate) use chart::{bars, stacked};
pub(crate) use json::write_json;
pub(crate) use run::{failure_of, kind_of, name_of, state_style};
pub(crate) use table::{Cell, Table};
pub(crate) use text::{clean, count, group, short_id};
pub(crate) use time::{ago, micros, millis, moment};

/// How wide text is when nobody says how wide the terminal is.
pub(crate) const DEFAULT_WIDTH: usize = 100;

/// What is written to.
enum Output {
    Stdout(BufWriter<Stdout>),
    Text(Vec<u8>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Text(text) => text.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Text(_) => Ok(()),
        }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// Where answers are written, with what it can show.
pub(crate) struct Screen {
    output: Output,
    has_colour: bool,
    width: Option<usize>,
    json: bool,
}

impl Screen {
    /// The standard output. Colour is for terminals, and for nobody where `NO_COLOR` is set.
    pub(crate) fn new(color: Color, json: bool) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let refused = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let has_colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !refused("NO_COLOR") && !is_dumb,
        };
        let width =
            is_terminal.then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)));
        Self {
            output: Output::Stdout(BufWriter::new(stdout)),
            has_colour: has_colour && !json,
            width: width.flatten(),
            json,
        }
    }

    /// A text in memory, without colours and of any width.
    pub(crate) fn text_only() -> Self {
        Self { output: Output::Text(Vec::new()), has_colour: false, width: None, json: false }
    }

    /// What was written to a [text in memory](Self::text_only).
    pub(crate) fn into_text(self) -> String {
        match self.output {
            Output::Text(text) => String::from_utf8_lossy(&text).into_owned(),
            Output::Stdout(_) => String::new(),
        }
    }

    /// Whether the answer is wanted as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }

    /// Whether there are colours.
    pub(crate) fn has_colour(&self) -> bool {
        self.has_colour
    }

    /// How wide the terminal is; `None` if it is none.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes a line. Texts from the store must be [`clean`] already.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.output, "{line}")
    }

    /// Writes a text of several lines, which ends with a line end or not.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{}", text.trim_end_matches('\n'))
    }

    /// How the renderings of a [`TraceQuery`](throughline_core::TraceQuery) are to be written.
    pub(crate) fn style(&self) -> query::Style {
        let style = if self.has_colour { query::Style::ansi() } else { query::Style::plain() };
        style.width(self.width.unwrap_or(DEFAULT_WIDTH))
    }

    /// Writes a heading, after an empty line.
    pub(crate) fn heading(&mut self, heading: &str) -> io::Result<()> {
        let heading = self.paint(heading, Style::new().bold());
        writeln!(self.output, "\n{heading}")
    }

    /// A text in a style, or plain where there is no colour.
    pub(crate) fn paint(&self, text: &str, style: Style) -> String {
        if self.has_colour { paint(text, style) } else { text.to_owned() }
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        table.write(&mut self.output, self.width, self.has_colour)
    }

    /// Writes an answer as a JSON document that people can read.
    pub(crate) fn json(&mut self, answer: &impl Serialize) -> io::Result<()> {
        write_json(&mut self.output, answer, true)
    }

    /// Writes an answer as one line of JSON.
    pub(crate) fn json_line(&mut self, answer: &impl Serialize) -> io::Result<()> {
        write_json(&mut self.output, answer, false)
    }

    /// Writes a text of several lines; on a terminal in the place of the one before.
    pub(crate) fn redraw(&mut self, text: &str) -> io::Result<()> {
        if self.width.is_some() {
            // To the corner, and away with what is below.
            self.output.write_all(b"\x1b[H\x1b[J")?;
        }
        self.text(text)
    }

    /// Makes what was written be seen.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Says on standard error why a command failed. Errors quote names of files and texts of stores, so they are made
    /// harmless, line by line.
    pub(crate) fn complain(&self, error: &dyn fmt::Display) {
        let message = error.to_string();
        let lines: Vec<_> = message.lines().map(clean).collect();
        // If this fails, there is nowhere left to report it.
        let _ = writeln!(io::stderr(), "throughline: {}", lines.join("\n"));
    }

    /// The output itself.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut self.output
    }
}

fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}
