//! Events order by (timestamp, instance, n), whatever order they arrive in.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::oracle::{Oracle, ids};
use super::{StoreFixture, hold, open, supported};
use crate::testing::{run, sample_log};
use crate::{Filter, InstanceId, Scope, Timestamp, TraceEvent};

pub fn events_of_equal_time_keep_the_order_of_instance_and_number<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        (0..4).for_each(|_| {
            builder.point("stage:item");
        });
        // The later in the order, the smaller the span id, so that nothing but instance and number decides.
        let mut events = builder.events();
        events.reverse();
        // Instances and numbers are unsigned: the upper half must not sort as if negative.
        let places = [(1, 0), (1, 9), (1, u64::MAX), (1 << 63, 3), (u64::MAX, 2)];
        for (event, (instance, n)) in events.iter_mut().zip(places) {
            event.timestamp = Timestamp::from_micros(1_772_323_200_000_000);
            event.instance = InstanceId::from_u64(instance);
            event.n = n;
        }
        let backwards: Vec<_> = events.iter().rev().cloned().collect();
        store.append(&backwards).await;
        assert_eq!(store.reader.trace(builder.trace_id()).await.unwrap(), events);
        assert_eq!(store.events(&Filter::new()).await, backwards);
    });
}

pub fn moments_before_1970_are_moments_like_any_other<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut events = Vec::new();
        for moment in ["0001-01-01T00:00:00Z", "1899-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"] {
            let mut builder = run("loan-approval").key(moment).at(moment.parse().unwrap());
            builder.complete_run();
            events.extend(builder.events());
        }
        store.append(&events).await;
        let oracle = Oracle::with_living(&events, &[]);
        for since in ["0001-01-01T00:00:00.001Z", "1900-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
            let filter = Filter::new().scope(Scope::all().since(since.parse().unwrap()));
            oracle.assert_events(&*store.reader, &filter).await;
            oracle.assert_runs(&*store.reader, &filter).await;
        }
        let scope = Scope::all().since("1969-01-01T00:00:00Z".parse().unwrap());
        let hour = Duration::from_secs(3600);
        if let Some(buckets) = supported("over_time", store.analytics.over_time(&scope, hour).await) {
            assert_eq!(buckets[0].start, Timestamp::from_micros(-3_600_000_000));
            assert_eq!(buckets, oracle.log.over_time(&scope, hour).unwrap());
        }
    });
}

pub fn arrival_in_any_order_gives_the_same_answers<F: StoreFixture>() {
    for seed in 0..3 {
        hold(F::fresh(), async |fixture| {
            let store = open(fixture).await;
            let log = sample_log(seed, 40, &[]);
            let mut arriving = log.clone();
            match seed {
                // Ends before starts, children before parents, every root last.
                0 => arriving.sort_by_key(|event| {
                    (event.trace_id, event.parent_span_id.is_none(), std::cmp::Reverse(event.order()))
                }),
                _ => arriving.shuffle(&mut StdRng::seed_from_u64(seed)),
            }
            for group in arriving.chunks(7) {
                store.append(group).await;
            }
            let oracle = Oracle::with_living(&log, &[]);
            oracle.assert_runs(&*store.reader, &Filter::new()).await;
            oracle.assert_events(&*store.reader, &Filter::new()).await;
            for run in oracle.log.runs.values() {
                let want: Vec<TraceEvent> = run.events.iter().map(|event| (*event).clone()).collect();
                let trace = store.reader.trace(run.summary.trace_id).await.unwrap();
                assert_eq!(ids(&trace), ids(&want));
            }
        });
    }
}
