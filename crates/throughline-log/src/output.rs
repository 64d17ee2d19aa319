//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Where lines go. Nothing is opened before [`LogsBuilder::build`](crate::LogsBuilder::build).
#[must_use]
pub struct Output(Kind);

enum Kind {
    Stdout,
    Stderr,
    File(PathBuf),
    #[cfg(feature = "files")]
    Rolling(crate::Rolling),
    Writer(Box<dyn Write + Send>),
}

/// An output that is open.
pub(crate) struct Opened {
    pub(crate) output: Box<dyn Write + Send>,
    pub(crate) is_terminal: bool,
}

impl Output {
    /// The standard output of the process: what containers expect.
    pub fn stdout() -> Self {
        Self(Kind::Stdout)
    }

    /// The standard error output of the process.
    pub fn stderr() -> Self {
        Self(Kind::Stderr)
    }

    /// The end of a file, which is created if it is missing. Somebody else keeps it from growing for ever: see `rolling`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// Files that a new one follows every day, hour or minute.
    #[cfg(feature = "files")]
    pub fn rolling(files: crate::Rolling) -> Self {
        Self(Kind::Rolling(files))
    }

    /// Anything that can be written to. It may block: only a thread of its own waits for it.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self(Kind::Writer(Box::new(writer)))
    }

    /// What it is, for an error about it.
    pub(crate) fn describe(&self) -> String {
        match &self.0 {
            Kind::Stdout => "the standard output".to_owned(),
            Kind::Stderr => "the standard error output".to_owned(),
            Kind::File(path) => path.display().to_string(),
            #[cfg(feature = "files")]
            Kind::Rolling(files) => files.describe(),
            Kind::Writer(_) => "the writer".to_owned(),
        }
    }

    pub(crate) fn open(self) -> io::Result<Opened> {
        let plain = |output: Box<dyn Write + Send>| Opened { output, is_terminal: false };
        Ok(match self.0 {
            Kind::Stdout => {
                Opened { is_terminal: io::stdout().is_terminal(), output: unbuffered(io::stdout())? }
            }
            Kind::Stderr => {
                Opened { is_terminal: io::stderr().is_terminal(), output: unbuffered(io::stderr())? }
            }
            Kind::File(path) => plain(Box::new(append_to(path)?)),
            #[cfg(feature = "files")]
            Kind::Rolling(files) => plain(files.open()?),
            Kind::Writer(writer) => plain(writer),
        })
    }
}

fn append_to(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The stream itself: the standard library keeps what a closed pipe did not take, and lines are batches already.
#[cfg(unix)]
fn unbuffered(stream: impl std::os::fd::AsFd) -> io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(File::from(stream.as_fd().try_clone_to_owned()?)))
}

#[cfg(not(unix))]
fn unbuffered(stream: impl Write + Send + 'static) -> io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(stream))
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output").field(&self.describe()).finish()
    }
}
