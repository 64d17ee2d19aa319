//! The pages: files that are part of the crate. They hold no data, so everybody may read them.

use std::sync::LazyLock;

use axum::extract::{OriginalUri, Path};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;

use crate::compressed::{gzip, takes_gzip};
use crate::problem::Problem;

/// A file, under a name that changes with its content.
struct Asset {
    name: String,
    content_type: &'static str,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, plain: &[u8]) -> Self {
        let hash = hmac_sha256::Hash::hash(plain);
        let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self {
            name: format!("{stem}-{hash}.{extension}"),
            content_type,
            plain: plain.to_owned(),
            compressed: gzip(plain, Compression::best()),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if takes_gzip(headers) {
            ([(CONTENT_ENCODING, "gzip")], self.compressed.clone()).into_response()
        } else {
            self.plain.clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

static FILES: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("app", "js", "text/javascript; charset=utf-8", include_bytes!("assets/app.js")),
        Asset::new("app", "css", "text/css; charset=utf-8", include_bytes!("assets/app.css")),
        Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    ]
});

static INDEX: LazyLock<Asset> = LazyLock::new(|| {
    let page = FILES.iter().fold(include_str!("assets/index.html").to_owned(), |page, file| {
        let (stem, extension) = (file.name.split('-').next(), file.name.rsplit('.').next());
        let plain = format!("{}.{}", stem.unwrap_or_default(), extension.unwrap_or_default());
        page.replace(&format!("assets/{plain}"), &format!("assets/{}", file.name))
    });
    Asset::new("index", "html", "text/html; charset=utf-8", page.as_bytes())
});

/// Where the page is under any prefix. A router that is nested is not asked for its prefix with a slash at the end.
pub(crate) const PAGE: &str = "/ui";

/// The way to the page, or the page itself: its files are named relative to it, so that it may be nested anywhere.
pub(crate) async fn index(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    match uri.path().rsplit_once('/') {
        Some((_, prefix)) if !prefix.is_empty() => {
            Redirect::permanent(&format!("./{prefix}{PAGE}")).into_response()
        }
        _ => page(headers).await,
    }
}

/// The one page.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    let mut response = INDEX.answer(&headers);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A file of the page.
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Problem::not_found("there is no such file; load the page again").into_response();
    };
    let mut response = file.answer(&headers);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, forever);
    response
}

/// Everything else.
pub(crate) async fn not_found() -> Response {
    let error = "there is no such page; the viewer begins at the path that it is nested under";
    Problem::new(StatusCode::NOT_FOUND, error).into_response()
}
