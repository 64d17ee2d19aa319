//! Answers across runs equal those worked out from the events.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::oracle::Oracle;
use super::{StoreFixture, hold, open, supported};
use crate::names::{SAGA_COMPENSATING, data, tags};
use crate::testing::{RunBuilder, run, sample_log};
use crate::{InstanceId, Rate, Scope, Timestamp, TraceAnalytics, TraceEvent, TraceId};

pub fn every_answer_across_runs_equals_the_reference<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(30, 300, &[store.id, InstanceId::IMPORTED]);
        store.append_in_groups(&log).await;
        Oracle::with_living(&log, &[store.id]).assert_analytics(&*store.analytics).await;
    });
}

/// Five runs: one failed and compensated, one succeeded, one was cancelled, one is open, one recovered.
fn handful(instance: InstanceId) -> Vec<TraceEvent> {
    let start = Timestamp::from_micros(1_772_323_200_000_000);
    let minute = Duration::from_secs(60);
    let begin = |key: &str, workflow: &str, minutes| {
        run(workflow).key(key).instance(instance).at(start.plus(minute * minutes))
    };
    let decide = |builder: &mut RunBuilder, choice: &'static str| {
        builder.point("ai:route");
        builder.edit(|event| {
            event.tags.push(tags::DECISION.into());
            event.data = Some([(data::CHOICE.to_owned(), choice.into())].into_iter().collect());
        });
    };
    let stage = |builder: &mut RunBuilder, name: &str, takes: u64| {
        let span = builder.begin(name);
        builder.pass(Duration::from_millis(takes - 1));
        span
    };

    let mut failed = begin("failed", "loan-approval", 0);
    decide(&mut failed, "fast");
    let done = stage(&mut failed, "stage:a", 10);
    failed.succeed(done);
    let failing = stage(&mut failed, "stage:b", 1);
    failed.fail(failing, "Timeout", "no answer");
    failed.point(SAGA_COMPENSATING);
    let undo = stage(&mut failed, "compensate:a", 1);
    failed.edit(|event| event.tags.push(tags::COMPENSATION.into()));
    failed.succeed(undo);
    failed.fail_run("Timeout", "no answer");

    let mut well = begin("well", "loan-approval", 0);
    decide(&mut well, "fast");
    let done = stage(&mut well, "stage:a", 20);
    well.succeed(done);
    well.complete_run();

    let mut cancelled = begin("cancelled", "onboarding", 2);
    decide(&mut cancelled, "manual");
    let done = stage(&mut cancelled, "stage:a", 30);
    cancelled.succeed(done);
    cancelled.cancel_run();

    let mut open = begin("open", "loan-approval", 3);
    decide(&mut open, "manual");
    open.begin("stage:a");

    let mut recovered = begin("recovered", "loan-approval", 3);
    let failing = stage(&mut recovered, "stage:b", 1);
    recovered.fail(failing, "Timeout", "no answer");
    recovered.complete_run();

    [failed, well, cancelled, open, recovered].iter().flat_map(RunBuilder::events).collect()
}

pub fn a_handful_of_runs_gives_the_numbers_worked_out_by_hand<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append(&handful(store.id)).await;
        assert_rates_of_the_handful(&*store.analytics).await;
        assert_times_of_the_handful(&*store.analytics).await;
        assert_causes_of_the_handful(&*store.analytics).await;
    });
}

async fn assert_rates_of_the_handful(analytics: &dyn TraceAnalytics) {
    let (all, loans) = (Scope::all(), Scope::all().workflow("loan-approval"));
    for (scope, want) in [(&all, Rate::new(1, 4)), (&loans, Rate::new(1, 3))] {
        if let Some(rate) = supported("failure_rate", analytics.failure_rate(scope).await) {
            assert_eq!(rate, want);
        }
    }
    if let Some(rate) = supported("compensation_rate", analytics.compensation_rate(&all).await) {
        assert_eq!(rate, Rate::new(1, 5));
    }
    if let Some(rates) = supported("failure_rate_by_type", analytics.failure_rate_by_type(&all).await) {
        let rates: Vec<_> = rates.iter().map(|rate| (&*rate.event_type, rate.rate)).collect();
        let want = [
            ("stage:b", Rate::new(2, 2)),
            ("workflow:failed", Rate::new(1, 1)),
            ("ai:route", Rate::new(0, 4)),
            ("compensate:a", Rate::new(0, 1)),
            ("saga:compensating", Rate::new(0, 1)),
            ("stage:a", Rate::new(0, 3)),
            ("workflow:cancelled", Rate::new(0, 1)),
            ("workflow:completed", Rate::new(0, 2)),
        ];
        assert_eq!(rates, want);
    }
    let minute = Duration::from_secs(60);
    if let Some(minutes) = supported("over_time", analytics.over_time(&all, minute).await) {
        let rates: Vec<_> = minutes.iter().map(|bucket| bucket.failed).collect();
        assert_eq!(rates, [Rate::new(1, 2), Rate::new(0, 0), Rate::new(0, 1), Rate::new(0, 1)]);
        assert_eq!(minutes[0].start, Timestamp::from_micros(1_772_323_200_000_000));
    }
}

async fn assert_times_of_the_handful(analytics: &dyn TraceAnalytics) {
    let all = Scope::all();
    if let Some(stages) = supported("slowest_stages", analytics.slowest_stages(&all, usize::MAX).await) {
        let stage = stages.iter().find(|stage| stage.event_type == "stage:a").unwrap();
        assert_eq!((stage.count, stage.max_us), (3, 30_000));
        assert!(stage.p50_us.abs_diff(20_000) <= 20_000 / 32, "{stage:?}");
    }
    if let Some(spans) = supported("slowest_spans", analytics.slowest_spans(&all, usize::MAX).await) {
        let spans: Vec<_> = spans.iter().filter(|span| span.event_type == "stage:a").collect();
        assert_eq!(spans.iter().map(|span| span.duration_us).collect::<Vec<_>>(), [30_000, 20_000, 10_000]);
        assert_eq!(spans[0].trace_id, TraceId::from_key("cancelled"));
    }
}

async fn assert_causes_of_the_handful(analytics: &dyn TraceAnalytics) {
    let all = Scope::all();
    if let Some(spots) = supported("hot_spots", analytics.hot_spots(&all, usize::MAX).await) {
        let [spot] = &spots[..] else { panic!("one hot spot, not {spots:?}") };
        assert_eq!((&*spot.event_type, spot.error_type.as_deref()), ("stage:b", Some("Timeout")));
        // The one that recovered did not fail.
        assert_eq!(spot.share, Rate::new(1, 1));
    }
    if let Some(outcomes) = supported("decision_outcomes", analytics.decision_outcomes(&all).await) {
        let outcomes: Vec<_> =
            outcomes.iter().map(|one| (&*one.decision, &*one.choice, one.failed)).collect();
        let want = [("ai:route", "fast", Rate::new(1, 2)), ("ai:route", "manual", Rate::new(0, 1))];
        assert_eq!(outcomes, want);
    }
}

pub fn answers_across_runs_do_not_depend_on_the_order_of_arrival<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(31, 100, &[]);
        let mut arriving = log.clone();
        arriving.shuffle(&mut StdRng::seed_from_u64(31));
        let (before, after) = arriving.split_at(arriving.len() / 2);
        store.append_in_groups(before).await;
        Oracle::with_living(before, &[]).assert_analytics(&*store.analytics).await;
        store.append_in_groups(after).await;
        Oracle::with_living(&log, &[]).assert_analytics(&*store.analytics).await;
    });
}

pub fn answers_across_runs_count_nothing_twice<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(32, 60, &[]);
        store.append_in_groups(&log).await;
        // The same again, in groups cut elsewhere and with repetitions within a group.
        for group in log.chunks(41) {
            store.append(&[group, group].concat()).await;
        }
        Oracle::with_living(&log, &[]).assert_analytics(&*store.analytics).await;
    });
}

pub fn answers_across_runs_survive_reopening<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let log = sample_log(33, 60, &[]);
        let (before, after) = log.split_at(log.len() / 2);
        let first = open(fixture).await;
        first.append_in_groups(before).await;
        first.close().await;
        let again = open(fixture).await;
        again.append_in_groups(after).await;
        Oracle::with_living(&log, &[]).assert_analytics(&*again.analytics).await;
    });
}

pub fn answers_across_runs_follow_a_run_from_open_to_ended<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").instance(store.id);
        builder.begin("stage:waiting");
        let assert_rate = async |rate: Rate| {
            let (scope, analytics) = (Scope::all(), &store.analytics);
            if let Some(found) = supported("failure_rate", analytics.failure_rate(&scope).await) {
                assert_eq!(found, rate);
            }
            let minutes = analytics.over_time(&scope, Duration::from_secs(60)).await;
            if let Some(minutes) = supported("over_time", minutes) {
                assert_eq!(minutes.first().map(|minute| minute.failed), Some(rate));
            }
        };
        store.append(&builder.events()).await;
        assert_rate(Rate::new(0, 0)).await;
        builder.fail_run("Timeout", "no answer");
        store.append(&builder.events()).await;
        assert_rate(Rate::new(1, 1)).await;
        builder.resume(store.id);
        store.append(&builder.events()).await;
        assert_rate(Rate::new(0, 0)).await;
        builder.complete_run();
        store.append(&builder.events()).await;
        assert_rate(Rate::new(0, 1)).await;
        let events = builder.events();
        Oracle::with_living(&events, &[store.id]).assert_analytics(&*store.analytics).await;
    });
}

pub fn a_run_at_no_known_time_counts_and_is_at_no_time<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut known = run("loan").key("known");
        known.root();
        known.complete_run();
        let mut unknown = run("loan").key("unknown").at(Timestamp::UNKNOWN);
        unknown.root();
        unknown.fail_run("Timeout", "no answer");
        let events = [known.events(), unknown.events()].concat();
        store.append(&events).await;
        let scope = Scope::all();
        if let Some(found) = supported("failure_rate", store.analytics.failure_rate(&scope).await) {
            assert_eq!(found, Rate::new(1, 2));
        }
        let minutes = store.analytics.over_time(&scope, Duration::from_secs(60)).await;
        if let Some(minutes) = supported("over_time", minutes) {
            assert_eq!(minutes.iter().map(|minute| minute.failed).collect::<Vec<_>>(), [Rate::new(0, 1)]);
        }
        Oracle::with_living(&events, &[]).assert_analytics(&*store.analytics).await;
    });
}

pub fn an_empty_store_answers_with_nothing<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        Oracle::with_living(&[], &[]).assert_analytics(&*store.analytics).await;
        if let Some(rate) = supported("failure_rate", store.analytics.failure_rate(&Scope::all()).await) {
            assert_eq!(rate, Rate::new(0, 0));
        }
    });
}

pub fn answers_keep_to_their_limit<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append_in_groups(&sample_log(34, 60, &[])).await;
        let (scope, analytics) = (Scope::all(), &store.analytics);
        for limit in [0, 1, 3] {
            if let Some(spans) = supported("slowest_spans", analytics.slowest_spans(&scope, limit).await) {
                assert_eq!(spans, analytics.slowest_spans(&scope, usize::MAX).await.unwrap()[..limit]);
            }
            if let Some(stages) = supported("slowest_stages", analytics.slowest_stages(&scope, limit).await) {
                assert_eq!(stages, analytics.slowest_stages(&scope, usize::MAX).await.unwrap()[..limit]);
            }
            if let Some(spots) = supported("hot_spots", analytics.hot_spots(&scope, limit).await) {
                assert_eq!(spots, analytics.hot_spots(&scope, usize::MAX).await.unwrap()[..limit]);
            }
        }
    });
}
