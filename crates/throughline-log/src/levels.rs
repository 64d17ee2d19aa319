//! Which lines are written, by target and level; can be changed while the service runs.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};

/// Which lines are written: a level for everything, and others for what comes from certain targets. Parsed from what
/// people put into `RUST_LOG`, as in `info,hyper=warn,loans::scoring=debug`.
///
/// ```
/// use throughline_log::Levels;
///
/// let levels: Levels = "info,hyper=warn".parse()?;
/// assert_eq!(levels.to_string(), "info,hyper=warn");
/// assert!("hyper=loud".parse::<Levels>().is_err());
/// # Ok::<(), throughline_log::ParseLevelsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Levels(Targets);

impl Levels {
    pub(crate) fn enable(&self, target: &str, level: Level) -> bool {
        self.0.would_enable(target, &level)
    }
}

/// `info`, from everywhere.
impl Default for Levels {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.0.default_level();
        let mut parts: Vec<_> = default.iter().map(|level| level.to_string()).collect();
        let mut targets: Vec<_> = self.0.iter().filter(|(target, _)| !target.is_empty()).collect();
        targets.sort_unstable();
        parts.extend(targets.into_iter().map(|(target, level)| format!("{target}={level}")));
        f.write_str(&parts.join(","))
    }
}

/// Why a text does not say which lines to write.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "`{part}` is not a level: expected off, error, warn, info, debug or trace, or TARGET=LEVEL, as in info,hyper=warn; \
     filters by span or field are not supported"
)]
pub struct ParseLevelsError {
    part: String,
}

impl FromStr for Levels {
    type Err = ParseLevelsError;

    fn from_str(text: &str) -> Result<Self, ParseLevelsError> {
        let mut targets = Targets::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || ParseLevelsError { part: part.chars().take(64).collect() };
            if part.contains(['[', '{', '"']) {
                return Err(wrong());
            }
            // What `tracing` takes an empty level for is not what somebody meant.
            let level = |level: &str| {
                if level.is_empty() {
                    Err(wrong())
                } else {
                    level.parse::<LevelFilter>().map_err(|_| wrong())
                }
            };
            targets = match part.split_once('=') {
                Some((target, _)) if target.trim().is_empty() => return Err(wrong()),
                Some((target, level_of_it)) => targets.with_target(target.trim(), level(level_of_it.trim())?),
                None => match level(part) {
                    Ok(level) => targets.with_default(level),
                    // All of a target, as `env_logger` has it.
                    Err(_) if is_target(part) => targets.with_target(part, LevelFilter::TRACE),
                    Err(wrong) => return Err(wrong),
                },
            };
        }
        Ok(Self(targets))
    }
}

/// Whether a word can only be the name of a crate or a module.
fn is_target(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || "_-:".contains(c)) && word.contains(char::is_alphabetic)
}

/// The levels of today, shared by the layer, the sink and those who change them.
#[derive(Debug, Clone)]
pub(crate) struct CurrentLevels(Arc<RwLock<Arc<Levels>>>);

impl CurrentLevels {
    pub(crate) fn new(levels: Levels) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(levels))))
    }

    pub(crate) fn get(&self) -> Arc<Levels> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, levels: Levels) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(levels);
        // Call sites remember whether anybody is interested in them.
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn enable(&self, target: &str, level: Level) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).enable(target, level)
    }

    /// Spans are seen whatever the levels say, unless they are very detailed: they carry the ids that lines below them have.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        (metadata.is_span() && *metadata.level() <= Level::INFO)
            || self.enable(metadata.target(), *metadata.level())
    }
}

impl<S> Filter<S> for CurrentLevels {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = self.get();
        let most = levels.0.iter().map(|(_, level)| level).chain(levels.0.default_level()).max();
        most.max(Some(LevelFilter::INFO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_parsed_is_shown_as_it_can_be_parsed_again() {
        for (text, shown) in [
            ("info", "info"),
            (" warn , hyper=off", "warn,hyper=off"),
            ("loans::scoring=debug,ERROR", "error,loans::scoring=debug"),
            ("loans::scoring", "loans::scoring=trace"),
            ("warn,loans", "warn,loans=trace"),
            ("2,loans=5", "warn,loans=trace"),
            ("", ""),
            ("off", "off"),
        ] {
            let levels: Levels = text.parse().unwrap();
            assert_eq!(levels.to_string(), shown, "{text:?}");
            assert_eq!(shown.parse::<Levels>().unwrap(), levels);
        }
    }

    #[test]
    fn what_means_nothing_is_an_error_that_names_the_part() {
        for (text, part) in [
            ("info,hyper=loud", "hyper=loud"),
            ("info,very loud", "very loud"),
            ("x=", "x="),
            ("9", "9"),
            ("=info", "=info"),
            ("[span]=info", "[span]=info"),
        ] {
            let error = text.parse::<Levels>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{part}` is not a level")), "{error}");
        }
    }

    #[test]
    fn the_longest_target_decides() {
        let levels: Levels = "info,hyper=warn,hyper::proto=trace".parse().unwrap();
        assert!(levels.enable("loans", Level::INFO) && !levels.enable("loans", Level::DEBUG));
        assert!(
            !levels.enable("hyper::client", Level::INFO) && levels.enable("hyper::proto::h1", Level::TRACE)
        );
    }
}
