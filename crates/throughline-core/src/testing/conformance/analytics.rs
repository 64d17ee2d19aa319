//! Answers across runs equal those worked out from the events.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::oracle::Oracle;
use super::{StoreFixture, hold, open};
use crate::testing::{run, sample_log};
use crate::{InstanceId, Rate, Scope};

pub fn every_answer_across_runs_equals_the_reference<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(30, 300, &[store.id, InstanceId::IMPORTED]);
        store.append_in_groups(&log).await;
        Oracle::with_living(&log, &[store.id]).assert_analytics(&store).await;
    });
}

pub fn answers_across_runs_do_not_depend_on_the_order_of_arrival<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(31, 100, &[]);
        let mut arriving = log.clone();
        arriving.shuffle(&mut StdRng::seed_from_u64(31));
        let (before, after) = arriving.split_at(arriving.len() / 2);
        store.append_in_groups(before).await;
        Oracle::with_living(before, &[]).assert_analytics(&store).await;
        store.append_in_groups(after).await;
        Oracle::with_living(&log, &[]).assert_analytics(&store).await;
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
        Oracle::with_living(&log, &[]).assert_analytics(&store).await;
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
        Oracle::with_living(&log, &[]).assert_analytics(&again).await;
    });
}

pub fn answers_across_runs_follow_a_run_from_open_to_ended<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut told = run("loan-approval").key("loan-1").instance(store.id);
        told.begin("stage:waiting");
        let rates = async || {
            let scope = Scope::all();
            let decided = store.analytics.over_time(&scope, Duration::from_secs(60)).await.unwrap();
            (store.analytics.failure_rate(&scope).await.unwrap(), decided.first().map(|bucket| bucket.failed))
        };
        store.append(&told.events()).await;
        assert_eq!(rates().await, (Rate::new(0, 0), Some(Rate::new(0, 0))));
        told.fail_run("Timeout", "no answer");
        store.append(&told.events()).await;
        assert_eq!(rates().await, (Rate::new(1, 1), Some(Rate::new(1, 1))));
        told.resume(store.id);
        store.append(&told.events()).await;
        assert_eq!(rates().await, (Rate::new(0, 0), Some(Rate::new(0, 0))));
        told.complete_run();
        store.append(&told.events()).await;
        assert_eq!(rates().await, (Rate::new(0, 1), Some(Rate::new(0, 1))));
        let events = told.events();
        Oracle::with_living(&events, &[store.id]).assert_analytics(&store).await;
    });
}

pub fn an_empty_store_answers_with_nothing<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        Oracle::with_living(&[], &[]).assert_analytics(&store).await;
        assert_eq!(store.analytics.failure_rate(&Scope::all()).await.unwrap(), Rate::new(0, 0));
    });
}

pub fn answers_keep_to_their_limit<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append_in_groups(&sample_log(34, 60, &[])).await;
        let (scope, analytics) = (Scope::all(), &store.analytics);
        for limit in [0, 1, 3] {
            let spans = analytics.slowest_spans(&scope, limit).await.unwrap();
            let all = analytics.slowest_spans(&scope, usize::MAX).await.unwrap();
            assert_eq!(spans, all[..limit]);
            let stages = analytics.slowest_stages(&scope, limit).await.unwrap();
            assert_eq!(stages, analytics.slowest_stages(&scope, usize::MAX).await.unwrap()[..limit]);
            let spots = analytics.hot_spots(&scope, limit).await.unwrap();
            assert_eq!(spots, analytics.hot_spots(&scope, usize::MAX).await.unwrap()[..limit]);
        }
    });
}
