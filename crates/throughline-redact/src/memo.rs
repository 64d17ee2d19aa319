//! A small cache of answers about short texts that come again and again: payload keys, event types.

use std::fmt;
use std::sync::OnceLock;

const SLOTS: usize = 512;
/// Longer texts are looked at anew each time, so that the cache is bounded in bytes too.
const LONGEST: usize = 64;

/// Remembers at most 512 answers. What is written stays, so that reading takes no lock, and a flood of unusual
/// texts evicts nothing.
pub(crate) struct Memo<V>(Box<[Slot<V>]>);

type Slot<V> = OnceLock<(Known, V)>;

impl<V: Copy> Memo<V> {
    pub(crate) fn new() -> Self {
        Self((0..SLOTS).map(|_| Slot::new()).collect())
    }

    /// The answer about a text, if it is remembered.
    #[inline]
    pub(crate) fn get(&self, text: &str) -> Option<V> {
        if text.len() > LONGEST {
            return None;
        }
        let edges = Edges::of(text);
        let [place, other] = edges.places();
        let known = |place: usize| self.0[place].get().filter(|(known, _)| known.is(edges, text));
        known(place).or_else(|| known(other)).map(|(_, answer)| *answer)
    }

    /// The answer about a text, which is remembered from now on if there is room.
    #[inline]
    pub(crate) fn get_or(&self, text: &str, answer: impl FnOnce() -> V) -> V {
        self.get(text).unwrap_or_else(|| {
            let answer = answer();
            self.put(text, answer);
            answer
        })
    }

    /// Remembers the answer about a text, if there is room.
    pub(crate) fn put(&self, text: &str, answer: V) {
        let edges = Edges::of(text);
        if text.len() <= LONGEST
            && let Some(free) = edges.places().into_iter().find(|&place| self.0[place].get().is_none())
        {
            let whole = (text.len() > 16).then(|| text.into());
            // Another thread may have taken the slot meanwhile: then the text is looked at again next time.
            let _ = self.0[free].set((Known { edges, whole }, answer));
        }
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
    fn places(self) -> [usize; 2] {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed =
            (self.first.wrapping_mul(MIX) ^ self.last).wrapping_add(self.len as u64).wrapping_mul(MIX);
        [(mixed >> 48) as usize % SLOTS, (mixed >> 32) as usize % SLOTS]
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

impl<V> fmt::Debug for Memo<V> {
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
        let memo = Memo::new();
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
        let memo = Memo::new();
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
