//! Where a value ends that has neither quotes nor white space.

use std::ops::Range;

use super::brackets::Brackets;
use super::of_bytes;
use crate::tokens::run_end;

/// What may end a value without white space; all other bytes belong to it.
const MAY_END: [bool; 256] = of_bytes(b"&;<>\"'`, \t\n\r\x0c");

/// Where values without white space end in one text: what was read for one key is not read again for the next key in it.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    read: Range<usize>,
    /// Where what was read ends without what closes the text around.
    end: usize,
    /// The same of brackets.
    pub(super) brackets: Brackets,
}

impl Tokens {
    /// As [`token_end`].
    pub(super) fn end(&mut self, bytes: &[u8], start: usize) -> usize {
        if !self.read.contains(&start) {
            self.read = start..raw_end(bytes, start);
            self.end = kept_end(bytes, self.read.clone());
        }
        // A blank belongs to a value only behind a backslash.
        if matches!(bytes.get(start), Some(b' ' | b'\n')) { start } else { self.end.max(start) }
    }
}

/// Where a value without white space ends.
pub(crate) fn token_end(bytes: &[u8], start: usize) -> usize {
    kept_end(bytes, start..raw_end(bytes, start))
}

/// Where it ends with what closes the text around.
fn raw_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    loop {
        end = run_end(bytes, end, |byte| !MAY_END[usize::from(byte)]);
        let Some(&byte) = bytes.get(end) else { break };
        let next = bytes.get(end + 1);
        let stops = match byte {
            b'"' | b'\'' | b'`' => !next.is_some_and(u8::is_ascii_alphanumeric),
            // A comma may be a part of a password, unless another key follows.
            b',' => {
                let name = run_end(bytes, end + 1, |byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
                });
                name == end + 1 || matches!(bytes.get(name), Some(b'=' | b':'))
            }
            // `hun\ ter2`, and a line that is continued.
            b' ' | b'\n' => end == start || bytes[end - 1] != b'\\',
            _ => true,
        };
        if stops {
            break;
        }
        end += 1;
    }
    end.min(bytes.len())
}

/// What closes the text around is no part of the value.
fn kept_end(bytes: &[u8], read: Range<usize>) -> usize {
    let kept = bytes[read.clone()]
        .iter()
        .rposition(|byte| !matches!(byte, b')' | b']' | b'}' | b',' | b'.' | b':' | b'\\'));
    read.start + kept.map_or(0, |last| last + 1)
}
