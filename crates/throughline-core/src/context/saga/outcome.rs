//! What became of a saga that failed.

use crate::context::failure::NotRecorded;
use throughline_model::{ErrorInfo, Text};

/// A saga that failed: the error, and what became of the steps that had succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaFailed<E> {
    /// What made it fail.
    pub error: E,
    /// The steps that had to be undone, in the order in which that was tried.
    pub compensations: Vec<Compensated>,
}

impl<E> SagaFailed<E> {
    /// A saga that failed before any of its steps succeeded.
    pub fn before_anything(error: E) -> Self {
        Self { error, compensations: Vec::new() }
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

impl<E: std::fmt::Display> std::fmt::Display for SagaFailed<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (all, orphaned) = (self.compensations.len(), self.orphaned().count());
        write!(f, "{} ({} of {all} steps undone)", self.error, all - orphaned)
    }
}

impl<E: std::fmt::Display + std::fmt::Debug> std::error::Error for SagaFailed<E> {}

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
