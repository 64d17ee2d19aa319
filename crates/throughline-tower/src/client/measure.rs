//! The metrics of the client layer.

use std::error::Error;
use std::time::{Duration, Instant};

use throughline_core::metrics::{HistogramFamily, Meter, catalogue};

use super::request::{ClientResponse, Target};
use crate::{failure, grpc};

/// The kind of the dependencies that are called over HTTP.
pub(super) const KIND: &str = "http";

/// What the layer records into.
#[derive(Debug, Clone)]
pub(super) struct ClientMetrics {
    requests: HistogramFamily<5>,
    parts: HistogramFamily<3>,
}

impl ClientMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            requests: meter.histogram(&catalogue::HTTP_CLIENT_REQUEST_DURATION),
            parts: meter.histogram(&catalogue::DEPENDENCY_PART_DURATION),
        }
    }

    /// A request is sent.
    pub(super) fn begin(&self, method: &'static str, target: &Target) -> Measure {
        let (address, port) = (target.host.clone(), target.port.map(|port| port.to_string()));
        Measure {
            requests: self.requests.clone(),
            method,
            address,
            port: port.unwrap_or_default(),
            since: Instant::now(),
            ended: false,
        }
    }

    /// What a part of a call took.
    pub(super) fn part(&self, target: &Target, part: &str, took: Duration) {
        self.parts.with([KIND, &target.authority(), part]).record_duration(took);
    }
}

/// A request that is not answered yet. Dropped before its end it was given up.
pub(super) struct Measure {
    requests: HistogramFamily<5>,
    method: &'static str,
    address: String,
    port: String,
    since: Instant,
    ended: bool,
}

impl Measure {
    /// The head of the response is there, or there will be none. Returns how long that took.
    pub(super) fn end<R: ClientResponse, E: Error + 'static>(mut self, answer: &Result<R, E>) -> Duration {
        self.ended = true;
        let took = self.since.elapsed();
        match answer {
            Ok(answer) => {
                let status = answer.status();
                // A 4xx is an error of the one who asked
                // (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration).
                let error = match grpc::failure_in(answer.headers()) {
                    _ if status.is_client_error() || status.is_server_error() => status.as_str(),
                    Some(code) => code.label,
                    None => "",
                };
                self.record(took, status.as_str(), error);
            }
            Err(error) => self.record(took, "", &failure::describe(error).kind),
        }
        took
    }

    fn record(&self, took: Duration, status: &str, error: &str) {
        let labels = [self.method, &self.address, &self.port, status, error];
        self.requests.with(labels).record_duration(took);
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        if !self.ended {
            let error = if std::thread::panicking() { "panic" } else { "cancelled" };
            self.record(self.since.elapsed(), "", error);
        }
    }
}
