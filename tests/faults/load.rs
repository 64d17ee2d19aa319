//! Emitters at work while something breaks, and what they and the store say afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use throughline::delivery::DeliveryReport;
use throughline::store::{Filter, Page, TraceReader};
use throughline::{NotRecorded, Throughline};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many emit at the same time.
const EMITTERS: u64 = 16;
/// How many events each run records.
const EVENTS: u64 = 5;
/// What is recorded.
pub(crate) const ITEM: &str = "load:item";
/// The longest that anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Emitters at work.
pub(crate) struct Load {
    throughline: Throughline,
    shared: Arc<Shared>,
    emitters: JoinSet<()>,
}

struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    /// How many events were acknowledged, and how many refused.
    told: watch::Sender<(u64, u64)>,
    seen: Mutex<Seen>,
    how: How,
}

/// How emitters work.
#[derive(Clone, Copy, Default)]
struct How {
    /// Whether acknowledgements are printed, for a process that is about to be killed.
    says_so: bool,
    /// How long each emitter takes between two events.
    pause: Option<Duration>,
}

/// What the emitters saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// The numbers of the events that were acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    /// How often each error was returned.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// How long each event was waited for.
    pub(crate) waits: Vec<Duration>,
}

impl Load {
    pub(crate) fn on(throughline: &Throughline) -> Self {
        Self::begin(throughline, 0, How::default())
    }

    /// Emitters that take that long between two events each.
    pub(crate) fn paced(throughline: &Throughline, pause: Duration) -> Self {
        Self::begin(throughline, 0, How { pause: Some(pause), ..How::default() })
    }

    /// Prints each acknowledgement, with the number of the event and how long it was waited for. Numbers begin with this one.
    pub(crate) fn that_says_what_is_acknowledged(throughline: &Throughline, first: u64) -> Self {
        Self::begin(throughline, first, How { says_so: true, ..How::default() })
    }

    fn begin(throughline: &Throughline, first: u64, how: How) -> Self {
        let shared = Arc::new(Shared {
            how,
            next: AtomicU64::new(first),
            stop: AtomicBool::new(false),
            told: watch::channel((0, 0)).0,
            seen: Mutex::new(Seen::default()),
        });
        let mut emitters = JoinSet::new();
        for _ in 0..EMITTERS {
            emitters.spawn(emit(throughline.clone(), Arc::clone(&shared)));
        }
        Self { throughline: throughline.clone(), shared, emitters }
    }

    /// Until so many more events were acknowledged.
    pub(crate) async fn acknowledged(&self, more: u64) {
        self.until(|before, now| now.0 >= before.0 + more).await;
    }

    /// Until so many more events were refused.
    pub(crate) async fn refused(&self, more: u64) {
        self.until(|before, now| now.1 >= before.1 + more).await;
    }

    /// Until so many more events were acknowledged or refused.
    pub(crate) async fn told(&self, more: u64) {
        self.until(|before, now| now.0 + now.1 >= before.0 + before.1 + more).await;
    }

    /// How many bytes are taken to remember what the emitters saw.
    pub(crate) fn bytes(&self) -> u64 {
        let seen = self.shared.seen.lock().unwrap();
        (seen.acknowledged.capacity() * 8 + seen.waits.capacity() * 16) as u64
    }

    /// Until nobody has been told anything for that long.
    pub(crate) async fn is_quiet_for(&self, time: Duration) {
        let mut told = self.shared.told.subscribe();
        let quiet = async { while tokio::time::timeout(time, told.changed()).await.is_ok() {} };
        self.in_time(quiet).await;
    }

    async fn until(&self, is_so: impl Fn((u64, u64), (u64, u64)) -> bool) {
        let mut told = self.shared.told.subscribe();
        let before = *told.borrow();
        let so = async { told.wait_for(|now| is_so(before, *now)).await.map(drop) };
        self.in_time(so).await.unwrap();
    }

    async fn in_time<T>(&self, what: impl Future<Output = T>) -> T {
        let done = tokio::time::timeout(PATIENCE, what).await;
        done.unwrap_or_else(|_| panic!("nothing happens: {:?}", self.throughline.delivery_report()))
    }

    /// Ends the runs, waits until everything is delivered, and shuts down.
    pub(crate) async fn end(mut self, timeout: Duration) -> (Seen, DeliveryReport) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = async { while self.emitters.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("emitters end");
        // What waits in a spool would be left to the next process.
        self.throughline.flush(timeout).await;
        let report = self.throughline.shutdown(timeout).await;
        let seen = std::mem::take(&mut *self.shared.seen.lock().unwrap());
        (seen, report)
    }
}

async fn emit(throughline: Throughline, shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let of_run = Arc::clone(&shared);
        let began = Instant::now();
        let run = throughline.workflow("load").run_infallible(|ctx| async move {
            let mut pace = of_run.how.pause.map(tokio::time::interval);
            for _ in 0..EVENTS {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                let number = of_run.next.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                let recorded = ctx.event(ITEM, json!({ "number": number })).await;
                of_run.tell(recorded.map(|_| Some(number)), began.elapsed());
            }
        });
        if let Err(error) = run.await {
            shared.tell(Err(error), began.elapsed());
        }
    }
}

impl Shared {
    fn tell(&self, recorded: Result<Option<u64>, NotRecorded>, waited: Duration) {
        if let (true, Ok(Some(number))) = (self.how.says_so, &recorded) {
            println!("acknowledged {number} {}", waited.as_micros());
        }
        let mut seen = self.seen.lock().unwrap();
        seen.waits.push(waited);
        match recorded {
            Ok(number) => seen.acknowledged.extend(number),
            Err(error) => *seen.refused.entry(kind(&error)).or_default() += 1,
        }
        let told = (seen.acknowledged.len() as u64, seen.refused.values().sum());
        drop(seen);
        self.told.send_replace(told);
    }
}

fn kind(error: &NotRecorded) -> &'static str {
    match error {
        NotRecorded::QueueFull { .. } => "queue full",
        error if error.is_retryable() => "not recorded",
        _ => "broken",
    }
}

/// How many of these are in the store not at all, and how many more than once.
pub(crate) async fn lost_and_doubled(reader: &dyn TraceReader, acknowledged: &[u64]) -> (usize, usize) {
    let filter = Filter::new().event_type(ITEM);
    let mut page = Page::first(1_000);
    let mut found: HashMap<u64, usize> = HashMap::new();
    loop {
        let read = reader.events(&filter, &page).await.unwrap();
        let is_last = !page.turn(&read).unwrap();
        for event in read.items {
            let number = event.data.as_ref().and_then(|data| data["number"].as_u64()).unwrap();
            *found.entry(number).or_default() += 1;
        }
        if is_last {
            break;
        }
    }
    let acknowledged: HashSet<_> = acknowledged.iter().collect();
    let lost = acknowledged.iter().filter(|number| !found.contains_key(number)).count();
    (lost, found.values().filter(|times| **times > 1).count())
}
