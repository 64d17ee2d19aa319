//! Delivery to a live feed: bounded, never awaited.

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{AppendError, FeedConfig, Instance, LiveFeed, OpenError, TraceEvent, TraceStream};
use tokio::time::Instant;

use super::queue::{Finish, Queue, Queued};
use super::thread::{self, KeepAlive};
use super::{
    Condition, Counters, DestinationKind, DestinationReport, DropReason, QueueReport, Stop, not_opened_in,
};

/// How many events are published at once at most. A feed may be at work on the first of them while it writes the others.
const GROUP: usize = 1024;
/// How long a feed that failed is left alone.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a feed may take to publish a group.
const DEADLINE: Duration = Duration::from_secs(5);

/// The emitting side of a feed.
pub(crate) struct FeedDelivery {
    name: String,
    pub(crate) queue: Arc<Queue>,
    counters: Arc<Counters>,
    condition: Arc<Condition>,
    pub(crate) stream: Option<Arc<dyn TraceStream>>,
    /// The runtime of the feed goes with it: its stream may need it for longer than delivery does.
    #[expect(dead_code, reason = "held for what its drop does")]
    keep_alive: KeepAlive,
}

impl FeedDelivery {
    /// Opens the feed and starts to deliver.
    pub(crate) fn start(
        config: Arc<dyn FeedConfig>,
        instance: Instance,
        capacity: usize,
        open_timeout: Duration,
    ) -> Result<Self, OpenError> {
        let queue = Arc::new(Queue::new(capacity));
        let counters = Arc::new(Counters::default());
        let condition = Arc::new(Condition::default());
        let worker = Worker {
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
            condition: Arc::clone(&condition),
        };
        let opened = |feed: &Arc<dyn LiveFeed>| (feed.name().to_owned(), feed.stream());
        let ((name, stream), keep_alive) = thread::start(
            "throughline-feed",
            move || {
                let opening = config.open(instance);
                Box::pin(async move {
                    let opened = tokio::time::timeout(open_timeout, opening).await;
                    opened.unwrap_or_else(|_| Err(not_opened_in(open_timeout, "feed")))
                })
            },
            opened,
            move |feed| Box::pin(async move { worker.run(&*feed).await }),
        )?;
        Ok(Self { name, queue, counters, condition, stream, keep_alive })
    }

    /// Offers an event; a full queue drops it and counts that.
    pub(crate) fn offer(&self, event: Arc<TraceEvent>) {
        self.counters.accept(1);
        if !self.queue.try_reserve() {
            let reason = if self.queue.is_closed() { DropReason::Shutdown } else { DropReason::QueueFull };
            self.counters.lose(reason, 1);
        } else if self.queue.push(Queued::new(event, None)).is_err() {
            self.counters.lose(DropReason::Shutdown, 1);
        }
    }

    pub(crate) fn report(&self) -> DestinationReport {
        DestinationReport {
            queue: Some(QueueReport::from(&*self.queue)),
            ..self.counters.report(&self.name, DestinationKind::Feed, &self.condition)
        }
    }
}

impl Drop for FeedDelivery {
    /// Nobody can emit any more, or the emitter was not built after all.
    fn drop(&mut self) {
        self.queue.close(Stop::at_leisure());
    }
}

/// The delivering side of a feed.
struct Worker {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    condition: Arc<Condition>,
}

impl Worker {
    async fn run(self, feed: &dyn LiveFeed) {
        let Self { queue, counters, .. } = &self;
        let _finish = Finish { queue, counters };
        let mut group = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                biased;
                () = queue.arrival() => {}
                () = queue.closing() => {}
            }
            queue.take(&mut group, GROUP);
            let count = group.len() as u64;
            let events: Vec<_> = group.iter().map(|queued: &Queued| Arc::clone(&queued.event)).collect();
            let begun = Instant::now();
            let published = if events.is_empty() { Ok(()) } else { self.publish(feed, &events).await };
            match &published {
                Ok(()) => counters.deliver(count),
                Err(error) => {
                    tracing::warn!(target: "throughline", feed = feed.name(), %error, "the feed did not accept a group of events");
                    counters.lose(DropReason::Unavailable, count);
                }
            }
            queue.settle(group.iter());
            group.clear();
            let stop_by = queue.stop_by();
            // One that hung when it was to stop would do so with each group.
            let is_over = |stop_by| Instant::now() >= stop_by || begun.elapsed() >= DEADLINE;
            if queue.is_done() || stop_by.is_some_and(is_over) {
                break;
            }
            if published.is_err() {
                queue.pause(PAUSE).await;
            }
        }
    }

    async fn publish(&self, feed: &dyn LiveFeed, events: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        let late = |reason: String| AppendError::Unavailable { reason, retry_after: None, source: None };
        tokio::select! {
            biased;
            published = self.condition.deliver(|| feed.publish(events)) => published,
            () = tokio::time::sleep(DEADLINE) => Err(late(format!("it did not respond within {DEADLINE:?}"))),
            () = self.queue.out_of_time() => Err(late("it did not answer before the shutdown's deadline".to_owned())),
        }
    }
}
