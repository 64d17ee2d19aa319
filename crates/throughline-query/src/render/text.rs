//! Pieces of text: escaping, cutting to a width, moments, counts.

use unicode_width::UnicodeWidthChar;

use crate::SpanSummary;
pub(super) use crate::duration::duration;

/// Appends a text, escaped, as far as it fits; returns the columns that it took and whether all of it fitted.
pub(super) fn append(text: &str, room: usize, out: &mut String) -> (usize, bool) {
    let mut used = 0;
    for char in text.chars() {
        let before = out.len();
        let width = if is_unsafe(char) {
            out.extend(char.escape_default());
            out.len() - before
        } else {
            out.push(char);
            char.width().unwrap_or(0)
        };
        if used + width > room {
            out.truncate(before);
            return (used, false);
        }
        used += width;
    }
    (used, true)
}

/// How many columns a text takes once it is escaped.
pub(super) fn width(text: &str) -> usize {
    text.chars()
        .map(|char| if is_unsafe(char) { char.escape_default().count() } else { char.width().unwrap_or(0) })
        .sum()
}

/// A text in as many lines as it needs, broken at white space, at most so many.
pub(super) fn wrap(text: &str, room: usize, lines: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let fits = width(&line) + 1 + width(word) <= room;
        // The last line takes the rest, and is cut where it is written.
        if !line.is_empty() && !fits && wrapped.len() + 1 < lines {
            wrapped.push(std::mem::take(&mut line));
        }
        if width(&line) > room {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    wrapped.push(line);
    wrapped
}

/// Whether a character could do something to a terminal, or to the order of what it shows: control characters and
/// those that change direction or have no width. Renderings escape them; code that prints texts of events must too.
pub fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// When a span began, as the time since the run began; blank if nobody knows.
pub(super) fn offset_of(span: &SpanSummary) -> String {
    if span.started.is_known() { offset(span.offset_us) } else { String::new() }
}

/// A moment as the time since the run began.
pub(super) fn offset(micros: u64) -> String {
    match micros {
        0 => "+0".to_owned(),
        _ => format!("+{}", duration(micros)),
    }
}

/// A way of names joined by ` › `; of one that does not fit, the end.
pub(super) fn path_end(path: &str, room: usize) -> String {
    if width(path) <= room {
        return path.to_owned();
    }
    let mut end = path;
    while let Some((_, rest)) = end.split_once(" › ") {
        end = rest;
        if width(end) + 4 <= room {
            break;
        }
    }
    format!("… › {end}")
}

/// `1 span`, `2 spans`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `1 more span`, `2 more spans`.
pub(super) fn more(number: usize, noun: &str) -> String {
    count(number, &format!("more {noun}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_text_around_gets_through() {
        let mut out = String::new();
        let (used, all) = append("a\u{1b}[2J\r\n\u{9b}\u{202e}b", 100, &mut out);
        assert_eq!(out, r"a\u{1b}[2J\r\n\u{9b}\u{202e}b");
        assert_eq!((used, all), (out.len(), true));
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        let mut out = String::new();
        assert_eq!(append("日本語", 5, &mut out), (4, false));
        assert_eq!(out, "日本");
        assert_eq!(width("日本"), 4);
    }

    #[test]
    fn words_wrap_and_the_last_line_takes_the_rest() {
        assert_eq!(wrap("one two three four", 8, 2), ["one two", "three four"]);
        assert_eq!(wrap("", 8, 2), [""]);
    }
}
