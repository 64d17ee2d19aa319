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
    /// The steps that had to be undone, in the order in which that was tried, and those that are in doubt.
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

    /// Whether every step that had to be undone was, and none is in doubt: nothing is left of the saga.
    pub fn is_undone(&self) -> bool {
        self.compensations.iter().all(|step| step.outcome == CompensationOutcome::Undone)
    }

    /// The steps that could not be undone: what they created is still there.
    pub fn orphaned(&self) -> impl Iterator<Item = &Compensated> {
        use CompensationOutcome::{InDoubt, Undone};
        self.compensations.iter().filter(|step| !matches!(step.outcome, Undone | InDoubt))
    }

    /// The steps that may have had their effect although they did not succeed.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Compensated> {
        self.compensations.iter().filter(|step| step.outcome == CompensationOutcome::InDoubt)
    }

    /// The error alone.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<E: fmt::Display> fmt::Display for SagaFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (orphaned, in_doubt) = (self.orphaned().count(), self.in_doubt().count());
        let all = self.compensations.len() - in_doubt;
        match (self.as_error)(&self.error) {
            // Those who print a chain of errors print it next.
            Some(_) => f.write_str("the saga failed")?,
            None => write!(f, "the saga failed: {}", self.error)?,
        }
        match (all, all - orphaned) {
            (0, _) if in_doubt > 0 => {}
            (0, _) => f.write_str("; nothing had to be undone")?,
            (1, 1) => f.write_str("; the one step before was undone")?,
            (1, _) => f.write_str("; the one step before was not undone")?,
            (_, undone) if undone == all => write!(f, "; all {all} steps were undone")?,
            (_, undone) => write!(f, "; {undone} of {all} steps were undone")?,
        }
        match in_doubt {
            0 => Ok(()),
            1 => f.write_str("; 1 step is in doubt"),
            _ => write!(f, "; {in_doubt} steps are in doubt"),
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
    /// It failed or did not end, so that nobody knows whether it had its effect, and was not undone: see
    /// [`compensate_when_in_doubt`](super::SagaStep::compensate_when_in_doubt).
    InDoubt,
}

impl PartialEq for CompensationOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undone, Self::Undone)
            | (Self::NotRegistered, Self::NotRegistered)
            | (Self::InDoubt, Self::InDoubt) => true,
            (Self::Failed(own), Self::Failed(other)) => own == other,
            (Self::NotStarted(own), Self::NotStarted(other)) => own.to_string() == other.to_string(),
            _ => false,
        }
    }
}

impl Eq for CompensationOutcome {}
