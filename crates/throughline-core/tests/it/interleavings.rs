//! The queue of delivery under every interleaving that [shuttle] comes up with: nobody sleeps through what they wait for.
//!
//! The queue is compiled here with shuttle's locks. Those never time out, so a wake-up that gets lost is a deadlock, which
//! shuttle reports together with the schedule that leads to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shuttle::future::block_on;
use shuttle::thread::{JoinHandle, spawn};
use throughline_core::{DropReason, SpanId, Timestamp, TraceEvent, TraceId};

use queue::{Queue, Queued, Stop};

#[expect(dead_code, reason = "what takes the runtime's timer is not checked here")]
#[path = "../../src/delivery/queue.rs"]
mod queue;

mod locks {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

/// Why an event was not delivered, which is nothing to the queue.
#[derive(Debug)]
struct DeliveryFailure;

#[derive(Default)]
struct Counters {
    lost: AtomicU64,
}

impl Counters {
    fn lose(&self, _: DropReason, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }
}

const SCHEDULES: usize = 2_000;
/// Never reached: nothing here waits for time to pass.
const NEVER: Duration = Duration::from_secs(3_600);

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let again = Arc::clone(&scenario);
    shuttle::check_random(move || scenario(), SCHEDULES);
    shuttle::check_pct(move || again(), SCHEDULES, 3);
}

fn event() -> Arc<TraceEvent> {
    let (trace, span) = (TraceId::from_key("queue"), SpanId::random());
    Arc::new(TraceEvent::new(trace, span, "stage:x", Timestamp::from_micros(0), "test"))
}

/// Emits so many events, each of which takes a place; answers how many got one.
fn emitter(queue: &Arc<Queue>, events: u64) -> JoinHandle<u64> {
    let queue = Arc::clone(queue);
    spawn(move || {
        let emit = || {
            let is_taken = block_on(queue.reserve()) && queue.push(Queued::new(event(), None)).is_ok();
            u64::from(is_taken)
        };
        (0..events).map(|_| emit()).sum()
    })
}

/// Delivers until the queue is closed and empty; answers how many events it delivered.
fn worker(queue: &Arc<Queue>, counters: &Arc<Counters>) -> JoinHandle<u64> {
    let (queue, counters) = (Arc::clone(queue), Arc::clone(counters));
    spawn(move || {
        let mut delivered = 0;
        let mut group = Vec::new();
        while !queue.is_done() {
            block_on(async {
                tokio::select! {
                    biased;
                    () = queue.arrival() => {}
                    () = queue.closing() => {}
                }
            });
            delivered += queue.take(&mut group, 2) as u64;
            queue.settle(group.iter());
            group.clear();
        }
        queue.finish(&counters);
        delivered
    })
}

fn close(queue: &Queue) {
    queue.close(Stop::at_leisure());
}

#[test]
fn whoever_waits_for_a_place_gets_one_and_the_worker_hears_of_every_event() {
    check(|| {
        let (queue, counters) = (Arc::new(Queue::new(1)), Arc::default());
        let worker = worker(&queue, &counters);
        let emitters = [emitter(&queue, 2), emitter(&queue, 2)];
        let taken: u64 = emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum();
        close(&queue);
        assert_eq!(worker.join().unwrap(), taken);
        assert_eq!((taken, queue.pending(), counters.lost.load(Ordering::Relaxed)), (4, 0, 0));
    });
}

#[test]
fn a_flush_ends_when_all_is_delivered() {
    check(|| {
        let (queue, counters) = (Arc::new(Queue::new(2)), Arc::default());
        let worker = worker(&queue, &counters);
        let emitter = emitter(&queue, 3);
        let flushing = {
            let queue = Arc::clone(&queue);
            spawn(move || queue.wait_idle(Instant::now() + NEVER))
        };
        emitter.join().unwrap();
        queue.wait_idle(Instant::now() + NEVER);
        assert_eq!(queue.pending(), 0);
        flushing.join().unwrap();
        close(&queue);
        worker.join().unwrap();
    });
}

#[test]
fn a_flush_ends_when_the_spool_is_empty() {
    check(|| {
        let queue = Arc::new(Queue::new(1));
        queue.set_spooled(1);
        let draining = {
            let queue = Arc::clone(&queue);
            spawn(move || queue.set_spooled(0))
        };
        queue.wait_idle(Instant::now() + NEVER);
        draining.join().unwrap();
    });
}

#[test]
fn a_shutdown_wakes_all_who_wait_and_accounts_for_every_event() {
    check(|| {
        let (queue, counters) = (Arc::new(Queue::new(1)), Arc::default());
        let worker = worker(&queue, &counters);
        let emitters = [emitter(&queue, 2), emitter(&queue, 2)];
        close(&queue);
        queue.wait_finished(Instant::now() + NEVER);
        let taken: u64 = emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum();
        let lost = counters.lost.load(Ordering::Relaxed);
        assert_eq!(worker.join().unwrap() + lost, taken);
        assert_eq!(queue.pending(), 0);
    });
}

#[test]
fn a_worker_that_gathers_hears_of_the_last_event_and_of_the_shutdown() {
    check(|| {
        let queue = Arc::new(Queue::new(4));
        let gathering = {
            let queue = Arc::clone(&queue);
            // A delay so short is spent blocking; hardly ever does it end by itself.
            spawn(move || block_on(queue.gather(2, Duration::from_nanos(999_999))))
        };
        let emitter = emitter(&queue, 2);
        emitter.join().unwrap();
        gathering.join().unwrap();
        let closing = {
            let queue = Arc::clone(&queue);
            spawn(move || close(&queue))
        };
        block_on(queue.gather(9, Duration::from_nanos(999_999)));
        closing.join().unwrap();
    });
}
