//! gRPC.

use std::str::FromStr as _;
use std::time::Duration;

use http::uri::PathAndQuery;
use throughline_model::BoxError;
use tonic::client::Grpc as Client;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::{Answer, chain};
use crate::config::{Kind, Signal};
use crate::wire::{self, Response};

/// The longest timeout: a longer one has no form in a request, which would panic.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Grpc {
    client: Client<Channel>,
    service: PathAndQuery,
    with: Metadata,
}

/// What is sent along with each request.
struct Metadata {
    map: MetadataMap,
    timeout: Duration,
}

impl Metadata {
    fn new(signal: &Signal) -> Result<Self, BoxError> {
        let mut map = MetadataMap::new();
        for (name, value) in &signal.headers {
            let mut value = MetadataValue::from_str(value)?;
            value.set_sensitive(true);
            // The names of metadata are lower-case.
            map.insert(MetadataKey::from_str(&name.to_ascii_lowercase())?, value);
        }
        Ok(Self { map, timeout: signal.timeout.min(LONGEST) })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.map.clone();
        request.set_timeout(self.timeout);
        request
    }
}

/// What takes a signal.
fn service(kind: Kind) -> PathAndQuery {
    PathAndQuery::from_static(match kind {
        Kind::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Kind::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Kind::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    })
}

impl Grpc {
    pub(crate) fn new(signal: &Signal) -> Result<Self, BoxError> {
        let mut client = Client::new(channel(signal)?);
        if signal.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self { client, service: service(signal.kind), with: Metadata::new(signal)? })
    }

    pub(crate) async fn send(&self, request: wire::Request) -> Answer {
        let mut client = self.client.clone();
        if let Err(error) = client.ready().await {
            return Answer::later(chain(&error));
        }
        let codec = ProstCodec::<_, Response>::default();
        match client.unary(self.with.request(request), self.service.clone(), codec).await {
            Ok(response) => {
                let (rejected, message) = response.into_inner().rejected();
                Answer::Taken { rejected, message }
            }
            Err(status) => refused(&status),
        }
    }
}

/// Connects with the first request, and again when the connection is lost.
fn channel(signal: &Signal) -> Result<Channel, BoxError> {
    let endpoint = Endpoint::from(super::address(signal)?)
        .user_agent(super::AGENT)?
        .timeout(signal.timeout.min(LONGEST))
        .connect_timeout(signal.timeout.min(LONGEST));
    #[cfg(feature = "tls")]
    let endpoint = if signal.endpoint.starts_with("https:") {
        use tonic::transport::{Certificate, ClientTlsConfig};
        let tls = match &signal.certificate {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls)?
    } else {
        endpoint
    };
    Ok(endpoint.connect_lazy())
}

/// By the [codes](https://opentelemetry.io/docs/specs/otlp/#failures) after which one may try again.
fn refused(status: &Status) -> Answer {
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let reason = format!("it answered {:?}: {}", status.code(), chain(status));
    match status.code() {
        Code::ResourceExhausted if asked.is_none() => Answer::TooLarge { reason },
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Later { after: asked, reason },
        // What tonic calls a connection that breaks in the middle.
        Code::Unknown if std::error::Error::source(status).is_some() => Answer::Later { after: None, reason },
        _ => Answer::Rejected { reason },
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_server_that_is_busy_or_gone_is_asked_again_when_it_wants_to_be() {
        let wanted = Duration::from_secs(7);
        let details = ErrorDetails::with_retry_info(Some(wanted));
        for code in [Code::ResourceExhausted, Code::Unavailable] {
            let answer = refused(&Status::with_error_details(code, "busy", details.clone()));
            assert!(
                matches!(answer, Answer::Later { after: Some(after), .. } if after == wanted),
                "{answer:?}"
            );
        }
        for code in
            [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::Unavailable, Code::DataLoss]
        {
            let answer = refused(&Status::new(code, "gone"));
            assert!(matches!(answer, Answer::Later { after: None, .. }), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_with_a_password_in_it_is_refused_without_showing_it() {
        let otlp =
            crate::Otlp::new().protocol(crate::Protocol::Grpc).endpoint("http://user:hunter2@localhost:1");
        let error = Grpc::new(&otlp.traces).err().unwrap().to_string();
        assert!(error.contains("a user in it") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_timeout_may_be_as_long_as_anybody_likes() {
        let otlp = crate::Otlp::new().timeout(Duration::MAX);
        let request = Metadata::new(&otlp.traces).unwrap().request(());
        assert!(request.metadata().contains_key("grpc-timeout"));
    }

    #[test]
    fn exhaustion_without_a_time_to_try_again_is_a_message_that_is_too_large() {
        let answer = refused(&Status::resource_exhausted("received message larger than max"));
        assert!(matches!(answer, Answer::TooLarge { .. }), "{answer:?}");
    }

    #[test]
    fn what_is_wrong_in_itself_is_not_tried_again() {
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unimplemented, Code::Unknown] {
            let answer = refused(&Status::new(code, "no"));
            assert!(matches!(answer, Answer::Rejected { .. }), "{answer:?}");
        }
    }
}
