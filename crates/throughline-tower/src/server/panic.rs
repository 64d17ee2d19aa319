//! The response when a handler panicked: that it did, and the ids under which we find the rest.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use throughline_core::TraceContext;

use crate::{RequestId, TracedBody};

/// A problem as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) has it.
pub(super) fn problem<R>(context: &TraceContext, id: &RequestId) -> Response<TracedBody<R>> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": status.as_u16(),
        "request_id": id.as_str(),
        "trace_id": context.trace_id(),
    });
    let mut response = Response::new(TracedBody::own(Bytes::from(problem.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The same for a gRPC client, which finds nothing in an HTTP status: `INTERNAL`, in a response without messages
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses), "Trailers-Only").
pub(super) fn grpc_status<R>() -> Response<TracedBody<R>> {
    let mut response = Response::new(TracedBody::own(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("13"));
    headers.insert("grpc-message", HeaderValue::from_static("internal server error"));
    response
}
