//! What waits in a spool is there, in order, until it is removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::writing::full_event;
use super::{SpoolFixture, hold, shared};
use crate::testing::{RunBuilder, run, sample_log};
use crate::{AppendError, Instance, InstanceId, OpenError, Spool, SpoolConfig, TraceEvent};

async fn try_open(config: &dyn SpoolConfig) -> Result<Arc<dyn Spool>, OpenError> {
    config.open(Instance::new(InstanceId::random(), "conformance")).await
}

async fn open(fixture: &impl SpoolFixture) -> Arc<dyn Spool> {
    try_open(&*fixture.config()).await.expect("a fixture's spool can be opened")
}

async fn push(spool: &dyn Spool, events: &[TraceEvent]) {
    spool.push(&shared(events)).await.expect("a spool with room takes events");
}

/// What waits, with its positions.
async fn waiting(spool: &dyn Spool) -> Vec<(u64, TraceEvent)> {
    let all = spool.peek(usize::MAX).await.unwrap();
    let usage = spool.usage().await.unwrap();
    assert_eq!(usage.events, all.len() as u64, "the usage says how many wait");
    assert_eq!(usage.bytes == 0, all.is_empty(), "what waits takes bytes: {usage:?}");
    assert!(usage.bytes <= usage.capacity_bytes, "a spool keeps to its capacity: {usage:?}");
    all.into_iter().map(|spooled| (spooled.position, TraceEvent::clone(&spooled.event))).collect()
}

async fn events(spool: &dyn Spool) -> Vec<TraceEvent> {
    waiting(spool).await.into_iter().map(|(_, event)| event).collect()
}

pub fn events_come_out_in_the_order_they_went_in<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let mut log = sample_log(60, 8, &[]);
        // Neither time nor identity decides.
        log.reverse();
        for group in log.chunks(7) {
            push(&*spool, group).await;
        }
        assert_eq!(events(&*spool).await, log);
    });
}

pub fn every_field_of_an_event_survives_the_spool<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        push(&*spool, &[full_event()]).await;
        spool.close().await.unwrap();
        drop(spool);
        assert_eq!(events(&*open(fixture).await).await, [full_event()]);
    });
}

pub fn looking_removes_nothing<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        assert_eq!(spool.peek(10).await.unwrap(), []);
        let log = sample_log(61, 4, &[]);
        push(&*spool, &log).await;
        let all = spool.peek(usize::MAX).await.unwrap();
        for limit in [0, 1, 3, log.len(), log.len() + 1] {
            assert_eq!(spool.peek(limit).await.unwrap(), all[..limit.min(log.len())]);
        }
        assert_eq!(events(&*spool).await, log);
    });
}

pub fn what_is_removed_is_gone_and_the_rest_stays<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let log = sample_log(62, 8, &[]);
        push(&*spool, &log).await;
        let all = waiting(&*spool).await;
        for through in [0, 6, 7, log.len() - 1] {
            let position = all[through].0;
            spool.remove_through(position).await.unwrap();
            assert_eq!(waiting(&*spool).await, all[through + 1..], "through {position}, which is included");
        }
        let usage = spool.usage().await.unwrap();
        assert_eq!((usage.events, usage.bytes), (0, 0));
    });
}

pub fn removing_again_changes_nothing<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        spool.remove_through(1_000_000).await.unwrap();
        let log = sample_log(63, 8, &[]);
        push(&*spool, &log[..20]).await;
        let all = waiting(&*spool).await;
        // A removal whose answer was lost is made again, after more has come.
        spool.remove_through(all[9].0).await.unwrap();
        push(&*spool, &log[20..]).await;
        spool.remove_through(all[9].0).await.unwrap();
        spool.remove_through(all[4].0).await.unwrap();
        assert_eq!(events(&*spool).await, log[10..]);
        for _ in 0..2 {
            spool.remove_through(u64::MAX).await.unwrap();
            assert_eq!(events(&*spool).await, []);
        }
        push(&*spool, &log).await;
        assert_eq!(events(&*spool).await, log, "what comes later is not removed");
    });
}

pub fn positions_grow_and_are_never_used_again<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let log = sample_log(64, 8, &[]);
        let mut seen: Vec<u64> = Vec::new();
        for group in log.chunks(10) {
            let spool = open(fixture).await;
            push(&*spool, group).await;
            let positions: Vec<_> =
                waiting(&*spool).await.into_iter().map(|(position, _)| position).collect();
            assert_eq!(positions.len(), group.len());
            seen.extend(&positions);
            // Nothing is left from which the next position could be worked out.
            spool.remove_through(positions[group.len() - 1]).await.unwrap();
            spool.close().await.unwrap();
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    });
}

pub fn an_empty_push_changes_nothing<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        push(&*spool, &[]).await;
        assert_eq!(waiting(&*spool).await, []);
    });
}

/// Events with much in them, of which a spool holds few.
fn large_items(builder: &mut RunBuilder, bytes: u64, count: usize) -> Vec<TraceEvent> {
    let text = "x".repeat(usize::try_from(bytes).unwrap());
    let before = builder.events().len();
    for _ in 0..count {
        builder.point("stage:item");
        builder.edit(|event| {
            event.data = Some([("text".to_owned(), text.as_str().into())].into_iter().collect());
        });
    }
    builder.events().split_off(before)
}

pub fn a_full_spool_keeps_what_it_has_and_takes_more_once_there_is_room<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let capacity = spool.usage().await.unwrap().capacity_bytes;
        assert!(
            capacity <= 64 << 20,
            "a fixture's spool is small enough to be filled, {capacity} bytes are not"
        );
        let mut builder = run("batch").key("batch");
        builder.root();
        let mut pushed: Vec<TraceEvent> = Vec::new();
        let refused = loop {
            let group = large_items(&mut builder, capacity / 50, 3);
            match spool.push(&shared(&group)).await {
                Ok(()) => pushed.extend(group),
                Err(error) => {
                    assert!(matches!(error, AppendError::Unavailable { .. }), "{error:?}");
                    break group;
                }
            }
            assert!(pushed.len() < 1000, "a spool of {capacity} bytes is never full");
        };
        assert!(pushed.len() >= 10, "a spool of {capacity} bytes holds more than {}", pushed.len());
        assert_eq!(events(&*spool).await, pushed, "of a group that does not fit nothing is kept");

        let all = waiting(&*spool).await;
        spool.remove_through(all[pushed.len() / 2].0).await.unwrap();
        push(&*spool, &refused).await;
        let want: Vec<_> = pushed[pushed.len() / 2 + 1..].iter().chain(&refused).cloned().collect();
        assert_eq!(events(&*spool).await, want);
    });
}

pub fn what_waits_is_there_after_reopening<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let log = sample_log(65, 8, &[]);
        let spool = open(fixture).await;
        push(&*spool, &log[..20]).await;
        let before = waiting(&*spool).await;
        spool.remove_through(before[4].0).await.unwrap();
        spool.close().await.unwrap();
        drop(spool);
        let spool = open(fixture).await;
        assert_eq!(waiting(&*spool).await, before[5..]);
        push(&*spool, &log[20..]).await;
        assert_eq!(events(&*spool).await, log[5..]);
    });
}

pub fn a_spool_is_open_to_one_at_a_time<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let first = open(fixture).await;
        push(&*first, &sample_log(66, 2, &[])).await;
        for _ in 0..2 {
            match try_open(&*fixture.config()).await {
                Ok(_) => panic!("a second one has it open"),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        let waits = waiting(&*first).await;
        first.close().await.unwrap();
        let second = open(fixture).await;
        assert_eq!(waiting(&*second).await, waits);
        // Giving it back once more, or forgetting it, takes nothing from the next one.
        let _ = first.close().await;
        drop(first);
        assert!(try_open(&*fixture.config()).await.is_err(), "the second one has it open");
        assert_eq!(waiting(&*second).await, waits);
    });
}

pub fn pushes_at_once_are_each_kept_as_a_whole<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let pushers: Vec<_> = (0..4)
            .map(|number| {
                let spool = Arc::clone(&spool);
                tokio::spawn(async move {
                    let log = sample_log(67 + number, 4, &[]);
                    for group in log.chunks(5) {
                        push(&*spool, group).await;
                    }
                    log
                })
            })
            .collect();
        let mut logs = Vec::new();
        for pusher in pushers {
            logs.push(pusher.await.unwrap());
        }
        let all = events(&*spool).await;
        assert_eq!(all.len(), logs.iter().map(Vec::len).sum::<usize>());
        for log in logs {
            let of_this: Vec<_> = all.iter().filter(|event| log.contains(event)).cloned().collect();
            assert_eq!(of_this, log, "in order, whatever else came between");
        }
    });
}

pub fn what_is_set_aside_no_longer_waits_and_is_kept_with_its_reason<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let log = sample_log(71, 4, &[]);
        push(&*spool, &log).await;
        let all = waiting(&*spool).await;
        for (position, event) in [&all[3], &all[1]] {
            // An answer that was lost changes nothing.
            for reason in ["too long", "said again"] {
                spool.set_aside(*position, reason).await.unwrap();
            }
            let latest = spool.reader().refused(1).await.unwrap();
            assert_eq!(latest.iter().map(|refused| &*refused.event).collect::<Vec<_>>(), [event]);
        }
        let rest: Vec<_> =
            all.iter().filter(|spooled| *spooled != &all[1] && *spooled != &all[3]).cloned().collect();
        assert_eq!(waiting(&*spool).await, rest);
        spool.remove_through(u64::MAX).await.unwrap();
        spool.set_aside(all[5].0, "it is gone").await.unwrap();
        spool.close().await.unwrap();
        drop(spool);

        let spool = open(fixture).await;
        assert_eq!(events(&*spool).await, []);
        assert_eq!(spool.usage().await.unwrap().refused, 2);
        let refused = spool.reader().refused(usize::MAX).await.unwrap();
        let refused: Vec<_> =
            refused.iter().map(|refused| (refused.reason.as_str(), &*refused.event)).collect();
        assert_eq!(refused, [("too long", &all[1].1), ("too long", &all[3].1)]);
    });
}

pub fn a_reader_shows_what_waits_and_nothing_else<F: SpoolFixture>() {
    hold(F::fresh(), async |fixture| {
        let spool = open(fixture).await;
        let reader = spool.reader();
        assert_eq!(reader.traces(None, 10).await.unwrap(), []);
        let log = sample_log(72, 8, &[]);
        push(&*spool, &log).await;
        for removed in [0, log.len() / 2, log.len()] {
            let before = waiting(&*spool).await;
            let gone = log.len() - before.len();
            if removed > gone {
                spool.remove_through(before[removed - gone - 1].0).await.unwrap();
            }
            let left = &log[removed..];
            let usage = spool.usage().await.unwrap();
            assert_eq!(reader.usage().await.unwrap(), usage);

            let mut read = Vec::new();
            loop {
                let page = reader.waiting(read.last().map(|(position, _)| *position), 7).await.unwrap();
                let is_last = page.len() < 7;
                read.extend(
                    page.into_iter().map(|spooled| (spooled.position, TraceEvent::clone(&spooled.event))),
                );
                if is_last {
                    break;
                }
            }
            assert_eq!(read, waiting(&*spool).await);

            let runs: BTreeSet<_> = left.iter().map(|event| event.trace_id).collect();
            let mut listed = Vec::new();
            loop {
                let page = reader.traces(listed.last().copied(), 3).await.unwrap();
                listed.extend(&page);
                if page.len() < 3 {
                    break;
                }
            }
            assert_eq!(listed, runs.iter().copied().collect::<Vec<_>>());
            for run in log.iter().map(|event| event.trace_id) {
                let of_run: Vec<_> = left.iter().filter(|event| event.trace_id == run).cloned().collect();
                assert_eq!(reader.trace(run).await.unwrap(), of_run);
            }
        }
    });
}
