//! What stands before every request: who asks, for which host, and within which limits.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use crate::access::Access;
use crate::leisure::in_place;
use crate::problem::Problem;
use crate::state::State;

/// Own scripts, styles and requests, and nothing else: no inline code, no other host, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer says, errors included.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers GET alone, turns panics into answers, and adds the headers that keep the pages to themselves.
pub(crate) async fn contained(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => {
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            answer.unwrap_or_else(|_| panicked())
        }
        _ => {
            let error = "the viewer only reads: use GET";
            let mut refused = Problem::new(StatusCode::METHOD_NOT_ALLOWED, error).into_response();
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The message of the panic is left out: it may have a secret in it.
fn panicked() -> Response {
    let error = "the viewer panicked; the log of the service says where";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
}

/// Answers what is asked of this host, and without authentication only this machine.
///
/// A page of another site can make a reader's browser ask a name of its own that leads here, but not
/// [name another host](https://en.wikipedia.org/wiki/DNS_rebinding).
pub(crate) async fn for_this_host(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(host) = host(request.headers(), request.uri()) else {
        return Problem::bad_request("the request names no host: send the header Host").into_response();
    };
    if state.auth.is_none() {
        if !is_local_peer(request.extensions()) || is_forwarded(request.headers()) {
            return Problem::forbidden(
                "only this machine is answered, and who asks from another has to be told apart: demand authentication \
                 with .auth(..); on this machine, serve with into_make_service_with_connect_info::<SocketAddr>()",
            )
            .into_response();
        }
        if !is_loopback_name(&host) {
            return Problem::forbidden(
                "without authentication the viewer is reached as localhost or 127.0.0.1 only; another name needs .auth(..) \
                 and .host(..)",
            )
            .into_response();
        }
    } else if !is_loopback_name(&host) && ip(&host).is_none() && !state.hosts.contains(&host) {
        return Problem::forbidden(
            "this is not a name of the viewer: give it with .host(..), or with --host on the command line",
        )
        .into_response();
    }
    next.run(request).await
}

/// The host that a request names, in lower case and without a port.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::parse::<Authority>);
    let host = match named {
        Some(Ok(authority)) => authority.host().to_owned(),
        Some(Err(_)) => return None,
        // HTTP/2 says it in the address.
        None => uri.host()?.to_owned(),
    };
    // A dot at the end changes nothing about where a name leads.
    Some(host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase())
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || ip(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

fn is_local_peer(extensions: &Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
}

/// Whether a proxy of this machine asks for somebody who may be anywhere.
fn is_forwarded(headers: &HeaderMap) -> bool {
    const BY_PROXIES: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
    BY_PROXIES.iter().any(|name| headers.contains_key(*name))
}

/// Whether a browser asks because a page of another site made it. The page would not see the answer, but it could keep the
/// viewer busy.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

/// Lets those pass who may see something, and says how much.
pub(crate) async fn authenticated(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if is_of_another_site(request.headers()) {
        return Problem::forbidden("a page of another site asks; only the viewer's own pages may")
            .into_response();
    }
    let (parts, body) = request.into_parts();
    let access = state.auth.as_ref().map_or(Access::All, |auth| auth.access(&parts));
    if access == Access::Forbidden {
        let challenge = state.auth.as_ref().and_then(|auth| auth.challenge());
        let refused = match challenge {
            Some(challenge) => Problem::unauthorized(challenge),
            None => Problem::forbidden("you may not see this; the service decides who may"),
        };
        return refused.into_response();
    }
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(access);
    next.run(request).await
}

/// Answers so many requests at once, each in time.
pub(crate) async fn within_limits(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(place) = Arc::clone(&state.requests).try_acquire_owned() else {
        return Problem::busy("too many requests at once; try again in a second").into_response();
    };
    match tokio::time::timeout(state.timeout, in_place(place, next.run(request))).await {
        Ok(response) => response,
        Err(_) => {
            let error = format!(
                "the store did not answer within {} s; ask for less, or try again",
                state.timeout.as_secs_f64()
            );
            Problem::new(StatusCode::GATEWAY_TIMEOUT, error).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_name_whatever_its_port_case_or_final_dot() {
        let named = |value: &str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(value).unwrap())]);
            host(&headers, &Uri::from_static("/"))
        };
        for local in ["localhost", "LocalHost:80", "localhost.", "127.0.0.1:9000", "[::1]:80", "127.8.9.1"] {
            assert!(named(local).is_some_and(|host| is_loopback_name(&host)), "{local}");
        }
        for foreign in
            ["localhost.example.org", "127.0.0.1.nip.io", "example.org", "10.0.0.1", "[::2]", "0.0.0.0"]
        {
            assert!(!named(foreign).is_some_and(|host| is_loopback_name(&host)), "{foreign}");
        }
        assert_eq!(named("a b"), None);
    }
}
