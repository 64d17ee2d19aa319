//! The credentials that tell themselves, by their beginning or by their structure: the table `families.txt`, and how
//! it is read in a text.

mod words;

use std::ops::Range;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use crate::marker;
use crate::tokens::follows_word;

/// The table. A line that cannot be read would be skipped; a test reads them all.
static FAMILIES: LazyLock<Families> =
    LazyLock::new(|| Families::new(include_str!("families.txt").lines().flat_map(Family::all_of).collect()));

/// The families that are known.
pub(crate) fn known() -> &'static Families {
    &FAMILIES
}

/// What stands in the table in place of an issuer of keys that anybody may make.
const PRIVATE_KEY: &str = "private-key";

/// The mark for what has such an issuer.
pub(crate) fn mark_of(issuer: &str) -> &'static str {
    if issuer == PRIVATE_KEY { marker::PRIVATE_KEY } else { marker::API_KEY }
}

/// What the tokens of one issuer look like.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    pub(crate) issuer: &'static str,
    parts: Vec<Part>,
    /// The part by which it is found: its longest text.
    anchor: usize,
    must_look_random: bool,
    /// Whether an id in hex is none.
    is_no_id: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// So many bytes of a class.
    Run {
        class: u8,
        least: usize,
        most: usize,
    },
}

impl Family {
    /// The families of a line: one for each choice of its alternatives.
    fn all_of(line: &'static str) -> Vec<Self> {
        let Some((issuer, structure)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            return Vec::new();
        };
        let structure = structure.trim();
        let (must_look_random, is_no_id) = (structure.starts_with('!'), structure.starts_with('~'));
        let structure = structure.trim_start_matches(['!', '~']);
        alternatives(structure)
            .iter()
            .filter_map(|structure| {
                let parts = parts(structure)?;
                let len = |place: &usize| match &parts[*place] {
                    Part::Text(text) => text.len(),
                    Part::Run { .. } => 0,
                };
                let anchor = (0..parts.len()).rev().max_by_key(len)?;
                (len(&anchor) > 0).then_some(Self { issuer, anchor, must_look_random, is_no_id, parts })
            })
            .collect()
    }

    fn anchor(&self) -> &[u8] {
        match &self.parts[self.anchor] {
            Part::Text(text) => text.as_bytes(),
            Part::Run { .. } => &[],
        }
    }

    /// Where the token lies whose anchor is here.
    fn around(&self, bytes: &[u8], anchor: usize, runs: &mut Runs) -> Option<Range<usize>> {
        let body = anchor + self.anchor().len();
        let mut end = body;
        for (place, part) in self.parts.iter().enumerate().skip(self.anchor + 1) {
            match part {
                Part::Text(text) if bytes[end..].starts_with(text.as_bytes()) => end += text.len(),
                Part::Text(_) => return None,
                Part::Run { class, least, most } => {
                    let run = runs.end(bytes, *class, end) - end;
                    let is_last = place + 1 == self.parts.len();
                    let is_id = || self.is_no_id && is_id(&bytes[end..end + run]);
                    if run < *least || (is_last && run > *most) || is_id() {
                        return None;
                    }
                    end += run.min(*most);
                }
            }
        }
        let mut start = anchor;
        for part in self.parts[..self.anchor].iter().rev() {
            match part {
                Part::Text(text) if bytes[..start].ends_with(text.as_bytes()) => start -= text.len(),
                Part::Text(_) => return None,
                Part::Run { class, least, most } => {
                    let before = bytes[..start].iter().rev().take(*most);
                    let run = before.take_while(|&&byte| is_of(*class, byte)).count();
                    if run < *least {
                        return None;
                    }
                    start -= run;
                }
            }
        }
        // The dot behind a token ends a sentence.
        while end > body && bytes[end - 1] == b'.' {
            end -= 1;
        }
        let is_token = may_start(bytes, start)
            && (!self.must_look_random || looks_random(&bytes[start..end]))
            && !words::are_all(&bytes[body..end]);
        is_token.then_some(start..end)
    }
}

/// The families, and what says at a glance which of them may be at a place.
#[derive(Debug)]
pub(crate) struct Families {
    /// By the first two bytes of their anchors, the longest anchor first.
    by_start: FxHashMap<[u8; 2], Vec<Family>>,
    /// What tokens start with.
    starts: Beginnings,
    /// The anchors of those that start with something else.
    inner: Beginnings,
    /// Either of them, or a JSON Web Token: nothing is here at most places, and one look says so.
    any: Beginnings,
}

/// A bit for each three bytes with which an anchor starts. A set bit may be a false alarm.
#[derive(Debug)]
struct Beginnings(Box<[u64]>);

impl Beginnings {
    fn of<'f>(families: impl Iterator<Item = ([u8; 2], &'f Family)>) -> Self {
        let mut beginnings = Self(vec![0; (1 << 16) / 64].into_boxed_slice());
        for ([one, two], family) in families {
            match family.anchor().get(2) {
                Some(three) => beginnings.add([one, two, *three]),
                None => (0..=u8::MAX).for_each(|three| beginnings.add([one, two, three])),
            }
        }
        beginnings
    }

    fn add(&mut self, three: [u8; 3]) {
        let bit = Self::bit(three);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    #[inline]
    fn bit([one, two, three]: [u8; 3]) -> usize {
        let all = u32::from_le_bytes([one, two, three, 0]);
        (all.wrapping_mul(0x9e37_79b1) >> 16) as usize
    }

    #[inline]
    fn has(&self, three: [u8; 3]) -> bool {
        let bit = Self::bit(three);
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }
}

impl Families {
    fn new(families: Vec<Family>) -> Self {
        let mut by_start: FxHashMap<[u8; 2], Vec<Family>> = FxHashMap::default();
        for family in families {
            match *family.anchor() {
                [one, two, ..] => by_start.entry([one, two]).or_default().push(family),
                [one] => {
                    for two in 0..=u8::MAX {
                        by_start.entry([one, two]).or_default().push(family.clone());
                    }
                }
                [] => {}
            }
        }
        for families in by_start.values_mut() {
            families.sort_by_key(|family| std::cmp::Reverse(family.anchor().len()));
        }
        let all = || by_start.iter().flat_map(|(start, all)| all.iter().map(|family| (*start, family)));
        let starts = Beginnings::of(all().filter(|(_, family)| family.anchor == 0));
        let inner = Beginnings::of(all().filter(|(_, family)| family.anchor > 0));
        let mut any = Beginnings::of(all());
        any.add(*JSON_WEB_TOKEN);
        Self { by_start, starts, inner, any }
    }

    /// Where in a run a token may begin, or have its anchor; at most places it is seen at a glance that none does.
    #[inline]
    pub(crate) fn may_be_in(&self, bytes: &[u8], run: Range<usize>) -> impl Iterator<Item = usize> {
        let start = run.start;
        let threes = bytes[start..].array_windows().take(run.len());
        threes.enumerate().filter(|(_, three)| self.any.has(**three)).map(move |(offset, _)| start + offset)
    }

    /// Whether a token may begin here, or have its anchor.
    #[inline]
    pub(crate) fn may_be_at(&self, bytes: &[u8], at: usize) -> bool {
        bytes[at..].first_chunk().is_some_and(|three| self.any.has(*three))
    }

    /// The token whose anchor is here, if there is one of these families.
    #[inline]
    pub(crate) fn at(
        &self,
        bytes: &[u8],
        at: usize,
        runs: &mut Runs,
    ) -> Option<(Range<usize>, &'static str)> {
        let &[one, two, three, ..] = &bytes[at..] else { return None };
        let three = [one, two, three];
        let may_be = self.inner.has(three) || (self.starts.has(three) && may_start(bytes, at));
        if !may_be {
            return None;
        }
        self.find(bytes, at, [one, two], runs)
    }

    fn find(
        &self,
        bytes: &[u8],
        at: usize,
        start: [u8; 2],
        runs: &mut Runs,
    ) -> Option<(Range<usize>, &'static str)> {
        let candidates = self.by_start.get(&start)?;
        let may_start = may_start(bytes, at);
        let is_here =
            |family: &Family| (may_start || family.anchor > 0) && bytes[at..].starts_with(family.anchor());
        candidates
            .iter()
            .filter(|family| is_here(family))
            .find_map(|family| Some((family.around(bytes, at, runs)?, family.issuer)))
    }
}

/// Whether a run is an id or a digest in hex: `app-507f1f77bcf86cd799439011`.
fn is_id(run: &[u8]) -> bool {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    matches!(run.len(), 24 | 32 | 40 | 64) && run.iter().all(is_hex)
}

/// Whether no letter or digit stands before.
#[inline]
pub(crate) fn may_start(bytes: &[u8], at: usize) -> bool {
    bytes[at].is_ascii_punctuation() || !follows_word(bytes, at)
}

/// Where in a run a word or a sign begins, in order; behind an escape a word begins as well.
pub(crate) fn starts_in(bytes: &[u8], run: Range<usize>) -> impl Iterator<Item = usize> {
    let mut next = run.start;
    std::iter::from_fn(move || {
        let at = next;
        let byte = *bytes[..run.end].get(at)?;
        next = at + 1;
        let escapes = at > 0 && bytes[at - 1] == b'\\' && matches!(byte, b'n' | b'r' | b't');
        if byte.is_ascii_alphanumeric() && !escapes {
            next += bytes[next..run.end].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        }
        Some(at)
    })
    .filter(move |at| may_start(bytes, *at))
}

/// What JSON Web Tokens begin with: `{"` in base64.
pub(crate) const JSON_WEB_TOKEN: &[u8; 3] = b"eyJ";

/// Where runs end. What one family has read of a run the next one does not read again.
#[derive(Debug)]
pub(crate) struct Runs {
    /// Nothing until a family is tried: most runs have none.
    known: Option<[Range<usize>; CLASSES.len()]>,
    /// Before this no JSON Web Token starts.
    pub(crate) no_web_token_until: usize,
}

impl Runs {
    pub(crate) fn new() -> Self {
        Self { known: None, no_web_token_until: 0 }
    }

    fn end(&mut self, bytes: &[u8], class: u8, at: usize) -> usize {
        let known = self.known.get_or_insert_with(|| std::array::from_fn(|_| 0..0));
        let known = &mut known[usize::from(class)];
        if !known.contains(&at) {
            let run = bytes[at..].iter().take_while(|&&byte| is_of(class, byte)).count();
            *known = at..at + run;
        }
        known.end
    }
}

/// The letters that stand for the classes, and their bytes beside letters and digits.
const CLASSES: [(u8, Alphabet, &[u8]); 15] = [
    (b'd', Alphabet::Digits, b""),
    (b'x', Alphabet::LowerHex, b""),
    (b'X', Alphabet::Hex, b""),
    (b'a', Alphabet::Lower, b""),
    (b'A', Alphabet::Upper, b""),
    (b'w', Alphabet::All, b""),
    (b'u', Alphabet::All, b"-_"),
    (b'j', Alphabet::All, b"-_."),
    (b'p', Alphabet::All, b"-_/"),
    (b'k', Alphabet::Lower, b"-"),
    (b'b', Alphabet::All, b"+/="),
    (b'v', Alphabet::All, b"+/=-_"),
    (b's', Alphabet::All, b"+/=-_%"),
    (b'z', Alphabet::All, b"-_.~"),
    (b'q', Alphabet::All, b"-_./@%"),
];

#[derive(Clone, Copy)]
enum Alphabet {
    Digits,
    LowerHex,
    Hex,
    /// With digits.
    Lower,
    Upper,
    All,
}

/// For each byte the classes that it belongs to, a bit for each.
const MEMBERS: [u16; 256] = {
    let mut members = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        while class < CLASSES.len() {
            let (_, alphabet, more) = CLASSES[class];
            let is_lower = b.is_ascii_lowercase();
            let mut is_member = b.is_ascii_digit()
                || match alphabet {
                    Alphabet::Digits => false,
                    Alphabet::LowerHex => is_lower && b.is_ascii_hexdigit(),
                    Alphabet::Hex => b.is_ascii_hexdigit(),
                    Alphabet::Lower => is_lower,
                    Alphabet::Upper => b.is_ascii_uppercase(),
                    Alphabet::All => b.is_ascii_alphabetic(),
                };
            let mut place = 0;
            while place < more.len() {
                is_member = is_member || more[place] == b;
                place += 1;
            }
            if is_member {
                members[byte] |= 1 << class;
            }
            class += 1;
        }
        byte += 1;
    }
    members
};

fn is_of(class: u8, byte: u8) -> bool {
    MEMBERS[usize::from(byte)] & (1 << class) != 0
}

/// The structure with each choice of its alternatives.
fn alternatives(structure: &str) -> Vec<String> {
    let group = structure.split_once('(').and_then(|(before, rest)| {
        let (choices, after) = rest.split_once(')')?;
        Some((before, choices, after))
    });
    match group {
        None => vec![structure.to_owned()],
        Some((before, choices, after)) => {
            choices.split('|').flat_map(|choice| alternatives(&format!("{before}{choice}{after}"))).collect()
        }
    }
}

/// The parts of a structure; `None` if it is not well-formed.
fn parts(structure: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = structure;
    while !rest.is_empty() {
        let text = &rest[..rest.find('<').unwrap_or(rest.len())];
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        rest = &rest[text.len()..];
        if let Some(run) = rest.strip_prefix('<') {
            let (run, after) = run.split_once('>')?;
            let (class, len) = run.split_once(':')?;
            let class = CLASSES.iter().position(|(name, ..)| class.as_bytes() == [*name])? as u8;
            let (least, most) = match len.split_once("..") {
                None => (len.parse().ok()?, len.parse().ok()?),
                Some((least, "")) => (least.parse().ok()?, usize::MAX),
                Some((least, most)) => (least.parse().ok()?, most.parse().ok()?),
            };
            parts.push(Part::Run { class, least, most });
            rest = after;
        }
    }
    Some(parts)
}

/// Whether there is a piece without separators that is no word: it has letters and digits, or upper case after lower case.
pub(crate) fn looks_random(bytes: &[u8]) -> bool {
    const PIECE: usize = 8;
    bytes.split(|byte| !byte.is_ascii_alphanumeric()).filter(|piece| piece.len() >= PIECE).any(|piece| {
        let has = |is: fn(&u8) -> bool| piece.iter().any(is);
        let letters = has(u8::is_ascii_alphabetic);
        let turns =
            piece.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
        let humps = piece
            .windows(2)
            .filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
            .count();
        letters && (turns >= 2 || humps >= 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;
    use crate::tokens::find;

    /// A token of the family, with bodies that have letters and digits where the class has both.
    fn example(family: &Family) -> String {
        let mut token = String::new();
        for (place, part) in family.parts.iter().enumerate() {
            match part {
                Part::Text(text) => token.push_str(text),
                Part::Run { class, least, .. } => {
                    let body = "7A9c3E1f8B5d2a6C4eb0".chars().cycle().skip(place * 3);
                    let fits = body.map(|c| match c {
                        _ if is_of(*class, c as u8) => c,
                        _ if is_of(*class, c.to_ascii_lowercase() as u8) => c.to_ascii_lowercase(),
                        _ if is_of(*class, c.to_ascii_uppercase() as u8) => c.to_ascii_uppercase(),
                        _ => '7',
                    });
                    token.extend(fits.take(*least));
                }
            }
        }
        token
    }

    #[test]
    fn every_line_of_the_table_is_well_formed() {
        let lines =
            include_str!("families.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let families = Family::all_of(line);
            let structure = line.split_once(' ').map_or("", |(_, structure)| structure.trim());
            assert_eq!(families.len(), alternatives(structure).len(), "{line}");
            // A structure without a long run of token characters is never looked at.
            for family in families {
                let token = example(&family);
                assert!(found_in(&token, find).len() == 1, "{line}: {token}");
            }
        }
    }

    #[test]
    fn tokens_are_found_in_any_text() {
        for family in known().by_start.values().flatten() {
            let token = example(family);
            for text in [
                format!("id ({token})"),
                format!("x={token}&y"),
                format!("\"{token}\""),
                format!("no {token}."),
            ] {
                let found = found_in(&text, find);
                assert_eq!(found, [(token.clone(), mark_of(family.issuer))], "{}: {text}", family.issuer);
            }
        }
    }

    #[test]
    fn words_that_begin_like_a_token_are_left_alone() {
        for text in [
            "id=sk-eu-central-1-cluster-7",
            "sk-bratislava-loans-2026-and-more-of-it",
            "hf_model_loader_v2_with_a_long_name",
            "SG.2026-03-01-report-of-the-loan-desk-number-12",
            "GGCTAKIAGGCTAGCTAGGATCGATCGA",
            "xxAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLEANDMORE",
            "live_configuration_of_the_loan_service",
            "app-550e8400-e29b-41d4-a716-446655440000",
            "key-value-store-of-the-whole-department",
        ] {
            assert!(found_in(text, find).is_empty(), "{text}");
        }
    }
}
