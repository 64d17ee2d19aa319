//! Pieces of text: escaping, cutting to a width, durations.

use unicode_width::UnicodeWidthChar;

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

/// A duration as people say it: `87 µs`, `1.2 ms`, `340 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn duration(micros: u64) -> String {
    const SECOND: u64 = 1_000_000;
    let tenths = |unit: u64, name: &str| format!("{}.{} {name}", micros / unit, micros % unit * 10 / unit);
    let seconds = micros / SECOND;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => tenths(1_000, "ms"),
        10_000..SECOND => format!("{} ms", micros / 1_000),
        _ if seconds < 60 => tenths(SECOND, "s"),
        _ if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
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
    fn durations_read_as_people_say_them() {
        let cases = [
            (0, "0 µs"),
            (87, "87 µs"),
            (1_250, "1.2 ms"),
            (340_900, "340 ms"),
            (999_999, "999 ms"),
            (1_200_000, "1.2 s"),
            (59_999_999, "59.9 s"),
            (192_000_000, "3 min 12 s"),
            (7_500_000_000, "2 h 5 min"),
            (273_600_000_000, "3 d 4 h"),
        ];
        for (micros, text) in cases {
            assert_eq!(duration(micros), text);
        }
        assert!(duration(u64::MAX).ends_with('h'));
    }

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
