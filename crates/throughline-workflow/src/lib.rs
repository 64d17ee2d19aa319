//! Throughline for executors and workers: tower layers around workflows, steps and jobs, queue depth, state machines.
//!
//! | what runs | the layer | the same without tower |
//! |---|---|---|
//! | a workflow, one a call | [`WorkflowLayer`] | [`WorkflowLayer::run`] |
//! | a step of the workflow around it | [`StepLayer`] | [`StepLayer::run`] |
//! | the undoing of a step | [`StepLayer`], with [`StepCall::compensates`] | [`StepLayer::run`] |
//! | a job from a queue, one attempt a call | [`JobLayer`] | [`JobLayer::run`], [`JobLayer::worker`] |
//!
//! These look after gauges, waiting times, attempts and the links to previous ones. To record a run or a step and no
//! more, use core's [`Throughline::workflow`](throughline_core::Throughline::workflow),
//! [`TraceContext::step`](throughline_core::TraceContext::step) and
//! [`TraceContext::compensation`](throughline_core::TraceContext::compensation).
//!
//! A job carries its producer's context as a [`Carrier`], so that one trace reaches from the request that caused the job
//! to the last step of its last attempt. With the feature `apalis` the tasks of
//! [apalis](https://docs.rs/apalis/1.0.0/apalis/) workers are [`Job`]s as they are.
//!
//! Around them: [`QueueDepth`] measures how much waits, a [`StateMachine`] watches what sessions and sandboxes go through,
//! [`Provisioning`] how long they take to make, [`RateLimits`] how many calls a dependency still takes, and [`Timers`]
//! what becomes of alarms.

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
