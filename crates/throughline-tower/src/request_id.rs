//! Request ids.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::fmt::Hyphenated;

/// The header that carries the request id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LIMIT: usize = 128;

/// The id of a request: the caller's as it came, if it is sound, else a new UUID of version 7. In the request's
/// extensions, and in the header of the response.
#[derive(Clone)]
pub struct RequestId(Origin);

#[derive(Clone)]
enum Origin {
    Caller(HeaderValue),
    /// A UUID, kept in place: most requests come without an id and nobody asks for theirs.
    Own([u8; Hyphenated::LENGTH]),
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

    /// The caller's id; `None` if it was made here, so that it cannot be personal data.
    pub(crate) fn of_caller(&self) -> Option<&str> {
        match &self.0 {
            Origin::Caller(id) => id.to_str().ok(),
            Origin::Own(_) => None,
        }
    }

    fn new() -> Self {
        // Not by `Uuid::now_v7`, where all requests of the process would wait for one lock, and each for the system's
        // random numbers.
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        id.hyphenated().encode_lower(&mut text);
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
    fn sound_ids_are_kept_and_others_replaced_by_uuids_of_version_7() {
        let id_of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            RequestId::of(&headers)
        };
        assert_eq!(id_of(b"req-1.a:B_2").as_str(), "req-1.a:B_2");
        for bad in [&b""[..], b"a b", b"<script>", "é".as_bytes(), &[b'a'; 129]] {
            let own = id_of(bad);
            let uuid = uuid::Uuid::parse_str(own.as_str()).unwrap();
            assert_eq!(uuid.get_version(), Some(uuid::Version::SortRand), "{bad:?}: {own}");
            assert_eq!(own.header(), own.as_str());
        }
    }

    #[test]
    fn a_uuid_of_a_caller_stays_as_it_came() {
        for id in ["018F4D3A-7C51-7A3B-9F00-0123456789AB", "urn:uuid:018f4d3a-7c51-7a3b-9f00-0123456789ab"] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            assert_eq!(RequestId::of(&headers).as_str(), id);
        }
    }

    #[test]
    fn ids_made_here_say_when_they_were_made_and_differ() {
        let ids: Vec<_> = (0..100).map(|_| RequestId::of(&HeaderMap::new())).collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        let uuid = uuid::Uuid::parse_str(ids[0].as_str()).unwrap();
        let made = std::time::Duration::from_secs(uuid.get_timestamp().unwrap().to_unix().0);
        let ago = SystemTime::now().duration_since(UNIX_EPOCH + made).unwrap();
        assert!(ago < std::time::Duration::from_secs(60), "{ago:?}");
    }
}
