//! [`Attrs`], the small, findable facts of an event.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Text;

/// A small map from text to text, sorted by key: tenant, execution, request, session, user…
///
/// Cheap to clone: all events of a context share one allocation.
#[derive(Default, PartialEq, Eq)]
pub struct Attrs(Option<Arc<[(Text, Text)]>>);

impl Attrs {
    /// No attributes; does not allocate.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value under a key.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&str> {
        let entries = self.0.as_deref()?;
        let at = entries.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&entries[at].1)
    }

    /// These attributes and one more; a value already under the key is replaced.
    #[must_use]
    pub fn with(&self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.iter().cloned().chain([(key.into(), value.into())]).collect()
    }

    /// The pairs of key and value, in the order of the keys.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Text)> {
        self.0.as_deref().unwrap_or_default().iter()
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, <[_]>::len)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Clone for Attrs {
    #[inline]
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// Leaves them as they are where both share an allocation already, which costs less than to count that once more and
    /// once less.
    #[inline]
    fn clone_from(&mut self, source: &Self) {
        let shared = |attrs: &Self| attrs.0.as_ref().map(Arc::as_ptr);
        if shared(self) != shared(source) {
            *self = source.clone();
        }
    }
}

impl fmt::Debug for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key, value))).finish()
    }
}

impl<K: Into<Text>, V: Into<Text>> FromIterator<(K, V)> for Attrs {
    /// Of several values under one key the last is kept.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut entries: Vec<(Text, Text)> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        entries.reverse();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, kept| later.0 == kept.0);
        Self((!entries.is_empty()).then(|| entries.into()))
    }
}

impl<'a> IntoIterator for &'a Attrs {
    type Item = &'a (Text, Text);
    type IntoIter = std::slice::Iter<'a, (Text, Text)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Attrs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Attrs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AttrsVisitor;
        impl<'de> Visitor<'de> for AttrsVisitor {
            type Value = Attrs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from text to text")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attrs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<Text, Text>()? {
                    pairs.push(pair);
                }
                Ok(pairs.into_iter().collect())
            }
        }
        deserializer.deserialize_map(AttrsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_under_a_key_wins_and_keys_are_sorted() {
        let attrs: Attrs = [("user", "u1"), ("tenant", "acme"), ("user", "u2")].into_iter().collect();
        assert_eq!(attrs.get("user"), Some("u2"));
        assert_eq!(serde_json::to_string(&attrs).unwrap(), r#"{"tenant":"acme","user":"u2"}"#);
        assert_eq!(attrs.with("user", "u3").get("user"), Some("u3"));
        assert_eq!(attrs.get("absent"), None);
    }
}
