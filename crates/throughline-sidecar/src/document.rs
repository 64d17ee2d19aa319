//! [`Document`]: an answer in sections, for a terminal and for a browser.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use throughline_query::{elide, escape};
use unicode_width::UnicodeWidthStr;

/// An answer in sections.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// What it is about.
    pub title: String,
    /// When it was made, and whatever else stands below the title.
    pub subtitle: String,
    /// Its parts, in order.
    pub sections: Vec<Section>,
}

/// A part of a document.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// What a section says.
#[derive(Debug, Clone)]
pub enum Block {
    /// A line.
    Line(String, Tone),
    /// Names and what they have, one below the other.
    Facts(Vec<(String, String)>),
    /// A table: what its columns are called, and its rows. Columns whose names begin with `>` are aligned to the right.
    Table(Vec<&'static str>, Vec<Vec<String>>),
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As a statement.
    Plain,
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
}

impl Document {
    /// The document for a terminal of so many columns. What a terminal might obey is escaped.
    pub fn text(&self, width: usize, has_colour: bool) -> String {
        let mut text = Text { width, has_colour, text: String::new() };
        text.line(&self.title, Style::new().bold());
        text.line(&self.subtitle, Style::new().dimmed());
        for (number, section) in (1..).zip(&self.sections) {
            text.text.push('\n');
            text.line(&format!("{number}. {}", section.title), Style::new().bold());
            section.blocks.iter().for_each(|block| text.block(block));
        }
        text.text
    }

    /// The document as a page that needs nothing else: no script, and nothing from a network.
    pub fn html(&self) -> String {
        let mut html = String::new();
        let title = escaped(&self.title);
        let _ = write!(html, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        let _ =
            write!(html, "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n");
        let _ = write!(html, "<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n");
        let _ = writeln!(html, "<p class=\"sub\">{}</p>", escaped(&self.subtitle));
        for section in &self.sections {
            let _ = writeln!(html, "<section>\n<h2>{}</h2>", escaped(&section.title));
            section.blocks.iter().for_each(|block| write_block(block, &mut html));
            html.push_str("</section>\n");
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

struct Text {
    width: usize,
    has_colour: bool,
    text: String,
}

impl Text {
    fn line(&mut self, line: &str, style: Style) {
        let line = escape(line);
        let line = elide(&line, self.width);
        // Writing to memory does not fail.
        let _ = match self.has_colour {
            true => writeln!(self.text, "{style}{line}{style:#}"),
            false => writeln!(self.text, "{line}"),
        };
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Line(line, tone) => {
                let style = match tone {
                    Tone::Plain => Style::new(),
                    Tone::Good => AnsiColor::Green.on_default(),
                    Tone::Bad => AnsiColor::Red.on_default(),
                };
                self.line(&format!("  {line}"), style);
            }
            Block::Facts(facts) => {
                let names = facts.iter().map(|(name, _)| escape(name).width()).max().unwrap_or_default();
                for (name, value) in facts {
                    let gap = " ".repeat(names - escape(name).width());
                    self.line(&format!("  {name}{gap}  {value}"), Style::new());
                }
            }
            Block::Table(head, rows) => self.table(head, rows),
        }
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let names: Vec<_> = head.iter().map(|name| name.trim_start_matches('>')).collect();
        let mut widths: Vec<_> = names.iter().map(|name| name.width()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(escape(cell).width());
            }
        }
        narrow(&mut widths, self.width.saturating_sub(2));
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        for (row, style) in
            std::iter::once((&names, Style::new().dimmed())).chain(rows.iter().map(|row| (row, Style::new())))
        {
            let mut line = String::from(" ");
            for ((cell, width), name) in row.iter().zip(&widths).zip(head) {
                let cell = escape(cell);
                let cell = elide(&cell, *width);
                let gap = " ".repeat(width.saturating_sub(cell.width()));
                let (before, after) = if name.starts_with('>') { (&*gap, "") } else { ("", &*gap) };
                let _ = write!(line, " {before}{cell}{after} ");
            }
            self.line(line.trim_end(), style);
        }
    }
}

/// Takes from the widest columns what there is no room for.
fn narrow(widths: &mut [usize], room: usize) {
    loop {
        let all: usize = widths.iter().map(|width| width + 2).sum();
        let Some(widest) = widths.iter_mut().max() else { return };
        if all <= room || *widest <= 8 {
            return;
        }
        *widest -= (all - room).min(*widest - 8).clamp(1, 4);
    }
}

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
.sub { color: #5a6675; margin: 0; } .good { color: #16733b; } .bad { color: #b3261e; font-weight: 600; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; }
td { overflow-wrap: anywhere; } .n, .w { white-space: nowrap; }
th { color: #5a6675; font-weight: 500; } .n { text-align: right; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #dfe5ec; } .good { color: #5fce8b; } .bad { color: #ff8a80; } }
";

fn write_block(block: &Block, html: &mut String) {
    match block {
        Block::Line(line, tone) => {
            let class = match tone {
                Tone::Plain => "",
                Tone::Good => " class=\"good\"",
                Tone::Bad => " class=\"bad\"",
            };
            let _ = writeln!(html, "<p{class}>{}</p>", escaped(line));
        }
        Block::Facts(facts) => {
            html.push_str("<table>\n");
            for (name, value) in facts {
                let (name, text) = (escaped(name), escaped(value));
                let _ = writeln!(html, "<tr><th>{name}</th><td{}>{text}</td></tr>", class("", value));
            }
            html.push_str("</table>\n");
        }
        Block::Table(head, rows) => {
            html.push_str("<table>\n<tr>");
            for name in head {
                let text = name.trim_start_matches('>');
                let _ = write!(html, "<th{}>{}</th>", class(name, text), escaped(text));
            }
            html.push_str("</tr>\n");
            for row in rows {
                html.push_str("<tr>");
                for (cell, name) in row.iter().zip(head) {
                    let _ = write!(html, "<td{}>{}</td>", class(name, cell), escaped(cell));
                }
                html.push_str("</tr>\n");
            }
            html.push_str("</table>\n");
        }
    }
}

/// How a cell is shown: numbers to the right; a key or an id is one word, hyphens or not, unless it is too long for that.
fn class(column: &str, cell: &str) -> &'static str {
    const LONG: usize = 40;
    match () {
        () if column.starts_with('>') => " class=\"n\"",
        () if cell.len() <= LONG && !cell.contains(' ') => " class=\"w\"",
        () => "",
    }
}

/// A text within HTML: nothing of it is markup, and nothing turns the direction of what is read.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in escape(text).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let row = |n: &str, text: &str| vec![n.to_owned(), text.to_owned()];
        Document {
            title: "A <title>".to_owned(),
            subtitle: "made today".to_owned(),
            sections: vec![Section {
                title: "First".to_owned(),
                blocks: vec![
                    Block::Line("all is \u{1b}[2J well".to_owned(), Tone::Good),
                    Block::Facts(vec![
                        ("a".to_owned(), "1".to_owned()),
                        ("longer".to_owned(), "2".to_owned()),
                    ]),
                    Block::Table(
                        vec![">N", "MESSAGE"],
                        vec![
                            row("1", "<script>alert('x')</script>"),
                            row("2", "loan-4711"),
                            row("1,000", &"long ".repeat(30)),
                        ],
                    ),
                ],
            }],
        }
    }

    #[test]
    fn a_document_fits_into_80_and_120_columns() {
        for columns in [80, 120] {
            let text = document().text(columns, false);
            assert!(text.lines().all(|line| line.width() <= columns), "{text}");
            insta::assert_snapshot!(format!("document_at_{columns}_columns"), text);
        }
    }

    #[test]
    fn a_page_has_no_markup_of_what_it_is_about_and_asks_for_nothing() {
        let html = document().html();
        insta::assert_snapshot!(html.replace(STYLE, "STYLE\n"));
        for forbidden in ["<script", "http:", "https:", "src=", "url(", "@import", "\u{1b}"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}
