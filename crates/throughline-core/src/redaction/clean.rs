//! Names that were found clean, so that the event type of a step in a loop and the keys of its payload are judged once.

use std::cell::RefCell;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHasher;

use crate::Text;

/// How many texts each thread remembers.
const SLOTS: usize = 256;
/// Longer texts are not remembered: they are messages rather than names.
const LONGEST: usize = 64;

/// One redactor's part of what the threads remember. A text in a slot makes room for the next that falls into it.
pub(super) struct Clean {
    redactor: u64,
}

type Slots = [Option<(u64, Text)>; SLOTS];

thread_local! {
    static REMEMBERED: RefCell<Slots> = const { RefCell::new([const { None }; SLOTS]) };
}

impl Clean {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { redactor: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        let remembered = REMEMBERED.try_with(|slots| {
            let slots = slots.borrow();
            slots[slot(text)]
                .as_ref()
                .is_some_and(|(redactor, known)| *redactor == self.redactor && known.as_str() == text)
        });
        remembered.unwrap_or(false)
    }

    pub(super) fn remember(&self, text: &str) {
        if text.len() > LONGEST {
            return;
        }
        let text = Text::from(text.to_owned());
        // Nothing is remembered on a thread that is ending.
        let _ = REMEMBERED.try_with(|slots| {
            let slot = slot(&text);
            slots.borrow_mut()[slot] = Some((self.redactor, text));
        });
    }
}

fn slot(text: &str) -> usize {
    let mut hasher = FxHasher::default();
    text.hash(&mut hasher);
    hasher.finish() as usize % SLOTS
}
