//! How a failed call is described: a word for its kind, and texts without secrets.

use std::error::Error;
use std::io;

use throughline_core::{ErrorInfo, StepError};

/// What is recorded of a call that failed.
pub(crate) struct Described(pub(crate) ErrorInfo);

/// Distinguishes the implementation of [`StepError`] for [`Described`].
pub(crate) enum ByClient {}

impl StepError<ByClient> for Described {
    fn describe(&self) -> ErrorInfo {
        self.0.clone()
    }
}

/// What to record of a client's error. Its kind is a word that metrics can be grouped by; the URLs in its texts lose
/// their credentials and queries.
pub(crate) fn describe<E: Error + 'static>(error: &E) -> ErrorInfo {
    let mut info = error.describe();
    if let Some(word) = word_for(error) {
        info.kind = word.into();
    }
    info.message = without_queries(&info.message).into();
    for cause in &mut info.chain {
        *cause = without_queries(cause).into();
    }
    info
}

/// A word for the operating system's error, wherever in the chain it is.
pub(crate) fn word_for(error: &(dyn Error + 'static)) -> Option<&'static str> {
    io_error_in(error).and_then(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection_refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some("connection_reset"),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => Some("connection_aborted"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some("unreachable"),
        io::ErrorKind::NotFound => Some("not_found"),
        io::ErrorKind::PermissionDenied => Some("permission_denied"),
        io::ErrorKind::TimedOut => Some("timeout"),
        _ => None,
    })
}

/// The first error of the operating system in a chain.
pub(crate) fn io_error_in<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>())
}

/// Whether a client says that there was no connection, so that nothing can have been sent. Of any other error it is not
/// known how far the request came.
#[cfg(feature = "transports")]
pub(crate) fn is_no_connection(error: &(dyn Error + 'static)) -> bool {
    // Wherever hyper's client is in the chain, it knows.
    let of_hyper = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<hyper_util::client::legacy::Error>().map(|error| error.is_connect())
    };
    chain(error).find_map(of_hyper).unwrap_or_else(|| {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
        io_error_in(error).is_some_and(|error| {
            let kinds = [AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable];
            kinds.contains(&error.kind())
        })
    })
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    // No chain is that long, but one may go round in a circle.
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source()).take(16)
}

/// A text in which every URL ends before its query, and has no credentials.
fn without_queries(text: &str) -> String {
    const AUTHORITY: &str = "://";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(AUTHORITY) {
        let (before, url) = rest.split_at(at + AUTHORITY.len());
        kept.push_str(before);
        let end = url.find(|c: char| c.is_whitespace() || "()<>\"'`".contains(c)).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        kept.push_str(authority.rsplit('@').next().unwrap_or(authority));
        kept.push_str(path);
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_queries_and_credentials_and_nothing_else_changes() {
        for (text, want) in [
            ("no URL at all?", "no URL at all?"),
            (
                "for url (http://ada:secret@127.0.0.1:3000/loans?token=abc#top): refused",
                "for url (http://127.0.0.1:3000/loans): refused",
            ),
            ("http://a/b?c and https://d?e=f://g", "http://a/b and https://d"),
            ("http://host?next=/x@y", "http://host"),
            ("ends with ://", "ends with ://"),
        ] {
            assert_eq!(without_queries(text), want);
        }
    }

    #[test]
    fn what_the_operating_system_said_gives_the_word() {
        #[derive(Debug, thiserror::Error)]
        #[error("client error")]
        struct Outer(#[source] io::Error);
        let info = describe(&Outer(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!((info.kind.as_str(), info.message.as_str()), ("connection_refused", "client error"));
        assert_eq!(info.chain, ["connection refused"]);
        assert_eq!(describe(&Outer(io::Error::other("full"))).kind, "Outer");
    }

    proptest::proptest! {
        #[test]
        fn what_stands_behind_a_question_mark_in_a_url_never_shows(
            before in ".{0,20}", host in "[a-z]{1,8}", secret in "[A-Z]{6}", after in "[ )>].{0,20}",
        ) {
            proptest::prop_assume!(!before.contains(&secret) && !after.contains(&secret));
            let text = format!("{before} http://{secret}:{secret}@{host}/?k={secret}{after}");
            proptest::prop_assert!(!without_queries(&text).contains(&secret), "{text}");
        }
    }
}
