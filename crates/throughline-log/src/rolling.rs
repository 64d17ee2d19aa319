//! Log files that a new one follows.

use std::io::{self, Write};
use std::path::PathBuf;

use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Log files in a folder, of which a new one is begun every day, hour or minute (of UTC) and the oldest are removed. The time
/// stands in their names, as in `loans.2026-03-01.jsonl`.
///
/// ```no_run
/// use throughline_log::{Logs, Output, Rolling};
///
/// let files = Rolling::daily("/var/log/loans", "loans").keep(14);
/// let logs = Logs::builder("loan-service").output(Output::rolling(files)).build()?;
/// # Ok::<(), throughline_log::LogsError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Rolling {
    folder: PathBuf,
    name: String,
    every: Rotation,
    keep: Option<usize>,
}

impl Rolling {
    /// A file for each day.
    pub fn daily(folder: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self::every(Rotation::DAILY, folder.into(), name.into())
    }

    /// A file for each hour.
    pub fn hourly(folder: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self::every(Rotation::HOURLY, folder.into(), name.into())
    }

    /// A file for each minute.
    pub fn minutely(folder: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self::every(Rotation::MINUTELY, folder.into(), name.into())
    }

    fn every(every: Rotation, folder: PathBuf, name: String) -> Self {
        Self { folder, name, every, keep: None }
    }

    /// Keeps so many files, that of today included; all by default.
    pub fn keep(mut self, files: usize) -> Self {
        self.keep = Some(files);
        self
    }

    pub(crate) fn describe(&self) -> String {
        format!("files in {}", self.folder.display())
    }

    pub(crate) fn open(self) -> io::Result<Box<dyn Write + Send>> {
        let builder = RollingFileAppender::builder()
            .rotation(self.every)
            .filename_prefix(self.name)
            .filename_suffix("jsonl");
        let builder = match self.keep {
            Some(files) => builder.max_log_files(files.max(1)),
            None => builder,
        };
        Ok(Box::new(builder.build(self.folder).map_err(io::Error::other)?))
    }
}
