//! One cheap look at a text, which says what cannot be in it.

const DIGIT: u16 = 1;
const AT: u16 = 1 << 1;
/// `:` or `=`.
const ASSIGN: u16 = 1 << 2;
/// What the known keys and tokens are made of: letters, digits, `_`, `-`, `+`.
const TOKEN: u16 = 1 << 3;
/// The first letter of `Bearer` and `Basic`.
const B: u16 = 1 << 4;
const SPACE: u16 = 1 << 5;
const DASH: u16 = 1 << 6;
const ANGLE: u16 = 1 << 7;
/// What a character may be disguised with: `%40`, `\u0040`, anything beyond ASCII.
const DISGUISE: u16 = 1 << 8;

const CLASSES: [u16; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | TOKEN,
            b'b' | b'B' => TOKEN | B,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'+' => TOKEN,
            b'-' => TOKEN | DASH,
            b'@' => AT,
            b':' | b'=' => ASSIGN,
            b' ' | b'\t' => SPACE,
            b'<' => ANGLE,
            b'[' => BRACKET,
            b'%' | b'\\' | 0x80..=0xff => DISGUISE,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// The start of a mark; a pseudonym has a colon.
const BRACKET: u16 = 1 << 9;

/// Whether a byte is a token character.
pub(super) fn is_in_token(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// How many bytes are looked at together.
const BLOCK: usize = 8;
/// A run of so many token characters is sure to fill a whole block, wherever it starts.
pub(super) const LONG_TOKEN: usize = 2 * BLOCK - 1;
/// The shortest thing that numbers give away, an SSN, has nine digits; an IBAN may have eight and letters.
const NUMBERS: u32 = 8;
/// The shortest hit: `pw=x`.
const SHORTEST: usize = 4;

/// What kinds of hits a text may contain; each that is `false` is ruled out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) numbers: bool,
    pub(super) emails: bool,
    pub(super) assignments: bool,
    pub(super) tokens: bool,
    pub(super) schemes: bool,
    pub(super) elements: bool,
    pub(super) flags: bool,
    pub(super) disguises: bool,
    /// Marks are no hits, but must be looked out for if there may be hits.
    pub(super) marks: bool,
}

impl Survey {
    #[inline]
    pub(super) fn of(text: &str) -> Self {
        if text.len() < SHORTEST {
            return Self::default();
        }
        let (mut any, mut digits, mut filled) = (0, 0, 0);
        let blocks = text.as_bytes().chunks_exact(BLOCK);
        let rest = blocks.remainder();
        for block in blocks {
            let mut all = TOKEN;
            for &byte in block {
                let class = CLASSES[usize::from(byte)];
                any |= class;
                all &= class;
                digits += u32::from(class & DIGIT);
            }
            filled |= all;
        }
        for &byte in rest {
            let class = CLASSES[usize::from(byte)];
            any |= class;
            digits += u32::from(class & DIGIT);
        }
        let has = |class: u16| any & class != 0;
        Self {
            numbers: digits >= NUMBERS,
            emails: has(AT),
            assignments: has(ASSIGN),
            // A private key is announced by dashes before its long lines come.
            tokens: (filled != 0 && text.len() >= LONG_TOKEN)
                || (has(DASH) && text.len() >= "-----BEGIN PRIVATE KEY-----".len()),
            schemes: has(B) && has(SPACE),
            elements: has(ANGLE),
            flags: has(DASH) && has(SPACE),
            disguises: has(DISGUISE),
            marks: has(BRACKET | ASSIGN),
        }
    }

    /// Whether nothing at all can be in the text.
    #[inline]
    pub(super) fn is_clean(self) -> bool {
        !(self.numbers
            || self.emails
            || self.assignments
            || self.tokens
            || self.schemes
            || self.elements
            || self.flags
            || self.disguises)
    }
}

/// Whether a text is a UUID, a digest or trace id in hex, or a moment in RFC 3339: what payloads are full of, and
/// what has many digits and nothing to hide.
pub(super) fn is_id_or_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.len() {
        20..=35 if is_moment(bytes) => true,
        36 => is_uuid(bytes),
        32 | 40 | 64 => bytes.iter().all(u8::is_ascii_hexdigit) && !bytes.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_moment(bytes: &[u8]) -> bool {
    [bytes[4], bytes[7], bytes[13], bytes[16]] == *b"--::"
        && matches!(bytes[10], b'T' | b' ')
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'.' | b'+' | b'T' | b'Z' | b' '))
}

/// Whether these bytes are a UUID in its usual form.
pub(super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_moments_are_known_by_their_form() {
        for text in [
            "550e8400-e29b-41d4-a716-446655440000",
            "0af7651916cd43dd8448eb211c80319c",
            "2026-03-01T09:30:00Z",
            "2026-03-01 09:30:00.123456+01:00",
        ] {
            assert!(is_id_or_moment(text), "{text}");
        }
        for text in [
            "4111 1111 1111 1111 ",
            "078-05-1120 078-05-1120",
            "41111111111111111111111111111111",
            "2026-03-01Tpin:1:234",
            "550e8400-e29b-41d4-a716-44665544000x",
            "",
        ] {
            assert!(!is_id_or_moment(text), "{text}");
        }
    }

    #[test]
    fn everyday_values_are_clean_at_a_glance() {
        for text in ["", "approved", "EUR", "A_SUBMITTED", "12500.00", "loan 42 of 2026", "risk/low"] {
            assert!(Survey::of(text).is_clean(), "{text}");
        }
    }

    #[test]
    fn a_long_token_is_seen_wherever_it_stands() {
        for before in 0..40 {
            for after in 0..20 {
                let text = format!("{}{}{}", ".".repeat(before), "k".repeat(LONG_TOKEN), ".".repeat(after));
                assert!(Survey::of(&text).tokens, "{text}");
            }
        }
    }
}
