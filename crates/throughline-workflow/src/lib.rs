//! Throughline for executors and workers: tower layers around workflows, steps and jobs, queue depth, state machines.

mod outcome;
mod provisioning;
mod queue_depth;
mod rate_limit;
mod state_machine;
mod timer;

pub use provisioning::Provisioning;
pub use queue_depth::{NoRuntime, QueueDepth, QueueDepthBuilder};
pub use rate_limit::{RateLimit, RateLimits};
pub use state_machine::{
    Entity, State, StateMachine, StateMachineBuilder, StateMachineError, TransitionError, UnknownState, Way,
};
pub use timer::{Timer, Timers};
