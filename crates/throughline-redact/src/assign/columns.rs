//! What databases report of columns and their values: `Key (tenant_id, ssn)=(7, 078051120) already exists`.

use std::ops::Range;

use memchr::memrchr;

use crate::found::Found;
use crate::judge;
use crate::keys::Keys;
use crate::marker;
use crate::values;

/// The names of columns take no more.
const NAMES: usize = 200;

/// What stands between columns, and between values.
const COMMA: &str = ", ";

/// Finds the values of the columns that tell, and says how far it has read; nothing if no columns stand before the sign.
pub(super) fn find(
    text: &str,
    from: usize,
    sign: Range<usize>,
    keys: &Keys,
    found: &mut Found<'_>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    if !(bytes[..sign.start].ends_with(b")") && bytes[sign.end..].starts_with(b"(")) {
        return None;
    }
    let close = sign.start - 1;
    let from = text.ceil_char_boundary(from.max(close.saturating_sub(NAMES)));
    let open = from + memrchr(b'(', bytes.get(from..close)?)?;
    let columns: Vec<_> = parts(text, open + 1..close).collect();
    let named = |column: &Range<usize>| {
        let name = text[column.clone()].trim_matches('"');
        keys.classify_name(name).filter(|named| named.is_head)
    };
    if !columns.iter().any(|column| named(column).is_some()) {
        return None;
    }
    let whole = values::bracketed(bytes, sign.end);
    let closes = usize::from(whole.len() > 1 && bytes[whole.end - 1] == b')');
    let inner = whole.start + 1..whole.end - closes;
    let mut values: Vec<_> = parts(text, inner.clone()).collect();
    if values.len() != columns.len() {
        // A value has a comma in it: nobody knows which is which.
        values = vec![inner; columns.len()];
    }
    for (column, value) in columns.into_iter().zip(values) {
        let said = &text[value.clone()];
        let is_secret = named(&column)
            .is_some_and(|named| !judge::is_nothing(said, named.kind) && judge::looks_the_part(said, named));
        if is_secret {
            found.push_value(value, marker::REDACTED, column);
        }
    }
    Some(whole.end)
}

/// What stands between commas.
fn parts(text: &str, list: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = list.start;
    text[list].split(COMMA).map(move |part| {
        let at = start;
        start += part.len() + COMMA.len();
        at..at + part.len()
    })
}
