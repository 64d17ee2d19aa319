//! One cheap look at a text, which says what cannot be in it.

use std::sync::LazyLock;

use aho_corasick::packed;
use memchr::{memchr2_iter, memmem};

use crate::places::{any_in_row, has_long_run, places};
use crate::pseudonym;

const DIGIT: u32 = 1;
const AT: u32 = 1 << 1;
/// `:` or `=`.
const ASSIGN: u32 = 1 << 2;
/// What the known keys and tokens are made of: letters, digits, `_`, `-`, `+`.
const TOKEN: u32 = 1 << 3;
/// The first letter of `Bearer` and `Basic`.
const B: u32 = 1 << 4;
const SPACE: u32 = 1 << 5;
const DASH: u32 = 1 << 6;
const ANGLE: u32 = 1 << 7;
/// What a character may be disguised with: `%40`, `\u0040`, anything beyond ASCII.
const DISGUISE: u32 = 1 << 8;

/// The start of a mark.
const BRACKET: u32 = 1 << 9;
/// What tuples have beside a comma.
const QUOTE: u32 = 1 << 10;
const COMMA: u32 = 1 << 11;
const OPEN: u32 = 1 << 12;
/// What is between the cells of a table, beside commas.
const CELL: u32 = 1 << 13;
const NEW_LINE: u32 = 1 << 14;
/// `>` of `->`.
const ARROW: u32 = 1 << 15;
/// A code that is said: `your code is 482913`.
const SAID: u32 = 1 << 17;
const SLASH: u32 = 1 << 18;
/// The beginning of a private key as PuTTY keeps it.
const PUTTY: u32 = 1 << 19;
/// A flag with a name: `-storepass`, `--password`.
const FLAG: u32 = 1 << 20;
/// A quote behind a word.
const BESIDE: u32 = 1 << 21;
/// `password hunter2`
const PASSWORD: u32 = 1 << 22;

const CLASSES: [u32; 256] = {
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
            b' ' => SPACE,
            b'\t' => SPACE | CELL,
            b'|' => CELL,
            b'"' | b'\'' => QUOTE,
            b',' | b';' => COMMA,
            b'(' => OPEN,
            b'/' => SLASH,
            b'\n' => NEW_LINE,
            b'>' => ARROW,
            b'<' => ANGLE,
            b'[' => BRACKET,
            b'%' | b'\\' | 0x80..=0xff => DISGUISE,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

#[inline]
fn class(byte: u8) -> u32 {
    CLASSES[usize::from(byte)]
}

/// Whether a byte is a token character.
pub(crate) fn is_in_token(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// Commands with neither flags nor quotes, which begin a text.
const BEGIN_TEXT: [&[u8]; 14] = [
    b"ENV ",
    b"machine ",
    b"setenv ",
    b"setx ",
    b"aws configure set ",
    b"npm config set ",
    b"INSERT ",
    b"insert ",
    b"REPLACE ",
    b"replace ",
    b"CREATE USER ",
    b"create user ",
    b"ALTER USER ",
    b"alter user ",
];

/// The bytes that one of them begins with.
const BEGINS: [bool; 256] = {
    let mut begins = [false; 256];
    let mut command = 0;
    while command < BEGIN_TEXT.len() {
        begins[BEGIN_TEXT[command][0] as usize] = true;
        command += 1;
    }
    begins
};

/// What they and the settings of servers have in common where there are more lines: in so few texts the searcher is fastest.
const IN_LINES: [&str; 19] = [
    "env ",
    "ENV ",
    "setx ",
    "nfig set ",
    "nfigure set ",
    "git config ",
    "bindpw ",
    "rootpw ",
    "pass ",
    "PASS ",
    "masterauth ",
    "nsert into ",
    "NSERT INTO ",
    "e into ",
    "E INTO ",
    "tified ",
    "TIFIED ",
    "ogin ",
    "OGIN ",
];

/// Finds these, made once.
static LINES: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| packed::Searcher::new(IN_LINES));

/// How many bytes are looked at together, and how many of a text that is shorter.
const BLOCK: usize = 8;
const SHORT_BLOCK: usize = 4;
/// The shortest thing that numbers give away, an SSN, has nine digits; an IBAN may have eight and letters.
const NUMBERS: usize = 8;
/// The shortest path with a secret: `otp/` and twelve characters.
const PATH: usize = 16;
/// The shortest hit: `pw=x`.
const SHORTEST: usize = SHORT_BLOCK;

/// Finds what stands before a code that is said; made once.
static IS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(" is "));

/// Finds what stands before a password without quotes.
static IDENTIFIED: LazyLock<[memmem::Finder<'static>; 2]> =
    LazyLock::new(|| ["dentified ", "DENTIFIED "].map(memmem::Finder::new));

/// Finds what stands before a password in a line of settings or a sentence.
static PASSWORD_SAID: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("assword "));

/// What kinds of hits a text may contain; all others are ruled out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefilter(u32);

impl Prefilter {
    #[inline]
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() < SHORTEST {
            return Self(0);
        }
        let any = classes(bytes);
        // Whatever else is looked for takes another look at the bytes, where it may be at all. Most texts have words alone.
        let mut found = any & (AT | ASSIGN | ANGLE | DISGUISE | BRACKET | CELL | OPEN);
        if any & (DIGIT | DASH | QUOTE | NEW_LINE | ASSIGN) != 0 {
            found |= of_signs(bytes, any);
        }
        // Of the other commands with a secret, some begin a line, and one is the address of a database.
        let begins = any & !found & SPACE != 0
            && if any & NEW_LINE == 0 {
                begins_text(bytes)
            } else {
                LINES.as_ref().is_none_or(|lines| lines.find(bytes).is_some())
            };
        if begins {
            found |= SPACE;
        }
        if any & TOKEN != 0 && has_long_run(bytes, is_in_token) {
            found |= TOKEN;
        }
        if any & B != 0 && any & SPACE != 0 && may_name_scheme(bytes) {
            found |= B;
        }
        Self(found)
    }

    /// Whether nothing at all can be in the text.
    #[inline]
    pub(crate) fn is_clean(self) -> bool {
        // Marks are no hits, and are looked out for only where there may be hits.
        self.0 & !BRACKET == 0
    }

    /// Whether anything may be in the text beside numbers, tokens, addresses and what stands before a sign.
    pub(crate) fn has_rare(self) -> bool {
        const COMMON: u32 = DIGIT | TOKEN | B | AT | ASSIGN | BRACKET | DISGUISE;
        self.0 & !COMMON != 0
    }

    /// Cards, accounts, social security.
    pub(crate) fn numbers(self) -> bool {
        self.0 & DIGIT != 0
    }

    pub(crate) fn emails(self) -> bool {
        self.0 & AT != 0
    }

    pub(crate) fn assignments(self) -> bool {
        self.0 & ASSIGN != 0
    }

    /// API keys and JSON Web Tokens.
    pub(crate) fn tokens(self) -> bool {
        self.0 & TOKEN != 0
    }

    /// `Bearer` and `Basic`.
    pub(crate) fn schemes(self) -> bool {
        self.0 & B != 0
    }

    /// XML.
    pub(crate) fn elements(self) -> bool {
        self.0 & ANGLE != 0
    }

    /// Two in a row: a private key.
    pub(crate) fn dashes(self) -> bool {
        self.0 & DASH != 0
    }

    /// A flag of a command line.
    pub(crate) fn flags(self) -> bool {
        self.0 & FLAG != 0
    }

    /// `invalid password 'hunter2'`
    pub(crate) fn quotes(self) -> bool {
        self.0 & BESIDE != 0
    }

    /// `password hunter2`
    pub(crate) fn passwords(self) -> bool {
        self.0 & PASSWORD != 0
    }

    /// A private key as PuTTY keeps it.
    pub(crate) fn putty(self) -> bool {
        self.0 & PUTTY != 0
    }

    /// `["Authorization", "x"]`
    pub(crate) fn tuples(self) -> bool {
        self.0 & COMMA != 0
    }

    /// `Password("x")`
    pub(crate) fn calls(self) -> bool {
        self.0 & OPEN != 0
    }

    pub(crate) fn tables(self) -> bool {
        self.0 & CELL != 0
    }

    /// Commands have more than one word.
    pub(crate) fn commands(self) -> bool {
        self.0 & SPACE != 0
    }

    /// `your code is 482913`
    pub(crate) fn codes(self) -> bool {
        self.0 & SAID != 0
    }

    /// A path with a long segment.
    pub(crate) fn paths(self) -> bool {
        self.0 & SLASH != 0
    }

    pub(crate) fn disguises(self) -> bool {
        self.0 & DISGUISE != 0
    }

    /// Marks start with a bracket, and pseudonyms have a colon.
    pub(crate) fn marks(self) -> bool {
        self.0 & BRACKET != 0
    }
}

/// The classes of all bytes together, of which there are as many as in a short block.
#[inline]
fn classes(bytes: &[u8]) -> u32 {
    fn of<const LEN: usize>(block: &[u8; LEN]) -> u32 {
        block.iter().fold(0, |any, byte| any | class(*byte))
    }
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let all = blocks.iter().fold(0, |any, block| any | of(block));
    // The last block begins within the one before.
    match (rest, bytes.last_chunk::<BLOCK>()) {
        ([], _) => all,
        (_, Some(last)) => all | of(last),
        (_, None) => {
            let last = bytes.last_chunk::<SHORT_BLOCK>().map_or(0, of);
            bytes.first_chunk::<SHORT_BLOCK>().map_or(last, |first| last | of(first))
        }
    }
}

/// What signs and digits say, which has these classes.
fn of_signs(bytes: &[u8], any: u32) -> u32 {
    let mut found = 0;
    if any & DASH != 0 {
        found |= dashes(bytes, any);
        if any & ARROW != 0 {
            found |= ASSIGN;
        }
    }
    if any & ASSIGN != 0 {
        if any & AT != 0 {
            found |= SPACE;
        }
        if bytes.len() >= pseudonym::LEN {
            found |= BRACKET;
        }
    }
    // Together they may be something.
    if any & QUOTE != 0 {
        found |= any & COMMA;
        if any & SPACE != 0 {
            found |= BESIDE;
            if quotes_command(bytes) {
                found |= SPACE;
            }
        }
    }
    if any & COMMA != 0 && any & NEW_LINE != 0 {
        found |= CELL;
    }
    if any & DIGIT != 0 {
        if bytes.len() >= PATH {
            found |= any & SLASH;
        }
        if bytes.len() >= NUMBERS && digits(bytes) >= NUMBERS {
            found |= DIGIT;
        }
        if any & SPACE != 0 && may_say(bytes) {
            // `your code is 482913`
            if bytes.len() >= NUMBERS && IS.find(bytes).is_some() {
                found |= SAID;
            }
            if PASSWORD_SAID.find(bytes).is_some() {
                found |= PASSWORD;
            }
            if IDENTIFIED.iter().any(|word| word.find(bytes).is_some()) {
                found |= SPACE;
            }
        }
    }
    found
}

/// Whether ` is ` or the end of `password ` or `IDENTIFIED ` is in a text.
fn may_say(bytes: &[u8]) -> bool {
    any_in_row::<4, 35>(bytes, |[one, two, three, four]| {
        let is = (one == b' ') & (two == b'i') & (three == b's');
        let word = (one == b'o') & (two == b'r') & (three == b'd');
        let identified = (one | 0x20 == b'i') & (two | 0x20 == b'e') & (three | 0x20 == b'd');
        (is | word | identified) & (four == b' ')
    })
}

/// How many digits there are.
fn digits(bytes: &[u8]) -> usize {
    // In so few bytes a small counter does not overflow, and small counters fit many into a vector.
    let few = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(byte.is_ascii_digit())).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|bytes| usize::from(few(bytes))).sum()
}

/// Two dashes side by side, a dash after a space and before a letter, as in flags, and one as in `Private-Lines`.
fn dashes(bytes: &[u8], any: u32) -> u32 {
    let may_be_flag = any_in_row::<3, 34>(bytes, |[before, dash, after]| {
        let is_letter = (after | 0x20).wrapping_sub(b'a') < 26;
        (dash == b'-') & ((before == b'-') | (after == b'-') | ((before == b' ') & is_letter))
    });
    let mut found = 0;
    if may_be_flag {
        for at in places(bytes, |byte| byte == b'-') {
            let before = at.checked_sub(1).map_or(0, |at| bytes[at]);
            let after = bytes.get(at + 1).copied().unwrap_or_default();
            let is_flag = (before == b' ') & ((after == b'-') | after.is_ascii_alphabetic());
            found |= if before == b'-' { DASH | FLAG } else { 0 };
            found |= if is_flag { SPACE | FLAG } else { 0 };
        }
    }
    // A colon follows.
    let may_be_putty = any & ASSIGN != 0;
    if may_be_putty
        && any_in_row::<3, 34>(bytes, |[before, dash, after]| {
            (before == b'e') & (dash == b'-') & (after == b'L')
        })
    {
        found |= PUTTY;
    }
    found
}

/// Whether what some commands begin with follows a quote, or there is a quote where commands have one: a single one behind a space,
/// other than behind a key or in a list of YAML, or in a list of values; a double one behind `BY` or `PASSWORD`.
fn quotes_command(bytes: &[u8]) -> bool {
    memchr2_iter(b'"', b'\'', bytes).any(|at| {
        let begins = matches!(bytes.get(at + 1), Some(b'E' | b'm'));
        begins
            || match (bytes[at], &bytes[..at]) {
                (b'\'', [.., before, b' ']) => !matches!(before, b':' | b'-'),
                (b'\'', [.., b'(' | b',']) | (b'\'', [.., b' ', b'N']) => true,
                (b'"', [.., b'Y' | b'y' | b'D' | b'd', b' ']) => true,
                _ => false,
            }
    })
}

/// Whether `bea` or `bas` is in the text.
fn may_name_scheme(bytes: &[u8]) -> bool {
    any_in_row::<3, 34>(bytes, |letters| {
        let [one, two, three] = letters.map(|letter| letter | 0x20);
        let ends = ((two == b'e') & (three == b'a')) | ((two == b'a') & (three == b's'));
        (one == b'b') & ends
    })
}

/// Whether a text begins with a command that has neither flags nor quotes.
#[inline]
fn begins_text(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| BEGINS[usize::from(*first)])
        && BEGIN_TEXT.iter().any(|command| bytes.starts_with(command))
}

/// Whether a text is a UUID, a digest or trace id in hex, or a moment in RFC 3339: what payloads are full of, and
/// what has many digits and nothing to hide.
pub(crate) fn is_id_or_moment(text: &str) -> bool {
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
pub(crate) fn is_uuid(bytes: &[u8]) -> bool {
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
            assert!(Prefilter::of(text).is_clean(), "{text}");
        }
    }

    #[test]
    fn commands_are_looked_for_where_they_may_be_and_not_in_every_list() {
        for text in [
            "curl -u ada:x",
            "mysqldump -px db",
            "wget --user ada:x",
            "create user ada IDENTIFIED BY 'x'",
            "- run: 'machine x login ada password x'",
            "CMD [\"ENV X_PASSWORD x\"]",
        ] {
            assert!(Prefilter::of(text).commands(), "{text}");
        }
        for text in ["  - name: deploy", "kind: 'x'", "- 'x'", "from a - b to c - 1"] {
            assert!(!Prefilter::of(text).commands(), "{text}");
        }
    }

    #[test]
    fn dashes_tell_flags_armour_and_files_of_putty() {
        for (text, flags, putty) in [
            ("mysql --password x", true, false),
            ("--", true, false),
            ("Private-Lines: 3", false, true),
            ("a-b - c-Line", false, false),
        ] {
            let prefilter = Prefilter::of(&format!("{text}    "));
            assert_eq!((prefilter.dashes(), prefilter.putty()), (flags, putty), "{text}");
        }
    }

    #[test]
    fn a_long_token_is_seen_wherever_it_stands() {
        for before in 0..40 {
            for after in 0..20 {
                let text = format!(
                    "{}{}{}",
                    ".".repeat(before),
                    "k".repeat(crate::places::LONG_RUN),
                    ".".repeat(after)
                );
                assert!(Prefilter::of(&text).tokens(), "{text}");
            }
        }
    }
}
