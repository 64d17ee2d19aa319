//! Everything that environment variables say: read at once, checked at once, and shown without secrets.
//!
//! [`init_from_env`] switches on what the environment asks for, [`ObservabilityConfig`] is what it reads, and [`variables`] is
//! the table of what can be set.
//!
//! ```no_run
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // THROUGHLINE_STORE=sqlite:traces.db OTEL_SERVICE_NAME=loan-service METRICS_PORT=9090 RUST_LOG=info
//!     let throughline = throughline::config::init_from_env()?;
//!     tracing::info!("starting");
//!     // It is the emitter, too: throughline.workflow("loan-approval"), throughline.layer()…
//!     Ok(())
//! }
//! ```

#[cfg(feature = "config-file")]
mod file;
mod init;
mod kind;
mod logs;
mod metrics;
mod sentry;
mod settings;
mod table;
mod traces;
mod vain;

use std::fmt;
use std::path::Path;

use throughline_core::ThroughlineBuilder;
use throughline_core::env::otlp;
use throughline_core::names::env as known;

use crate::env::{self, EnvError, StoreLocation};

pub use init::{InitError, Observability, init, init_from_env};
pub use kind::Kind;
pub use logs::{LogDestination, LogSettings};
pub use metrics::MetricsSettings;
pub use sentry::SentrySettings;
pub use settings::{ConfigError, ConfigProblem};
pub use table::{Variable, variables};
pub use traces::TraceSettings;

#[cfg(feature = "config-file")]
use settings::CONFIG_FILE;
use settings::{Findings, NotText, Settings};

/// What the environment, or a [builder](Self::builder), says about the observability of a service. Neither its `Debug` nor
/// its errors show a secret.
///
/// ```
/// use throughline::config::ObservabilityConfig;
///
/// let config = ObservabilityConfig::builder()
///     .set("OTEL_SERVICE_NAME", "loan-service")
///     .set("THROUGHLINE_STORE", "sqlite:traces.db")
///     .set("METRICS_PORT", "9090")
///     .build()?;
/// assert_eq!(config.service(), "loan-service");
///
/// let error = ObservabilityConfig::builder()
///     .set("METRICS_PORT", "http")
///     .set("SENTRY_DSN", "hunter2")
///     .build()
///     .unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the environment can't be used; 2 variables are wrong:\n  \
///      METRICS_PORT=http: expected a port, as in 9464\n  \
///      SENTRY_DSN (a secret of 7 characters): expected an address such as https://KEY@HOST/PROJECT",
/// );
/// # Ok::<(), throughline::config::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ObservabilityConfig {
    settings: Settings,
    service: String,
    warnings: Vec<String>,
}

impl ObservabilityConfig {
    /// What the environment of the process says.
    ///
    /// # Errors
    /// When variables have values that they can't have: all of them are named.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder().or_environment().build()
    }

    /// A builder that sets variables in code, by the names of the [table](variables).
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder { set: Vec::new(), reads_environment: false }
    }

    /// Whether everything is off, whatever else is set.
    pub fn is_disabled(&self) -> bool {
        self.settings.is_disabled()
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where events are kept.
    pub fn store(&self) -> Option<StoreLocation> {
        self.settings.parse(known::THROUGHLINE_STORE)
    }

    /// The file in which events wait while the store is away.
    pub fn outbox(&self) -> Option<&Path> {
        self.settings.get(known::THROUGHLINE_OUTBOX).map(Path::new)
    }

    /// The address of the live feed, which may have a password in it.
    pub fn feed(&self) -> Option<&str> {
        self.settings.get(known::THROUGHLINE_FEED)
    }

    /// Where metrics are served, if they are.
    pub fn metrics(&self) -> Option<MetricsSettings> {
        MetricsSettings::of(&self.settings)
    }

    /// Which lines are logged where; `None` if none are.
    pub fn logs(&self) -> Option<LogSettings> {
        LogSettings::of(&self.settings)
    }

    /// Where traces are exported, if they are.
    pub fn traces(&self) -> Option<TraceSettings> {
        TraceSettings::of(&self.settings)
    }

    /// The host and the port of the collector that metrics are sent to, if they are.
    pub fn metrics_collector(&self) -> Option<(String, u16)> {
        metrics::are_exported(&self.settings).then(|| traces::collector(&self.settings, &otlp::METRICS))?
    }

    /// The host and the port of the collector that log lines are sent to, if they are.
    pub fn log_lines_collector(&self) -> Option<(String, u16)> {
        logs::are_exported(&self.settings).then(|| traces::collector(&self.settings, &otlp::LOGS))?
    }

    /// Where failures are reported, if they are.
    pub fn sentry(&self) -> Option<SentrySettings> {
        SentrySettings::of(&self.settings)
    }

    /// What was set in vain: another variable takes precedence, or says the opposite.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is set: the variable of the table, the name that it was set by, and what to show of the value, as it follows the
    /// name: `=9090`; of a secret only its length.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> {
        self.settings.shown()
    }

    /// A builder of the emitter with the name, the store, the outbox, the feed and the redaction that were configured.
    ///
    /// # Errors
    /// When a store is configured whose feature is off, or whose key is missing.
    pub fn emitter(&self) -> Result<ThroughlineBuilder, EnvError> {
        let lookup = |name| match name {
            known::OTEL_SERVICE_NAME => Ok(Some(self.service.clone())),
            name => Ok(self.settings.get(name).map(str::to_owned)),
        };
        env::from_lookup(&self.service, lookup)
    }
}

impl fmt::Debug for ObservabilityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservabilityConfig")
            .field("service", &self.service)
            .field("settings", &self.settings)
            .field("warnings", &self.warnings)
            .finish()
    }
}

/// Sets variables in code. See [`ObservabilityConfig::builder`].
#[must_use]
pub struct ConfigBuilder {
    set: Vec<(String, String)>,
    reads_environment: bool,
}

impl ConfigBuilder {
    /// Sets a variable, by any of its names.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set.push((name.into(), value.into()));
        self
    }

    /// The environment says what is not set here, variable by variable.
    pub fn or_environment(mut self) -> Self {
        self.reads_environment = true;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// When variables have values that they can't have, or are not in the table: all of them are named.
    pub fn build(self) -> Result<ObservabilityConfig, ConfigError> {
        let mut findings = Findings::default();
        let is_known = |name: &str| {
            variables().any(|(_, variable)| variable.name == name || variable.aliases.contains(&name))
        };
        findings.problems.extend(self.set.iter().filter(|(name, _)| !is_known(name)).map(|(name, _)| {
            ConfigProblem {
                variable: name.clone(),
                shape: String::new(),
                expected: "a name of the table of variables".to_owned(),
            }
        }));
        // What is set here has precedence under all of its names.
        let is_set = |name: &str| {
            variables().filter(|(_, variable)| variable.name == name || variable.aliases.contains(&name)).any(
                |(_, variable)| {
                    self.set
                        .iter()
                        .any(|(set, _)| variable.name == set || variable.aliases.contains(&set.as_str()))
                },
            )
        };
        let lookup = |name: &'static str| match self.set.iter().rev().find(|(set, _)| set == name) {
            Some((_, value)) => Ok(Some(value.clone())),
            None if self.reads_environment && !is_set(name) => {
                throughline_core::env::variable(name).map_err(|_| NotText)
            }
            None => Ok(None),
        };
        #[cfg(feature = "config-file")]
        let file = self.file(&lookup, &mut findings);
        #[cfg(not(feature = "config-file"))]
        let file = None;
        let settings = Settings::read(lookup, file.as_ref(), &mut findings);
        let Findings { problems, mut warnings } = findings;
        // What is off is off, whatever else is said.
        if !problems.is_empty() && !settings.is_disabled() {
            return Err(ConfigError { problems });
        }
        warnings.extend(metrics::contradictions(&settings));
        warnings.extend(traces::contradictions(&settings));
        warnings.extend(vain::in_this_version(&settings));
        let service = service(&settings, &mut warnings);
        Ok(ObservabilityConfig { settings, service, warnings })
    }
}

#[cfg(feature = "config-file")]
impl ConfigBuilder {
    /// What the file says that `OTEL_CONFIG_FILE` names.
    fn file(
        &self,
        lookup: &impl Fn(&'static str) -> Result<Option<String>, NotText>,
        findings: &mut Findings,
    ) -> Option<std::collections::BTreeMap<&'static str, String>> {
        let path = lookup(CONFIG_FILE).ok().flatten()?;
        let path = path.trim();
        let variable = |name: &str| match self.set.iter().rev().find(|(set, _)| set == name) {
            Some((_, value)) => Some(value.clone()),
            None => std::env::var(name).ok().filter(|_| self.reads_environment),
        };
        (!path.is_empty()).then(|| file::read(path, &variable, findings))
    }
}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets, and names may be mistyped.
        let names = self.set.iter().map(|(name, _)| name);
        f.debug_struct("ConfigBuilder").field("set", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// What the service is called.
fn service(settings: &Settings, warnings: &mut Vec<String>) -> String {
    let attributes =
        settings.get("OTEL_RESOURCE_ATTRIBUTES").and_then(throughline_core::env::pairs).unwrap_or_default();
    let of_attributes = attributes.iter().find(|(key, _)| key == "service.name");
    let of_attributes = of_attributes.map(|(_, name)| name.as_str());
    let name = settings.get(known::OTEL_SERVICE_NAME);
    if let (Some(name), Some(other)) = (name, of_attributes)
        && name != other
    {
        warnings.push(format!(
            "service.name={other} of OTEL_RESOURCE_ATTRIBUTES is ignored: the service is called {name}; remove one of them"
        ));
    }
    name.or(of_attributes).map(str::to_owned).unwrap_or_else(|| {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy());
        program.map_or_else(|| "unknown_service".to_owned(), |program| format!("unknown_service:{program}"))
    })
}

#[cfg(test)]
mod tests;
