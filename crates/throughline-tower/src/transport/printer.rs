//! Text for people: columns, bars, durations and sizes.

use std::time::Duration;

pub(super) use throughline_core::query::Emphasis;
use throughline_core::query::{Style, is_unsafe};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Text that grows line by line. What could do something to a terminal is escaped.
pub(super) struct Printer<'s> {
    style: &'s Style,
    out: String,
    column: usize,
}

impl<'s> Printer<'s> {
    pub(super) fn new(style: &'s Style) -> Self {
        Self { style, out: String::new(), column: 0 }
    }

    /// Appends a text to the line.
    pub(super) fn put(&mut self, emphasis: Emphasis, text: &str) -> &mut Self {
        let text = escaped(text);
        self.column += text.width();
        self.style.paint(emphasis, &text, &mut self.out);
        self
    }

    /// Appends a text that ends at this column.
    pub(super) fn put_right(&mut self, emphasis: Emphasis, text: &str, column: usize) -> &mut Self {
        self.pad_to(column.saturating_sub(text.width()));
        self.put(emphasis, text)
    }

    pub(super) fn pad_to(&mut self, column: usize) -> &mut Self {
        if let Some(missing) = column.checked_sub(self.column) {
            self.out.extend(std::iter::repeat_n(' ', missing));
            self.column = column;
        }
        self
    }

    pub(super) fn end_line(&mut self) -> &mut Self {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        self.column = 0;
        self
    }

    /// A text in as many lines as it needs, from this column on; the first continues the line.
    pub(super) fn wrapped(&mut self, indent: usize, emphasis: Emphasis, text: &str) -> &mut Self {
        let words = escaped(text);
        let (mut line, room) = (String::new(), self.style.columns().saturating_sub(indent).max(20));
        for word in words.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                self.pad_to(indent).put(emphasis, &std::mem::take(&mut line)).end_line();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.pad_to(indent).put(emphasis, &line).end_line()
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unsafe(char) {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    safe
}

/// A text of at most so many columns; what is left out is marked.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        kept.push(char);
    }
    kept + "…"
}

/// A part of a whole as a bar of at most so many columns, exact to an eighth of one.
pub(super) fn bar(part: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part.clamp(0.0, 1.0) * (columns * 8) as f64).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// A part of a whole as people say it: `61.0 %`.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// A duration as people say it: `840 ns`, `4.2 µs`, `412 µs`, `1.2 ms`, `340 ms`, `4.2 s`.
pub(super) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..10_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        10_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..10_000_000 => format!("{}.{} ms", nanos / 1_000_000, nanos % 1_000_000 / 100_000),
        10_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{}.{} s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 100_000_000),
    }
}

/// A size as people say it: `412 B`, `2.1 kB`, `3.4 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_say_them() {
        let nanos = [0, 840, 4_250, 412_900, 1_250_000, 340_000_000, 4_200_000_000];
        let said = nanos.map(|nanos| duration(Duration::from_nanos(nanos)));
        assert_eq!(said, ["0 ns", "840 ns", "4.2 µs", "412 µs", "1.2 ms", "340 ms", "4.2 s"]);
        assert_eq!([412, 2_100, 3_400_000].map(bytes), ["412 B", "2.1 kB", "3.4 MB"]);
    }

    #[test]
    fn a_bar_is_exact_to_an_eighth_of_a_column() {
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.4, 4), "█▋");
        assert_eq!((bar(0.0, 4), bar(7.0, 2)), (String::new(), "██".to_owned()));
    }

    #[test]
    fn nothing_that_moves_a_cursor_gets_through_and_lines_end_without_spaces() {
        let style = Style::plain();
        let mut printer = Printer::new(&style);
        printer.put(Emphasis::Bad, "a\u{1b}[2Jb").pad_to(20).end_line();
        assert_eq!(printer.finish(), "a\\u{1b}[2Jb\n");
        assert_eq!(cut("日本語", 5), "日本…");
    }
}
