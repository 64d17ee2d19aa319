//! Records that contradict themselves or are far too large: every answer comes, in time that grows with their size alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline_model::fold::{History, RunFold};
use throughline_model::testing::RemoteStore;
use throughline_model::{
    BoxFuture, Cursor, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page, Paged, PagedAnalytics,
    ReadError, RunSummary, Scope, SpanId, Status, StoreConfig, Timestamp, TraceAnalytics, TraceEvent,
    TraceId, TraceReader, names,
};

const MANY: u64 = 20_000;
/// What a tenth of a second is enough for; work that grows with the square of its size takes far longer.
const LONG: Duration = Duration::from_secs(5);

fn span(number: u64) -> SpanId {
    SpanId::from_u64(number).unwrap()
}

fn event(number: u64, parent: Option<u64>) -> TraceEvent {
    let at = Timestamp::from_micros(number as i64);
    let mut event = TraceEvent::new(TraceId::from_key("hostile"), span(number), "stage:a", at, "test");
    event.status = Status::Pending;
    event.parent_span_id = parent.map(span);
    event.n = number;
    event
}

#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    assert!(begun.elapsed() < LONG, "it took {:?}", begun.elapsed());
    done
}

fn open_run(events: &[TraceEvent]) -> OpenRun {
    let summary = RunSummary::of(events, |_| Liveness::Alive).unwrap();
    OpenRun::of(summary, events)
}

#[test]
fn the_current_step_of_spans_that_are_their_own_parents_is_found_in_time() {
    let mut events: Vec<_> = (2..MANY).map(|number| event(number, Some(number))).collect();
    events.push(event(1, None));
    events.push(event(MANY, Some(1)));
    let open = in_time(|| open_run(&events));
    assert_eq!(open.current.unwrap().span_id, span(MANY));
}

#[test]
fn the_current_step_of_a_chain_of_open_spans_is_the_innermost_and_found_in_time() {
    let events: Vec<_> =
        (1..=MANY).map(|number| event(number, number.checked_sub(1).filter(|parent| *parent > 0))).collect();
    let open = in_time(|| open_run(&events));
    assert_eq!(open.current.unwrap().span_id, span(MANY));
}

#[test]
fn the_history_of_a_deep_chain_finds_a_step_in_time() {
    let mut events: Vec<_> =
        (1..=MANY).map(|number| event(number, number.checked_sub(1).filter(|parent| *parent > 0))).collect();
    for event in &mut events {
        event.attrs = std::mem::take(&mut event.attrs).with(names::attrs::STEP_ID, "score");
    }
    let history = History::of(&events);
    let steps = in_time(|| history.steps(span(MANY), "score").len());
    assert_eq!(steps, MANY as usize);
}

#[test]
fn a_run_with_many_detached_jobs_is_folded_in_time() {
    let mut fold = RunFold::new();
    let mut root = event(1, None);
    let _ = fold.add(0, &root);
    (root.seq, root.status) = (1, Status::Success);
    let _ = fold.add(1, &root);
    in_time(|| {
        for number in 2..MANY {
            let mut job = event(number, Some(1));
            job.tags = vec![names::tags::DETACHED.into(), names::tags::REMOTE_PARENT.into()];
            let _ = fold.add(2 * number, &job);
            assert!(fold.is_open());
            (job.seq, job.status) = (1, Status::Success);
            let _ = fold.add(2 * number + 1, &job);
            assert!(!fold.is_open());
        }
    });
    assert_eq!(fold.standing().unwrap().status, Status::Success);
}

#[test]
fn a_run_without_a_root_is_folded_in_time() {
    let mut fold = RunFold::new();
    in_time(|| {
        for number in 2..MANY {
            let mut step = event(number, Some(1));
            let _ = fold.add(2 * number, &step);
            assert!(fold.is_open());
            (step.seq, step.status) = (1, Status::Success);
            let _ = fold.add(2 * number + 1, &step);
            assert!(!fold.is_open());
        }
    });
    assert_eq!(fold.standing().unwrap().status, Status::Success);
}

#[test]
fn the_greatest_numbers_overflow_nothing() {
    let mut events = vec![event(1, None), event(2, Some(2))];
    for event in &mut events {
        (event.seq, event.n, event.instance) = (u32::MAX, u64::MAX, InstanceId::from_u64(u64::MAX));
        (event.timestamp, event.duration_us) = (Timestamp::from_micros(i64::MAX), Some(u64::MAX));
    }
    let mut early = event(1, None);
    early.timestamp = Timestamp::from_micros(i64::MIN);
    events.push(early);
    assert_eq!(History::of(&events).span(span(1)).unwrap().next_seq, u32::MAX);
    let open = open_run(&events);
    assert_eq!(open.summary.started, Timestamp::from_micros(i64::MIN));
    let cursor = Cursor::of_event(&events[0]);
    assert_eq!(cursor.event().unwrap().n, u64::MAX);
}

/// A reader whose pages lead nowhere, many times.
struct Endless {
    asked: AtomicU64,
    inner: Arc<dyn TraceReader>,
    items: Vec<RunSummary>,
}

impl Endless {
    fn page<T>(&self, items: Vec<T>) -> Result<Paged<T>, ReadError> {
        let same = Cursor::at_run(Timestamp::from_micros(1), TraceId::from_key("same"));
        let next = Some(same).filter(|_| self.asked.fetch_add(1, Ordering::Relaxed) < 1000);
        Ok(Paged { items, next })
    }
}

impl TraceReader for Endless {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.inner.trace(id)
    }
    fn events<'a>(
        &'a self,
        _: &'a Filter,
        _: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async { self.page(Vec::new()) })
    }
    fn runs<'a>(&'a self, _: &'a Filter, _: &'a Page) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async { self.page(self.items.clone()) })
    }
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.inner.run(id)
    }
    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        self.inner.open_runs(page)
    }
    fn open_summaries<'a>(&'a self, _: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async { self.page(Vec::new()) })
    }
    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.inner.liveness(instances)
    }
    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.inner.find_by_id_prefix(prefix, limit)
    }
}

#[test]
fn pages_that_lead_nowhere_are_an_error_and_not_an_endless_loop() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let inner = RemoteStore::new().open_readers().await.unwrap().reader;
        let items = vec![RunSummary::of(&[event(1, None)], |_| Liveness::Alive).unwrap()];
        for items in [Vec::new(), items] {
            let reader = Arc::new(Endless { asked: AtomicU64::new(0), inner: Arc::clone(&inner), items });
            let analytics = PagedAnalytics::new(Arc::clone(&reader) as _);
            for error in [
                analytics.failure_rate(&Scope::all()).await.unwrap_err(),
                analytics.failure_rate_by_type(&Scope::all()).await.unwrap_err(),
                reader.safe_to_deploy(LONG).await.unwrap_err(),
            ] {
                assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
            }
        }
    });
}
