//! Runs that have not ended, and whether a deployment would cut them short.

use std::time::Duration;

use super::oracle::Oracle;
use super::pages::{open_runs_by, open_summaries_by, turn};
use super::{OpenStore, StoreFixture, hold, open};
use crate::testing::{RunBuilder, run, sample_log};
use crate::{
    InstanceId, Liveness, OpenRun, OpenSummary, Page, RunState, Timestamp, TraceEvent, TraceId, names,
};

/// A log of runs of which some have not ended: of an instance that lives, of one that is dead, of one that nobody knows,
/// and imported ones.
async fn log_of_all_states(
    fixture: &impl StoreFixture,
    seed: u64,
) -> (OpenStore, Vec<TraceEvent>, Vec<OpenRun>) {
    let (mine, other) = (open(fixture).await, open(fixture).await);
    let (mine_id, other_id) = (mine.id, other.id);
    let stranger = InstanceId::from_u64(0xfeed);
    let log = sample_log(seed, 150, &[mine_id, other_id, stranger, InstanceId::IMPORTED]);
    mine.append_in_groups(&log).await;
    other.close().await;
    let oracle = Oracle::new(&log, |instance| match instance {
        instance if instance == mine_id => Liveness::Alive,
        instance if instance == other_id => Liveness::Dead,
        InstanceId::IMPORTED => Liveness::Imported,
        _ => Liveness::Unknown,
    });
    let open_runs = oracle.open_runs();
    for state in [RunState::Running, RunState::Interrupted, RunState::Unfinished] {
        assert!(
            open_runs.iter().any(|run| run.summary.state == state),
            "the sample has runs that are {state}"
        );
    }
    (mine, log, open_runs)
}

pub fn open_runs_and_their_summaries_page_through_everything_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (store, _, want) = log_of_all_states(fixture, 21).await;
        let summaries: Vec<_> =
            want.iter().map(|run| OpenSummary::new(run.summary.clone(), run.last_event)).collect();
        for limit in [1, 7, 100, usize::MAX] {
            assert_eq!(open_runs_by(&*store.reader, limit).await, want, "pages of {limit}");
            assert_eq!(open_summaries_by(&*store.reader, limit).await, summaries, "pages of {limit}");
        }
        let page = Page::first(want.len());
        let all = store.reader.open_summaries(&page).await.unwrap();
        assert!(all.items.len() < want.len() || all.next.is_none(), "a full last page names no next");
        assert_eq!(store.reader.open_runs(&Page::first(0)).await.unwrap().items, []);
    });
}

pub fn pages_of_open_runs_hold_still_while_runs_end_and_begin<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let start = Timestamp::from_micros(1_772_323_200_000_000);
        let mut runs: Vec<_> = (0..40_u32)
            .map(|place| {
                let mut builder = run("loan-approval")
                    .key(&format!("loan-{place}"))
                    .instance(store.id)
                    .at(start.plus(place * Duration::from_secs(1)));
                builder.begin("stage:sign");
                builder
            })
            .collect();
        let ids: Vec<TraceId> = runs.iter().map(RunBuilder::trace_id).collect();
        for builder in &runs {
            store.append(&builder.events()).await;
        }
        let found = turn(
            4,
            async |page| store.reader.open_summaries(&page).await,
            async |turned| {
                if turned >= 10 {
                    return;
                }
                // One of those that were seen ends, the last of all ends, and a new one begins.
                let last = 39 - turned;
                for place in [turned, last] {
                    runs[place].complete_run();
                    store.append(&runs[place].events()).await;
                }
                let mut new = run("loan-approval").key(&format!("new-{turned}")).instance(store.id);
                new.root();
                store.append(&new.events()).await;
            },
        )
        .await;
        let found: Vec<_> = found.iter().map(|run| run.summary.trace_id).collect();
        let of_these: Vec<_> = found.iter().filter(|id| ids.contains(id)).copied().collect();
        // New runs start when the builder's clock starts, after all of these.
        assert!(of_these.len() >= 20 && of_these == ids[..of_these.len()], "each once, in order");
        let mut distinct = found.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), found.len(), "none twice");
    });
}

pub fn an_open_run_says_when_its_last_event_was_whatever_else_that_changed<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").instance(store.id);
        builder.root();
        let mut stored = 0;
        for minutes in [1, 20, 3] {
            let span = builder.begin("stage:score");
            builder.pass(Duration::from_secs(60 * minutes));
            builder.succeed(span);
            // Each in a call of its own.
            for event in &builder.events()[stored..] {
                store.append(std::slice::from_ref(event)).await;
                stored += 1;
                let open = store.reader.open_summaries(&Page::first(1)).await.unwrap();
                let last: Vec<_> = open.items.iter().map(|run| run.last_event).collect();
                assert_eq!(last, [event.timestamp], "{}", event.event_type);
            }
        }
        assert!(stored > 6);
    });
}

pub fn safe_to_deploy_says_what_the_states_say<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (store, _, open) = log_of_all_states(fixture, 22).await;
        let of_state = |state| -> Vec<OpenSummary> {
            let runs = open.iter().filter(|run| run.summary.state == state);
            runs.map(|run| OpenSummary::new(run.summary.clone(), run.last_event)).collect()
        };
        let (running, interrupted) = (of_state(RunState::Running), of_state(RunState::Interrupted));
        // After no time at all everything is stuck, after all time nothing is.
        let check = store.reader.safe_to_deploy(Duration::MAX).await.unwrap();
        assert_eq!((&check.running, &check.interrupted), (&running, &interrupted));
        assert!(check.stuck.is_empty() && !check.is_safe());
        let check = store.reader.safe_to_deploy(Duration::ZERO).await.unwrap();
        assert_eq!((&check.stuck, &check.interrupted), (&running, &interrupted));
        assert!(check.running.is_empty() && !check.is_safe());
    });
}

pub fn open_runs_come_oldest_first_with_their_current_step<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let start = Timestamp::from_micros(1_772_323_200_000_000);
        let mut builders: Vec<RunBuilder> = (0..4)
            .map(|place| {
                run("loan-approval")
                    .key(&format!("loan-{place}"))
                    .instance(store.id)
                    .at(start.plus(Duration::from_secs(place)))
            })
            .collect();
        builders[0].root();
        let done = builders[1].begin("stage:a");
        builders[1].succeed(done);
        let retries = [7, 8].map(|second| start.plus(Duration::from_secs(second)));
        for at in retries {
            builders[1].point(names::RETRY_SCHEDULED);
            builders[1].edit(|event| {
                let attrs = std::mem::take(&mut event.attrs);
                event.attrs = attrs.with(names::attrs::RETRY_AT, at.to_string());
            });
        }
        let outer = builders[1].begin("stage:b");
        builders[1].begin_in(outer, "stage:c");
        builders[1].edit(|event| {
            event.attempt = Some(2);
            (event.step_index, event.step_total) = (Some(4), Some(10));
        });
        builders[2].complete_run();
        builders[3].begin("stage:d");
        // The youngest is appended first.
        for builder in builders.iter().rev() {
            store.append(&builder.events()).await;
        }
        let open = store.open_runs().await;
        let ids: Vec<_> = open.iter().map(|run| run.summary.trace_id).collect();
        assert_eq!(ids, [0, 1, 3].map(|place| builders[place].trace_id()));
        assert_eq!(open[0].current, None);
        let current = open[1].current.as_ref().unwrap();
        let begun = builders[1].events().last().cloned().unwrap();
        assert_eq!(
            (&*current.event_type, current.span_id, current.started),
            ("stage:c", begun.span_id, begun.timestamp)
        );
        assert_eq!((current.attempt, current.step_index, current.step_total), (Some(2), Some(4), Some(10)));
        assert_eq!(open[1].last_event, begun.timestamp);
        assert!(open.iter().all(|run| run.instance == Some(store.id)), "with or without a step");
        assert_eq!(open.iter().map(|run| run.next_retry).collect::<Vec<_>>(), [None, Some(retries[1]), None]);
        assert_eq!(open[2].summary, store.reader.run(builders[3].trace_id()).await.unwrap().unwrap());
        let oldest = store.reader.open_runs(&Page::first(2)).await.unwrap();
        assert_eq!(oldest.items, open[..2]);
    });
}

pub fn a_deployment_check_counts_every_open_run<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        // More than anybody takes for a page.
        const RUNS: usize = 1100;
        let runs: Vec<_> = (0..RUNS)
            .flat_map(|place| {
                let mut builder = run("loan-approval").key(&format!("loan-{place}")).instance(store.id);
                builder.root();
                builder.events()
            })
            .collect();
        store.append(&runs).await;
        let check = store.reader.safe_to_deploy(Duration::MAX).await.unwrap();
        let mut running: Vec<_> = check.running.iter().map(|run| run.summary.trace_id).collect();
        running.sort();
        running.dedup();
        assert_eq!(running.len(), RUNS);
    });
}

pub fn a_deployment_is_safe_when_nothing_runs<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let hour = Duration::from_secs(3600);
        assert!(mine.reader.safe_to_deploy(hour).await.unwrap().is_safe());

        let now = Timestamp::now();
        let mut fresh = run("loan-approval").key("fresh").instance(mine.id).at(now);
        fresh.begin("stage:sign");
        let mut stuck = run("loan-approval").key("stuck").instance(mine.id).at(now.minus(2 * hour));
        stuck.begin("stage:sign");
        let mut left = run("loan-approval").key("left").instance(other.id).at(now);
        left.root();
        mine.append(&[fresh.events(), stuck.events()].concat()).await;
        other.append(&left.events()).await;
        other.close().await;
        let check = mine.reader.safe_to_deploy(hour).await.unwrap();
        let ids = |runs: &[OpenSummary]| runs.iter().map(|run| run.summary.trace_id).collect::<Vec<_>>();
        assert_eq!(ids(&check.running), [fresh.trace_id()]);
        assert_eq!(ids(&check.stuck), [stuck.trace_id()]);
        assert_eq!(ids(&check.interrupted), [left.trace_id()]);
        assert!(!check.is_safe());

        fresh.complete_run();
        stuck.cancel_run();
        mine.append(&[fresh.events(), stuck.events()].concat()).await;
        let check = mine.reader.safe_to_deploy(hour).await.unwrap();
        assert!(check.is_safe() && check.interrupted.len() == 1);
    });
}
