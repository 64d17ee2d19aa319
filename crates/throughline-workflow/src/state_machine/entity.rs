//! [`Entity`], what has a state.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use throughline_core::metrics::GaugeGuard;
use throughline_core::{Step, StepError, Text, TraceContext, names};
use tokio::time::Instant;

use super::declaration::Declaration;
use super::refusal::{Transition, TransitionError, UnknownState};
use super::work::{InWork, Mark};
use super::{Machine, State, StateMachine};

/// Something that has a state of a [`StateMachine`]: returned by [`StateMachine::enter`] and [`StateMachine::restore`].
///
/// Cheap to clone; clones are handles of the same. Transitions that are asked for at the same time happen one after the
/// other, each checked against the state that the one before left. Restore a thing once and share it: of two entities
/// that were made for one thing, neither knows of the other's transitions.
///
/// When the last clone is dropped, it is not counted among the entities in its state any more.
pub struct Entity<S>(Arc<Kept<S>>);

struct Kept<S> {
    machine: StateMachine<S>,
    id: Text,
    position: Mutex<Position>,
    /// When it was new; `None` if that is not known.
    born: Mutex<Option<Age>>,
    /// Held during a transition.
    order: tokio::sync::Mutex<()>,
}

/// How old something is: how old it was at a moment of this process.
#[derive(Clone, Copy)]
struct Age {
    then: Duration,
    at: Instant,
}

impl Age {
    fn of(then: Duration) -> Self {
        Self { then, at: Instant::now() }
    }

    /// Of what began at this time; a time in the future is treated as now.
    fn since(began: SystemTime) -> Self {
        Self::of(SystemTime::now().duration_since(began).unwrap_or_default())
    }

    fn now(self) -> Duration {
        self.then.saturating_add(self.at.elapsed())
    }
}

/// The state that an entity is in, and since when.
struct Position {
    place: usize,
    /// How long it has been there; `None` if that is not known.
    stay: Option<Age>,
    /// Counts the entity among those in its state.
    _counted: GaugeGuard,
}

impl Position {
    fn new<S>(machine: &Machine<S>, place: usize, stay: Option<Age>) -> Self {
        Self { place, stay, _counted: machine.series.states[place].entities.hold() }
    }
}

/// A transition that was made. Counted when this is dropped, unless it was taken back.
struct Made<S> {
    kept: Arc<Kept<S>>,
    edge: usize,
    /// How long the entity was in the state that it left, and how long it lived, if that is over.
    stay: Option<Age>,
    stayed: Option<Duration>,
    lived: Option<Duration>,
    is_counted: bool,
}

impl<S> Made<S> {
    /// The entity is in the state that a transition leads to.
    fn new(kept: Arc<Kept<S>>, edge: usize) -> Self {
        let Machine { declared, series } = &*kept.machine.0;
        let to = declared.edges[edge].to;
        let arrived = Position::new(&kept.machine.0, to, Some(Age::of(Duration::ZERO)));
        let stay = kept.move_to(arrived);
        let age = kept.born().filter(|_| series.states[to].is_final);
        let (stayed, lived) = (stay.map(Age::now), age.map(Age::now));
        Self { kept, edge, stay, stayed, lived, is_counted: true }
    }

    /// It was not made after all: the entity is where it was, as long as it was.
    fn take_back(mut self) {
        self.is_counted = false;
        let machine = &self.kept.machine.0;
        let before = Position::new(machine, machine.declared.edges[self.edge].from, self.stay);
        self.kept.move_to(before);
    }
}

impl<S> Drop for Made<S> {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let Machine { declared, series } = &*self.kept.machine.0;
        let (transitions, triggers) = &series.transitions[self.edge];
        transitions.increment(1);
        triggers.iter().for_each(|counter| counter.increment(1));
        if let Some(stayed) = self.stayed {
            series.states[declared.edges[self.edge].from].duration.record_duration(stayed);
        }
        if let Some(lived) = self.lived {
            series.lifetime.record_duration(lived);
        }
    }
}

/// Where an entity is asked to go.
enum Wanted<'a, S> {
    State(S),
    Trigger(&'a str),
}

impl<S: State> Entity<S> {
    pub(super) async fn enter(
        machine: &StateMachine<S>,
        ctx: &TraceContext,
        id: Text,
    ) -> Result<Self, TransitionError> {
        let step = step(ctx, &machine.0.declared, &id, 0);
        let own = machine.clone();
        let entered =
            step.run_infallible(move |_| async move { Self::at(own, id, 0, Some(Age::of(Duration::ZERO))) });
        let entered = entered.await?;
        machine.0.series.entered.increment(1);
        Ok(entered)
    }

    pub(super) fn restore(machine: &StateMachine<S>, id: Text, state: &S) -> Result<Self, UnknownState> {
        let declared = &machine.0.declared;
        let place = declared.place(state).ok_or_else(|| UnknownState::new(declared, &state.name()))?;
        Ok(Self::at(machine.clone(), id, place, None))
    }

    fn at(machine: StateMachine<S>, id: Text, place: usize, age: Option<Age>) -> Self {
        let position = Mutex::new(Position::new(&machine.0, place, age));
        let order = tokio::sync::Mutex::default();
        Self(Arc::new(Kept { machine, id, position, born: Mutex::new(age), order }))
    }

    /// Says when an entity that was [restored](StateMachine::restore) entered its state, so that the time it spends
    /// there is measured as a whole. A moment in the future is treated as now.
    #[must_use = "it returns the entity"]
    pub fn since(self, entered: SystemTime) -> Self {
        self.0.position().stay = Some(Age::since(entered));
        self
    }

    /// Says when an entity that was [restored](StateMachine::restore) was new, so that the length of its whole life is
    /// measured when it enters a state that no transition leads away from. A moment in the future is treated as now.
    #[must_use = "it returns the entity"]
    pub fn born(self, entered: SystemTime) -> Self {
        *self.0.born.lock().unwrap_or_else(PoisonError::into_inner) = Some(Age::since(entered));
        self
    }

    /// What it is found by.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The state it is in. While a transition is being made that is still the state it leaves.
    pub fn state(&self) -> S {
        let place = self.0.position().place;
        self.0.machine.0.declared.states[place].state.clone()
    }

    /// Goes to another state.
    ///
    /// That is a step of the run that `ctx` stands in: when its start is durable, the entity is in the new state. If
    /// the future is dropped before, it stays in the old one.
    ///
    /// With [`Durability::Pipelined`](throughline_core::Durability::Pipelined) it is in the new state at once, and goes
    /// back, uncounted, if the start turns out not to be recorded. In between it appears to be in the new state.
    ///
    /// # Errors
    /// When no transition without a name leads there from the state it is in, or when it could not be recorded. It
    /// stays in its state then.
    pub async fn transition(&self, ctx: &TraceContext, to: S) -> Result<(), TransitionError> {
        let Ok(_) = self.go(ctx, Wanted::State(to), nothing).await?;
        Ok(())
    }

    /// Goes to another state if the work succeeds: the update of a row, the boot of a sandbox. The work is given the
    /// context of the transition's step, and runs while nobody else can make a transition of this entity.
    ///
    /// Two questions, two `?`: the outer error says that the transition was refused and the work never ran; the inner
    /// is the work's own. If the work fails, panics or is dropped, the entity stays in its state. (With
    /// [`Durability::Pipelined`](throughline_core::Durability::Pipelined) work may have run although the outer error
    /// says that the transition could not be recorded: what it did then is there, and the entity is where it was.)
    ///
    /// ```
    /// # use throughline_core::{BoxError, TraceContext};
    /// # use throughline_workflow::Entity;
    /// # async fn example(ctx: TraceContext, session: Entity<&'static str>) -> Result<(), BoxError> {
    /// # async fn update(_: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// session.transition_with(&ctx, "running", |_| update("UPDATE sessions SET state = 'running'")).await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`transition`](Self::transition), and [`TransitionError::Nested`] when the work itself asks for a transition
    /// of this entity.
    pub async fn transition_with<C, F, T, E, K>(
        &self,
        ctx: &TraceContext,
        to: S,
        work: C,
    ) -> Result<Result<T, E>, TransitionError>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        Ok(self.go(ctx, Wanted::State(to), work).await?.map(|(done, _)| done))
    }

    /// Makes the transition of this name, and says which state it led to. Otherwise as
    /// [`transition`](Self::transition).
    ///
    /// # Errors
    /// When no transition of this name leads away from the state it is in, or when it could not be recorded. It stays
    /// in its state then.
    pub async fn trigger(&self, ctx: &TraceContext, name: &str) -> Result<S, TransitionError> {
        let Ok(((), state)) = self.go(ctx, Wanted::Trigger(name), nothing).await?;
        Ok(state)
    }

    /// Makes the transition of this name if the work succeeds. Otherwise as
    /// [`transition_with`](Self::transition_with).
    ///
    /// # Errors
    /// As [`trigger`](Self::trigger), and [`TransitionError::Nested`] when the work itself asks for a transition of
    /// this entity.
    pub async fn trigger_with<C, F, T, E, K>(
        &self,
        ctx: &TraceContext,
        name: &str,
        work: C,
    ) -> Result<Result<T, E>, TransitionError>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        Ok(self.go(ctx, Wanted::Trigger(name), work).await?.map(|(done, _)| done))
    }

    /// Makes a transition, and returns what its work gave and the state it led to.
    async fn go<C, F, T, E, K>(
        &self,
        ctx: &TraceContext,
        wanted: Wanted<'_, S>,
        work: C,
    ) -> Result<Result<(T, S), E>, TransitionError>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let kept = Arc::clone(&self.0);
        let (declared, mark) = (&self.0.machine.0.declared, Mark::of(&*kept));
        if mark.is_running() {
            return Err(TransitionError::Nested { machine: declared.name.clone() });
        }
        let _order = self.0.order.lock().await;
        let from = self.0.position().place;
        let at = self.0.find(from, wanted)?;
        let edge = &declared.edges[at];
        let mut step = step(ctx, declared, &self.0.id, edge.to);
        step = step.attr(names::attrs::STATE_FROM, &declared.states[from].name);
        if let Some(trigger) = &edge.trigger {
            step = step.attr(names::attrs::STATE_TRIGGER, trigger);
        }
        let mut made = None;
        let recorded = step.run(|ctx| async {
            let done = InWork::new(mark, work(ctx)).await?;
            made = Some(Made::new(kept, at));
            Ok(done)
        });
        match recorded.await {
            Ok(done) => Ok(done.map(|done| (done, declared.states[edge.to].state.clone()))),
            Err(not_recorded) => {
                // A step that does not wait for its start may have come to its end.
                if let Some(made) = made {
                    made.take_back();
                }
                Err(not_recorded.into())
            }
        }
    }
}

impl<S: State> Kept<S> {
    /// The transition that leads where the entity is asked to go.
    fn find(&self, from: usize, wanted: Wanted<'_, S>) -> Result<usize, TransitionError> {
        let Machine { declared, series } = &*self.machine.0;
        let name = |place: usize| declared.states[place].name.clone();
        let allowed = || declared.from(from).map(|(_, edge)| Transition::new(declared, edge)).collect();
        let refused = |to: &str| series.illegal.with([&declared.name, &name(from), to]).increment(1);
        let machine = declared.name.clone();
        match wanted {
            Wanted::State(state) => {
                let Some(to) = declared.place(&state) else {
                    refused("");
                    return Err(UnknownState::new(declared, &state.name()).into());
                };
                let found = declared.from(from).find(|(_, edge)| edge.to == to && edge.trigger.is_none());
                found.map(|(at, _)| at).ok_or_else(|| {
                    refused(&name(to));
                    TransitionError::Illegal { machine, from: name(from), to: name(to), allowed: allowed() }
                })
            }
            Wanted::Trigger(trigger) => {
                let found = declared
                    .from(from)
                    .find(|(_, edge)| edge.trigger.as_deref().is_some_and(|t| t == trigger));
                found.map(|(at, _)| at).ok_or_else(|| {
                    refused(declared.target_of(trigger).map(name).as_deref().unwrap_or_default());
                    let trigger = Text::from(trigger.to_owned());
                    TransitionError::IllegalTrigger { machine, from: name(from), trigger, allowed: allowed() }
                })
            }
        }
    }
}

impl<S> Kept<S> {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the entity into a state, and says how long it was in the one before.
    fn move_to(&self, position: Position) -> Option<Age> {
        let before = mem::replace(&mut *self.position(), position);
        // The lock is gone: dropping a position calls the recorder.
        before.stay
    }

    fn born(&self) -> Option<Age> {
        *self.born.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step of a transition. It is none of those that a workflow announces.
fn step<S>(ctx: &TraceContext, declared: &Declaration<S>, id: &Text, to: usize) -> Step {
    let to = &declared.states[to].name;
    ctx.step(format!("{}{}:{to}", names::STATE_PREFIX, declared.name))
        .unnumbered()
        .attr(names::attrs::STATE_MACHINE, &declared.name)
        .attr(names::attrs::STATE_ENTITY, id)
        .attr(names::attrs::STATE_TO, to)
}

async fn nothing(_: TraceContext) -> Result<(), Infallible> {
    Ok(())
}

impl<S> Clone for Entity<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Without the id, which may be anything.
impl<S: State> fmt::Debug for Entity<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let declared = &self.0.machine.0.declared;
        let place = self.0.position().place;
        f.debug_struct("Entity")
            .field("machine", &declared.name)
            .field("state", &declared.states[place].name)
            .finish_non_exhaustive()
    }
}
