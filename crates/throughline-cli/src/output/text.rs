//! Texts from a store, made fit to be shown.

use std::borrow::Cow;

use throughline_core::TraceId;
use throughline_core::query::escape;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// A text from a store, made harmless: what could do something is escaped.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    escape(text)
}

/// The beginning of an id that every command accepts. Ids begin with 48 bits of time, so that it takes some more
/// to distinguish the runs of one millisecond.
pub(crate) fn short_id(id: TraceId) -> String {
    let mut id = id.to_string();
    id.truncate(16);
    id
}

/// So many things: `1 start`, `2,000 starts`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", group(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands set apart: `262,200`.
pub(crate) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A text of at most this many columns; what is cut leaves an ellipsis.
pub(super) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut room = columns.saturating_sub(1);
    let kept = text.graphemes(true).take_while(|piece| {
        let fits = piece.width() <= room;
        room = room.saturating_sub(piece.width());
        fits
    });
    Cow::Owned(kept.chain(["…"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_might_obey_is_escaped() {
        assert_eq!(clean("\u{1b}[31mred\u{9b}0m\nnext"), r"\u{1b}[31mred\u{9b}0m\nnext");
        assert_eq!(clean("harmless é 漢"), "harmless é 漢");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 262_200, 1_234_567].map(group).join(" "), "0 999 1,000 262,200 1,234,567");
    }

    #[test]
    fn what_does_not_fit_is_cut_by_columns() {
        assert_eq!(fit("activity", 8), "activity");
        assert_eq!(fit("activity", 5), "acti…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("👩‍👩‍👧 and more", 3), "👩‍👩‍👧…");
        assert_eq!(fit(&clean("👩‍👩‍👧 and more"), 2), "…");
    }
}
