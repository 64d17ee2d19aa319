//! Workers and executors: layers around workflows, steps and jobs; queue depth, state machines, rate limits, timers.
//!
//! ```
//! use throughline::event::Text;
//! use throughline::worker::{Carrier, Job, JobLayer};
//! use throughline::{MemoryStore, Throughline};
//!
//! struct Payout {
//!     id: u64,
//!     context: Carrier,
//! }
//!
//! impl Job for Payout {
//!     fn job_type(&self) -> Text {
//!         "payout".into()
//!     }
//!     fn job_id(&self) -> Option<Text> {
//!         Some(self.id.to_string().into())
//!     }
//!     fn carrier(&self) -> Carrier {
//!         self.context.clone()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("payments").store(MemoryStore::new()).build()?;
//! let payouts = JobLayer::new(&throughline, "payouts");
//! let _up = payouts.worker();
//! let job = Payout { id: 7, context: Carrier::current() };
//! payouts.run(job, |job| async move { Ok::<_, std::io::Error>(job.id) }).await?;
//! # Ok(())
//! # }
//! ```

pub use throughline_workflow::{
    Carrier, Entity, Job, JobLayer, JobWorker, NoRuntime, Provisioning, QueueDepth, QueueDepthBuilder,
    RateLimit, RateLimits, RecordedService, State, StateMachine, StateMachineBuilder, StateMachineError,
    StepCall, StepLayer, Timer, Timers, Transition, TransitionError, UnknownState, WorkflowLayer,
};
