//! Text as the scanners read it: full-width digits, exotic dashes and spaces, invisible characters and
//! percent or `\u` escapes hide nothing.

use std::ops::Range;

use crate::tokens::run_end;

/// A text with its disguises taken off, and where each part came from.
#[derive(Debug)]
pub(crate) struct Folded {
    /// The plain text.
    pub(crate) text: String,
    /// Where a part of the plain text starts, and where it starts in the original. Within a part both are the same.
    parts: Vec<(usize, usize)>,
}

impl Folded {
    /// The plain text, or `None` if the text is plain already.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut folded: Option<Self> = None;
        let mut copied = 0;
        let mut at = 0;
        loop {
            at = next_disguise(bytes, at);
            let Some(&byte) = bytes.get(at) else { break };
            let (plain, len) = match byte {
                b'%' | b'\\' => match escape(&bytes[at..]) {
                    Some((plain, len)) => (Some(plain), len),
                    None => {
                        at += 1;
                        continue;
                    }
                },
                _ => {
                    let Some(c) = text[at..].chars().next() else { break };
                    let plain = Self::of_char(c);
                    if plain == Some(c) {
                        at += c.len_utf8();
                        continue;
                    }
                    (plain, c.len_utf8())
                }
            };
            let folded = folded
                .get_or_insert_with(|| Self { text: String::with_capacity(text.len()), parts: vec![(0, 0)] });
            folded.text.push_str(&text[copied..at]);
            folded.parts.push((folded.text.len(), at));
            folded.text.extend(plain);
            at += len;
            copied = at;
            folded.parts.push((folded.text.len(), at));
        }
        let mut folded = folded?;
        folded.copy(&text[copied..], copied);
        Some(folded)
    }

    /// Nothing yet, of a text of that length.
    pub(crate) fn start(len: usize) -> Self {
        Self { text: String::with_capacity(len), parts: vec![(0, 0)] }
    }

    /// Adds a part that stands like this at a place of the original.
    pub(crate) fn copy(&mut self, part: &str, origin: usize) {
        self.parts.push((self.text.len(), origin));
        self.text.push_str(part);
    }

    /// Adds a character for something at a place of the original.
    pub(crate) fn replace(&mut self, plain: Option<char>, origin: usize) {
        self.parts.push((self.text.len(), origin));
        self.text.extend(plain);
    }

    /// Where a range of the plain text lies in the original.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.place(range.start)..self.place(range.end)
    }

    fn place(&self, at: usize) -> usize {
        // Of parts that start at the same place, all but the last are empty; but what is invisible goes with what it stands before.
        let part = self.parts.partition_point(|(start, _)| *start <= at) - 1;
        let (start, origin) = self.parts[part];
        origin + (at - start)
    }

    /// The plain character for a disguised one; `None` for an invisible one.
    pub(crate) fn of_char(c: char) -> Option<char> {
        let ascii_digit = |zero: char| char::from_digit(c as u32 - zero as u32, 10);
        match c {
            '\0'..='\u{7f}' => Some(c),
            // Soft hyphen, zero-width space and joiners, direction marks, word joiner, byte order mark.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{feff}' => None,
            // Spaces that do not break, or are of unusual width.
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Some(' '),
            // Hyphens and dashes, the minus sign.
            '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
            // An arrow says what something is.
            '\u{2192}' => Some(':'),
            // Full-width forms of ASCII.
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0),
            '\u{660}'..='\u{669}' => ascii_digit('\u{660}'),
            '\u{6f0}'..='\u{6f9}' => ascii_digit('\u{6f0}'),
            '\u{966}'..='\u{96f}' => ascii_digit('\u{966}'),
            '\u{1d7ce}'..='\u{1d7ff}' => char::from_digit((c as u32 - 0x1d7ce) % 10, 10),
            _ => Some(c),
        }
    }
}

/// The next byte from here on that may be part of a disguise, looked for eight bytes at a time.
fn next_disguise(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The high bit of a byte that is the sign; others may have it only above one that is.
    let is = |block: u64, sign: u8| {
        let differs = block ^ (ONES * u64::from(sign));
        differs.wrapping_sub(ONES) & !differs
    };
    let (blocks, _) = bytes[from..].as_chunks::<8>();
    let is_plain = |block: &&[u8; 8]| {
        let block = u64::from_le_bytes(**block);
        (block | is(block, b'%') | is(block, b'\\')) & (ONES * 0x80) == 0
    };
    let start = from + 8 * blocks.iter().take_while(is_plain).count();
    let may_be = |byte: &u8| matches!(byte, b'%' | b'\\' | 0x80..);
    bytes[start..].iter().position(may_be).map_or(bytes.len(), |offset| start + offset)
}

/// The printable ASCII character that an escape at the start of the text stands for, and how many bytes the
/// escape takes: `%40`, `\u0040`, the `\/` of JSON.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let (digits, len) = match bytes {
        [b'%', digits @ ..] => (digits.get(..2)?, 3),
        [b'\\', b'/', ..] => return Some(('/', 2)),
        [b'\\', b'u', b'0', b'0', digits @ ..] => (digits.get(..2)?, 6),
        _ => return None,
    };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    // A space ends a value, unless it is within a number.
    let is_space = byte == b' ' && bytes.get(len).is_some_and(u8::is_ascii_digit);
    (is_space || byte.is_ascii_graphic()).then_some((char::from(byte), len))
}

/// What was encoded does not end a value: in `password=x%26y` the `&` is a part of it. Where an escape stands before the value,
/// too, what is around is encoded, and ends it.
pub(crate) fn whole(bytes: &[u8], value: Range<usize>) -> Range<usize> {
    let is_escape = |at: usize| bytes.get(at) == Some(&b'%') && escape(&bytes[at..]).is_some();
    let is_encoded = value.start.checked_sub(3).is_some_and(is_escape);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"%-._~+".contains(&byte);
    if is_encoded || bytes.get(value.end) != Some(&b'%') {
        return value;
    }
    value.start..run_end(bytes, value.end, is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_come_off_and_places_are_kept() {
        let text = "№ ４１１１–1111\u{200b}1 a%40b \\u0040 é";
        let folded = Folded::of(text).unwrap();
        assert_eq!(folded.text, "№ 4111-11111 a@b @ é");
        let at = folded.text.find("4111").unwrap();
        assert_eq!(&text[folded.origin(at..at + 10)], "４１１１–1111\u{200b}1");
        let at = folded.text.find('@').unwrap();
        assert_eq!(&text[folded.origin(at - 1..at + 2)], "a%40b");
        assert_eq!(folded.origin(0..folded.text.len()), 0..text.len());
    }

    #[test]
    fn plain_text_is_not_copied() {
        for text in ["", "plain", "100 % of Café Zürich", "50%", "\\u00", "%+1", "日本"] {
            assert!(Folded::of(text).is_none(), "{text}");
        }
    }
}
