//! What the variables say about Sentry.

use std::fmt;

use throughline_core::env;

use super::settings::Settings;

/// Where failures are reported, and which. Its `Debug` does not show the DSN.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SentrySettings {
    /// The project: a secret.
    pub dsn: String,
    /// The environment that reports name.
    pub environment: String,
    /// The release that they name.
    pub release: Option<String>,
    /// The part of all failures that is reported.
    pub sample_rate: f64,
    /// The part of all runs that is sent as performance transactions.
    pub traces_sample_rate: f64,
    /// What pseudonyms are made with, so that they are those of the store: a secret.
    #[cfg(feature = "sentry")]
    pseudonym_key: Option<String>,
}

/// Whether somebody said that nothing is to be reported.
pub(super) fn is_turned_off(settings: &Settings) -> bool {
    settings.switch("SENTRY_ENABLED") == Some(false)
}

impl SentrySettings {
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if settings.is_disabled() || is_turned_off(settings) {
            return None;
        }
        Some(Self {
            dsn: settings.get("SENTRY_DSN")?.to_owned(),
            environment: settings.get("SENTRY_ENVIRONMENT").unwrap_or("production").to_owned(),
            release: settings.get("SENTRY_RELEASE").map(str::to_owned),
            sample_rate: settings.parse("SENTRY_SAMPLE_RATE").unwrap_or(1.0),
            traces_sample_rate: settings.parse("SENTRY_TRACES_SAMPLE_RATE").unwrap_or(0.0),
            #[cfg(feature = "sentry")]
            pseudonym_key: settings
                .get(throughline_core::names::env::THROUGHLINE_PSEUDONYM_KEY)
                .map(str::to_owned),
        })
    }

    /// That of the emitter: events of runs have the same pseudonyms as their reports.
    #[cfg(feature = "sentry")]
    pub(super) fn redaction(&self) -> throughline_redact::Redaction {
        let standard = throughline_redact::Redaction::standard();
        match &self.pseudonym_key {
            Some(key) => standard.pseudonym_key(key.clone()),
            None => standard,
        }
    }

    /// The reporter that was configured. Panics that no step records are reported as well.
    #[cfg(feature = "sentry")]
    pub(super) fn reporter(&self) -> Result<throughline_sentry::Sentry, throughline_sentry::SentryError> {
        let mut builder = throughline_sentry::Sentry::builder()
            .dsn(&self.dsn)
            .environment(&self.environment)
            .sample_rate(self.sample_rate as f32)
            .traces_sample_rate(self.traces_sample_rate as f32)
            .redaction(self.redaction())
            .report_panics();
        if let Some(release) = &self.release {
            builder = builder.release(release);
        }
        builder.build()
    }

    /// The host and the port of the server.
    pub fn address(&self) -> Option<(String, u16)> {
        env::host_and_port(&self.dsn)
    }
}

impl fmt::Debug for SentrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentrySettings")
            .field("environment", &self.environment)
            .field("release", &self.release)
            .field("sample_rate", &self.sample_rate)
            .field("traces_sample_rate", &self.traces_sample_rate)
            .finish_non_exhaustive()
    }
}
