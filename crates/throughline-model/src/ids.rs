//! The identities of traces, spans and process lives.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use hmac_sha256::Hash as Sha256;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not {what}: {want}")]
pub struct ParseIdError {
    input: String,
    what: &'static str,
    want: &'static str,
}

impl ParseIdError {
    fn new(input: &str, what: &'static str, want: &'static str) -> Self {
        // The input may be anything a stranger sent: it is shown, but not at any length.
        Self { input: input.chars().take(64).collect(), what, want }
    }
}

/// The identity of one run of a workflow: 16 bytes, written as 32 lower-case hex digits.
///
/// [`TraceId::random`] makes time-ordered ids (48 bits of Unix milliseconds, then 80 random bits), which runs have;
/// [`TraceId::from_key`] derives an id from a text, for events that are created elsewhere and must have the same id each
/// time, such as those of an import.
/// Compatible with the `trace-id` of [W3C Trace Context](https://www.w3.org/TR/trace-context-2/#trace-id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// A new id: 48 bits of Unix milliseconds, then 80 random bits. All bits that ratio samplers look at are
    /// random, which is why this is not a UUIDv7.
    #[cfg(feature = "random")]
    pub fn random() -> Self {
        let millis = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let mut bytes = rand::random::<[u8; 16]>();
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        // 80 random bits are all zero once in 10^24; an all-zero id would be invalid, so it is ruled out.
        bytes[15] |= u8::from(bytes == [0; 16]);
        Self(bytes)
    }

    /// The id that belongs to a text: SHA-256 of its UTF-8 bytes, truncated to 16 bytes.
    ///
    /// ```
    /// use throughline_model::TraceId;
    /// assert_eq!(TraceId::from_key("loan-42"), TraceId::from_key("loan-42"));
    /// assert_ne!(TraceId::from_key("loan-42"), TraceId::from_key("loan-43"));
    /// ```
    pub fn from_key(key: &str) -> Self {
        let digest = Sha256::hash(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[15] |= u8::from(bytes == [0; 16]);
        Self(bytes)
    }

    /// The id with these bytes, or `None` if they are all zero, which W3C Trace Context forbids.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The 16 bytes of the id.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for TraceId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a trace id", "32 lower-case hex digits, not all zero");
        let mut bytes = [0; 16];
        read_hex(text, &mut bytes).ok_or_else(error)?;
        Self::from_bytes(bytes).ok_or_else(error)
    }
}

/// The identity of a span within its trace: 8 bytes, non-zero, written as 16 lower-case hex digits.
///
/// The start and the end event of a step share it. Compatible with the `parent-id` of
/// [W3C Trace Context](https://www.w3.org/TR/trace-context-2/#parent-id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// A new random id.
    #[cfg(feature = "random")]
    #[inline]
    pub fn random() -> Self {
        Self(NonZeroU64::new(rand::random::<u64>()).unwrap_or(NonZeroU64::MIN))
    }

    /// The id with this value, or `None` for zero, which W3C Trace Context forbids.
    #[inline]
    pub fn from_u64(value: u64) -> Option<Self> {
        NonZeroU64::new(value).map(Self)
    }

    /// The id as a number; its big-endian bytes are the hex form.
    #[inline]
    pub fn to_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0.get().to_be_bytes(), f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0.get().to_be_bytes(), f)
    }
}

impl FromStr for SpanId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a span id", "16 lower-case hex digits, not all zero");
        let mut bytes = [0; 8];
        read_hex(text, &mut bytes).ok_or_else(error)?;
        Self::from_u64(u64::from_be_bytes(bytes)).ok_or_else(error)
    }
}

/// The identity of one instance of an emitter, from the start of a process to its end: 8 bytes, written as 16 lower-case hex digits.
///
/// A store keeps a lease for each instance that is alive, which is how a running step and an interrupted one are told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u64);

impl InstanceId {
    /// The instance of events that were imported rather than emitted: it never held a lease, so its open
    /// spans are *unfinished*, neither running nor interrupted.
    pub const IMPORTED: Self = Self(0);

    /// The instance of an event that says that no process works on its span any more, although it has not ended: the span
    /// is *interrupted*, whichever process emitted the event. It is always dead.
    pub const NOBODY: Self = Self(u64::MAX);

    /// A new random id.
    #[cfg(feature = "random")]
    pub fn random() -> Self {
        // Neither `IMPORTED` nor `NOBODY`.
        Self((rand::random::<u64>() >> 1) | 1)
    }

    /// The id with this value.
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The id as a number; its big-endian bytes are the hex form.
    pub const fn to_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0.to_be_bytes(), f)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0.to_be_bytes(), f)
    }
}

impl FromStr for InstanceId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 8];
        read_hex(text, &mut bytes)
            .ok_or_else(|| ParseIdError::new(text, "an instance id", "16 lower-case hex digits"))?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

/// The identity of an event, written `{trace_id}:{span_id}:{seq}`. Storing an event twice under the same identity stores it
/// once, so retries are idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The trace the event belongs to.
    pub trace_id: TraceId,
    /// The span the event belongs to.
    pub span_id: SpanId,
    /// The position of the event within its span.
    pub seq: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.trace_id, self.span_id, self.seq)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    f.pad(std::str::from_utf8(&text[..bytes.len() * 2]).unwrap_or_default())
}

/// Strict on purpose: W3C Trace Context allows lower-case digits only.
fn read_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if text.len() != bytes.len() * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

macro_rules! serde_as_text {
    ($($id:ty),*) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
serde_as_text!(TraceId, SpanId, InstanceId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_made_later_sort_later_and_keep_80_random_bits() {
        let early = TraceId::random();
        let mut late = TraceId::random();
        while late.to_bytes()[..6] == early.to_bytes()[..6] {
            late = TraceId::random();
        }
        assert!(early < late);
        let distinct: std::collections::HashSet<_> = (0..1000).map(|_| TraceId::random()).collect();
        assert_eq!(distinct.len(), 1000);
    }

    #[test]
    fn a_key_gives_the_known_truncated_sha_256() {
        // printf 'loan-42' | sha256sum
        assert_eq!(TraceId::from_key("loan-42").to_string(), "a74f87c4edc5996be151c8bf95961ad8");
    }

    #[test]
    fn ids_survive_text_and_json() {
        let id = TraceId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        let span = SpanId::random();
        assert_eq!(serde_json::from_str::<SpanId>(&serde_json::to_string(&span).unwrap()).unwrap(), span);
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_input_and_the_mend() {
        for bad in ["", "0af7651916cd43dd8448eb211c80319", "0AF7651916CD43DD8448EB211C80319C", "éé"] {
            let error = bad.parse::<TraceId>().unwrap_err().to_string();
            assert!(error.contains("32 lower-case hex digits"), "{error}");
        }
        assert!("00000000000000000000000000000000".parse::<TraceId>().is_err());
        assert!("0000000000000000".parse::<SpanId>().is_err());
    }
}
