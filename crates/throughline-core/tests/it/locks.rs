//! No lock is held while other people's code runs: a layer of `tracing`, a sink, a closure or a recorder may use the
//! context, on its own thread or on another.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use throughline_core::metrics::{CounterFamily, Metrics, catalogue};
use throughline_core::{EventSink, MemoryStore, NotRecorded, Throughline, TraceContext, TraceEvent, names};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::support::open;

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

/// Uses the current context whenever a subscriber is called.
#[derive(Clone, Default)]
struct Curious {
    busy: Arc<AtomicBool>,
    looked: Arc<Mutex<Vec<&'static str>>>,
}

impl Curious {
    fn look(&self, at: &'static str) {
        // What it does calls it again.
        if self.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(ctx) = TraceContext::current() {
            ctx.annotate("seen", at);
            ctx.scope(|| tracing::info!(trace_id = %ctx.trace_id(), "looked"));
            // On another thread, too: a lock that one thread may take twice is still a lock.
            thread::spawn(move || ctx.scope(|| ctx.attrs().len())).join().unwrap();
            self.looked.lock().unwrap().push(at);
        }
        self.busy.store(false, Ordering::Relaxed);
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Curious {
    fn on_new_span(&self, _: &tracing::span::Attributes<'_>, _: &tracing::Id, _: Context<'_, S>) {
        self.look("new");
    }
    fn on_record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>, _: Context<'_, S>) {
        self.look("record");
    }
    fn on_enter(&self, _: &tracing::Id, _: Context<'_, S>) {
        self.look("enter");
    }
    fn on_exit(&self, _: &tracing::Id, _: Context<'_, S>) {
        self.look("exit");
    }
    fn on_close(&self, _: tracing::Id, _: Context<'_, S>) {
        self.look("close");
    }
}

#[test]
fn a_tracing_layer_may_use_the_current_context_wherever_it_is_called() {
    without_deadlock(|| {
        let curious = Curious::default();
        let subscriber = Registry::default().with(curious.clone());
        let _default = tracing::subscriber::set_default(subscriber);
        // Beside a second one, `tracing` asks the right one whether it wants what other threads' tests log first.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let (throughline, _) = open();
        let request = throughline.request(names::HTTP_REQUEST).open();
        let ctx = request.context().clone();
        ctx.scope(|| {
            block_on(async {
                let inner =
                    |ctx: TraceContext| async move { ctx.trace_infallible("stage:b", async {}).await };
                ctx.step("stage:a").run(inner).await.unwrap().unwrap();
            });
            request.succeed();
        });
        let looked = curious.looked.lock().unwrap();
        for at in ["new", "record", "enter", "exit", "close"] {
            assert!(looked.contains(&at), "{at} in {looked:?}");
        }
    });
}

/// Records an event from another thread, in the same request, when it sees the request's root, and waits for it.
struct Follower(Arc<OnceLock<TraceContext>>);

impl EventSink for Follower {
    fn name(&self) -> &str {
        "follower"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        if event.event_type != names::HTTP_REQUEST || event.seq > 0 {
            return;
        }
        let ctx = self.0.get().unwrap().clone();
        thread::spawn(move || block_on(ctx.event("log:seen", ()).into_future()).unwrap()).join().unwrap();
    }
}

#[test]
fn a_sink_that_sees_a_requests_root_may_wait_for_another_thread_in_that_request() {
    without_deadlock(|| {
        let (store, place) = (MemoryStore::new(), Arc::new(OnceLock::new()));
        let builder = Throughline::builder("test").store(store.clone()).sink(Follower(Arc::clone(&place)));
        let throughline = builder.build().unwrap();
        let request = throughline.request(names::HTTP_REQUEST).open();
        place.set(request.context().clone()).unwrap();
        block_on(request.context().trace("stage:a", async { Ok::<_, NotRecorded>(()) })).unwrap().unwrap();
        request.succeed();
        assert!(block_on(throughline.flush(Duration::from_secs(5))).is_complete());
        let mut events = store.events();
        events.sort_by_key(|event| event.n);
        let types: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(types[..2], [names::HTTP_REQUEST, "log:seen"], "the root comes first");
    });
}

#[test]
fn a_closure_that_describes_a_request_may_use_its_context() {
    without_deadlock(|| {
        let (throughline, store) = open();
        let place = Arc::new(OnceLock::<TraceContext>::new());
        let (own, calls) = (Arc::clone(&place), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&calls);
        let request = throughline.request(names::HTTP_REQUEST).describe(move |request| {
            let ctx = own.get().unwrap().clone();
            assert!(ctx.attrs().is_empty(), "they are being said");
            if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                // Finds them unsaid as well, and says them itself.
                thread::spawn(move || ctx.attrs().len()).join().unwrap();
            }
            request.attr("route", "/loans")
        });
        let request = request.open();
        place.set(request.context().clone()).unwrap();
        request.ensure_recorded();
        request.succeed();
        assert!(block_on(throughline.flush(Duration::from_secs(5))).is_complete());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert!(store.events().iter().all(|event| event.attrs.get("route") == Some("/loans")));
    });
}

/// Counts what has to be folded, while the series that counts such things is being registered.
#[derive(Clone, Default)]
struct Nested {
    family: Arc<OnceLock<CounterFamily<2>>>,
    busy: Arc<AtomicBool>,
    registered: Arc<Mutex<Vec<String>>>,
}

impl Nested {
    fn note(&self, key: &Key) {
        self.registered.lock().unwrap().push(key.name().to_owned());
        if let Some(family) = self.family.get()
            && key.name().contains("label_overflow")
            && !self.busy.swap(true, Ordering::Relaxed)
        {
            family.with(["another", "fired"]).increment(1);
            let family = family.clone();
            thread::spawn(move || family.with(["one more", "fired"]).increment(1)).join().unwrap();
            self.busy.store(false, Ordering::Relaxed);
        }
    }
}

impl Recorder for Nested {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note(key);
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_may_count_while_it_is_asked_for_a_series() {
    without_deadlock(|| {
        let nested = Nested::default();
        let metrics = Metrics::to(nested.clone()).label_cap(1);
        let throughline = Throughline::builder("test").metrics(metrics).build().unwrap();
        let family = throughline.meter().counter(&catalogue::TIMERS);
        assert!(nested.family.set(family.clone()).is_ok());
        family.with(["first", "fired"]).increment(1);
        family.with(["second", "fired"]).increment(1);
        let registered = nested.registered.lock().unwrap();
        let overflows = registered.iter().filter(|name| name.contains("label_overflow")).count();
        assert_eq!(overflows, 2, "what came meanwhile registered it itself: {registered:?}");
    });
}
