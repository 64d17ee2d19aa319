//! A cheap look at a name, which says that nothing sensitive can be in it: most names in text are innocent, and to spell each of
//! them out would take most of the time.

/// Remembers with which four letters the sensitive names start.
#[derive(Debug)]
pub(crate) struct Gate {
    /// With which three: no name is at most places, and this says so at once.
    threes: Box<[u64]>,
    /// The four letters of names that may begin within a word.
    anywhere: Box<[u64]>,
    /// Those of names that begin a word.
    at_start: Box<[u64]>,
}

/// The letter or digit of a byte as a number below 32, 0 for all others, and whether it is in lower case.
const CODES: [u8; 256] = {
    let mut codes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        codes[byte] = match b {
            b'a'..=b'z' => b & CODE | LOWER,
            b'A'..=b'Z' => b & CODE,
            b'0'..=b'9' => 27,
            _ => 0,
        };
        byte += 1;
    }
    codes
};
const CODE: u8 = 0x1f;
const LOWER: u8 = 1 << 5;

/// Four letters have 20 bits, of which 16 are kept.
const BITS: usize = 1 << 16;
/// No more codes than this are in use.
const LETTERS: u32 = 28;

/// Two bits for each four letters: with one, a third of all names would pass whose letters are no name's.
fn places(four: u32) -> [usize; 2] {
    [0x9e37_79b1, 0x85eb_ca6b].map(|mix| (four.wrapping_mul(mix) >> 16) as usize % BITS)
}

#[inline]
fn has(bits: &[u64], at: usize) -> bool {
    bits[at / 64] & (1 << (at % 64)) != 0
}

fn has_four(bits: &[u64], four: u32) -> bool {
    places(four).into_iter().all(|at| has(bits, at))
}

fn add(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

impl Gate {
    /// A gate for names that are written in lower case and without separators, and of which some must begin a word.
    pub(crate) fn of<'n>(names: impl Iterator<Item = (&'n str, bool)>) -> Self {
        let empty = |bits: usize| vec![0; bits / 64].into_boxed_slice();
        let mut gate = Self { threes: empty(1 << 15), anywhere: empty(BITS), at_start: empty(BITS) };
        for (name, begins_word) in names.filter(|(name, _)| name.is_ascii()) {
            let bits = if begins_word { &mut gate.at_start } else { &mut gate.anywhere };
            let start = name.bytes().take(4).fold(0, |four, byte| (four << 5) | code(byte));
            let missing = 4_u32.saturating_sub(name.len() as u32);
            // Anything may follow a name that is shorter, and its end.
            for end in 0..LETTERS.pow(missing) {
                let (end, _) = (0..missing)
                    .fold((0, end), |(all, end), _| ((all << 5) | (end % LETTERS), end / LETTERS));
                let four = (start << (5 * missing)) | end;
                places(four).into_iter().for_each(|at| add(bits, at));
                add(&mut gate.threes, four as usize >> 5);
            }
        }
        gate
    }

    /// Whether a name may have a sensitive one in it. Of what is not ASCII nothing is known.
    pub(crate) fn may_pass(&self, name: &str) -> bool {
        // The four letters from here on, of which there are fewer near the end.
        let mut four = 0_u32;
        let mut before = 0;
        for known in name.bytes().rev().map(|byte| CODES[usize::from(byte)]) {
            // Whether what the last look saw begins a word is known now.
            if before != 0 && self.is_among(four, before & known & LOWER == 0) {
                return true;
            }
            before = 0;
            if known & CODE != 0 {
                four = (four >> 5) | (u32::from(known & CODE) << 15);
                before = if has(&self.threes, four as usize >> 5) { known } else { 0 };
            }
        }
        (before != 0 && self.is_among(four, true)) || !name.is_ascii()
    }

    /// Whether a name starts with these letters, which may begin a word or not.
    fn is_among(&self, four: u32, begins_word: bool) -> bool {
        has_four(&self.anywhere, four) || (begins_word && has_four(&self.at_start, four))
    }

    /// Whether a name may end with a sensitive one, of a gate for names that are written backwards.
    pub(crate) fn may_end(&self, name: &str) -> bool {
        self.may_end_in(&Ending::of(name))
    }

    /// As [`may_end`](Self::may_end), of what ends with this word: a short one does not say it.
    pub(crate) fn may_end_with(&self, word: &str) -> bool {
        let ending = Ending::of(word);
        ending.is_whole() || self.may_end_in(&ending)
    }

    fn may_end_in(&self, Ending { letters, is_ascii, .. }: &Ending) -> bool {
        let [last, two, three, four, five] = *letters;
        let is_one = |letters: [u32; 4]| {
            has_four(&self.anywhere, letters.into_iter().fold(0, |four, letter| (four << 5) | letter))
        };
        // A plural may stand for its singular.
        !is_ascii
            || is_one([last, two, three, four])
            || (last == code(b's') && is_one([two, three, four, five]))
    }
}

/// The last letters of a name, as far as there are so many, the last one first.
struct Ending {
    letters: [u32; 5],
    len: usize,
    is_ascii: bool,
}

impl Ending {
    fn of(name: &str) -> Self {
        let (mut letters, mut len) = ([0; 5], 0);
        for letter in name.bytes().rev().map(code).filter(|letter| *letter != 0).take(letters.len()) {
            letters[len] = letter;
            len += 1;
        }
        Self { letters, len, is_ascii: name.is_ascii() }
    }

    /// Whether the name has no more letters.
    fn is_whole(&self) -> bool {
        self.len < self.letters.len()
    }
}

fn code(byte: u8) -> u32 {
    u32::from(CODES[usize::from(byte)] & CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_sensitive_name_in_it_passes_and_most_others_do_not() {
        let gate = Gate::of([("password", false), ("pin", true), ("pw", true), ("2fa", true)].into_iter());
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
        let backwards = Gate::of(["drowssap", "nip", "rebmundrac"].map(|name| (name, false)).into_iter());
        for name in ["the password", "your PINs", "card number", "Card-Numbers", "x pin"] {
            assert!(backwards.may_end(name), "{name}");
        }
        assert!(!backwards.may_end("password reset failed"));
        let innocent = [
            "name",
            "status",
            "created_at",
            "request.method",
            "i",
            "",
            "fn",
            "Duration",
            "workflow",
            "shipping",
            "topwind",
        ];
        let passed = innocent.iter().filter(|name| gate.may_pass(name)).count();
        assert!(passed <= 1, "{passed}");
    }
}
