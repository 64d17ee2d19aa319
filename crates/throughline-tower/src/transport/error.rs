//! Why a call returned no result.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use throughline_core::{BoxError, NotRecorded, Text, TraceId};

use super::{CallOutcome, Transport};
use crate::failure;

/// Who was called, and how: what every [`CallError`] names first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Callee {
    /// The function.
    pub function: Text,
    /// How it was called.
    pub transport: Transport,
    /// Where it is: an origin such as `http://127.0.0.1:3000`, the path of a socket, or `this process`.
    pub address: Text,
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.transport == Transport::Direct { "in" } else { "at" };
        write!(f, "`{}` over {} {at} {}", self.function, self.transport, self.address)
    }
}

/// Why a call returned no result. Each text names the function, the transport and the address, and, where we know it,
/// how to fix it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Its start could not be recorded, so it was not made.
    #[error("{callee} was not called: {source}")]
    NotStarted {
        /// Who was to be called.
        callee: Box<Callee>,
        /// Why.
        source: NotRecorded,
    },
    /// The name of the function cannot be a part of a path.
    #[error(
        "{callee} was not called: the name of a function may have letters, digits and `-_.:/` only, since it becomes part of \
         the path"
    )]
    BadName {
        /// Who was to be called.
        callee: Box<Callee>,
    },
    /// The input cannot be written as JSON.
    #[error("{callee} was not called: its input cannot be written as JSON: {source}")]
    BadInput {
        /// Who was to be called.
        callee: Box<Callee>,
        /// Why.
        source: serde_json::Error,
    },
    /// There was no connection, so nothing was sent.
    #[error("{callee} cannot be reached: {}{}", innermost(&**source), hint(callee, &**source))]
    Unreachable {
        /// Who was called.
        callee: Box<Callee>,
        /// What the client said.
        source: BoxError,
    },
    /// The response took too long.
    #[error(
        "{callee} did not respond within {after:?}: see what it is doing (`throughline running`), or give it more time \
         with .timeout(..)"
    )]
    TimedOut {
        /// Who was called.
        callee: Box<Callee>,
        /// How long was waited.
        after: Duration,
    },
    /// There is no such function.
    #[error(
        "{callee} does not exist: {path} responded with 404; check the name and the path (Caller::route)"
    )]
    NoSuchFunction {
        /// Who was called.
        callee: Box<Callee>,
        /// The path that was asked for.
        path: String,
    },
    /// The callee refused the call: a 4xx.
    #[error("{callee} refused the call with {status}{}", explained(*status, problem.as_deref()))]
    Rejected {
        /// Who was called.
        callee: Box<Callee>,
        /// The status.
        status: StatusCode,
        /// What the callee said of it.
        problem: Option<Box<Problem>>,
    },
    /// The callee failed: a 5xx, or a status that does not answer a call.
    #[error("{callee} failed with {status}{}", explained(*status, problem.as_deref()))]
    Failed {
        /// Who was called.
        callee: Box<Callee>,
        /// The status.
        status: StatusCode,
        /// What the callee said of it.
        problem: Option<Box<Problem>>,
    },
    /// The response did not come, or was cut off. How far the request got is unknown.
    #[error("{callee} sent an incomplete response: {}; did the callee crash?", innermost(&**source))]
    BrokenOff {
        /// Who was called.
        callee: Box<Callee>,
        /// What the client said.
        source: BoxError,
    },
    /// The response is larger than the caller takes.
    #[error(
        "the response of {callee} is larger than {limit} bytes: raise .response_limit(..), or paginate the response"
    )]
    TooLarge {
        /// Who was called.
        callee: Box<Callee>,
        /// The limit in bytes.
        limit: usize,
    },
    /// The response is not what was asked for.
    #[error(
        "the response of {callee} is not JSON that can be read as {wanted}: {} (its content type is {content_type})",
        without_values(error)
    )]
    BadAnswer {
        /// Who was called.
        callee: Box<Callee>,
        /// The type that was asked for.
        wanted: &'static str,
        /// The content type of the response.
        content_type: String,
        /// What is wrong. Its text may quote the response; this error's text does not.
        error: serde_json::Error,
    },
}

impl CallError {
    /// Who was called.
    pub fn callee(&self) -> &Callee {
        match self {
            Self::NotStarted { callee, .. }
            | Self::BadName { callee }
            | Self::BadInput { callee, .. }
            | Self::Unreachable { callee, .. }
            | Self::TimedOut { callee, .. }
            | Self::NoSuchFunction { callee, .. }
            | Self::Rejected { callee, .. }
            | Self::Failed { callee, .. }
            | Self::BrokenOff { callee, .. }
            | Self::TooLarge { callee, .. }
            | Self::BadAnswer { callee, .. } => callee,
        }
    }

    /// The call's outcome in a word.
    pub fn outcome(&self) -> CallOutcome {
        match self {
            Self::NotStarted { .. } | Self::BadName { .. } | Self::BadInput { .. } => CallOutcome::NotSent,
            Self::Unreachable { .. } => CallOutcome::Unreachable,
            Self::TimedOut { .. } => CallOutcome::TimedOut,
            Self::NoSuchFunction { .. } => CallOutcome::NoSuchFunction,
            Self::Rejected { .. } => CallOutcome::Rejected,
            Self::Failed { .. } => CallOutcome::Failed,
            Self::BrokenOff { .. } | Self::TooLarge { .. } | Self::BadAnswer { .. } => CallOutcome::BadAnswer,
        }
    }

    /// Whether the same call may succeed later. Whether it may be made twice only you know: if a call timed out or broke
    /// off, the callee may have done its work.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotStarted { source, .. } => source.is_retryable(),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::BrokenOff { .. } => true,
            Self::Rejected { status, .. } => {
                matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Failed { status, .. } => matches!(
                *status,
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
            ),
            _ => false,
        }
    }

    /// What the callee said of its failure.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Rejected { problem, .. } | Self::Failed { problem, .. } => problem.as_deref(),
            _ => None,
        }
    }
}

/// What a callee says of its failure: problem JSON as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) has it, with the
/// ids under which [`ServerLayer`](crate::ServerLayer) recorded the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// What went wrong, in short.
    #[serde(default)]
    pub title: Option<String>,
    /// What went wrong this time.
    #[serde(default)]
    pub detail: Option<String>,
    /// The callee's trace: what to ask `throughline why` for.
    #[serde(default)]
    pub trace_id: Option<TraceId>,
    /// The callee's request.
    #[serde(default)]
    pub request_id: Option<String>,
}

impl Problem {
    /// Reads the problem out of a response; `None` if there is none.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Box<Self>> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/problem+json").then_some(())?;
        serde_json::from_slice(body).ok()
    }
}

/// The end of a text about a failure: what the callee said.
fn explained(status: StatusCode, problem: Option<&Problem>) -> String {
    let Some(problem) = problem else { return String::new() };
    let mut text = String::new();
    // The title is often that of the status, which stands there already.
    let title = problem.title.as_ref().filter(|title| status.canonical_reason() != Some(title.as_str()));
    for part in title.into_iter().chain(&problem.detail) {
        text.push_str(": ");
        text.push_str(part);
    }
    if let Some(id) = &problem.trace_id {
        text.push_str(&format!("; see `throughline why {id}`"));
    }
    text
}

/// What the reader of JSON says, without the values that it quotes: the code that logs the error must not log the response.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let quotes = [("string \"", '"'), ("integer `", '`'), ("floating point `", '`'), ("character `", '`')];
    for (before, quote) in quotes {
        if let Some(start) = text.find(before).map(|at| at + before.len())
            && let Some(end) = text.rfind(quote).filter(|end| *end >= start)
        {
            return format!("{}…{}", &text[..start], &text[end..]);
        }
    }
    text
}

/// What the innermost source of an error says: the outer ones only say that there is an error.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .take(16)
        .last()
        .unwrap_or(error);
    innermost.to_string()
}

/// How to fix it, by what the operating system said.
fn hint(callee: &Callee, error: &(dyn Error + 'static)) -> &'static str {
    let kind = failure::io_error_in(error).map(io::Error::kind);
    match (callee.transport, kind) {
        (Transport::Http, Some(io::ErrorKind::ConnectionRefused)) => {
            "; start the callee, or check the address and the port"
        }
        (Transport::Ipc, Some(io::ErrorKind::NotFound)) => {
            "; there is no such socket: start the callee, or check the path"
        }
        (Transport::Ipc, Some(io::ErrorKind::ConnectionRefused)) => {
            "; the socket is there but nobody listens on it: a callee that died left it behind"
        }
        (Transport::Ipc, Some(io::ErrorKind::PermissionDenied)) => {
            "; this user needs permission to write to the socket and to enter its folder"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(transport: Transport, address: &'static str, kind: io::ErrorKind) -> String {
        let callee = Callee { function: "score".into(), transport, address: address.into() };
        let source = Box::new(io::Error::from(kind));
        CallError::Unreachable { callee: Box::new(callee), source }.to_string()
    }

    #[test]
    fn an_error_names_the_function_the_transport_the_address_and_how_to_fix_it() {
        insta::assert_snapshot!(
            unreachable(Transport::Http, "http://127.0.0.1:3000", io::ErrorKind::ConnectionRefused),
            @"`score` over http at http://127.0.0.1:3000 cannot be reached: connection refused; start the callee, or check the address and the port"
        );
        insta::assert_snapshot!(
            unreachable(Transport::Ipc, "/run/app.sock", io::ErrorKind::NotFound),
            @"`score` over ipc at /run/app.sock cannot be reached: entity not found; there is no such socket: start the callee, or check the path"
        );
        insta::assert_snapshot!(
            unreachable(Transport::Ipc, "/run/app.sock", io::ErrorKind::ConnectionRefused),
            @"`score` over ipc at /run/app.sock cannot be reached: connection refused; the socket is there but nobody listens on it: a callee that died left it behind"
        );
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said_without_quoting_it() {
        let text = |json: &str| without_values(&serde_json::from_str::<Vec<bool>>(json).unwrap_err());
        let quoted = text(r#"["Ada \"the first\" Lovelace"]"#);
        assert_eq!(quoted, "invalid type: string \"…\", expected a boolean at line 1 column 29");
        assert_eq!(
            text("[4111111111111111]"),
            "invalid type: integer `…`, expected a boolean at line 1 column 17"
        );
        assert_eq!(text("[1.5]"), "invalid type: floating point `…`, expected a boolean at line 1 column 4");
        assert_eq!(text("["), "EOF while parsing a list at line 1 column 1");
    }

    #[test]
    fn a_problem_is_read_from_problem_json_alone() {
        let body = br#"{"title":"Internal Server Error","trace_id":"0af7651916cd43dd8448eb211c80319c","status":500}"#;
        let headers = |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        let problem = Problem::of(&headers("application/problem+json; charset=utf-8"), body).unwrap();
        assert_eq!(
            explained(StatusCode::INTERNAL_SERVER_ERROR, Some(&problem)),
            "; see `throughline why 0af7651916cd43dd8448eb211c80319c`"
        );
        assert_eq!(Problem::of(&headers("application/json"), body), None);
        assert_eq!(Problem::of(&headers("application/problem+json"), b"<html>"), None);
    }
}
