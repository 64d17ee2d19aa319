//! Throughline for executors and workers: tower layers around workflows, steps and jobs, queue depth, state machines.
//!
//! | what runs | the layer | without tower |
//! |---|---|---|
//! | a workflow, one per call | [`WorkflowLayer`] | [`WorkflowLayer::run`] |
//! | a step of the enclosing workflow | [`StepLayer`] | [`StepLayer::run`] |
//! | the compensation of a step | [`StepLayer`], with [`StepCall::compensates`] | [`StepLayer::run`] |
//! | a job from a queue, one attempt per call | [`JobLayer`] | [`JobLayer::run`], [`JobLayer::worker`] |
//!
//! The layers maintain gauges, waiting times, attempt numbers and links to previous attempts. To only record a run or a
//! step, use core's [`Throughline::workflow`](throughline_core::Throughline::workflow),
//! [`TraceContext::step`](throughline_core::TraceContext::step) and
//! [`TraceContext::compensation`](throughline_core::TraceContext::compensation).
//!
//! A job carries its producer's context as a [`Carrier`], so that one trace spans from the request that caused the job to
//! the last step of its last attempt. With the feature `apalis`, the tasks of
//! [apalis](https://docs.rs/apalis/1.0.0/apalis/) workers implement [`Job`].
//!
//! In addition, [`QueueDepth`] measures how many jobs wait, a [`StateMachine`] records the states of sessions and sandboxes,
//! [`Provisioning`] how long it takes to create them, [`RateLimits`] how many calls a dependency still accepts, and
//! [`Timers`] what becomes of timers.

#[cfg(feature = "apalis")]
mod apalis;
mod carrier;
mod failure;
mod job;
mod outcome;
mod previous;
mod provisioning;
mod queue_depth;
mod rate_limit;
mod service;
mod state_machine;
mod step;
mod timer;
mod workflow;

pub use carrier::Carrier;
pub use job::{Job, JobLayer, JobWorker};
pub use provisioning::Provisioning;
pub use queue_depth::{NoRuntime, QueueDepth, QueueDepthBuilder};
pub use rate_limit::{RateLimit, RateLimits};
pub use service::RecordedService;
pub use state_machine::{
    Entity, State, StateMachine, StateMachineBuilder, StateMachineError, Transition, TransitionError,
    UnknownState,
};
pub use step::{StepCall, StepLayer};
pub use timer::{Timer, Timers};
pub use workflow::WorkflowLayer;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
