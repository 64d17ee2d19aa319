//! What the variables say about logs.

use std::path::PathBuf;

use throughline_core::env::otlp::LOGS;

use super::settings::Settings;
use super::traces::has_otlp;

const LEVELS: &str = "RUST_LOG";
const OUTPUT: &str = "THROUGHLINE_LOG_OUTPUT";
const EXPORTER: &str = LOGS.exporter;
const FORMAT: &str = "THROUGHLINE_LOG_FORMAT";

/// Which lines are logged, and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSettings {
    /// Which lines are written, as in `info,hyper=warn`.
    pub levels: String,
    /// Where they go.
    pub output: LogDestination,
    /// `auto`, `json` or `text`.
    pub format: String,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogDestination {
    /// The standard output.
    Stdout,
    /// The standard error output.
    Stderr,
    /// The end of a file.
    File(PathBuf),
    /// A file for each day in a folder.
    Daily(PathBuf),
    /// A file for each hour in a folder.
    Hourly(PathBuf),
    /// Nowhere, but to a collector.
    Nowhere,
}

impl LogSettings {
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if settings.is_disabled() {
            return None;
        }
        let output = match settings.get(OUTPUT).unwrap_or("stdout") {
            "none" if are_exported(settings) => LogDestination::Nowhere,
            "none" => return None,
            "stderr" => LogDestination::Stderr,
            other => match other.split_once(':') {
                Some(("file", path)) => LogDestination::File(path.into()),
                Some(("daily", folder)) => LogDestination::Daily(folder.into()),
                Some(("hourly", folder)) => LogDestination::Hourly(folder.into()),
                _ => LogDestination::Stdout,
            },
        };
        Some(Self {
            levels: settings.get(LEVELS).unwrap_or("info").to_owned(),
            output,
            format: settings.get(FORMAT).unwrap_or("auto").to_owned(),
        })
    }
}

/// Whether lines are sent to a collector.
pub(super) fn are_exported(settings: &Settings) -> bool {
    !settings.is_disabled() && has_otlp(settings, EXPORTER) == Some(true)
}

/// Whether somebody said that nothing is to be logged.
pub(super) fn is_turned_off(settings: &Settings) -> bool {
    settings.get(OUTPUT) == Some("none") && !are_exported(settings)
}

#[cfg(feature = "log")]
impl LogSettings {
    /// What was configured, to be opened.
    pub(super) fn builder(&self, service: &str) -> Result<throughline_log::LogsBuilder, super::InitError> {
        use throughline_log::{Format, Logs, Output};

        let output = match &self.output {
            LogDestination::Stdout => Output::stdout(),
            LogDestination::Stderr => Output::stderr(),
            LogDestination::Nowhere => Output::writer(std::io::sink()),
            LogDestination::File(path) => Output::file(path),
            #[cfg(feature = "log-files")]
            LogDestination::Daily(folder) => {
                Output::rolling(throughline_log::Rolling::daily(folder, service))
            }
            #[cfg(feature = "log-files")]
            LogDestination::Hourly(folder) => {
                Output::rolling(throughline_log::Rolling::hourly(folder, service))
            }
            #[cfg(not(feature = "log-files"))]
            LogDestination::Daily(_) | LogDestination::Hourly(_) => {
                let what = "a new file each day or hour (THROUGHLINE_LOG_OUTPUT)";
                return Err(super::InitError::Feature { what, feature: "log-files" });
            }
        };
        let format = match self.format.as_str() {
            "json" => Format::Json,
            "text" => Format::Text,
            _ => Format::Auto,
        };
        let builder = Logs::builder(service.to_owned()).output(output).format(format);
        // What is here was accepted as levels.
        Ok(match self.levels.parse() {
            Ok(levels) => builder.levels(levels),
            Err(_) => builder,
        })
    }
}

/// Has the process write what it logs; answers a warning if somebody else has installed a subscriber already.
#[cfg(feature = "log")]
pub(super) fn install(subscriber: impl tracing::Subscriber + Send + Sync) -> Option<String> {
    tracing::subscriber::set_global_default(subscriber).err().map(|_| {
        "what is logged is not written: a subscriber is installed already; add `logs().layer(..)` to it"
            .to_owned()
    })
}
