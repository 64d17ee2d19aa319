//! Where metrics are served, by the environment.

use std::fmt;

use throughline_core::env::{self, EnvError};
use throughline_core::names::env::{
    METRICS_ENABLED, METRICS_PORT, OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT,
    OTEL_SDK_DISABLED,
};

/// The port where the variables name none, as the
/// [OTel specification](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#prometheus-exporter)
/// has it.
const DEFAULT_PORT: u16 = 9464;
const DEFAULT_HOST: &str = "localhost";

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare_v6 = self.host.contains(':') && !self.host.starts_with('[');
        if bare_v6 {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Endpoint {
    /// What the process' environment says; `None` if nothing is to be served.
    pub(super) fn from_env() -> Result<Option<Self>, EnvError> {
        Self::from_lookup(env::variable)
    }

    fn from_lookup(
        lookup: impl Fn(&'static str) -> Result<Option<String>, EnvError>,
    ) -> Result<Option<Self>, EnvError> {
        let off = lookup(OTEL_SDK_DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if off {
            return Ok(None);
        }
        let enabled = switch(METRICS_ENABLED, lookup(METRICS_ENABLED)?)?;
        let port = |name| lookup(name)?.map(|value| parse_port(name, value)).transpose();
        let otel = port(OTEL_EXPORTER_PROMETHEUS_PORT)?;
        if enabled == Some(false) {
            let Some(otel) = otel else { return Ok(None) };
            tracing::warn!(
                target: "throughline",
                "{METRICS_ENABLED}=false is ignored: {OTEL_EXPORTER_PROMETHEUS_PORT}={otel} takes precedence; unset one of them"
            );
        }
        let ours = port(METRICS_PORT)?;
        if let (Some(ours), Some(otel)) = (ours, otel)
            && ours != otel
        {
            tracing::warn!(
                target: "throughline",
                "{METRICS_PORT}={ours} is ignored: {OTEL_EXPORTER_PROMETHEUS_PORT}={otel} takes precedence; unset one of them"
            );
        }
        let Some(port) = otel.or(ours).or(enabled.map(|_| DEFAULT_PORT)) else { return Ok(None) };
        let host = lookup(OTEL_EXPORTER_PROMETHEUS_HOST)?.unwrap_or_else(|| DEFAULT_HOST.to_owned());
        Ok(Some(Self { host, port }))
    }
}

fn switch(name: &'static str, value: Option<String>) -> Result<Option<bool>, EnvError> {
    let Some(value) = value else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(EnvError::Invalid { name, value, expected: "true or false" }),
    }
}

fn parse_port(name: &'static str, value: String) -> Result<u16, EnvError> {
    match value.parse() {
        Ok(port) => Ok(port),
        Err(_) => Err(EnvError::Invalid { name, value, expected: "a port, as in 9464" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let lookup =
            |name| Ok(variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        let endpoint = Endpoint::from_lookup(lookup).map_err(|error| error.to_string())?;
        Ok(endpoint.map(|endpoint| endpoint.to_string()))
    }

    #[test]
    fn the_variables_say_whether_and_where() {
        type Variables<'a> = &'a [(&'static str, &'a str)];
        let cases: [(Variables<'_>, Option<&str>); 14] = [
            (&[], None),
            (&[(METRICS_ENABLED, "true")], Some("localhost:9464")),
            (&[(METRICS_PORT, "9090")], Some("localhost:9090")),
            (&[(OTEL_EXPORTER_PROMETHEUS_PORT, "9000")], Some("localhost:9000")),
            (&[(METRICS_PORT, "9090"), (OTEL_EXPORTER_PROMETHEUS_PORT, "9000")], Some("localhost:9000")),
            (&[(METRICS_PORT, "9090"), (OTEL_EXPORTER_PROMETHEUS_HOST, "0.0.0.0")], Some("0.0.0.0:9090")),
            (&[(METRICS_PORT, "9090"), (OTEL_EXPORTER_PROMETHEUS_HOST, "::")], Some("[::]:9090")),
            (&[(OTEL_EXPORTER_PROMETHEUS_HOST, "0.0.0.0")], None),
            (&[(METRICS_PORT, "9090"), (METRICS_ENABLED, "FALSE")], None),
            (&[(METRICS_PORT, "9090"), (OTEL_SDK_DISABLED, "true")], None),
            // What is off is off, whatever else is said.
            (&[(METRICS_PORT, "http"), (OTEL_SDK_DISABLED, "true")], None),
            (&[(METRICS_ENABLED, "perhaps"), (OTEL_SDK_DISABLED, "true")], None),
            (&[(METRICS_PORT, "http"), (METRICS_ENABLED, "false")], None),
            (&[(METRICS_ENABLED, "false"), (OTEL_EXPORTER_PROMETHEUS_PORT, "9000")], Some("localhost:9000")),
        ];
        for (variables, endpoint) in cases {
            assert_eq!(with(variables), Ok(endpoint.map(str::to_owned)), "{variables:?}");
        }
    }

    #[test]
    fn variables_that_contradict_each_other_are_warned_of() {
        let said = |variables: &[(&'static str, &str)]| {
            let log = Log::default();
            let writer = log.clone();
            let subscriber =
                tracing_subscriber::fmt().with_writer(move || writer.clone()).without_time().finish();
            let subscriber = tracing::Dispatch::new(subscriber);
            // Beside a second one, `tracing` asks the right one whether it wants what another thread logs first.
            let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
            tracing::dispatcher::with_default(&subscriber, || with(variables).unwrap());
            let said = log.0.lock().unwrap().clone();
            String::from_utf8(said).unwrap()
        };
        let clash = said(&[(METRICS_PORT, "9090"), (OTEL_EXPORTER_PROMETHEUS_PORT, "9000")]);
        assert!(clash.contains("METRICS_PORT=9090 is ignored"), "{clash}");
        let clash = said(&[(METRICS_ENABLED, "false"), (OTEL_EXPORTER_PROMETHEUS_PORT, "9000")]);
        assert!(clash.contains("METRICS_ENABLED=false is ignored"), "{clash}");
        assert_eq!(said(&[(METRICS_ENABLED, "false"), (METRICS_PORT, "9000")]), "");
        assert_eq!(said(&[(METRICS_PORT, "9000"), (OTEL_EXPORTER_PROMETHEUS_PORT, "9000")]), "");
    }

    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_means_nothing_is_an_error_that_says_so() {
        let port = with(&[(METRICS_PORT, "http")]).unwrap_err();
        insta::assert_snapshot!(port, @"invalid METRICS_PORT=http: expected a port, as in 9464");
        let enabled = with(&[(METRICS_ENABLED, "perhaps")]).unwrap_err();
        insta::assert_snapshot!(enabled, @"invalid METRICS_ENABLED=perhaps: expected true or false");
    }
}
