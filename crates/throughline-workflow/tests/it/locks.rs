//! No lock is held while a recorder is told: it may look at what it is told about.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Throughline};
use throughline_workflow::{QueueDepth, StateMachine};

/// Runs on a thread of its own: what deadlocks must fail a test, not hang it.
fn without_deadlock(run: impl FnOnce() + Send + 'static) {
    let (tx, rx) = channel();
    let running = thread::spawn(move || {
        run();
        let _ = tx.send(());
    });
    match rx.recv_timeout(Duration::from_secs(20)) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = running.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Err(RecvTimeoutError::Timeout) => panic!("it waits for a lock that is held around it"),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

type Look = Box<dyn Fn() + Send + Sync>;

/// Looks whenever a gauge moves.
#[derive(Clone, Default)]
struct Curious {
    look: Arc<OnceLock<Look>>,
    looked: Arc<AtomicUsize>,
    busy: Arc<AtomicBool>,
}

impl Curious {
    fn throughline(&self) -> Throughline {
        Throughline::builder("test")
            .store(MemoryStore::new())
            .metrics(Metrics::to(self.clone()))
            .build()
            .unwrap()
    }

    fn look(&self) {
        if let Some(look) = self.look.get()
            && !self.busy.swap(true, Ordering::SeqCst)
        {
            look();
            self.looked.fetch_add(1, Ordering::SeqCst);
            self.busy.store(false, Ordering::SeqCst);
        }
    }
}

impl GaugeFn for Curious {
    fn increment(&self, _: f64) {
        self.look();
    }
    fn decrement(&self, _: f64) {
        self.look();
    }
    fn set(&self, _: f64) {
        self.look();
    }
}

impl Recorder for Curious {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(self.clone()))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_may_look_at_the_entity_that_it_counts() {
    without_deadlock(|| {
        let curious = Curious::default();
        let throughline = curious.throughline();
        let session =
            StateMachine::builder("session", "new").transition("new", "done").build(&throughline).unwrap();
        let run = throughline.workflow("test").run(|ctx| async move {
            let entity = session.enter(&ctx, "s-1").await?;
            let seen = entity.clone();
            assert!(curious.look.set(Box::new(move || drop((seen.state(), format!("{seen:?}"))))).is_ok());
            entity.transition(&ctx, "done").await?;
            assert!(
                curious.looked.load(Ordering::SeqCst) >= 2,
                "of the state it left and the one it entered"
            );
            Ok::<_, throughline_core::BoxError>(())
        });
        block_on(run).unwrap().unwrap();
    });
}

#[test]
fn a_recorder_may_look_at_the_queue_whose_depth_it_shows() {
    without_deadlock(|| {
        let curious = Curious::default();
        let throughline = curious.throughline();
        block_on(async {
            let (tx, mut asked) = tokio::sync::mpsc::unbounded_channel();
            let answers = AtomicUsize::new(0);
            let depth = QueueDepth::of("emails", move || {
                let _ = tx.send(());
                let first = answers.fetch_add(1, Ordering::SeqCst) == 0;
                async move { if first { Ok(4) } else { Err("gone") } }
            });
            let depth = Arc::new(depth.every(Duration::ZERO).start(&throughline).unwrap());
            let (seen, again) = (Arc::downgrade(&depth), throughline.clone());
            let look = move || {
                drop(seen.upgrade().map(|depth| (depth.latest(), depth.error(), format!("{depth:?}"))));
                // The same queue, seen by another watch.
                drop(QueueDepth::on_collect(&again, "emails", || None));
            };
            assert!(curious.look.set(Box::new(look)).is_ok());
            // After the third failure in a row the depth is not known any more, and that is shown as well.
            for _ in 0..5 {
                asked.recv().await.unwrap();
            }
            assert!(depth.latest().is_none() && depth.failures() >= 3);
            drop(depth);
        });
        assert!(curious.looked.load(Ordering::SeqCst) >= 2);
    });
}
