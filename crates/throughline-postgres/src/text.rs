//! What Postgres can't hold as it is: texts with a NUL, and numbers above 63 bits.

use std::borrow::Cow;

use throughline_model::{Status, Text};

/// Stands for NUL, which no text of Postgres has, and for itself: followed by `0` or `1`.
const ESCAPE: char = '\u{10FFFF}';

/// A text as the columns have it. The beginning of a text becomes the beginning of what the text becomes.
pub(crate) fn to_column(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(ESCAPE, "\u{10FFFF}1").replace('\0', "\u{10FFFF}0"))
}

/// The text of a column.
pub(crate) fn from_column(column: &str) -> Text {
    if !column.contains(ESCAPE) {
        return Text::from(column.to_owned());
    }
    Text::from(column.replace("\u{10FFFF}0", "\0").replace("\u{10FFFF}1", "\u{10FFFF}"))
}

/// A number as a signed one that sorts as the unsigned one does.
pub(crate) fn sortable(number: u64) -> i64 {
    (number ^ (1 << 63)) as i64
}

/// A number of microseconds, which is cut where a column ends.
pub(crate) fn capped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A status as the columns have it.
pub(crate) fn status_code(status: Status) -> i16 {
    match status {
        Status::Pending => 0,
        Status::Success => 1,
        Status::Failed => 2,
        Status::Cancelled => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        for text in
            ["", "stage:score", "a\0b", "\u{10FFFF}", "\u{10FFFF}0", "\0\u{10FFFF}1\0\0", "\u{10FFFF}\0"]
        {
            let column = to_column(text);
            assert!(!column.contains('\0'), "{text:?}");
            assert_eq!(from_column(&column), text);
        }
    }

    #[test]
    fn numbers_sort_as_unsigned_ones() {
        let numbers = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX];
        assert!(numbers.map(sortable).is_sorted());
    }
}
