//! [`SentryBuilder`]: what is reported, and where.

use std::fmt;
use std::time::Duration;

use sentry::types::Dsn;
use throughline_core::env::EnvError;
use throughline_core::names::env;
use throughline_core::{Redaction, RedactionError};

/// Configures what is reported to Sentry; nothing is opened, sent or installed before [`build`](Self::build) and
/// [`Sentry::init`](crate::Sentry::init).
#[must_use = "nothing is reported before build()"]
#[derive(Clone)]
pub struct SentryBuilder {
    pub(crate) enabled: bool,
    pub(crate) dsn: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) sample_rate: f32,
    pub(crate) traces_sample_rate: f32,
    pub(crate) story_url: Option<String>,
    pub(crate) redaction: Redaction,
    pub(crate) most: u32,
    pub(crate) within: Duration,
    pub(crate) report_panics: bool,
    pub(crate) shutdown_timeout: Duration,
}

impl Default for SentryBuilder {
    fn default() -> Self {
        Self {
            enabled: true,
            dsn: None,
            environment: None,
            release: None,
            server_name: None,
            sample_rate: 1.0,
            traces_sample_rate: 0.0,
            story_url: None,
            redaction: Redaction::standard(),
            most: 10,
            within: Duration::from_secs(60),
            report_panics: false,
            shutdown_timeout: Duration::from_secs(2),
        }
    }
}

impl SentryBuilder {
    pub(crate) fn from_lookup(
        lookup: impl Fn(&'static str) -> Result<Option<String>, EnvError>,
    ) -> Result<Self, EnvError> {
        let rate = |name, default| match lookup(name)? {
            None => Ok(default),
            Some(value) => match value.trim().parse() {
                Ok(rate) if is_share(rate) => Ok(rate),
                _ => Err(EnvError::Invalid { name, value, expected: "a number from 0 to 1, as in 0.25" }),
            },
        };
        let enabled = match lookup(env::SENTRY_ENABLED)? {
            None => true,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => {
                let (name, expected) = (env::SENTRY_ENABLED, "true or false");
                return Err(EnvError::Invalid { name, value, expected });
            }
        };
        let dsn = lookup(env::SENTRY_DSN)?;
        if let Some(text) = &dsn
            && text.parse::<Dsn>().is_err()
        {
            // What is wrong with a secret is said without it.
            return Err(EnvError::Invalid {
                name: env::SENTRY_DSN,
                value: "[not shown]".to_owned(),
                expected: DSN_SHAPE,
            });
        }
        Ok(Self {
            enabled,
            dsn,
            environment: lookup(env::SENTRY_ENVIRONMENT)?,
            release: lookup(env::SENTRY_RELEASE)?,
            sample_rate: rate(env::SENTRY_SAMPLE_RATE, 1.0)?,
            traces_sample_rate: rate(env::SENTRY_TRACES_SAMPLE_RATE, 0.0)?,
            redaction: match lookup(env::THROUGHLINE_PSEUDONYM_KEY)? {
                Some(key) => Redaction::standard().pseudonym_key(key),
                None => Redaction::standard(),
            },
            ..Self::default()
        })
    }

    /// Where failures go. Without one nothing is sent, unless the application itself has a client of the SDK with a DSN.
    pub fn dsn(mut self, dsn: impl Into<String>) -> Self {
        self.dsn = Some(dsn.into());
        self
    }

    /// The environment that is reported from, as in `production`.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// The release that is reported of, as in `loan-service@1.4.0`.
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// The name of the machine. None is sent by default.
    pub fn server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// Which share of the failures is reported, from 0 to 1; all by default. What is left out is in the delivery report.
    pub fn sample_rate(mut self, rate: f32) -> Self {
        self.sample_rate = rate;
        self
    }

    /// Which share of the runs is reported with the timings of its steps, as a transaction, from 0 to 1; none by default. It is
    /// decided by the trace id, so that every service takes the same runs.
    pub fn traces_sample_rate(mut self, rate: f32) -> Self {
        self.traces_sample_rate = rate;
        self
    }

    /// Where the story of a run is shown: the address to which `/` and the trace id are added, for a link in each report.
    pub fn story_url(mut self, base: impl Into<String>) -> Self {
        self.story_url = Some(base.into());
        self
    }

    /// How everything is redacted that is sent, by any code that captured it; [`Redaction::standard`] by default. Events of runs are
    /// redacted by their emitter before: give both the same.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// How many failures of one kind are reported in so much time; 10 a minute by default. What is left out is in the delivery
    /// report.
    pub fn rate_limit(mut self, most: u32, within: Duration) -> Self {
        self.most = most;
        self.within = within;
        self
    }

    /// Also reports panics that no span records, such as those of spawned tasks. Only a panic hook knows of them, and there is
    /// one for the whole process: this installs one in front of the one that there is.
    pub fn report_panics(mut self) -> Self {
        self.report_panics = true;
        self
    }

    /// How long the [guard](crate::SentryGuard) waits when it is dropped until everything is sent; 2 seconds by default.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The DSN, if one is set, once everything else is seen to be right.
    pub(crate) fn checked_dsn(&self) -> Result<Option<Dsn>, SentryError> {
        for (what, rate) in [("sample", self.sample_rate), ("traces sample", self.traces_sample_rate)] {
            if !is_share(rate) {
                return Err(SentryError::Rate { what, rate });
            }
        }
        let dsn = self.dsn.as_deref().filter(|dsn| !dsn.is_empty());
        dsn.map(|dsn| dsn.parse().map_err(|_| SentryError::Dsn)).transpose()
    }
}

fn is_share(rate: f32) -> bool {
    (0.0..=1.0).contains(&rate)
}

const DSN_SHAPE: &str = "the DSN of a project, as in https://key@sentry.example.com/1";

impl fmt::Debug for SentryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentryBuilder")
            .field("has_dsn", &self.dsn.is_some())
            .field("environment", &self.environment)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

/// Why a [`Sentry`](crate::Sentry) can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SentryError {
    /// The DSN is none. It is not repeated, for it is a secret.
    #[error("invalid DSN (not shown, as it is a secret): expected {DSN_SHAPE}")]
    Dsn,
    /// A rate is no share.
    #[error("invalid {what} rate {rate}: expected a number from 0 to 1, as in 0.25")]
    Rate {
        /// Which one.
        what: &'static str,
        /// The rate that was given.
        rate: f32,
    },
    /// A redaction pattern is invalid.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sentry;

    fn from(set: &[(&str, &str)]) -> Result<SentryBuilder, EnvError> {
        SentryBuilder::from_lookup(|name| {
            Ok(set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_says_where_failures_go_and_how_many() {
        let builder = from(&[
            ("SENTRY_DSN", "https://key@sentry.example.com/1"),
            ("SENTRY_ENVIRONMENT", "staging"),
            ("SENTRY_RELEASE", "loans@1.4.0"),
            ("SENTRY_SAMPLE_RATE", "0.5"),
            ("SENTRY_TRACES_SAMPLE_RATE", "0.25"),
        ])
        .unwrap();
        assert_eq!((builder.sample_rate, builder.traces_sample_rate), (0.5, 0.25));
        assert_eq!(
            (builder.environment.as_deref(), builder.release.as_deref()),
            (Some("staging"), Some("loans@1.4.0"))
        );
        assert!(builder.enabled && builder.build().unwrap().is_enabled());
        assert!(!from(&[]).unwrap().build().unwrap().is_enabled());
        let off = from(&[("SENTRY_DSN", "https://key@sentry.example.com/1"), ("SENTRY_ENABLED", "False")]);
        assert!(!off.unwrap().build().unwrap().is_enabled());
    }

    #[test]
    fn pseudonyms_are_made_with_the_key_that_the_emitter_has() {
        let pseudonym = |builder: SentryBuilder| {
            let redactor = builder.redaction.build().unwrap();
            redactor.findable(None, "ada@example.org").into_owned()
        };
        let key = "a secret of sixteen bytes";
        let expected = pseudonym(Sentry::builder().redaction(Redaction::standard().pseudonym_key(key)));
        assert_eq!(pseudonym(from(&[("THROUGHLINE_PSEUDONYM_KEY", key)]).unwrap()), expected);
        assert_ne!(pseudonym(from(&[]).unwrap()), expected);
    }

    #[test]
    fn what_is_wrong_with_a_variable_is_said_with_its_name_and_a_dsn_is_never_shown() {
        for (name, value) in [
            ("SENTRY_DSN", "https://hunter2@"),
            ("SENTRY_DSN", "hunter2"),
            ("SENTRY_SAMPLE_RATE", "150%"),
            ("SENTRY_SAMPLE_RATE", "NaN"),
            ("SENTRY_TRACES_SAMPLE_RATE", "-1"),
            ("SENTRY_ENABLED", "perhaps"),
        ] {
            let error = from(&[(name, value)]).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(name) && shown.contains("expected"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let builder = Sentry::builder().dsn("https://hunter2:hunter2@127.0.0.1/1");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let sentry = builder.build().unwrap();
        assert!(!format!("{sentry:?}").contains("hunter2"));
        let error = Sentry::builder().dsn("hunter2").build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
