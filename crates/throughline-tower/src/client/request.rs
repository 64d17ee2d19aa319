//! What the layer must know of requests and answers, whosever types they are.

use http::{HeaderMap, Method, StatusCode};

/// A request that a client sends: [`http::Request`], and `reqwest::Request` with the feature `reqwest`. Sealed: the
/// layer knows all there are.
pub trait ClientRequest: sealed::Sealed {
    #[doc(hidden)]
    fn method(&self) -> &Method;
    #[doc(hidden)]
    fn target(&self) -> Target;
    #[doc(hidden)]
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

/// The response to a [`ClientRequest`]: [`http::Response`], and `reqwest::Response` with the feature `reqwest`. Sealed.
pub trait ClientResponse: sealed::Sealed {
    #[doc(hidden)]
    fn status(&self) -> StatusCode;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
}

mod sealed {
    pub trait Sealed {}
    impl<B> Sealed for http::Request<B> {}
    impl<B> Sealed for http::Response<B> {}
    #[cfg(feature = "reqwest")]
    impl Sealed for reqwest::Request {}
    #[cfg(feature = "reqwest")]
    impl Sealed for reqwest::Response {}
}

/// Where a request goes: neither credentials nor the query are read. What
/// [`ClientLayer::propagate_to`](super::ClientLayer::propagate_to) asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl Target {
    /// The scheme, as `https`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The name or address of the host, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, which may be that of the scheme; `None` if neither is known.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The scheme's own port, if it is one of the web's.
    fn usual_port(scheme: &str) -> Option<u16> {
        match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        }
    }

    fn is_usual_port(&self) -> bool {
        self.port.is_none() || self.port == Self::usual_port(&self.scheme)
    }

    /// The host, and the port where it is not the usual one.
    pub(super) fn authority(&self) -> String {
        match self.port {
            Some(port) if !self.is_usual_port() => format!("{}:{port}", self.host),
            _ => self.host.clone(),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

impl<B> ClientRequest for http::Request<B> {
    fn method(&self) -> &Method {
        self.method()
    }

    fn target(&self) -> Target {
        let uri = self.uri();
        let scheme = uri.scheme_str().unwrap_or("http").to_owned();
        let (host, port) = match uri.authority() {
            Some(authority) => (authority.host().to_ascii_lowercase(), authority.port_u16()),
            // A request in origin form, as services in process take it.
            None => {
                let host = self.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
                let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
                host.map_or_else(
                    || ("localhost".to_owned(), None),
                    |host| (host.host().to_ascii_lowercase(), host.port_u16()),
                )
            }
        };
        let port = port.or_else(|| Target::usual_port(&scheme));
        Target { scheme, host, port, path: uri.path().to_owned() }
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

impl<B> ClientResponse for http::Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

#[cfg(feature = "reqwest")]
impl ClientRequest for reqwest::Request {
    fn method(&self) -> &Method {
        self.method()
    }

    fn target(&self) -> Target {
        let url = self.url();
        Target {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default(),
            path: url.path().to_owned(),
        }
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl ClientResponse for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        http::Request::get(uri).body(()).unwrap().target()
    }

    #[test]
    fn a_target_has_neither_credentials_nor_a_query() {
        let target = target("https://ada:secret@bureau.test/scores/42?token=abc");
        assert_eq!(target.url(), "https://bureau.test/scores/42");
        assert_eq!((target.authority().as_str(), target.port), ("bureau.test", Some(443)));
    }

    #[test]
    fn only_an_unusual_port_is_named() {
        assert_eq!(target("http://127.0.0.1:3000/").authority(), "127.0.0.1:3000");
        assert_eq!(target("http://[::1]:80/x").url(), "http://[::1]/x");
    }

    #[test]
    fn a_request_in_origin_form_goes_to_the_host_it_names() {
        let request = http::Request::get("/x").header("host", "callee:8080").body(()).unwrap();
        assert_eq!(request.target().url(), "http://callee:8080/x");
        assert_eq!(target("/x").url(), "http://localhost/x");
    }
}
