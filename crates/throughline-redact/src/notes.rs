//! What a walk through a payload has hidden, for those who want to know rather than to hide.

use serde_json::Value;

use crate::PayloadFinding;
use crate::finding::{self, Hidden, Reason};
use crate::found::Hit;

/// What was hidden so far, and where the walk is.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    path: Vec<String>,
    noted: Vec<Note>,
}

#[derive(Debug)]
struct Note {
    pointer: String,
    kind: String,
    reason: Reason,
    /// What must not be seen.
    hidden: String,
}

impl Notes {
    /// The walk goes into the value under a key, or to an item.
    pub(crate) fn enter(&mut self, key: String) {
        self.path.push(key);
    }

    pub(crate) fn leave(&mut self) {
        self.path.pop();
    }

    /// What is hidden of a text: of a value, or of its key.
    pub(crate) fn text(&mut self, text: &str, hits: &[Hit<'_>]) {
        for hit in hits {
            let hidden = text[hit.range.clone()].to_owned();
            self.add(finding::kind(hit.mark), Reason::of(text, hit), hidden);
        }
    }

    /// A value that is hidden altogether.
    pub(crate) fn value(&mut self, value: &Value, kind: &str, reason: Reason) {
        let hidden = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.add(kind, reason, hidden);
    }

    fn add(&mut self, kind: &str, reason: Reason, hidden: String) {
        let escaped = self.path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        self.noted.push(Note { pointer: escaped.collect(), kind: kind.to_owned(), reason, hidden });
    }

    pub(crate) fn findings(self) -> Vec<PayloadFinding> {
        let (notes, hidden): (Vec<_>, Vec<_>) = self
            .noted
            .into_iter()
            .map(|Note { pointer, kind, reason, hidden }| ((pointer, kind, reason), hidden))
            .unzip();
        let hidden = Hidden::of(hidden.iter().map(String::as_str));
        let finding = |(pointer, kind, reason): (String, String, Reason)| PayloadFinding {
            pointer,
            kind,
            because: reason.in_words(&hidden),
        };
        notes.into_iter().map(finding).collect()
    }
}
