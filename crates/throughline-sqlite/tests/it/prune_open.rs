//! Removing runs that have not ended, and that nobody works on any more.

use std::sync::Barrier;
use std::time::Duration;

use rusqlite::Connection;
use throughline_model::testing::run;
use throughline_model::{
    Claim, InstanceId, Liveness, Page, RunSummary, Scope, Timestamp, TraceAnalytics, TraceEvent, TraceId,
    TraceReader,
};
use throughline_sqlite::{PrunePolicy, PruneReport};

use crate::{Place, open, open_as, shared};

const HOUR: Duration = Duration::from_secs(3600);

fn hours_ago(hours: u32) -> Timestamp {
    Timestamp::now().minus(HOUR * hours)
}

/// A run that begins that many hours ago and does not end.
fn begun(key: &str, by: InstanceId, hours: u32) -> Vec<TraceEvent> {
    let mut run = run("loan").key(key).instance(by).at(hours_ago(hours));
    run.begin("stage:sign");
    run.events()
}

/// What a process that then dies leaves: nothing is closed.
async fn left(place: &Place, by: InstanceId, events: &[TraceEvent]) {
    open_as(place.store(), by).await.append(&shared(events)).await.unwrap();
}

fn older_than(hours: u32) -> PrunePolicy {
    PrunePolicy::default().age(HOUR * hours)
}

/// Met by nothing but an empty file.
fn no_bytes() -> PrunePolicy {
    PrunePolicy::default().bytes(0)
}

fn prune(place: &Place, policy: PrunePolicy) -> PruneReport {
    place.store().prune(&policy).unwrap()
}

fn keys(place: &Place) -> Vec<String> {
    let connection = Connection::open(place.path()).unwrap();
    let mut statement = connection.prepare("SELECT correlation_id FROM run ORDER BY correlation_id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn count(place: &Place, what: &str) -> i64 {
    let connection = Connection::open(place.path()).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_a_dead_process_left_open_goes_when_its_last_event_is_old() {
    let place = Place::new();
    let dead = InstanceId::random();
    let mut events = begun("old", dead, 50);
    events.extend(begun("young", dead, 2));
    // Begun as long ago as the first, but something happened in it since.
    let mut slow = run("loan").key("slow").instance(dead).at(hours_ago(50));
    slow.root();
    slow.pass(HOUR * 48);
    slow.point("stage:signed");
    events.extend(slow.events());
    left(&place, dead, &events).await;
    Connection::open(place.path())
        .unwrap()
        .execute("INSERT INTO claim SELECT trace_id, 4711 FROM run", [])
        .unwrap();

    let report = prune(&place, older_than(10));
    assert_eq!((report.runs, report.events), (1, 2));
    assert_eq!(keys(&place), ["slow", "young"]);
    for table in ["run_attr", "decision", "latest", "event"] {
        assert_eq!(count(&place, &format!("{table} WHERE run NOT IN (SELECT id FROM run)")), 0, "{table}");
    }
    assert_eq!(count(&place, "claim WHERE trace_id NOT IN (SELECT trace_id FROM run)"), 0);
    assert_eq!(prune(&place, older_than(10)).runs, 0);
    // The same with the times of the last events in their table.
    open(place.store()).await.close().await.unwrap();
    assert_eq!(prune(&place, older_than(10)).runs, 0);
    assert_eq!(prune(&place, older_than(1)).runs, 2);
    assert_eq!((count(&place, "event"), count(&place, "latest"), count(&place, "block")), (0, 0, 1));
}

#[tokio::test]
async fn a_run_of_a_living_process_stays_however_old_it_is_until_the_process_ends() {
    let place = Place::new();
    let id = InstanceId::random();
    let store = open_as(place.store(), id).await;
    store.append(&shared(&begun("live", id, 5000))).await.unwrap();
    assert_eq!(prune(&place, older_than(1)).runs, 0);
    assert_eq!(prune(&place, no_bytes().age(HOUR)).runs, 0);
    // Nor does its own retention remove it, or a link to the file hide the lease.
    #[cfg(unix)]
    {
        let link = place.folder.path().join("link.db");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        assert_eq!(crate::unsynced(&link).prune(&no_bytes()).unwrap().runs, 0);
    }
    store.close().await.unwrap();
    assert_eq!(prune(&place, older_than(1)).runs, 1);
}

#[tokio::test]
async fn while_the_file_is_too_large_open_runs_without_a_process_go_in_turn_with_the_others() {
    let place = Place::new();
    let (dead, live) = (InstanceId::random(), InstanceId::random());
    let mut log = Vec::new();
    for number in 0..400 {
        let by = if number % 4 == 0 { live } else { dead };
        let mut run = run("loan").key(&format!("{number:03}")).instance(by).at(hours_ago(1000 - number));
        (0..40).for_each(|_| {
            run.point("stage:item");
        });
        if number % 2 == 1 {
            run.complete_run();
        }
        log.extend(run.events());
    }
    left(&place, dead, &log).await;
    let store = open_as(place.store(), live).await;
    let size = prune(&place, PrunePolicy::default()).bytes_after;
    let report = prune(&place, PrunePolicy::default().bytes(size * 3 / 4));
    assert!(report.bytes_after <= size * 3 / 4, "{report:?}");

    let left: Vec<usize> = keys(&place).iter().map(|key| key.parse().unwrap()).collect();
    assert_eq!(left.iter().filter(|number| *number % 4 == 0).count(), 100);
    let first = left.iter().find(|number| *number % 4 != 0).unwrap();
    let rest = (*first..400).filter(|number| number % 4 != 0);
    assert!((40..360).contains(first), "{first}");
    assert!(left.iter().copied().filter(|number| number % 4 != 0).eq(rest), "the oldest went first");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_run_that_a_living_process_has_claimed_stays_until_it_is_released() {
    let place = Place::new();
    let dead = InstanceId::random();
    let mut failed = run("loan").key("failed").instance(dead).at(hours_ago(50));
    failed.fail_run("Timeout", "too late");
    let mut events = begun("open", dead, 50);
    events.extend(failed.events());
    left(&place, dead, &events).await;
    let ids = ["open", "failed"].map(TraceId::from_key);

    let store = open(place.store()).await;
    for id in ids {
        assert_eq!(store.claim(id).await.unwrap(), Claim::Granted);
    }
    assert_eq!(prune(&place, older_than(1)).runs, 0);
    assert_eq!(prune(&place, no_bytes()).runs, 0);
    store.release(ids[1]).await.unwrap();
    assert_eq!(prune(&place, older_than(1)).runs, 1);
    assert_eq!(keys(&place), ["open"]);
    // As if the process had died: a claim ends with its holder.
    drop(store);
    assert_eq!(prune(&place, older_than(1)).runs, 1);
    assert_eq!(count(&place, "claim"), 0);
}

/// A process that resumes a run looks at it once more when it has claimed it: what is there then must remain.
#[test]
fn a_run_that_is_there_once_it_is_claimed_is_there_until_it_is_released() {
    const ROUNDS: usize = 60;
    let place = Place::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dead = InstanceId::random();
    let [feeder, claimer] = [(); 2].map(|()| runtime().block_on(open(place.store())));
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                barrier.wait();
                prune(&place, older_than(1));
                barrier.wait();
            }
        });
        let runtime = runtime();
        let reader = place.store().open_reader().unwrap().in_place();
        for round in 0..ROUNDS {
            let key = format!("{round}");
            let id = TraceId::from_key(&key);
            runtime.block_on(feeder.append(&shared(&begun(&key, dead, 50)))).unwrap();
            barrier.wait();
            let claimed = runtime.block_on(claimer.claim(id)).unwrap();
            let is_there = || runtime.block_on(reader.run(id)).unwrap().is_some();
            let was_there = is_there();
            // The other thread has pruned by now.
            barrier.wait();
            assert_eq!(claimed, Claim::Granted);
            assert_eq!(is_there(), was_there);
            prune(&place, older_than(1));
            assert_eq!(is_there(), was_there);
            runtime.block_on(claimer.release(id)).unwrap();
            prune(&place, older_than(1));
            assert!(!is_there());
        }
    });
}

#[tokio::test]
async fn many_runs_of_living_processes_do_not_hold_up_what_is_behind_them() {
    let place = Place::new();
    let (dead, live) = (InstanceId::random(), InstanceId::random());
    let store = open_as(place.store(), live).await;
    let head: Vec<_> = (0..3000).flat_map(|number| begun(&format!("live-{number}"), live, 90)).collect();
    let tail: Vec<_> = (0..600).flat_map(|number| begun(&format!("dead-{number}"), dead, 50)).collect();
    store.append(&shared(&head)).await.unwrap();
    store.append(&shared(&tail)).await.unwrap();
    assert_eq!(prune(&place, older_than(10)).runs, 600);
    assert_eq!(count(&place, "run"), 3000);
    store.close().await.unwrap();
    assert_eq!(prune(&place, no_bytes()).runs, 3000);
}

#[tokio::test]
async fn an_open_store_removes_what_dead_processes_left_and_keeps_its_own() {
    let place = Place::new();
    let (dead, live) = (InstanceId::random(), InstanceId::random());
    let events: Vec<_> = (0..100).flat_map(|number| begun(&format!("{number}"), dead, 50)).collect();
    left(&place, dead, &events).await;
    let store = open_as(place.store().retention_age(HOUR * 10), live).await;
    store.append(&shared(&begun("live", live, 5000))).await.unwrap();
    while keys(&place) != ["live"] {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn counts_of_an_open_run_go_with_its_hours() {
    let place = Place::new();
    let dead = InstanceId::random();
    let mut events = begun("a", dead, 50);
    events.extend(begun("b", dead, 3));
    let mut slow = run("loan").key("slow").instance(dead).at(hours_ago(50));
    slow.root();
    slow.pass(HOUR * 20);
    slow.point("stage:signed");
    events.extend(slow.events());
    left(&place, dead, &events).await;
    let reader = place.store().open_reader().unwrap();
    let counted = async || {
        let connection = Connection::open(place.path()).unwrap();
        let folded = "SELECT coalesce(sum(pending + success), 0) FROM rollup WHERE width = ?1";
        [24, 1].map(|width| connection.query_row(folded, [width], |row| row.get::<_, i64>(0)).unwrap())
    };
    assert_eq!(prune(&place, older_than(40)).runs, 1);
    // Only what happened since the age is counted of the run that is left.
    assert_eq!(counted().await, [3, 3]);
    let signed = reader.failure_rate_by_type(&Scope::all()).await.unwrap();
    assert!(signed.iter().any(|rate| rate.event_type == "stage:signed" && rate.rate.total == 1));
    assert_eq!(prune(&place, older_than(10)).runs, 1);
    assert_eq!(counted().await, [2, 2]);
    assert_eq!(prune(&place, older_than(1)).runs, 1);
    assert_eq!(counted().await, [0, 0]);
}

#[tokio::test]
async fn a_run_that_goes_on_after_it_was_removed_has_what_came_since() {
    let place = Place::new();
    let (dead, live) = (InstanceId::random(), InstanceId::random());
    let mut loan = run("loan").key("loan-42").instance(dead).at(hours_ago(50));
    loan.root();
    let store = open_as(place.store(), live).await;
    // The writer has the run in its cache from now on.
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(prune(&place, older_than(1)).runs, 1);
    loan.resume(live);
    loan.complete_run();
    let since = &loan.events()[1..];
    store.append(&shared(since)).await.unwrap();

    let reader = place.store().open_reader().unwrap();
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), since);
    let want = RunSummary::of(since, |_| Liveness::Dead);
    assert_eq!(reader.run(loan.trace_id()).await.unwrap(), want);
    assert!(reader.open_summaries(&Page::first(9)).await.unwrap().items.is_empty());
    store.close().await.unwrap();
}
