//! What is known of runs that have not ended besides what they say themselves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use throughline_core::open::{Deployment, UsualTimes, at_work};
use throughline_core::testing::run;
use throughline_core::{
    BoxFuture, Liveness, MemoryStore, OpenRun, Page, ReadError, RunState, RunSummary, Scope, StageTimes,
    Text, Throughline, Timestamp, TraceAnalytics, names,
};

/// Counts how often it is asked, and says that everything takes as long as it was told.
struct Counting {
    asked: AtomicUsize,
    stages: Vec<StageTimes>,
}

impl TraceAnalytics for Counting {
    fn slowest_stages<'a>(
        &'a self,
        _: &'a Scope,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(self.stages.clone())))
    }
}

/// A store that does not count.
struct Uncounted;

impl TraceAnalytics for Uncounted {}

fn times(event_type: &'static str, p50_us: u64) -> StageTimes {
    let event_type: Text = event_type.into();
    StageTimes { event_type, count: 9, p50_us, p95_us: 2 * p50_us, p99_us: 3 * p50_us, max_us: 4 * p50_us }
}

#[test]
fn what_a_deployment_does_depends_on_whether_a_process_is_at_work_and_whether_another_can_continue() {
    let mut runs = ["workflow:started", "http:request"].map(|root| {
        let mut builder = run("loan-approval").key("loan-1");
        builder.root();
        builder.edit(|event| {
            event.event_type = root.into();
            event.workflow = event.workflow.take().filter(|_| root == "workflow:started");
        });
        RunSummary::of(&builder.events(), |_| Liveness::Alive).unwrap()
    });
    for (state, expected) in [
        (RunState::Running, [Deployment::CutsShort, Deployment::CutsShortForGood]),
        (RunState::Interrupted, [Deployment::WaitsToBeResumed, Deployment::IsLeftOver]),
        (RunState::Unfinished, [Deployment::Unknown; 2]),
    ] {
        runs.iter_mut().for_each(|run| run.state = state);
        assert_eq!([&runs[0], &runs[1]].map(Deployment::of), expected, "{state}");
    }
}

#[tokio::test]
async fn open_runs_are_told_with_their_process_and_with_what_is_usual_which_is_counted_once() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("loans").version("1.4.2").store(store.clone()).build().unwrap();
    let mut requests = Vec::new();
    for _ in 0..3 {
        let request = throughline.request("http:request").open();
        request.context().retry_in(Duration::from_secs(60)).await.unwrap();
        requests.push(request);
    }
    let reader = throughline.reader().unwrap();
    let read = async || reader.open_runs(&Page::first(9)).await.unwrap().items;
    let counting = Counting {
        asked: AtomicUsize::new(0),
        stages: vec![times("http:request", 5_000), times(names::WORKFLOW_COMPLETED, 7_000)],
    };
    let usual = UsualTimes::default();
    for _ in 0..2 {
        let found = at_work(&*reader, Some(&counting), &usual, read().await).await.unwrap();
        assert_eq!(found.len(), 3);
        for run in &found {
            assert_eq!(
                run.usual.map(|usual| (usual.p50_us, usual.p95_us, usual.count)),
                Some((5_000, 10_000, 9))
            );
            let holder = run.holder.as_ref().unwrap();
            assert_eq!((holder.lease, holder.pid), (Liveness::Alive, Some(std::process::id())));
            assert_eq!(holder.version.as_deref(), Some("1.4.2"));
            let now = Timestamp::now();
            let waits = run.waits_until(now).unwrap().since(now);
            assert!(waits > Duration::from_secs(30) && waits <= Duration::from_secs(60), "{waits:?}");
            assert_eq!(run.waits_until(now.plus(Duration::from_secs(61))), None, "it is over");
        }
    }
    assert_eq!(counting.asked.load(Ordering::Relaxed), 1, "for three runs, twice");
    // A store that does not count says nothing of what is usual, and all else.
    for analytics in [None, Some(&Uncounted as &dyn TraceAnalytics)] {
        let runs: Vec<OpenRun> = read().await;
        let found = at_work(&*reader, analytics, &UsualTimes::default(), runs).await.unwrap();
        assert!(found.iter().all(|run| run.usual.is_none() && run.holder.is_some()));
    }
    drop(requests);
}
