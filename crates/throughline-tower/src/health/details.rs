//! [`Details`], who is shown what.

use std::fmt;
use std::net::SocketAddr;

use http::header::{AUTHORIZATION, FORWARDED, HeaderMap, HeaderName, VIA};
use http::{Extensions, request};
use subtle::ConstantTimeEq as _;

use super::HealthBuildError;

/// What a proxy says about the caller behind it.
const FORWARDING: [HeaderName; 4] =
    [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// Who is shown more than the status and the names of failing checks: what errors say, and how long checks take.
///
/// ```
/// use throughline_tower::health::Details;
///
/// let details = Details::hidden().unless_loopback().unless_bearer("from a secret store");
/// ```
#[derive(Clone)]
pub struct Details {
    everybody: bool,
    loopback: bool,
    bearer: Option<String>,
}

impl Details {
    /// Nobody is.
    pub fn hidden() -> Self {
        Self { everybody: false, loopback: false, bearer: None }
    }

    /// Everybody is: for endpoints on a port that strangers do not reach.
    pub fn shown() -> Self {
        Self { everybody: true, loopback: false, bearer: None }
    }

    /// Callers on this machine are, unless a header says that a proxy passed the request on. The server has to say who
    /// calls: `into_make_service_with_connect_info::<SocketAddr>()` in axum, a [`SocketAddr`] among the request's
    /// extensions elsewhere. Not for a service behind a proxy on the same machine that adds no such header.
    #[must_use]
    pub fn unless_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// Callers with this token are: `Authorization: Bearer TOKEN`
    /// ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)).
    #[must_use]
    pub fn unless_bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    pub(super) fn validate(&self) -> Result<(), HealthBuildError> {
        match &self.bearer {
            Some(token) if token.is_empty() => Err(HealthBuildError::EmptyToken),
            _ => Ok(()),
        }
    }

    pub(super) fn are_shown_to(&self, caller: &request::Parts) -> bool {
        self.everybody
            || (self.loopback && is_local(&caller.extensions, &caller.headers))
            || self.bearer.as_deref().is_some_and(|token| bears(&caller.headers, token))
    }
}

/// Without the token.
impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("everybody", &self.everybody)
            .field("loopback", &self.loopback)
            .field("bearer", &self.bearer.is_some())
            .finish()
    }
}

fn is_local(extensions: &Extensions, headers: &HeaderMap) -> bool {
    let address = extensions.get::<SocketAddr>();
    #[cfg(feature = "axum")]
    let address =
        address.or_else(|| extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| &info.0));
    address.is_some_and(|address| address.ip().to_canonical().is_loopback())
        && !FORWARDING.iter().any(|name| headers.contains_key(name))
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let Some(given) = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7))
    else {
        return false;
    };
    given.0.eq_ignore_ascii_case(b"bearer ") && bool::from(given.1.ct_eq(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn caller(address: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::new(());
        request.extensions_mut().insert(address.parse::<SocketAddr>().unwrap());
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request.into_parts().0
    }

    #[test]
    fn callers_on_this_machine_are_known_by_their_address_and_not_through_a_proxy() {
        let details = Details::hidden().unless_loopback();
        for local in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            assert!(details.are_shown_to(&caller(local, &[])), "{local}");
            assert!(!details.are_shown_to(&caller(local, &[("x-forwarded-for", "203.0.113.9")])));
            assert!(!details.are_shown_to(&caller(local, &[("forwarded", "for=203.0.113.9")])));
        }
        assert!(!details.are_shown_to(&caller("203.0.113.9:4000", &[])));
        assert!(!details.are_shown_to(&Request::new(()).into_parts().0), "who is not known is a stranger");
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let details = Details::hidden().unless_bearer("s3cret");
        let shown = |value| details.are_shown_to(&caller("203.0.113.9:1", &[("authorization", value)]));
        assert!(shown("Bearer s3cret") && shown("bearer s3cret"));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer ", "Basic s3cret", "s3cret", ""] {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!details.are_shown_to(&caller("127.0.0.1:1", &[])), "loopback is another choice");
        assert!(!format!("{details:?}").contains("s3cret"));
    }
}
