//! Request ids.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use throughline_core::TraceId;

/// The header that carries the request id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LIMIT: usize = 128;

/// The id of a request: the caller's, if it is sound, else a new one. In the request's extensions, and in the header of
/// the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id if it is 1 to 128 letters, digits, or `-_.:`; else makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sound = |id: &&HeaderValue| {
            let id = id.as_bytes();
            let plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_.:".contains(c);
            !id.is_empty() && id.len() <= LIMIT && id.iter().all(plain)
        };
        let own = || HeaderValue::try_from(TraceId::random().to_string());
        match headers.get(REQUEST_ID).filter(sound) {
            Some(id) => Self(id.clone()),
            None => Self(own().unwrap_or_else(|_| HeaderValue::from_static("unknown"))),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
            assert_eq!(id_of(bad).as_str().len(), 32, "{bad:?}");
        }
    }
}
