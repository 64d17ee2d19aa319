//! What is exported by itself, beside runs: metrics, lines of logs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_proto::tonic::resource::v1::Resource;
use throughline_model::{DropReason, Instance, OpenError, SinkAccount};
use tokio::time::Instant;

use crate::backlog::{Backlog, Item};
use crate::config::{Batching, Otlp, Signal};
use crate::deadline::{Deadline, at};
use crate::ledger::Ledger;
use crate::resource;
use crate::transport::{Answer, Transport};
use crate::wire::Request;
use crate::worker::{AT_LEISURE, Commands, Flush, Worker, open_already};

/// Something to be sent, whose [weight](Item::weight) says how many are accounted for with it.
pub(crate) trait Parcel: Item {
    /// How they are sent together.
    fn request<'p>(resource: &Resource, parcels: impl Iterator<Item = &'p Self>) -> Request
    where
        Self: 'p;
}

/// Where parcels come from. What comes from there is accepted already.
pub(crate) trait Source: Send + 'static {
    type Parcel: Parcel;

    /// What they are, for people.
    const WHAT: &'static str;

    /// Whether what is taken is the present state of everything, so that nobody needs what still waits.
    const IS_A_STATE: bool = false;

    /// Waits until there may be something to take.
    async fn wait(&mut self);

    /// Takes what is to be sent now.
    fn take(&mut self) -> Vec<Self::Parcel>;

    /// The same where somebody waits for it; nothing comes after it if this is the end.
    fn take_now(&mut self, is_the_end: bool) -> Vec<Self::Parcel>;
}

/// How a signal is exported.
#[derive(Clone)]
pub(crate) struct Plan {
    signal: Signal,
    batching: Batching,
    resource: std::collections::BTreeMap<String, String>,
}

impl Plan {
    pub(crate) fn new(otlp: &Otlp, signal: &Signal, batching: Batching) -> Self {
        Self { signal: signal.clone(), batching, resource: otlp.resource.clone() }
    }

    pub(crate) fn place(&self) -> String {
        self.signal.place()
    }
}

/// The exporter of a signal, as a part of a sink.
#[derive(Default)]
pub(crate) struct Shipping {
    /// Whether it is open or being opened: claimed before anything is started, for a second worker would close the source of the
    /// first when it ends.
    is_claimed: AtomicBool,
    worker: OnceLock<Worker>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Shipping {
    /// Starts to send what comes from this source.
    pub(crate) fn open<S: Source>(
        &self,
        sink: &'static str,
        plan: &Plan,
        instance: &Instance,
        source: S,
    ) -> Result<(), OpenError> {
        if self.is_claimed.swap(true, Ordering::AcqRel) {
            return Err(open_already(sink));
        }
        let worker = self.start(sink, plan, instance, source).inspect_err(|_| {
            self.is_claimed.store(false, Ordering::Release);
        })?;
        self.worker.set(worker).map_err(|_| open_already(sink))
    }

    fn start<S: Source>(
        &self,
        sink: &'static str,
        plan: &Plan,
        instance: &Instance,
        source: S,
    ) -> Result<Worker, OpenError> {
        let (plan, ledger) = (plan.clone(), Arc::clone(&self.ledger));
        let resource = resource::of_this_process(instance, &plan.resource);
        Worker::start(sink, move |deadline, commands| async move {
            let transport = Transport::new(&plan.signal).map_err(|source| OpenError::Unusable {
                store: sink,
                reason: source.to_string(),
                source: Some(source),
            })?;
            let backlog = Backlog::new(S::WHAT, plan.batching);
            let shipper = Shipper { source, backlog, transport, ledger, resource, deadline };
            Ok(shipper.run(commands))
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.worker.get().is_some()
    }

    pub(crate) async fn flush(&self, timeout: Duration, closes: bool) {
        if let Some(worker) = self.worker.get() {
            worker.flush(timeout, closes).await;
        }
    }

    pub(crate) fn account(&self) -> SinkAccount {
        self.ledger.account()
    }
}

struct Shipper<S: Source> {
    source: S,
    backlog: Backlog<S::Parcel>,
    transport: Transport,
    ledger: Arc<Ledger>,
    resource: Resource,
    deadline: Deadline,
}

impl<S: Source> Shipper<S> {
    async fn run(mut self, mut commands: Commands) {
        loop {
            let due = self.backlog.due();
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(Flush { until, closes, done }) = command else {
                        self.close(Instant::now() + AT_LEISURE).await;
                        return;
                    };
                    if closes {
                        self.close(until.into()).await;
                        let _ = done.send(());
                        return;
                    }
                    self.flush(until.into(), false).await;
                    let _ = done.send(());
                }
                () = self.source.wait() => {}
                () = at(due) => {}
            }
            let taken = self.source.take();
            self.add(taken);
            self.send_what_is_due().await;
        }
    }

    fn add(&mut self, parcels: Vec<S::Parcel>) {
        if S::IS_A_STATE && !parcels.is_empty() {
            // They would have been sent by now if the collector had taken them.
            let outdated = self.backlog.take(self.backlog.len());
            self.lose(&outdated, DropReason::Unavailable);
        }
        for parcel in parcels {
            if let Err(parcel) = self.backlog.push(parcel) {
                self.ledger.lose(DropReason::QueueFull, parcel.weight() as u64);
            }
        }
    }

    /// Sends all that there is, until that is done or it is too late.
    async fn flush(&mut self, until: Instant, is_the_end: bool) {
        let taken = self.source.take_now(is_the_end);
        self.add(taken);
        loop {
            self.backlog.hurry();
            self.send_what_is_due().await;
            let next = self.backlog.due().filter(|next| *next < until);
            if next.is_none() || self.deadline.has_passed() {
                return;
            }
            let _ = self.deadline.limit(at(next)).await;
        }
    }

    /// Sends all that there is for the last time; what is left then is counted as dropped.
    async fn close(mut self, until: Instant) {
        self.flush(until, true).await;
        let left = self.backlog.take(self.backlog.len());
        self.lose(&left, DropReason::Shutdown);
    }

    async fn send_what_is_due(&mut self) {
        while !self.deadline.has_passed() && self.backlog.due().is_some_and(|due| due <= Instant::now()) {
            self.send().await;
        }
    }

    async fn send(&mut self) {
        let count = self.backlog.batch();
        let request = S::Parcel::request(&self.resource, self.backlog.first(count));
        let sending = self.transport.send(request);
        match self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late) {
            Answer::Taken { rejected, message } => {
                let sent = self.backlog.take(count);
                self.backlog.went_well();
                if rejected > 0 || !message.is_empty() {
                    let what = S::WHAT;
                    tracing::warn!(target: "throughline", what, rejected, message, "the collector did not take all of a batch");
                }
                let all = weight(&sent);
                let rejected = rejected.min(all);
                self.ledger.deliver(all - rejected);
                self.ledger.lose(DropReason::Rejected, rejected);
            }
            Answer::TooLarge { .. } if self.backlog.halve(count) => {}
            // It may take nothing of the kind at all.
            Answer::Rejected { reason } => {
                self.backlog.trouble(&reason);
                let refused = self.backlog.refused();
                self.lose(&refused, DropReason::Rejected);
            }
            Answer::TooLarge { reason } => {
                self.backlog.trouble(&reason);
                let refused = self.backlog.take(count);
                self.lose(&refused, DropReason::Rejected);
                self.backlog.may_grow();
            }
            Answer::Later { after, reason } => {
                self.backlog.trouble(&reason);
                self.backlog.put_off(after);
                let overdue = self.backlog.take_overdue();
                self.lose(&overdue, DropReason::Unavailable);
            }
        }
    }

    fn lose(&self, parcels: &[S::Parcel], why: DropReason) {
        self.ledger.lose(why, weight(parcels));
    }
}

fn weight(parcels: &[impl Item]) -> u64 {
    parcels.iter().map(|parcel| parcel.weight() as u64).sum()
}
