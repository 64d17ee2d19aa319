//! What a variable may be set to.

use std::borrow::Cow;

use throughline_core::Propagators;
use throughline_core::env::{has_user, host_and_port, pairs};

use crate::env::StoreLocation;

/// What a variable may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`, or `1` or `0`.
    Switch,
    /// `true` in any case is true, and everything else is false, as OpenTelemetry has it.
    StandardSwitch,
    /// The number of a port.
    Port,
    /// A number from 1 up.
    Count,
    /// A time in milliseconds.
    Millis,
    /// A number from 0 to 1.
    Ratio,
    /// Any text.
    Text,
    /// The path of a file.
    Path,
    /// A URL of HTTP, or a host and a port.
    Endpoint,
    /// Pairs such as `key=value,key=value`, percent-encoded where a value has a comma in it.
    Pairs,
    /// Headers of HTTP in this form.
    Headers,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, with commas between them.
    SomeOf(&'static [&'static str]),
    /// The names of propagators, with commas between them, or `none`.
    Propagation,
    /// Which lines are logged, as in `info,hyper=warn`.
    Levels,
    /// `stdout`, `stderr`, `none`, `file:PATH`, `daily:FOLDER` or `hourly:FOLDER`.
    LogOutput,
    /// The location of a store.
    Store,
    /// The address of a feed.
    Feed,
    /// The address of a project of Sentry.
    Dsn,
}

/// What an address of a feed begins with.
const FEEDS: [&str; 7] = ["redis:", "rediss:", "redis+unix:", "unix:", "valkey:", "valkeys:", "valkey+unix:"];

impl Kind {
    /// Whether a value may be used.
    pub(super) fn accepts(self, value: &str) -> bool {
        match self {
            Self::Switch => switch(value).is_some(),
            Self::StandardSwitch | Self::Text | Self::Path => true,
            Self::Port => value.parse::<u16>().is_ok(),
            Self::Count => value.parse::<u64>().is_ok_and(|count| count > 0),
            Self::Millis => value.parse::<u64>().is_ok(),
            Self::Ratio => value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
            Self::Endpoint => host_and_port(value).is_some() && !has_user(value),
            Self::Pairs => pairs(value).is_some(),
            Self::Headers => pairs(value).is_some_and(|pairs| {
                pairs.iter().all(|(name, value)| is_header_name(name) && !value.contains(char::is_control))
            }),
            Self::OneOf(words) => words.contains(&value),
            Self::SomeOf(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Self::Propagation => value.parse::<Propagators>().is_ok(),
            Self::Levels => value.split(',').map(str::trim).filter(|part| !part.is_empty()).all(is_level),
            Self::LogOutput => match value.split_once(':') {
                Some(("file" | "daily" | "hourly", path)) => !path.is_empty(),
                _ => ["stdout", "stderr", "none"].contains(&value),
            },
            Self::Store => value.parse::<StoreLocation>().is_ok(),
            Self::Feed => FEEDS.iter().any(|scheme| value.starts_with(scheme)),
            Self::Dsn => is_dsn(value),
        }
    }

    /// What is expected, with an example.
    pub fn expected(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Switch | Self::StandardSwitch => "true or false",
            Self::Port => "a port, as in 9464",
            Self::Count => "a number from 1 up, as in 512",
            Self::Millis => "milliseconds, as in 5000",
            Self::Ratio => "a number from 0 to 1, as in 0.1",
            Self::Text => "any text",
            Self::Path => "a path",
            Self::Endpoint => "a URL or HOST:PORT without a user, as in http://localhost:4318",
            Self::Pairs => "pairs such as key=value,key=value",
            Self::Headers => "headers such as key=value,key=value, with %2C for a comma in a value",
            Self::OneOf(words) => return format!("one of {}", words.join(", ")).into(),
            Self::SomeOf(words) => {
                return format!("some of {}, with commas between them", words.join(", ")).into();
            }
            Self::Propagation => {
                "some of tracecontext, baggage, b3, b3multi, jaeger with commas between them, or none"
            }
            Self::Levels => "levels, as in info,hyper=warn",
            Self::LogOutput => "stdout, stderr, none, file:PATH, daily:FOLDER or hourly:FOLDER",
            Self::Store => crate::env::EXPECTED,
            Self::Feed => "an address such as redis://HOST/",
            Self::Dsn => "an address such as https://KEY@HOST/PROJECT",
        })
    }
}

pub(super) fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A token of [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
fn is_header_name(name: &str) -> bool {
    name.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c))
}

fn is_dsn(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let Some((key, place)) = rest.split_once('@') else { return false };
    let project = place.rsplit_once('/').map_or("", |(_, project)| project);
    ["http", "https"].contains(&scheme)
        && !key.is_empty()
        && host_and_port(value).is_some()
        && !project.is_empty()
}

/// Whether a part of `RUST_LOG` is a level, one of a target, or a target of which everything is logged.
fn is_level(part: &str) -> bool {
    const LEVELS: [&str; 12] =
        ["off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5"];
    let is_level = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
    let is_target = |word: &str| {
        word.chars().all(|c| c.is_alphanumeric() || "_-:".contains(c)) && word.contains(char::is_alphabetic)
    };
    !part.contains(['[', '{', '"'])
        && match part.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level.trim()),
            None => is_level(part) || is_target(part),
        }
}
