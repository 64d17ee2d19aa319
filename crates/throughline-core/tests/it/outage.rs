//! How long anybody waits for a destination that takes nothing, and what becomes of what waits.

use std::time::{Duration, Instant};

use throughline_core::testing::{FaultyFeed, FaultySpool, FaultyStore, MemorySpool, RemoteStore, run};
use throughline_core::{
    AppendError, DropReason, MemoryFeed, MemoryStore, NotRecorded, Throughline, WhenFull, names,
};

use crate::support::{SOON, away, impatient};

#[tokio::test]
async fn a_full_queue_is_waited_for_as_long_as_the_builder_says() {
    let waits = [
        (WhenFull::Fail, Some(Duration::ZERO)),
        (WhenFull::BlockFor(Duration::from_millis(20)), Some(Duration::from_millis(20))),
        (WhenFull::BlockFor(Duration::MAX), None),
        (WhenFull::Block, None),
    ];
    for (when_full, limit) in waits {
        let faulty = FaultyStore::around(MemoryStore::new());
        let faults = faulty.faults();
        let builder = Throughline::builder("test").store(faulty).queue_capacity(1);
        let throughline = builder.when_full(when_full).build().unwrap();
        faults.append().hold();
        let first = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
        faults.append().attempted(1).await;
        let second = throughline.workflow("test").run_infallible(|_| async {});
        match limit {
            Some(limit) => {
                let error = second.await.unwrap_err();
                assert!(error.is_retryable(), "{error}");
                assert!(matches!(error, NotRecorded::QueueFull { waited } if waited == limit), "{error}");
                let account = &throughline.delivery_report().destinations[0];
                assert_eq!(
                    (account.balances(), &*account.dropped),
                    (true, &[(DropReason::QueueFull, 1)][..])
                );
                faults.append().release();
            }
            None => {
                let mut second = Box::pin(second);
                let waits = tokio::time::timeout(Duration::from_millis(20), &mut second).await;
                assert!(waits.is_err(), "there is no room");
                faults.append().release();
                second.await.unwrap();
            }
        }
        first.await.unwrap().unwrap();
        assert_eq!(throughline.flush(SOON).await.destinations[0].pending, 0);
    }
}

#[tokio::test]
async fn a_step_waits_no_longer_for_a_store_that_takes_nothing_than_its_attempts_may_take() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    // By default a full queue is waited for that long as well.
    let throughline =
        Throughline::builder("test").store(faulty).retry(impatient(2)).queue_capacity(4).build().unwrap();
    faults.append().hold();
    let runs: Vec<_> =
        (0..64).map(|_| tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}))).collect();
    for run in runs {
        let error = tokio::time::timeout(SOON, run).await.expect("it is told").unwrap().unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.pending, account.balances()), (0, true), "{account:?}");
}

#[tokio::test]
async fn requests_that_fail_in_a_long_outage_hold_no_place_and_leave_no_root_without_a_step() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline =
        Throughline::builder("test").store(faulty).retry(impatient(1)).queue_capacity(4).build().unwrap();
    faults.append().fail_next(u64::MAX, away);
    for _ in 0..100 {
        let request = throughline.request(names::HTTP_REQUEST).open();
        let step = request.context().trace_infallible("stage:a", async {}).await;
        assert!(matches!(step, Err(NotRecorded::Store { .. })), "{step:?}");
        request.succeed();
    }
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.pending, account.balances()), (0, true), "{account:?}");

    // A request whose first step was refused has a root as soon as another step is recorded.
    let request = throughline.request(names::HTTP_REQUEST).open();
    request.context().trace_infallible("stage:a", async {}).await.unwrap_err();
    faults.append().heal();
    request.context().trace_infallible("stage:b", async {}).await.unwrap();
    request.succeed();
    assert_eq!(throughline.flush(SOON).await.destinations[0].pending, 0);
    let events = store.events();
    let types: Vec<_> = events.iter().map(|event| &*event.event_type).collect();
    assert_eq!(types, [names::HTTP_REQUEST, "stage:b", "stage:b", names::HTTP_REQUEST]);
}

#[tokio::test]
async fn the_end_of_what_was_cancelled_before_its_start_was_refused_is_dropped_with_it() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(impatient(1)).build().unwrap();
    faults.append().hold();
    let run = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
    faults.append().attempted(1).await;
    run.abort();
    assert!(run.await.is_err());
    faults.append().fail_next(1, away);
    faults.append().release();
    let report = throughline.flush(SOON).await;
    assert_eq!(report.destinations[0].dropped, [(DropReason::Unavailable, 2)], "{report}");
    assert!(store.events().is_empty());
}

#[tokio::test]
async fn a_spool_that_hangs_holds_nobody_up() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let spool = FaultySpool::around(MemorySpool::new());
    let (faults, spool_faults) = (faulty.faults(), spool.faults());
    let throughline =
        Throughline::builder("test").store(faulty).spool(spool).retry(impatient(1)).build().unwrap();
    faults.append().fail_next(u64::MAX, away);
    spool_faults.push().hold();
    let run = throughline.workflow("test").run_infallible(|_| async {});
    let error = tokio::time::timeout(SOON, run).await.expect("it is told").unwrap_err();
    assert!(error.to_string().contains("away"), "{error}");
}

#[tokio::test]
async fn a_spool_of_a_hundred_thousand_events_holds_up_neither_new_work_nor_a_shutdown_nor_the_lease() {
    let spool = MemorySpool::new().capacity_bytes(1 << 30);
    let faulty = FaultyStore::around(MemoryStore::new());
    faulty.faults().append().fail_next(u64::MAX, away);
    let earlier =
        Throughline::builder("test").store(faulty).spool(spool.clone()).retry(impatient(1)).build().unwrap();
    let runs = (0..50_000).flat_map(|n| {
        let mut loan = run("loan").key(&format!("loan-{n}"));
        loan.complete_run();
        loan.events()
    });
    earlier.ingest(runs).await.unwrap();
    earlier.shutdown(SOON).await;
    assert_eq!(spool.events().len(), 100_000);

    let store = RemoteStore::new().lease_interval(Duration::from_millis(5));
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let later = Throughline::builder("test").store(faulty).spool(spool.clone()).build().unwrap();
    faults.append().attempted(1_000).await;
    later.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert!(!spool.events().is_empty(), "the workflow did not wait for the drain");
    let (renewals, appends) = (faults.heartbeat().attempts(), faults.append().attempts());
    faults.heartbeat().attempted(renewals + 3).await;
    faults.append().attempted(appends + 1).await;
    let begun = Instant::now();
    let report = later.shutdown(Duration::from_millis(500)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(report.destinations[0].pending, spool.events().len() as u64, "{report}");
    assert!(report.destinations[0].balances() && store.violations().is_empty(), "{report}");
}

#[tokio::test]
async fn a_store_that_asks_to_be_left_alone_is_left_alone_while_an_end_waits_for_it() {
    const ASKED: Duration = Duration::from_secs(1);
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let retry = impatient(1).delays(Duration::from_micros(10), ASKED);
    let throughline = Throughline::builder("test").store(faulty).retry(retry).build().unwrap();
    let end = throughline.workflow("test").run_infallible(|_| async {
        faults.append().fail_next(1, || AppendError::Unavailable {
            reason: "throttled".to_owned(),
            retry_after: Some(ASKED),
            source: None,
        });
    });
    end.await.unwrap();
    let (failed, begun) = (faults.append().attempts(), Instant::now());
    faults.append().attempted(failed + 1).await;
    // Without being asked it would have tried again after half a second.
    assert!(begun.elapsed() > ASKED / 4 * 3, "{:?}", begun.elapsed());
    assert!(throughline.flush(SOON).await.is_complete());
}

#[tokio::test]
async fn a_feed_that_hangs_does_not_take_all_the_time_of_a_shutdown() {
    let faulty = FaultyFeed::around(MemoryFeed::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").feed(faulty).build().unwrap();
    faults.publish().hold();
    // Several groups.
    for _ in 0..1_000 {
        throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    }
    let begun = Instant::now();
    let report = throughline.shutdown(Duration::from_secs(600)).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!((report.destinations[0].dropped(), report.destinations[0].pending), (2_000, 0), "{report}");
}

#[tokio::test]
async fn what_comes_after_a_root_that_is_refused_is_refused_with_it_and_the_next_step_has_a_root() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(impatient(1)).build().unwrap();
    let request = throughline.request(names::HTTP_REQUEST).open();
    let ctx = request.context().clone();
    faults.append().hold();
    let first = tokio::spawn(ctx.trace_infallible("stage:a", async {}));
    faults.append().attempted(1).await;
    // Its root is on its way to the store, with the first step.
    let mut second = Box::pin(ctx.trace_infallible("stage:b", async {}));
    let waits = tokio::time::timeout(Duration::from_millis(1), &mut second).await;
    assert!(waits.is_err(), "nothing is known yet");
    faults.append().fail_next(1, away);
    faults.append().release();
    assert!(matches!(first.await.unwrap(), Err(NotRecorded::Store { .. })));
    let refused = second.await;
    assert!(matches!(refused, Err(NotRecorded::Store { retryable: true, .. })), "{refused:?}");
    ctx.trace_infallible("stage:c", async {}).await.unwrap();
    request.succeed();
    assert_eq!(throughline.flush(SOON).await.destinations[0].pending, 0);
    let events = store.events();
    let types: Vec<_> = events.iter().map(|event| &*event.event_type).collect();
    assert_eq!(types, [names::HTTP_REQUEST, "stage:c", "stage:c", names::HTTP_REQUEST]);
}
