//! Errors on their way through a layer.

use throughline_core::{BoxError, ErrorInfo, NotRecorded, StepError};

/// An error of the service inside: recorded under its own type, returned boxed.
pub(crate) struct Failure {
    error: BoxError,
    type_name: &'static str,
}

/// Distinguishes the implementation of [`StepError`] for [`Failure`] from the others.
pub(crate) enum Passing {}

impl Failure {
    pub(crate) fn of<E: Into<BoxError>>(error: E) -> Self {
        Self { error: error.into(), type_name: std::any::type_name::<E>() }
    }
}

impl StepError<Passing> for Failure {
    fn describe(&self) -> ErrorInfo {
        ErrorInfo::of_boxed(&self.error, self.type_name)
    }
}

/// What a layer returns: the service's outcome, or why the service was not called.
pub(crate) fn passed_on<T>(outcome: Result<Result<T, Failure>, NotRecorded>) -> Result<T, BoxError> {
    outcome?.map_err(|failure| failure.error)
}
