//! A small cache of answers about short texts that come again and again: payload keys, event types.

use std::fmt;
use std::sync::{Mutex, OnceLock};

const SLOTS: usize = 512;
/// How many answers are remembered beside these until others take their place.
const RECENT: usize = 64;
/// Longer texts are looked at anew each time, so that the cache is bounded in bytes too.
pub(crate) const LONGEST: usize = 64;

/// Remembers at most so many answers. What is written stays, so that reading takes no lock, and a flood of unusual
/// texts evicts nothing; of those that find no room, the last few are remembered apart.
pub(crate) struct Memo<V, const ROOM: usize = SLOTS> {
    kept: Box<[Slot<V>]>,
    recent: Mutex<Vec<Recent<V>>>,
}

type Slot<V> = OnceLock<(Known, V)>;

/// A text that has found no room, and the answer about it.
#[derive(Clone)]
struct Recent<V>(String, V);

impl<V: Copy, const ROOM: usize> Memo<V, ROOM> {
    pub(crate) fn new() -> Self {
        Self { kept: (0..ROOM).map(|_| Slot::new()).collect(), recent: Mutex::default() }
    }

    /// The answer about a text, if it is remembered.
    #[inline]
    pub(crate) fn get(&self, text: &str) -> Option<V> {
        if text.len() > LONGEST {
            return None;
        }
        let edges = Edges::of(text);
        let [place, other] = edges.places(ROOM);
        let known = |place: usize| self.kept[place].get().filter(|(known, _)| known.is(edges, text));
        known(place).or_else(|| known(other)).map(|(_, answer)| *answer)
    }

    /// The answer about a text, which is remembered from now on.
    #[inline]
    pub(crate) fn get_or(&self, text: &str, answer: impl FnOnce() -> V) -> V {
        self.get(text).unwrap_or_else(|| self.new_answer(text, answer))
    }

    fn new_answer(&self, text: &str, answer: impl FnOnce() -> V) -> V {
        if text.len() > LONGEST {
            return answer();
        }
        let edges = Edges::of(text);
        if let Some(free) = self.free(edges) {
            let answer = answer();
            Self::keep(free, edges, text, answer);
            return answer;
        }
        // Nobody waits for another thread: what it would say is found out sooner.
        let Ok(mut recent) = self.recent.try_lock() else { return answer() };
        let place = edges.places(ROOM)[0] % RECENT;
        match recent.get_mut(place) {
            Some(Recent(known, answer)) if known == text => *answer,
            Some(Recent(known, known_answer)) => {
                *known_answer = answer();
                known.clear();
                known.push_str(text);
                *known_answer
            }
            None => {
                let answer = answer();
                *recent = vec![Recent(text.to_owned(), answer); RECENT];
                answer
            }
        }
    }

    /// Remembers the answer about a text, if there is room.
    pub(crate) fn put(&self, text: &str, answer: V) {
        let edges = Edges::of(text);
        if text.len() <= LONGEST
            && let Some(free) = self.free(edges)
        {
            Self::keep(free, edges, text, answer);
        }
    }

    /// A free slot for a text.
    fn free(&self, edges: Edges) -> Option<&Slot<V>> {
        edges.places(ROOM).into_iter().map(|place| &self.kept[place]).find(|slot| slot.get().is_none())
    }

    fn keep(free: &Slot<V>, edges: Edges, text: &str, answer: V) {
        let whole = (text.len() > 16).then(|| text.into());
        // Another thread may have taken the slot meanwhile: then the text is looked at again next time.
        let _ = free.set((Known { edges, whole }, answer));
    }
}

/// The length and the first and last eight bytes of a text. A text of up to 16 bytes is nothing but its edges, and
/// is compared without a look elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Edges {
    len: usize,
    first: u64,
    last: u64,
}

impl Edges {
    #[inline]
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (bytes.iter().fold(0, |all, &byte| (all << 8) | u64::from(byte)), 0),
            },
        };
        Self { len: bytes.len(), first, last }
    }

    /// The two places where the text may be remembered.
    #[inline]
    fn places(self, room: usize) -> [usize; 2] {
        const MIX: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];
        // Names that differ in a letter alone must not meet: each bit of both halves of the product depends on many of the text.
        let last = self.last.wrapping_add(self.len as u64);
        let product = u128::from(self.first ^ MIX[0]) * u128::from(last ^ MIX[1]);
        let mixed = (product as u64) ^ ((product >> 64) as u64);
        [(mixed >> 48) as usize % room, (mixed >> 32) as usize % room]
    }
}

struct Known {
    edges: Edges,
    /// The text, if it is more than its edges.
    whole: Option<Box<str>>,
}

impl Known {
    #[inline]
    fn is(&self, edges: Edges, text: &str) -> bool {
        self.edges == edges && self.whole.as_deref().is_none_or(|whole| whole == text)
    }
}

impl<V, const ROOM: usize> fmt::Debug for Memo<V, ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it remembers comes from the caller's data and does not belong in a log.
        f.write_str("Memo(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_and_the_cache_is_bounded() {
        let memo = Memo::<_>::new();
        for n in 0..10_000_u32 {
            memo.put(&format!("key-{n}"), n);
        }
        let kept: Vec<u32> = (0..10_000).filter_map(|n| memo.get(&format!("key-{n}"))).collect();
        assert!(kept.len() > SLOTS / 2 && kept.len() <= SLOTS, "{}", kept.len());
        assert_eq!(memo.get(&format!("key-{}", kept[7])), Some(kept[7]));
        memo.put(&"x".repeat(LONGEST + 1), 1);
        assert_eq!(memo.get(&"x".repeat(LONGEST + 1)), None);
        assert!(!format!("{memo:?}").contains("key-"));
    }

    #[test]
    fn nearly_all_names_that_differ_in_a_letter_are_remembered() {
        let shapes: [fn(u32) -> String; 6] = [
            |n| format!("line_{n}"),
            |n| format!("{n}"),
            |n| format!("item-{n:03}"),
            |n| format!("f{n:03}"),
            |n| format!("{n:03}_of_the_fields"),
            |n| format!("field_of_a_long_name_{n}"),
        ];
        for shape in shapes {
            let memo = Memo::<_>::new();
            (0..200).for_each(|n| memo.put(&shape(n), n));
            let kept = (0..200).filter(|n| memo.get(&shape(*n)).is_some()).count();
            assert!(kept >= 180, "{} {kept}", shape(0));
        }
    }

    #[test]
    fn of_what_finds_no_room_the_last_is_remembered_too() {
        let memo = Memo::<_>::new();
        for n in 0..10_000_u32 {
            memo.put(&format!("key-{n}"), n);
        }
        let forgotten: Vec<String> =
            (0..10_000).map(|n| format!("key-{n}")).filter(|text| memo.get(text).is_none()).collect();
        for (n, text) in (0..).zip(&forgotten) {
            assert_eq!(memo.get_or(text, || n), n);
            assert_eq!(memo.get_or(text, || panic!("{text} was looked at again")), n);
        }
        assert_eq!(memo.get_or(&forgotten[0], || 1), 1, "others have taken its place");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!((memo.get_or(&long, || 1), memo.get_or(&long, || 2)), (1, 2));
    }

    #[test]
    fn texts_that_look_alike_are_told_apart() {
        let texts = [
            "",
            "a",
            "aa",
            "aaa",
            "\0",
            "\0a",
            "abcd",
            "abcabcd",
            "aaaaaaaa",
            "aaaaaaaaa",
            "first888-a-last8888",
            "first888-b-last8888",
            "first888last8888",
            "é",
            "éa",
            "aé",
        ];
        let memo = Memo::<_>::new();
        for (n, text) in texts.into_iter().enumerate() {
            memo.put(text, n);
        }
        for (n, text) in texts.into_iter().enumerate() {
            assert!(memo.get(text).is_none_or(|known| known == n), "{text:?}");
        }
        assert_eq!(memo.get_or("new", || 99), 99);
        assert_eq!(memo.get_or("new", || 100), 99);
    }
}
