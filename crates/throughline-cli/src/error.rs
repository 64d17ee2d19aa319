//! Why a command failed, and its exit code.

use std::io;
use std::process::ExitCode;

use throughline_core::{OpenError, ReadError};

/// The answer of a command that succeeded, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is so; or it is done.
    Yes,
    /// It is not so; nothing was found.
    No,
}

impl Answer {
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        Self::from(match answer {
            Answer::Yes => 0,
            Answer::No => 1,
        })
    }
}

/// Why a command failed: one line that says what is wrong, and what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Nothing was found.
    #[error("{0}")]
    NotFound(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The store can't be opened.
    #[error("{name}: {}", reason(.error))]
    Open {
        /// The store as the command line has it.
        name: String,
        error: OpenError,
    },
    /// The store can't be read.
    #[error("{}", match .0 {
        ReadError::InvalidQuery { reason } => reason as &dyn std::fmt::Display,
        error => error,
    })]
    Read(#[from] ReadError),
    /// The store can't be written.
    #[error("{0}")]
    Write(String),
    /// The input can't be used.
    #[error("{0}")]
    Input(String),
    /// The answer can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The exit code that goes with it; the help documents them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotFound(_) | Self::Open { error: OpenError::NothingYet { .. }, .. } => 1,
            Self::Usage(_) | Self::Read(ReadError::InvalidQuery { .. }) => 2,
            _ => 3,
        })
    }

    /// Whether nobody reads the output any more, as behind `| head`: no reason to complain.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

/// What is wrong, without the kind of the store: its name says that.
fn reason(error: &OpenError) -> String {
    match error {
        OpenError::Unavailable { reason, .. }
        | OpenError::Unusable { reason, .. }
        | OpenError::NothingYet { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}
