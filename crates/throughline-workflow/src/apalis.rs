//! The tasks of [apalis](https://docs.rs/apalis/1.0.0/apalis/) workers as jobs.

use std::convert::Infallible;

use apalis_core::task::Task;
use apalis_core::task::metadata::{Metadata, MetadataStore};
use apalis_core::task::status::Status;
use throughline_core::{Text, Timestamp, TraceContext};

use crate::{Carrier, Job};

/// A task is a job of the kind that its arguments are: `Task<Payout>` is `job:Payout`, unless the
/// [layer](crate::JobLayer::job_type) says otherwise. Its [`Carrier`] is in its metadata:
///
/// ```
/// use apalis_core::task::Task;
/// use apalis_core::task::builder::TaskBuilder;
/// use throughline_workflow::Carrier;
///
/// struct Payout {
///     loan: String,
/// }
///
/// fn task(payout: Payout) -> Task<Payout> {
///     TaskBuilder::new(payout).metadata(&Carrier::current()).build()
/// }
/// ```
///
/// A handler is given the context of its attempt as `Data<TraceContext>`; without `parallelize` it also is the
/// [current](TraceContext::current) one.
impl<Args> Job for Task<Args> {
    fn job_type(&self) -> Text {
        let name = std::any::type_name::<Args>();
        let name = name.split('<').next().unwrap_or(name);
        name.rsplit("::").next().unwrap_or(name).into()
    }

    fn job_id(&self) -> Option<Text> {
        self.ctx().task_id().map(|id| id.to_string().into())
    }

    fn attempt(&self) -> u32 {
        // apalis counts an attempt once it is polled.
        u32::try_from(self.ctx().attempt()).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn carrier(&self) -> Carrier {
        let Ok(carrier) = Carrier::extract(self.ctx().metadata());
        carrier
    }

    fn due_at(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.ctx().run_at()?).ok()?;
        seconds.checked_mul(1_000_000).map(Timestamp::from_micros)
    }

    fn may_be_retry(&self) -> bool {
        // A task that comes back because its worker died has not been counted, but was locked.
        self.ctx().attempt() > 0 || self.ctx().lock_by().is_some() || self.ctx().status() != Status::Pending
    }

    fn set_context(&mut self, context: &TraceContext) {
        self.inject_data(context.clone());
    }
}

impl Metadata for Carrier {
    type Error = Infallible;

    fn extract(store: &MetadataStore) -> Result<Self, Infallible> {
        Ok(Self::from_pairs(|name| store.get(name)))
    }

    fn inject(&self, store: &mut MetadataStore) -> Result<(), Infallible> {
        for (name, text) in self.pairs() {
            store.replace(name, text);
        }
        Ok(())
    }
}
