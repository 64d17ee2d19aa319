//! What became of a saga that failed.

use std::error::Error;
use std::fmt;

use crate::context::failure::NotRecorded;
use throughline_model::{ErrorInfo, StepError, Text};

/// A saga that failed: the error, and what became of the steps that had succeeded. The error is also its
/// [source](std::error::Error::source), unless it is plain text.
#[derive(Clone)]
#[non_exhaustive]
pub struct SagaFailed<E> {
    /// What made it fail.
    pub error: E,
    /// The steps that had to be undone, in the order in which that was tried.
    pub compensations: Vec<Compensated>,
    pub(super) as_error: fn(&E) -> Option<&(dyn Error + 'static)>,
}

impl<E> SagaFailed<E> {
    /// A saga that failed before any of its steps succeeded.
    pub fn before_anything<K>(error: E) -> Self
    where
        E: StepError<K>,
    {
        Self { error, compensations: Vec::new(), as_error: E::as_error }
    }

    /// Whether every step that had to be undone was.
    pub fn is_undone(&self) -> bool {
        self.orphaned().next().is_none()
    }

    /// The steps that could not be undone: what they created is still there.
    pub fn orphaned(&self) -> impl Iterator<Item = &Compensated> {
        self.compensations.iter().filter(|step| step.outcome != CompensationOutcome::Undone)
    }

    /// The error alone.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<E: fmt::Display> fmt::Display for SagaFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, orphaned) = (self.compensations.len(), self.orphaned().count());
        match (self.as_error)(&self.error) {
            // Those who print a chain of errors print it next.
            Some(_) => f.write_str("the saga failed")?,
            None => write!(f, "the saga failed: {}", self.error)?,
        }
        match all {
            0 => f.write_str("; nothing had to be undone"),
            _ => write!(f, "; {} of {all} steps were undone", all - orphaned),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> Error for SagaFailed<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (self.as_error)(&self.error)
    }
}

impl<E: fmt::Debug> fmt::Debug for SagaFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, compensations, as_error: _ } = self;
        f.debug_struct("SagaFailed").field("error", error).field("compensations", compensations).finish()
    }
}

impl<E: PartialEq> PartialEq for SagaFailed<E> {
    fn eq(&self, other: &Self) -> bool {
        self.error == other.error && self.compensations == other.compensations
    }
}

impl<E: Eq> Eq for SagaFailed<E> {}

/// What became of a step that had to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compensated {
    /// The step's name.
    pub step: Text,
    /// What it had created, where it said so.
    pub resource: Option<Text>,
    /// Whether it was undone.
    pub outcome: CompensationOutcome,
}

/// Whether a step was undone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CompensationOutcome {
    /// It was undone.
    Undone,
    /// Its compensation failed or panicked.
    Failed(ErrorInfo),
    /// Its compensation was not run, because its start could not be recorded.
    NotStarted(NotRecorded),
    /// Nobody said how to undo it.
    NotRegistered,
}

impl PartialEq for CompensationOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undone, Self::Undone) | (Self::NotRegistered, Self::NotRegistered) => true,
            (Self::Failed(own), Self::Failed(other)) => own == other,
            (Self::NotStarted(own), Self::NotStarted(other)) => own.to_string() == other.to_string(),
            _ => false,
        }
    }
}

impl Eq for CompensationOutcome {}
