//! Why a transition is refused.

use std::fmt;

use throughline_core::{NotRecorded, Text};

use super::declaration::{Declaration, Edge, quoted};

/// Why an entity did not go to another state; it is where it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// No transition without a name leads there from the state it is in.
    #[error("{machine}: no transition from `{from}` to `{to}`; {}", allowed_from(from, allowed))]
    Illegal {
        /// The machine.
        machine: Text,
        /// The state it is in.
        from: Text,
        /// Where it was asked to go.
        to: Text,
        /// Where it can go.
        allowed: Vec<Transition>,
    },
    /// No transition of this name leads away from the state it is in.
    #[error("{machine}: no trigger `{trigger}` from `{from}`; {}", allowed_from(from, allowed))]
    IllegalTrigger {
        /// The machine.
        machine: Text,
        /// The state it is in.
        from: Text,
        /// The name.
        trigger: Text,
        /// Where it can go.
        allowed: Vec<Transition>,
    },
    /// The state was not declared.
    #[error(transparent)]
    UnknownState(#[from] UnknownState),
    /// The work of a transition asks for another transition of the same entity, which would wait for the first.
    #[error("{machine}: a transition cannot start another one of the same entity; start it afterwards")]
    Nested {
        /// The machine.
        machine: Text,
    },
    /// It could not be recorded.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

impl TransitionError {
    /// Whether the same transition may be made later without anything else being done.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotRecorded(cause) if cause.is_retryable())
    }
}

/// A state that was not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{machine}: no state `{state}`; the declared ones are {}", quoted(.declared))]
#[non_exhaustive]
pub struct UnknownState {
    /// The machine.
    pub machine: Text,
    /// The name of the state.
    pub state: Text,
    /// The declared states.
    pub declared: Vec<Text>,
}

impl UnknownState {
    pub(super) fn new<S>(declared: &Declaration<S>, state: &str) -> Self {
        let names = declared.states.iter().map(|state| state.name.clone());
        let state = Text::from(state.to_owned());
        Self { machine: declared.name.clone(), state, declared: names.collect() }
    }
}

/// A transition that leads away from a state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state it leads to.
    pub to: Text,
    /// Its name, if it has one.
    pub trigger: Option<Text>,
}

impl Transition {
    pub(super) fn new<S>(declared: &Declaration<S>, edge: &Edge) -> Self {
        Self { to: declared.states[edge.to].name.clone(), trigger: edge.trigger.clone() }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.to)?;
        self.trigger.iter().try_for_each(|trigger| write!(f, " (by `{trigger}`)"))
    }
}

fn allowed_from(from: &str, allowed: &[Transition]) -> String {
    if allowed.is_empty() {
        return format!("`{from}` is final");
    }
    let allowed: Vec<_> = allowed.iter().map(Transition::to_string).collect();
    format!("from `{from}` it can go to {}", allowed.join(", "))
}
