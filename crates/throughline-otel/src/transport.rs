//! How batches reach a collector, and what it says of them.

#[cfg(feature = "grpc")]
mod grpc;
mod http;

use std::time::Duration;

use throughline_model::BoxError;

use crate::config::{Protocol, Signal};
use crate::wire::Request;

/// What the collector is told of who sends.
const AGENT: &str = concat!("throughline-otel/", env!("CARGO_PKG_VERSION"));

/// What a collector said of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took the batch, but for so many spans or records.
    Taken {
        /// How many it rejects for good.
        rejected: u64,
        /// Why, or what it would like to have different.
        message: String,
    },
    /// It can't take it now.
    Later {
        /// When it wants to be asked again.
        after: Option<Duration>,
        reason: String,
    },
    /// It would take less at once.
    TooLarge { reason: String },
    /// It never takes it.
    Rejected { reason: String },
}

impl Answer {
    /// Somebody waits, and it did not answer while they do.
    pub(crate) fn too_late() -> Self {
        Self::later("it did not answer in time")
    }

    fn later(reason: impl Into<String>) -> Self {
        Self::Later { after: None, reason: reason.into() }
    }
}

/// Where a signal is sent to. A user in an address would be shown to whatever is in between, and in logs.
fn address(signal: &Signal) -> Result<::http::Uri, BoxError> {
    // The message of this error does not repeat the address.
    let uri: ::http::Uri = signal.endpoint.parse()?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("an endpoint has a user in it: send a header `authorization` instead".into());
    }
    Ok(uri)
}

/// A connection to the collector of a signal.
pub(crate) enum Transport {
    Http(Box<http::Http>),
    #[cfg(feature = "grpc")]
    Grpc(Box<grpc::Grpc>),
}

impl Transport {
    /// Opens no connection yet. To be called, and used, on the runtime of the exporter.
    pub(crate) fn new(signal: &Signal) -> Result<Self, BoxError> {
        if !cfg!(feature = "tls") && signal.endpoint.starts_with("https:") {
            return Err("an endpoint begins with https: switch on the feature `tls` of throughline-otel \
                        (`otel-tls` of throughline)"
                .into());
        }
        match signal.protocol {
            Protocol::Http => http::Http::new(signal).map(|http| Self::Http(Box::new(http))),
            #[cfg(feature = "grpc")]
            Protocol::Grpc => grpc::Grpc::new(signal).map(|grpc| Self::Grpc(Box::new(grpc))),
        }
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        match self {
            Self::Http(http) => http.send(&request).await,
            #[cfg(feature = "grpc")]
            Self::Grpc(grpc) => grpc.send(request).await,
        }
    }
}

/// The message of an error and those below it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
