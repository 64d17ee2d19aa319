//! Answers of less bytes, for those who take them.

use std::io::Write as _;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::leisure::at_leisure;
use crate::problem::Problem;

/// What is shorter fits a packet anyway.
const LEAST: usize = 1_000;
/// What is longer is compressed where that keeps nobody waiting.
const AT_ONCE: usize = 64 << 10;

/// Compresses answers that are there as a whole: news are sent as they come.
pub(crate) async fn compressed(request: Request, next: Next) -> Response {
    let takes_gzip = takes_gzip(request.headers());
    let response = next.run(request).await;
    let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/json") && !content_type.starts_with(b"text/html") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip {
        return Response::from_parts(parts, body);
    }
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return Problem::busy("the answer was cut off; try again").into_response();
    };
    if plain.len() < LEAST {
        return Response::from_parts(parts, Body::from(plain));
    }
    let body = match plain.len() > AT_ONCE {
        true => match at_leisure(move || gzip(&plain, Compression::fast())).await {
            Ok(body) => body,
            Err(error) => return Problem::from(error).into_response(),
        },
        false => gzip(&plain, Compression::fast()),
    };
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Empty if it can't be done, which memory alone could prevent.
pub(crate) fn gzip(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default()
}

pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|encoding| {
        let mut parts = encoding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && parts.next().is_none_or(|quality| !matches!(quality, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}
