//! [`StateMachine`]: declared states and transitions, each of which is recorded and counted.

mod declaration;
mod diagram;
mod entity;
mod refusal;
mod series;
mod state;
mod work;

use std::fmt;
use std::sync::Arc;

pub use declaration::{StateMachineBuilder, StateMachineError};
pub use entity::Entity;
pub use refusal::{Transition, TransitionError, UnknownState};
pub use state::State;

use declaration::Declaration;
use series::Series;
use throughline_core::{Text, TraceContext};

/// A declared state machine: which states there are, and which transitions between them are allowed.
///
/// Things that have a state are [entities](Entity): a session, a sandbox, an order. Each transition of an entity is a
/// step of the run that makes it (`state:session:running`, with the machine, the entity, `from` and `to` as attributes), and
/// is counted: transitions by `from` and `to`, named ones by their name, entities by their state, time by the state it
/// was spent in, and as a whole once a final state is entered. A transition that was not declared is refused and counted,
/// and changes nothing.
///
/// ```
/// # use std::time::Duration;
/// use throughline_core::{BoxError, MemoryStore, Throughline};
/// use throughline_workflow::{State, StateMachine};
///
/// #[derive(Debug, Clone, PartialEq, Eq)]
/// enum Session {
///     Idle,
///     Starting,
///     Running,
///     Paused,
///     Failed,
/// }
/// impl State for Session {} // the names are `idle`, `starting`..
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let throughline = Throughline::builder("sessions").store(MemoryStore::new()).build()?;
///
/// let sessions = StateMachine::builder("session", Session::Idle)
///     .transition(Session::Idle, Session::Starting)
///     .transition(Session::Starting, Session::Running)
///     .transition(Session::Starting, Session::Failed)
///     .trigger("auto_paused", Session::Running, Session::Paused)
///     .trigger("resumed", Session::Paused, Session::Running)
///     .build(&throughline)?;
///
/// throughline
///     .workflow("session")
///     .key("session-17")
///     .run(|ctx| async move {
///         let session = sessions.enter(&ctx, "session-17").await?;
///         session.transition(&ctx, Session::Starting).await?;
///         session.transition(&ctx, Session::Running).await?;
///         session.trigger(&ctx, "auto_paused").await?;
///         assert_eq!(session.state(), Session::Paused);
///
///         let refused = session.transition(&ctx, Session::Idle).await.unwrap_err();
///         assert_eq!(
///             refused.to_string(),
///             "session: no transition from `paused` to `idle`; from `paused` it can go to `running` (by `resumed`)"
///         );
///         Ok::<_, BoxError>(())
///     })
///     .await??;
/// # throughline.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// # Where to find the transitions of an entity
///
/// A transition belongs to the run whose context it is given. Give it the context of what makes it (the request, the
/// job, the timer), and the trace of *that* shows what became of the session. To see all transitions of one entity,
/// whatever caused them, look for events of type `state:session:*` with the entity as attribute
/// ([`names::attrs::STATE_ENTITY`](throughline_core::names::attrs::STATE_ENTITY)). An entity that is an actor with a
/// task of its own can have a trace of its own: run it as a workflow whose key is its id, as above; the trace is the
/// same after a restart.
///
/// # Across restarts
///
/// The machine keeps no states; your database does. [`restore`](Self::restore) picks up an entity where it was left, and
/// the work of a [transition](Entity::transition_with) is where its new state is written, so that both have it or
/// neither:
///
/// ```
/// # use std::time::SystemTime;
/// # use throughline_core::{BoxError, TraceContext};
/// # use throughline_workflow::StateMachine;
/// # struct Row { state: String, changed_at: SystemTime }
/// # struct Database;
/// # impl Database {
/// #     async fn session(&self, id: &str) -> Result<Row, BoxError> { Err(id.into()) }
/// #     async fn set_state(&self, id: &str, state: &str) -> Result<(), BoxError> { Err([id, state].concat().into()) }
/// # }
/// async fn pause(
///     sessions: &StateMachine<&'static str>,
///     database: &Database,
///     ctx: &TraceContext,
///     id: String,
/// ) -> Result<(), BoxError> {
///     let row = database.session(&id).await?;
///     let state = sessions.state_named(&row.state)?;
///     let session = sessions.restore(id.clone(), state)?.since(row.changed_at);
///     session.trigger_with(ctx, "auto_paused", |_| database.set_state(&id, "paused")).await??;
///     Ok(())
/// }
/// ```
///
/// How many entities are in each state is counted among those that this process holds. A service that restores one for
/// each request, as here, holds none in between: let it count the rows instead.
///
/// # A diagram
///
/// Printed (`println!("{sessions}")`), a machine is a [Mermaid](https://mermaid.js.org/syntax/stateDiagram.html) state
/// diagram, which documentation and code hosts draw.
pub struct StateMachine<S>(Arc<Machine<S>>);

struct Machine<S> {
    declared: Declaration<S>,
    series: Series,
}

impl<S: State> StateMachine<S> {
    /// Declares a machine. The name says what has the states, as in `session`; `initial` is the state in which each entity
    /// begins.
    pub fn builder(name: impl Into<Text>, initial: S) -> StateMachineBuilder<S> {
        StateMachineBuilder::new(name.into(), initial)
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.0.declared.name
    }

    /// The declared states; the initial one is the first, the others follow as they were declared.
    pub fn states(&self) -> impl Iterator<Item = &S> {
        self.0.declared.states.iter().map(|declared| &declared.state)
    }

    /// The state of this name, for states that are kept as text.
    ///
    /// # Errors
    /// When no declared state has the name.
    pub fn state_named(&self, name: &str) -> Result<S, UnknownState> {
        let found = self.0.declared.states.iter().find(|declared| declared.name == *name);
        found.map(|declared| declared.state.clone()).ok_or_else(|| UnknownState::new(&self.0.declared, name))
    }

    /// A new entity, in the initial state. Recorded, and counted as a transition that comes from nowhere.
    ///
    /// `id` is what the entity is found by: give it the id that your service has for it. In what is recorded, an id
    /// that looks like personal data is replaced by a pseudonym.
    ///
    /// # Errors
    /// When it could not be recorded; there is no entity then.
    pub async fn enter(&self, ctx: &TraceContext, id: impl Into<Text>) -> Result<Entity<S>, TransitionError> {
        Entity::enter(self, ctx, id.into()).await
    }

    /// An entity that has a state already, as your database says. Nothing is recorded; its time in the state is
    /// measured only if [`Entity::since`] says when it began.
    ///
    /// # Errors
    /// When the state was not declared.
    pub fn restore(&self, id: impl Into<Text>, state: S) -> Result<Entity<S>, UnknownState> {
        Entity::restore(self, id.into(), &state)
    }
}

impl<S> Clone for StateMachine<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for StateMachine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<_> = self.0.declared.states.iter().map(|declared| &declared.name).collect();
        f.debug_struct("StateMachine").field("name", &self.0.declared.name).field("states", &states).finish()
    }
}

/// The machine as a Mermaid state diagram.
impl<S> fmt::Display for StateMachine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        diagram::write(&self.0.declared, f)
    }
}
