//! Runs that have not ended, from Redis alone.

use std::collections::{BTreeMap, BTreeSet};

use throughline_core::Throughline;
use throughline_model::testing::sample_log;
use throughline_model::{Liveness, RunSummary, TraceEvent, TraceId};

use crate::server::is_there;
use crate::watch::{Ends, OWN, PATIENCE, feed, runtime};

#[test]
fn the_open_runs_of_a_feed_are_those_of_the_fold() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let feed = feed();
        let ends = Ends::open(&feed).await;
        let log = sample_log(60, 300, &[OWN]);
        for group in log.chunks(100) {
            ends.publish(&group.iter().collect::<Vec<_>>()).await;
        }
        let mut runs: BTreeMap<TraceId, Vec<&TraceEvent>> = BTreeMap::new();
        log.iter().for_each(|event| runs.entry(event.trace_id).or_default().push(event));
        let summaries =
            runs.values().filter_map(|events| RunSummary::of(events.iter().copied(), |_| Liveness::Unknown));
        // Without the start of a root nothing says that a run has begun.
        let open: BTreeSet<_> = summaries
            .filter(|run| run.state.is_open() && run.root.is_some())
            .map(|run| run.trace_id)
            .collect();
        let found = feed.open_runs(usize::MAX).await.unwrap();
        assert!(open.len() > 20, "the sample has open runs");
        assert_eq!(found.iter().map(|run| run.summary.trace_id).collect::<BTreeSet<_>>(), open);
        assert!(
            found.is_sorted_by_key(|run| std::cmp::Reverse(run.summary.started)),
            "the last to begin is first"
        );
        let some = feed.open_runs(7).await.unwrap();
        assert_eq!(some, found[..7]);
    });
}

#[test]
fn a_run_is_open_with_its_step_while_it_runs() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let feed = feed();
        let throughline = Throughline::builder("test").feed(feed.clone()).build().unwrap();
        let (of_run, emitter) = (feed.clone(), throughline.clone());
        let run = throughline.workflow("loan").key("loan-42").run(|ctx| async move {
            ctx.trace("stage:score", async {
                emitter.flush(PATIENCE).await;
                let open = of_run.open_runs(10).await.unwrap();
                assert_eq!(open.len(), 1);
                assert_eq!(open[0].summary.correlation_id.as_deref(), Some("loan-42"));
                assert_eq!(open[0].current.as_ref().unwrap().event_type, "stage:score");
                Ok::<_, std::io::Error>(())
            })
            .await
        });
        run.await.unwrap().unwrap().unwrap();
        throughline.flush(PATIENCE).await;
        assert_eq!(feed.open_runs(10).await.unwrap(), []);
        throughline.shutdown(PATIENCE).await;
    });
}
