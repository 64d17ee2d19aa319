//! Pieces of text: escaping, cutting to a width, moments, counts.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::SpanSummary;
pub(super) use crate::duration::duration;

/// Appends a text, escaped, as far as it fits; returns the columns that it took and whether all of it fitted. What people
/// see as one character is kept or left out as a whole.
pub(super) fn append(text: &str, room: usize, out: &mut String) -> (usize, bool) {
    if is_plain(text) {
        let fits = &text[..text.len().min(room)];
        out.push_str(fits);
        return (fits.len(), fits.len() == text.len());
    }
    let mut used = 0;
    for piece in text.graphemes(true) {
        let piece = escaped(piece);
        let width = piece.width();
        if used + width > room {
            return (used, false);
        }
        out.push_str(&piece);
        used += width;
    }
    (used, true)
}

/// Whether each byte is one character, and one column.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// What people see as one character, made harmless. A joiner between two emoji does nothing but join them.
fn escaped(piece: &str) -> Cow<'_, str> {
    let joins = |char| char == '\u{200d}' && piece.width() > 1;
    if !piece.contains(|char| is_unsafe(char) && !joins(char)) {
        return Cow::Borrowed(piece);
    }
    let mut harmless = String::new();
    for char in piece.chars() {
        if is_unsafe(char) { harmless.extend(char.escape_default()) } else { harmless.push(char) }
    }
    harmless.into()
}

/// A text made harmless: what could do something to a terminal is escaped. See [`is_unsafe`].
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    text.graphemes(true).map(escaped).collect::<String>().into()
}

/// How many columns a text takes once it is escaped.
pub(super) fn width(text: &str) -> usize {
    if is_plain(text) {
        return text.len();
    }
    text.graphemes(true).map(|piece| escaped(piece).width()).sum()
}

/// A text that fits into so many columns; of one that does not, the beginning and the end: names often differ at the end.
pub fn elide(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(1);
    let mut start = String::new();
    append(text, room / 2, &mut start);
    let (mut left, mut end) = (room - room / 2, Vec::new());
    for piece in text.graphemes(true).rev() {
        match left.checked_sub(escaped(piece).width()) {
            Some(rest) => left = rest,
            None => break,
        }
        end.push(piece);
    }
    let end: String = end.into_iter().rev().collect();
    format!("{start}…{end}").into()
}

/// A text in as many lines as it needs, broken at white space, at most so many.
pub(super) fn wrap(text: &str, room: usize, lines: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut line = String::new();
    for (piece, begins_word) in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let gap = usize::from(begins_word && !line.is_empty());
        let fits = width(&line) + gap + width(piece) <= room;
        // The last line takes the rest, and is cut where it is written.
        if !line.is_empty() && !fits && wrapped.len() + 1 < lines {
            wrapped.push(std::mem::take(&mut line));
        }
        if width(&line) > room {
            break;
        }
        if begins_word && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(piece);
    }
    wrapped.push(line);
    wrapped
}

/// A word in pieces that fit, and whether each is its beginning: a script without spaces says a sentence in one.
fn pieces(word: &str, room: usize) -> Vec<(&str, bool)> {
    if width(word) <= room {
        return vec![(word, true)];
    }
    let (mut pieces, mut start, mut used) = (Vec::new(), 0, 0);
    for (at, cluster) in word.grapheme_indices(true) {
        let columns = width(cluster);
        if used + columns > room && at > start {
            pieces.push((&word[start..at], start == 0));
            (start, used) = (at, 0);
        }
        used += columns;
    }
    pieces.push((&word[start..], start == 0));
    pieces
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
    fn a_name_that_is_too_long_keeps_its_end() {
        assert_eq!(elide("stage:prepare", 20), "stage:prepare");
        assert_eq!(elide("dependency:db-transaction-commit", 16), "depende…n-commit");
        assert_eq!(width(&elide("日本語日本語日本語", 8)), 7);
    }

    #[test]
    fn an_emoji_of_several_characters_is_kept_or_left_out_as_a_whole() {
        let family = "👩‍👩‍👧";
        let mut out = String::new();
        assert_eq!(append(family, 2, &mut out), (2, true));
        assert_eq!(out, family);
        assert_eq!(append(family, 1, &mut String::new()), (0, false));
        // A joiner that joins nothing is not seen, and so is escaped.
        let mut out = String::new();
        append("a\u{200d}b", 20, &mut out);
        assert_eq!(out, r"a\u{200d}b");
    }

    #[test]
    fn words_wrap_and_the_last_line_takes_the_rest() {
        assert_eq!(wrap("one two three four", 8, 2), ["one two", "three four"]);
        assert_eq!(wrap("", 8, 2), [""]);
        // Not cut where no space is.
        assert_eq!(wrap("残高不足です", 6, 4), ["残高不", "足です"]);
        assert_eq!(wrap("a word 0123456789", 8, 4), ["a word", "01234567", "89"]);
    }
}
