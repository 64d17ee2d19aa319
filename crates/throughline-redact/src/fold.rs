//! Text as the scanners read it: full-width digits, exotic dashes and spaces, invisible characters and
//! percent or `\u` escapes hide nothing.

use std::ops::Range;

/// A text with its disguises taken off, and where each byte came from.
#[derive(Debug)]
pub(crate) struct Folded {
    /// The plain text.
    pub(crate) text: String,
    /// For each byte of the plain text, and for its end, the place in the original.
    origin: Vec<usize>,
}

impl Folded {
    /// The plain text, or `None` if the text is plain already.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let first = text
            .char_indices()
            .position(|(at, c)| escape(&text[at..]).is_some() || Self::of_char(c) != Some(c))?;
        let mut folded =
            Self { text: String::with_capacity(text.len()), origin: Vec::with_capacity(text.len() + 1) };
        let mut rest = text.char_indices().enumerate();
        while let Some((place, (at, c))) = rest.next() {
            if place < first {
                folded.push(c, at);
            } else if let Some((c, len)) = escape(&text[at..]) {
                folded.push(c, at);
                // What follows the first character of an escape is ASCII: a character is a byte.
                rest.nth(len - 2);
            } else if let Some(c) = Self::of_char(c) {
                folded.push(c, at);
            }
        }
        folded.origin.push(text.len());
        Some(folded)
    }

    /// Where a range of the plain text lies in the original.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.origin[range.start]..self.origin[range.end]
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
            // Full-width forms of ASCII.
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0),
            '\u{660}'..='\u{669}' => ascii_digit('\u{660}'),
            '\u{6f0}'..='\u{6f9}' => ascii_digit('\u{6f0}'),
            '\u{966}'..='\u{96f}' => ascii_digit('\u{966}'),
            '\u{1d7ce}'..='\u{1d7ff}' => char::from_digit((c as u32 - 0x1d7ce) % 10, 10),
            _ => Some(c),
        }
    }

    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.origin.resize(self.text.len(), at);
    }
}

/// The printable ASCII character that an escape at the start of the text stands for, and how many bytes the
/// escape takes: `%40`, `\u0040`.
fn escape(text: &str) -> Option<(char, usize)> {
    let (digits, len) = match text.as_bytes() {
        [b'%', digits @ ..] => (digits.get(..2)?, 3),
        [b'\\', b'u', b'0', b'0', digits @ ..] => (digits.get(..2)?, 6),
        _ => return None,
    };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (byte == b' ' || byte.is_ascii_graphic()).then_some((char::from(byte), len))
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
