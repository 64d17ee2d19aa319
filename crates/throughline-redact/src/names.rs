//! The table of sensitive names, `names.txt`: under which names banks, hospitals and software services keep what nobody else
//! should read.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

use crate::keys::{Choice, SecretKind};

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of(include_str!("names.txt")));

/// The table of names.
pub(crate) fn table() -> &'static Table {
    &TABLE
}

/// Where in a key a name must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Anywhere,
    Word,
    Last,
    Whole,
}

/// A set of names that is looked for by choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Standard,
    Eu,
    Us,
}

/// Names of one kind.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) kind: SecretKind,
    pub(crate) place: Place,
    pub(crate) is_weak: bool,
    set: Set,
    pub(crate) names: Vec<&'static str>,
}

impl Section {
    pub(crate) fn is_chosen(&self, choice: Choice) -> bool {
        let in_set = match self.set {
            Set::Standard => true,
            Set::Eu => choice.eu,
            Set::Us => choice.us,
        };
        in_set && (self.kind.is_credential() || !choice.credentials_only)
    }

    /// The section that a title such as `weak personal word` begins.
    fn of(title: &str) -> Option<Self> {
        let (mut kind, mut place, mut is_weak, mut set) = (SecretKind::Words, None, false, Set::Standard);
        for word in title.split(' ') {
            match word {
                "credential" => kind = SecretKind::Credential,
                "ambiguous" => kind = SecretKind::Ambiguous,
                "header" => kind = SecretKind::Header,
                "phrase" => kind = SecretKind::Phrase,
                "personal" => kind = SecretKind::Words,
                "fact" => kind = SecretKind::Fact,
                "weak" => is_weak = true,
                "eu" => set = Set::Eu,
                "us" => set = Set::Us,
                "anywhere" => place = Some(Place::Anywhere),
                "word" => place = Some(Place::Word),
                "last" => place = Some(Place::Last),
                "whole" => place = Some(Place::Whole),
                _ => return None,
            }
        }
        Some(Self { kind, place: place?, is_weak, set, names: Vec::new() })
    }
}

/// A list of words around names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Nothing,
    About,
    Of,
    Questions,
    BeforeHarmless,
    BeforeHarmlessToken,
    BeforeHarmlessEmail,
    BeforeHarmlessPass,
    AfterHarmless,
    People,
    OfPeople,
    Prose,
    Outcomes,
    Segments,
    Parameters,
    Schema,
    Types,
    Algorithms,
}

impl List {
    const COUNT: usize = 18;

    fn of(title: &str) -> Self {
        match title {
            "about" => Self::About,
            "of" => Self::Of,
            "questions" => Self::Questions,
            "before harmless" => Self::BeforeHarmless,
            "before harmless token" => Self::BeforeHarmlessToken,
            "before harmless email" => Self::BeforeHarmlessEmail,
            "before harmless pass" => Self::BeforeHarmlessPass,
            "after harmless" => Self::AfterHarmless,
            "people" => Self::People,
            "of people" => Self::OfPeople,
            "prose" => Self::Prose,
            "outcomes" => Self::Outcomes,
            "segments" => Self::Segments,
            "parameters" => Self::Parameters,
            "schema" => Self::Schema,
            "types" => Self::Types,
            "algorithms" => Self::Algorithms,
            _ => Self::Nothing,
        }
    }
}

/// The words of a list.
#[derive(Debug, Default)]
struct Words {
    words: FxHashSet<&'static [u8]>,
    /// How long those are that start with a letter, a bit for each length: most words are on no list, and this says so at once.
    lengths: [u32; LETTERS],
    /// With which letters they end, for the last one a bit for each before it: most names end otherwise.
    ends: [u32; LETTERS],
}

/// As many first letters are told apart.
const LETTERS: usize = 32;

impl Words {
    fn add(&mut self, word: &'static [u8]) {
        if let Some(first) = word.first() {
            self.lengths[place(*first)] |= length(word);
            self.words.insert(word);
        }
        if let [.., before, last] = word {
            self.ends[place(*last)] |= 1 << place(*before);
        }
    }

    fn has(&self, word: &[u8]) -> bool {
        self.may_have(word) && self.words.contains(word)
    }

    /// Whether a word may be among them, in any case.
    fn may_have(&self, word: &[u8]) -> bool {
        word.first().is_some_and(|first| self.lengths[place(*first)] & length(word) != 0)
    }

    /// Whether a name may end with one of them that has two letters or more, in any case.
    fn may_end(&self, name: &[u8]) -> bool {
        matches!(name, [.., before, last] if self.ends[place(*last)] & (1 << place(*before)) != 0)
    }
}

/// The place of a letter, which is the same in any case.
fn place(letter: u8) -> usize {
    usize::from(letter) % LETTERS
}

/// A bit for the length of a word.
fn length(word: &[u8]) -> u32 {
    1 << word.len().min(31)
}

/// The words around names.
#[derive(Debug)]
pub(crate) struct Lists([Words; List::COUNT]);

impl Lists {
    pub(crate) fn has(&self, list: List, word: &[u8]) -> bool {
        self.0[list as usize].has(word)
    }

    pub(crate) fn any(&self, list: List, is_it: impl FnMut(&[u8]) -> bool) -> bool {
        let mut is_it = is_it;
        self.0[list as usize].words.iter().any(|word| is_it(word))
    }

    /// Whether a name ends with a word of a list, in any case.
    pub(crate) fn end(&self, list: List, name: &str) -> bool {
        let words = &self.0[list as usize];
        let ends = |word: &&[u8]| {
            let from = name.len().checked_sub(word.len());
            from.and_then(|from| name.as_bytes().get(from..))
                .is_some_and(|end| end.eq_ignore_ascii_case(word))
        };
        words.may_end(name.as_bytes()) && words.words.iter().any(ends)
    }

    /// Whether a word is on a list in any case.
    pub(crate) fn has_in_any_case(&self, list: List, word: &str) -> bool {
        const LONGEST: usize = 16;
        if !self.0[list as usize].may_have(word.as_bytes()) {
            return false;
        }
        let mut lower = [0; LONGEST];
        // All of them are ASCII.
        match lower.get_mut(..word.len()).filter(|_| word.is_ascii()) {
            None => false,
            Some(lower) => {
                lower.copy_from_slice(word.as_bytes());
                lower.make_ascii_lowercase();
                self.has(list, lower)
            }
        }
    }

    /// What is personal when it is somebody's: `patientname`.
    pub(crate) fn of_people(&self) -> Vec<String> {
        let words = |list: List| self.0[list as usize].words.iter().map(|word| String::from_utf8_lossy(word));
        words(List::People)
            .flat_map(|who| words(List::OfPeople).map(move |what| format!("{who}{what}")))
            .collect()
    }
}

/// The names, and the words around them.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) sections: Vec<Section>,
    pub(crate) lists: Lists,
}

impl Table {
    fn of(text: &'static str) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        let mut lists: [Words; List::COUNT] = Default::default();
        let mut list = None;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let section = Section::of(title);
                list = section.is_none().then(|| List::of(title));
                sections.extend(section);
                continue;
            }
            let words = line.split_ascii_whitespace();
            match (list, sections.last_mut()) {
                (Some(list), _) => words.for_each(|word| lists[list as usize].add(word.as_bytes())),
                (None, Some(section)) => section.names.extend(words),
                (None, None) => {}
            }
        }
        Self { sections, lists: Lists(lists) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::compact;

    #[test]
    fn every_title_of_the_table_is_known_and_every_name_is_written_as_it_is_looked_for() {
        for line in include_str!("names.txt").lines() {
            if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                assert!(Section::of(title).is_some() || List::of(title) != List::Nothing, "{title}");
            }
        }
        for section in &table().sections {
            assert!(!section.names.is_empty(), "{section:?}");
            for name in section.names.iter().filter(|name| name.is_ascii()) {
                assert_eq!(compact(name), *name);
            }
        }
        assert!(table().lists.0[List::Nothing as usize].words.is_empty());
    }
}
