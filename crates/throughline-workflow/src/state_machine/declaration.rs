//! The declaration of a machine, and whether it is valid.

use throughline_core::metrics::catalogue;
use throughline_core::{Text, Throughline};

use super::series::Series;
use super::{Machine, State, StateMachine};

/// The states and transitions of a machine, by their places in these lists. The initial state has place 0.
pub(super) struct Declaration<S> {
    pub(super) name: Text,
    pub(super) states: Vec<Declared<S>>,
    pub(super) edges: Vec<Edge>,
}

/// A state and its name.
pub(super) struct Declared<S> {
    pub(super) state: S,
    pub(super) name: Text,
}

/// A transition.
#[derive(PartialEq)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) trigger: Option<Text>,
}

impl<S: State> Declaration<S> {
    pub(super) fn place(&self, state: &S) -> Option<usize> {
        self.states.iter().position(|declared| declared.state == *state)
    }

    fn place_or_new(&mut self, state: S) -> usize {
        self.place(&state).unwrap_or_else(|| {
            self.states.push(Declared { name: state.name(), state });
            self.states.len() - 1
        })
    }
}

impl<S> Declaration<S> {
    pub(super) fn from(&self, place: usize) -> impl Iterator<Item = (usize, &Edge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.from == place)
    }

    /// The state that all transitions of a name lead to, if it is the same.
    pub(super) fn target_of(&self, trigger: &str) -> Option<usize> {
        let named = |edge: &&Edge| edge.trigger.as_deref().is_some_and(|name| name == trigger);
        let mut targets = self.edges.iter().filter(named).map(|edge| edge.to);
        let target = targets.next()?;
        targets.all(|other| other == target).then_some(target)
    }

    /// The states that no chain of transitions leads to.
    fn unreachable(&self) -> Vec<usize> {
        let mut reached = vec![false; self.states.len()];
        let mut next = vec![0];
        while let Some(place) = next.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                next.extend(self.from(place).map(|(_, edge)| edge.to));
            }
        }
        (0..reached.len()).filter(|place| !reached[*place]).collect()
    }
}

/// Declares a [`StateMachine`]; returned by [`StateMachine::builder`].
#[must_use = "a machine is not declared before build()"]
pub struct StateMachineBuilder<S>(Declaration<S>);

impl<S: State> StateMachineBuilder<S> {
    pub(super) fn new(name: Text, initial: S) -> Self {
        let initial = Declared { name: initial.name(), state: initial };
        Self(Declaration { name, states: vec![initial], edges: Vec::new() })
    }

    /// Allows to go from one state to another. A state becomes known by its first transition; one from which none
    /// leads away is final.
    pub fn transition(self, from: S, to: S) -> Self {
        self.edge(from, to, None)
    }

    /// Allows to go from one state to another by name, as in `auto_paused` or `resumed`: with
    /// [`Entity::trigger`](super::Entity::trigger), and not without. The same name may lead away from several states.
    pub fn trigger(self, name: impl Into<Text>, from: S, to: S) -> Self {
        self.edge(from, to, Some(name.into()))
    }

    fn edge(mut self, from: S, to: S, trigger: Option<Text>) -> Self {
        let (from, to) = (self.0.place_or_new(from), self.0.place_or_new(to));
        self.0.edges.push(Edge { from, to, trigger });
        self
    }

    /// Checks the declaration. What happens to the machine's entities is measured by this emitter's meter.
    ///
    /// # Errors
    /// When the declaration is invalid: see [`StateMachineError`].
    pub fn build(self, throughline: &Throughline) -> Result<StateMachine<S>, StateMachineError> {
        let declared = self.0;
        declared.check()?;
        let series = Series::new(throughline.meter(), &declared);
        Ok(StateMachine(std::sync::Arc::new(Machine { declared, series })))
    }
}

impl<S> Declaration<S> {
    fn check(&self) -> Result<(), StateMachineError> {
        let machine = || self.name.clone();
        let name = |place: usize| self.states[place].name.clone();
        if self.name.trim().is_empty() {
            return Err(StateMachineError::NoName);
        }
        for (place, declared) in self.states.iter().enumerate() {
            if declared.name.trim().is_empty() {
                return Err(StateMachineError::NamelessState { machine: machine() });
            }
            if self.states[..place].iter().any(|other| other.name == declared.name) {
                return Err(StateMachineError::SameName { machine: machine(), state: name(place) });
            }
        }
        if self.edges.is_empty() {
            return Err(StateMachineError::NoTransition { machine: machine(), state: name(0) });
        }
        for (place, edge) in self.edges.iter().enumerate() {
            let (machine, from, to) = (machine(), name(edge.from), name(edge.to));
            let before = &self.edges[..place];
            match &edge.trigger {
                Some(trigger) if trigger.trim().is_empty() => {
                    return Err(StateMachineError::NamelessTrigger { machine, from, to });
                }
                Some(trigger) if before.iter().any(|e| e.from == edge.from && e.trigger == edge.trigger) => {
                    return Err(StateMachineError::AmbiguousTrigger {
                        machine,
                        trigger: trigger.clone(),
                        from,
                    });
                }
                None if before.contains(edge) => {
                    return Err(StateMachineError::DuplicateTransition { machine, from, to });
                }
                _ => {}
            }
        }
        self.check_names_of_metrics()?;
        let unreachable: Vec<_> = self.unreachable().into_iter().map(name).collect();
        if unreachable.is_empty() {
            return Ok(());
        }
        Err(StateMachineError::Unreachable { machine: machine(), initial: name(0), states: unreachable })
    }
}

impl<S> Declaration<S> {
    /// A machine and its triggers are parts of the names that some metrics have in some profiles, where they must not
    /// come to the name of another metric.
    fn check_names_of_metrics(&self) -> Result<(), StateMachineError> {
        let machine = part_of_name(&self.name);
        let aliases = || catalogue::all().flat_map(|(_, metric)| metric.aliases);
        let others = || aliases().filter(|alias| !alias.name.contains("{machine}")).map(|alias| alias.name);
        for own in aliases().filter(|alias| alias.name.contains("{machine}")) {
            let name = own.name.replace("{machine}", &machine);
            if others().any(|other| other == name) {
                return Err(StateMachineError::ReservedName { machine: self.name.clone() });
            }
        }
        for trigger in self.edges.iter().filter_map(|edge| edge.trigger.as_ref()) {
            let name = format!("{{prefix}}_{machine}_{}_total", part_of_name(trigger));
            // A resource may be of the kind that has the states.
            let is_taken = aliases()
                .any(|alias| name == alias.name.replace("{machine}", &machine).replace("{kind}", &machine));
            if is_taken {
                let (machine, trigger) = (self.name.clone(), trigger.clone());
                return Err(StateMachineError::ReservedTrigger { machine, trigger });
            }
        }
        Ok(())
    }
}

/// A value as a part of a metric's name.
fn part_of_name(value: &str) -> String {
    value.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Why the declaration of a state machine is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateMachineError {
    /// The machine has no name.
    #[error("a state machine has no name: give one, as in StateMachine::builder(\"session\", ..)")]
    NoName,
    /// A state has an empty name.
    #[error("{machine}: a state has no name; its State::name(..) must return one")]
    NamelessState {
        /// The machine.
        machine: Text,
    },
    /// Two states have the same name.
    #[error("{machine}: two states are named `{state}`; their State::name(..) must return different names")]
    SameName {
        /// The machine.
        machine: Text,
        /// The name.
        state: Text,
    },
    /// There is no state but the initial one.
    #[error(
        "{machine}: no transition leads away from `{state}`; declare a .transition(..) or a .trigger(..)"
    )]
    NoTransition {
        /// The machine.
        machine: Text,
        /// Its initial state.
        state: Text,
    },
    /// The same transition is declared twice.
    #[error("{machine}: the transition from `{from}` to `{to}` is declared twice")]
    DuplicateTransition {
        /// The machine.
        machine: Text,
        /// The state it leaves.
        from: Text,
        /// The state it enters.
        to: Text,
    },
    /// A state has two triggers of the same name.
    #[error(
        "{machine}: the trigger `{trigger}` is declared twice from `{from}`; which state should it lead to?"
    )]
    AmbiguousTrigger {
        /// The machine.
        machine: Text,
        /// The name.
        trigger: Text,
        /// The state it leaves.
        from: Text,
    },
    /// A trigger has an empty name.
    #[error(
        "{machine}: a trigger from `{from}` to `{to}` has no name; use .transition(..) for a transition without one"
    )]
    NamelessTrigger {
        /// The machine.
        machine: Text,
        /// The state it leaves.
        from: Text,
        /// The state it enters.
        to: Text,
    },
    /// The machine's name would give its metrics the names of others, where a profile makes names of it.
    #[error(
        "a state machine cannot be named `{machine}`: some of its metrics would have the names of others; choose another name"
    )]
    ReservedName {
        /// The machine.
        machine: Text,
    },
    /// A trigger's name would give its metric the name of another, where a profile makes a name of it.
    #[error(
        "{machine}: a trigger cannot be named `{trigger}`: its metric would have the name of another one; choose another name"
    )]
    ReservedTrigger {
        /// The machine.
        machine: Text,
        /// The name.
        trigger: Text,
    },
    /// Some states cannot be reached: often a misspelt name, or a transition that was forgotten.
    #[error("{machine}: no transition leads from `{initial}` to {}; declare one, or check the names for typos", quoted(.states))]
    Unreachable {
        /// The machine.
        machine: Text,
        /// Its initial state.
        initial: Text,
        /// The states that cannot be reached.
        states: Vec<Text>,
    },
}

/// Names as a list in a sentence.
pub(super) fn quoted(names: &[Text]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
