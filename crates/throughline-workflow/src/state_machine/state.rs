//! [`State`], what a state machine is made of.

use std::fmt::Debug;

use heck::ToSnakeCase;
use throughline_core::Text;

/// A state of a [`StateMachine`](super::StateMachine): an enum of yours, so that a state that does not exist does not
/// compile, or a text where states come from a configuration.
///
/// ```
/// use throughline_workflow::State;
///
/// #[derive(Debug, Clone, PartialEq, Eq)]
/// enum Sandbox {
///     Booting,
///     ShuttingDown,
/// }
/// impl State for Sandbox {}
///
/// assert_eq!(Sandbox::ShuttingDown.name(), "shutting_down");
/// ```
pub trait State: Clone + Eq + Debug + Send + Sync + 'static {
    /// What the state is called in events and metrics. Unless you say otherwise, the variant's name in snake case, as
    /// a derived [`Debug`] has it.
    fn name(&self) -> Text {
        let variant = format!("{self:?}");
        let end = variant.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(variant.len());
        variant[..end].to_snake_case().into()
    }
}

impl State for &'static str {
    fn name(&self) -> Text {
        Text::literal(self)
    }
}

impl State for Text {
    fn name(&self) -> Text {
        self.clone()
    }
}
