//! A cheap look at a name, which says that nothing sensitive can be in it: most names in text are innocent, and to spell each of
//! them out would take most of the time.

/// Remembers with which four letters the sensitive names start.
#[derive(Debug)]
pub(crate) struct Gate(Box<[u64]>);

/// The letter or digit of a byte as a number below 32; 0 for all others.
const CODES: [u8; 256] = {
    let mut codes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        codes[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' => b & 0x1f,
            b'0'..=b'9' => 27,
            _ => 0,
        };
        byte += 1;
    }
    codes
};

/// Four letters have 20 bits, of which 16 are kept.
const BITS: usize = 1 << 16;
/// No more codes than this are in use.
const LETTERS: u32 = 28;

/// Two bits for each four letters: with one, a third of all names would pass whose letters are no name's.
#[inline]
fn places(four: u32) -> [usize; 2] {
    [0x9e37_79b1, 0x85eb_ca6b].map(|mix| (four.wrapping_mul(mix) >> 16) as usize % BITS)
}

impl Gate {
    /// A gate for names that are written in lower case and without separators.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut bits = vec![0; BITS / 64].into_boxed_slice();
        for name in names.filter(|name| name.is_ascii()) {
            let start = name.bytes().take(4).fold(0, |four, byte| (four << 5) | code(byte));
            let missing = 4_u32.saturating_sub(name.len() as u32);
            // Anything may follow a name that is shorter, and its end.
            let ends = (0..LETTERS.pow(missing)).map(|end| {
                (0..missing).fold((0, end), |(all, end), _| ((all << 5) | (end % LETTERS), end / LETTERS)).0
            });
            for end in ends {
                for at in places((start << (5 * missing)) | end) {
                    bits[at / 64] |= 1 << (at % 64);
                }
            }
        }
        Self(bits)
    }

    /// Whether a name may have a sensitive one in it.
    pub(crate) fn may_pass(&self, name: &str) -> bool {
        let (mut four, mut all) = (0_u32, 0);
        for byte in name.bytes() {
            all |= byte;
            let code = code(byte);
            // A choice and no branch: nobody can predict where words end.
            four = if code == 0 { four } else { ((four << 5) | code) & 0xf_ffff };
            if self.has(four) {
                return true;
            }
        }
        // What stands at the end may be shorter, and of what is not ASCII nothing is known.
        !all.is_ascii() || (1..4).any(|missing| self.has((four << (5 * missing)) & 0xf_ffff))
    }

    /// Whether a name may end with a sensitive one, of a gate for names that are written backwards.
    pub(crate) fn may_end(&self, name: &str) -> bool {
        if !name.is_ascii() {
            return true;
        }
        let letters = || name.bytes().rev().map(code).filter(|code| *code != 0);
        let ends_with = |skipped: usize| {
            let mut ends = letters().skip(skipped);
            self.has((0..4).fold(0, |four, _| (four << 5) | ends.next().unwrap_or(0)))
        };
        // A plural may stand for its singular.
        ends_with(0) || (letters().next() == Some(code(b's')) && ends_with(1))
    }

    /// As [`may_end`](Self::may_end), of what ends with this word: a short one does not say it.
    pub(crate) fn may_end_with(&self, word: &str) -> bool {
        let is_short = || word.bytes().filter(|byte| code(*byte) != 0).nth(4).is_none();
        self.may_end(word) || is_short()
    }

    #[inline]
    fn has(&self, four: u32) -> bool {
        places(four).into_iter().all(|at| self.0[at / 64] & (1 << (at % 64)) != 0)
    }
}

fn code(byte: u8) -> u32 {
    u32::from(CODES[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_sensitive_name_in_it_passes_and_most_others_do_not() {
        let gate = Gate::of(["password", "pin", "pw", "2fa"].into_iter());
        for name in [
            "password",
            "DB_PASSWORD",
            "my.pass-word",
            "pin",
            "cardPIN",
            "pin2",
            "x_pw",
            "pw",
            "pwx",
            "2FA",
            "пин",
        ] {
            assert!(gate.may_pass(name), "{name}");
        }
        let backwards = Gate::of(["drowssap", "nip", "rebmundrac"].into_iter());
        for name in ["the password", "your PINs", "card number", "Card-Numbers", "x pin"] {
            assert!(backwards.may_end(name), "{name}");
        }
        assert!(!backwards.may_end("password reset failed"));
        let innocent =
            ["name", "status", "created_at", "request.method", "i", "", "fn", "Duration", "workflow"];
        let passed = innocent.iter().filter(|name| gate.may_pass(name)).count();
        assert!(passed <= 1, "{passed}");
    }
}
