//! `password=hunter2`, `"pin": "1234"`, `AccountKey=…;`: values behind a telling key in running text.

use super::super::keys::Keys;
use super::Hit;

/// No key in running text is longer.
const LONGEST_KEY: usize = 64;

pub(super) fn find(text: &str, keys: &Keys, hit: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr::memchr2_iter(b'=', b':', bytes) {
        if at < done {
            continue;
        }
        let key = key_before(text, at);
        if key.is_empty() || !keys.is_telling(key) {
            continue;
        }
        if let Some(range) = value_after(bytes, at + 1) {
            done = range.end;
            hit(Hit::new(range, ""));
        }
    }
}

/// The word before the sign, past quotes (with backslashes, where the text is JSON in a string) and spaces.
fn key_before(text: &str, sign: usize) -> &str {
    let before = text[..sign].trim_end_matches([' ', '"', '\'', '\\', '`']);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = before.char_indices().rev().take(LONGEST_KEY).take_while(|(_, c)| is_part(*c)).last();
    start.map_or("", |(start, _)| &before[start..])
}

/// The value after the sign: what stands in quotes, or up to the next space or separator.
fn value_after(bytes: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    let mut start = from;
    while matches!(bytes.get(start), Some(b' ' | b'\t' | b'\\' | b'>' | b'=')) {
        start += 1;
    }
    let quote = bytes.get(start).copied().filter(|c| matches!(c, b'"' | b'\'' | b'`'));
    let start = start + usize::from(quote.is_some());
    let mut end = start;
    match quote {
        Some(quote) => {
            while end < bytes.len() && bytes[end] != quote {
                // An escaped quote belongs to the value, unless the whole text is escaped.
                end += if bytes[end] == b'\\' && bytes.get(end + 1) != Some(&quote) { 2 } else { 1 };
            }
            end = end.min(bytes.len());
            // The backslash of an escaped closing quote stays.
            while end > start && bytes[end - 1] == b'\\' {
                end -= 1;
            }
        }
        None => {
            let is_end = |c: u8| c.is_ascii_whitespace() || b",;&\"'`)}]|".contains(&c);
            while end < bytes.len() && !is_end(bytes[end]) {
                end += 1;
            }
            let scheme = bytes[start..end].to_ascii_lowercase();
            if matches!(&scheme[..], b"bearer" | b"basic" | b"digest" | b"token")
                && bytes.get(end) == Some(&b' ')
            {
                end += 1;
                while end < bytes.len() && !is_end(bytes[end]) {
                    end += 1;
                }
            }
        }
    }
    // Redacting twice must change nothing more than redacting once.
    let is_marker = bytes[start..end].starts_with(b"[redacted");
    (end > start && !is_marker).then_some(start..end)
}
