//! Protobuf over HTTP.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message as _;
use prost::bytes::Bytes;
use throughline_model::BoxError;

use super::{Answer, chain};
use crate::config::Signal;
use crate::wire::{self, Response};

#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

/// As much of an answer is read, which is a few bytes of protobuf or the page of a proxy.
const ANSWER: usize = 64 << 10;

pub(crate) struct Http {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

/// With connections that are kept.
fn client(signal: &Signal) -> Result<Client<Connector, Full<Bytes>>, BoxError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    #[cfg(feature = "tls")]
    let connector = {
        connector.enforce_http(false);
        let tls = crate::tls::config(signal.certificate.as_deref())?;
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        builder.https_or_http().enable_http1().wrap_connector(connector)
    };
    #[cfg(not(feature = "tls"))]
    let _ = signal;
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

impl Http {
    pub(crate) fn new(signal: &Signal) -> Result<Self, BoxError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &signal.headers {
            let mut value: HeaderValue = value.parse()?;
            value.set_sensitive(true);
            headers.insert(name.parse::<HeaderName>()?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(super::AGENT));
        if signal.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let uri = super::address(signal)?;
        Ok(Self { client: client(signal)?, uri, headers, gzip: signal.gzip, timeout: signal.timeout })
    }

    pub(crate) async fn send(&self, request: &wire::Request) -> Answer {
        let mut body = request.encode_to_vec();
        if self.gzip {
            match gzip(&body) {
                Ok(compressed) => body = compressed,
                Err(error) => return Answer::Rejected { reason: error.to_string() },
            }
        }
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER).collect().await;
            let body = body.map(|body| body.to_bytes()).map_err(|error| chain(&*error));
            Ok::<_, String>((head, body))
        };
        let (head, answer) = match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(reason)) => return Answer::later(reason),
            Err(_) => return Answer::later(format!("it did not answer within {:?}", self.timeout)),
        };
        let status = head.status;
        let after = retry_after(&head.headers);
        // Where the end of the answer is lost that it took the batch, it took it.
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if status.is_success() => Bytes::new(),
            Err(reason) => return Answer::later(reason),
        };
        if status.is_success() {
            let (rejected, message) = Response::decode(answer).unwrap_or_default().rejected();
            return Answer::Taken { rejected, message };
        }
        let reason = format!("it answered {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Answer::Later { after, reason },
            StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge { reason },
            _ => Answer::Rejected { reason },
        }
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT")), Some(Duration::ZERO));
        let later = std::time::SystemTime::now() + Duration::from_secs(3600);
        let after = retry_after(&headers(&httpdate::fmt_http_date(later))).unwrap();
        assert!(after > Duration::from_secs(3500), "{after:?}");
        for nothing in ["soon", "", "-1"] {
            assert_eq!(retry_after(&headers(nothing)), None, "{nothing}");
        }
    }
}
