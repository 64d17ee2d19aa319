//! A small memory of verdicts about short texts that come again and again: payload keys, event types.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use rustc_hash::FxBuildHasher;

const SLOTS: usize = 1024;
/// Longer texts are judged anew each time, so that the memory is bounded in bytes too.
const LONGEST: usize = 64;

/// Remembers at most 1024 verdicts. What is written stays, so that reading takes no lock and a flood of
/// unusual texts costs the others nothing but a slot.
pub(super) struct Memo<V>(Box<[Slot<V>]>);

type Slot<V> = OnceLock<(Box<str>, V)>;

impl<V: Copy> Memo<V> {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| Slot::new()).collect())
    }

    /// The verdict about a text, if it is remembered.
    pub(super) fn get(&self, text: &str) -> Option<V> {
        if text.len() > LONGEST {
            return None;
        }
        places(text).into_iter().find_map(|place| {
            self.0[place].get().filter(|(known, _)| **known == *text).map(|(_, verdict)| *verdict)
        })
    }

    /// Remembers the verdict about a text, if there is room.
    pub(super) fn put(&self, text: &str, verdict: V) {
        if text.len() <= LONGEST
            && let Some(free) = places(text).into_iter().find(|&place| self.0[place].get().is_none())
        {
            // Another thread may have taken the slot meanwhile: then the text is judged again next time.
            let _ = self.0[free].set((text.into(), verdict));
        }
    }
}

/// The two places where a text may be remembered.
fn places(text: &str) -> [usize; 2] {
    let hash = FxBuildHasher.hash_one(text);
    [hash as usize % SLOTS, (hash >> 32) as usize % SLOTS]
}

impl<V> fmt::Debug for Memo<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it remembers comes from events and is nobody's business.
        f.write_str("Memo(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_and_the_memory_is_bounded() {
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
}
