//! Request ids.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use throughline_core::TraceId;

/// The header that carries the request id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LIMIT: usize = 128;

/// The id of a request: the caller's, if it is sound, else a new one. In the request's extensions, and in the header of
/// the answer.
#[derive(Clone)]
pub struct RequestId(Origin);

#[derive(Clone)]
enum Origin {
    Caller(HeaderValue),
    /// 32 hex digits, kept in place: most requests come without an id and nobody asks for theirs.
    Own([u8; 32]),
}

impl RequestId {
    /// Takes the caller's id if it is 1 to 128 letters, digits, or `-_.:`; else makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(REQUEST_ID).filter(|id| Self::is_sound(id.as_bytes())) {
            Some(id) => Self(Origin::Caller(id.clone())),
            None => Self::new(),
        }
    }

    pub(crate) fn is_sound(id: &[u8]) -> bool {
        let plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_.:".contains(c);
        !id.is_empty() && id.len() <= LIMIT && id.iter().all(plain)
    }

    /// The caller's id; `None` if it was made here, where it is nothing that could tell of somebody.
    pub(crate) fn of_caller(&self) -> Option<&str> {
        match &self.0 {
            Origin::Caller(id) => id.to_str().ok(),
            Origin::Own(_) => None,
        }
    }

    fn new() -> Self {
        let mut text = [b'0'; 32];
        // There is room: an id is 32 digits.
        let _ = write!(text.as_mut_slice(), "{}", TraceId::random());
        Self(Origin::Own(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Origin::Caller(id) => id.to_str().unwrap_or_default(),
            Origin::Own(id) => std::str::from_utf8(id).unwrap_or_default(),
        }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        match &self.0 {
            Origin::Caller(id) => id.clone(),
            Origin::Own(id) => HeaderValue::from_bytes(id).unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RequestId {}

impl Hash for RequestId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_ids_are_kept_and_others_replaced() {
        let id_of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            RequestId::of(&headers)
        };
        assert_eq!(id_of(b"req-1.a:B_2").as_str(), "req-1.a:B_2");
        for bad in [&b""[..], b"a b", b"<script>", "é".as_bytes(), &[b'a'; 129]] {
            let own = id_of(bad);
            assert!(own.as_str().len() == 32 && own.as_str().parse::<TraceId>().is_ok(), "{bad:?}: {own}");
            assert_eq!(own.header(), own.as_str());
        }
    }
}
