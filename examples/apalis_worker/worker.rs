//! The worker: does the jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use apalis::layers::retry::RetryPolicy;
use apalis::prelude::*;
use serde_json::json;
use throughline::worker::JobLayer;
use throughline::{Throughline, TraceContext};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::queue::{self, Payout, Queue};

/// A worker at work.
pub(crate) struct Payer {
    task: JoinHandle<Result<(), WorkerError>>,
    stop: oneshot::Sender<()>,
    done: watch::Receiver<usize>,
}

/// Starts a worker on the queue.
pub(crate) fn start(throughline: &Throughline, queue: Queue) -> Payer {
    let (stop, stopped) = oneshot::channel::<()>();
    let (done, seen) = watch::channel(0);
    let worker = WorkerBuilder::new("payer-1")
        .backend(queue.poll_with_interval(Duration::from_millis(50)))
        .data(Bank::default())
        .retry(RetryPolicy::retries(2))
        // Inside of what tries again, so that each attempt is a span of its own.
        .layer(JobLayer::new(throughline, queue::NAME).job_type("payout"))
        .on_event(move |_, event| {
            if matches!(event, Event::Success(_)) {
                done.send_modify(|done| *done += 1);
            }
        })
        .build(pay);
    let until_stopped = async move {
        // Nobody is there to stop it any more: that is a reason to stop, too.
        let _ = stopped.await;
        Ok::<_, WorkerError>(())
    };
    Payer { task: tokio::spawn(worker.run_until(until_stopped)), stop, done: seen }
}

impl Payer {
    /// Waits until so many jobs are done.
    pub(crate) async fn wait_for(&self, jobs: usize) -> anyhow::Result<()> {
        let mut done = self.done.clone();
        let all = done.wait_for(|done| *done >= jobs);
        let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
        in_time.context("the worker did not do its jobs within a minute")?.context("the worker has ended")?;
        Ok(())
    }

    /// Lets it end what it is at.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        Ok(self.task.await??)
    }
}

/// One job. Its steps belong to the run that the request began.
async fn pay(payout: Payout, ctx: Data<TraceContext>, bank: Data<Bank>) -> Result<(), BoxDynError> {
    let Payout { loan, amount } = payout;
    ctx.step("stage:reserve-funds").attr("loan", loan.clone()).run(|_| bank.reserve(amount)).await??;
    ctx.dependency("http", "bank", bank.transfer(&loan)).await??;
    ctx.event("business:paid-out", json!({ "amount": amount })).await?;
    Ok(())
}

/// The bank, which has a bad moment once.
#[derive(Clone, Default)]
struct Bank {
    had_its_bad_moment: Arc<AtomicBool>,
}

/// What a bank may answer.
#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error("the bank did not answer in time")]
    Timeout,
}

impl Bank {
    async fn reserve(&self, amount: u64) -> Result<u64, BankError> {
        Ok(amount)
    }

    async fn transfer(&self, loan: &str) -> Result<(), BankError> {
        let is_unlucky = loan == crate::clients::UNLUCKY;
        if is_unlucky && !self.had_its_bad_moment.swap(true, Ordering::SeqCst) {
            return Err(BankError::Timeout);
        }
        Ok(())
    }
}
