//! The delivery report under traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use throughline_core::testing::FaultyStore;
use throughline_core::{
    DeliveryReport, EventSink, MemoryFeed, MemoryStore, NotRecorded, Throughline, TraceEvent,
};

const SOON: Duration = Duration::from_secs(60);
const STEPS: u64 = 2_000;

/// A sink that panics on every hundredth event.
struct Fussy(AtomicU64);

impl EventSink for Fussy {
    fn name(&self) -> &str {
        "fussy"
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {
        if self.0.fetch_add(1, Ordering::Relaxed) % 100 == 99 {
            // A panic that says nothing.
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

/// Looks again and again, until it is told that there will be no more traffic; gives how often.
fn look(throughline: &Throughline, is_over: &AtomicBool) -> usize {
    let mut before: Option<DeliveryReport> = None;
    let mut looks = 0;
    while !is_over.load(Ordering::Relaxed) {
        let report = throughline.delivery_report();
        for (at, destination) in report.destinations.iter().enumerate() {
            assert!(destination.balances(), "{report}");
            let Some(before) = before.as_ref().map(|before| &before.destinations[at]) else { continue };
            assert!(before.accepted <= destination.accepted, "{before:?} then {destination:?}");
            assert!(before.delivered <= destination.delivered, "{before:?} then {destination:?}");
            assert!(before.dropped() <= destination.dropped(), "{before:?} then {destination:?}");
        }
        before = Some(report);
        looks += 1;
    }
    looks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_look_at_the_ledger_balances_while_events_are_on_their_way() {
    let queued = FaultyStore::around(MemoryStore::new());
    let builder = Throughline::builder("test").store(queued).feed(MemoryFeed::new()).sink(Fussy(0.into()));
    let throughline = builder.queue_capacity(64).build().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let lookers: Vec<_> = (0..2)
        .map(|_| {
            let (throughline, is_over) = (throughline.clone(), Arc::clone(&is_over));
            std::thread::spawn(move || look(&throughline, &is_over))
        })
        .collect();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(throughline.workflow("test").run(|ctx| async move {
                for _ in 0..STEPS {
                    ctx.trace_infallible("stage:a", async {}).await?;
                }
                Ok::<_, NotRecorded>(())
            }))
        })
        .collect();
    for run in runs {
        run.await.unwrap().unwrap().unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    for looker in lookers {
        let looks = looker.join().unwrap();
        assert!(looks > 100, "only {looks} looks");
    }
    // Nothing is left over once all has arrived: what is not counted as delivered or dropped would be pending for ever.
    let report = throughline.flush(SOON).await;
    let events = 4 * (2 * STEPS + 2);
    let store = &report.destinations[0];
    assert_eq!((store.accepted, store.delivered, store.pending), (events, events, 0), "{report}");
    assert!(report.destinations.iter().all(|destination| destination.pending == 0), "{report}");
    assert_eq!(report.destinations[2].dropped(), events / 100, "{report}");
}
