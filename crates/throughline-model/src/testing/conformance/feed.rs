//! What happens now is seen now, or the watcher is told what it missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::writing::full_event;
use super::{FeedFixture, hold, shared};
use crate::testing::{run, sample_log};
use crate::{EventStream, StreamItem, TraceStream};
use crate::{Instance, InstanceId, LiveFeed, TraceEvent, TraceId};

/// Long enough for a busy machine; a promise that holds never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Ends {
    feed: Arc<dyn LiveFeed>,
    stream: Arc<dyn TraceStream>,
}

async fn open(fixture: &impl FeedFixture) -> Ends {
    let feed = fixture
        .config()
        .open(Instance::new(InstanceId::random(), "conformance"))
        .await
        .expect("a fixture's feed can be opened");
    let stream = feed.stream().expect("a feed that is proved here can be read from here");
    Ends { feed, stream }
}

impl Ends {
    async fn publish(&self, events: &[TraceEvent]) {
        self.feed.publish(&shared(events)).await.expect("events are published");
    }

    async fn watch(&self, trace: Option<TraceId>) -> EventStream {
        self.stream.watch(trace).await.expect("a feed can be watched")
    }
}

async fn next(stream: &mut EventStream) -> StreamItem {
    tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("the next event comes")
        .expect("a feed that is open does not end")
        .expect("a feed that is open can be read")
}

/// The next events, of which none may be missed.
async fn take(stream: &mut EventStream, count: usize) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        match next(stream).await {
            StreamItem::Event(event) => events.push(TraceEvent::clone(&event)),
            other => panic!("{other:?} after {} of {count} events", events.len()),
        }
    }
    events
}

pub fn a_watcher_sees_every_event_from_now_on_in_order<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let (here, there) = (open(fixture).await, open(fixture).await);
        let log = sample_log(40, 12, &[]);
        let (before, after) = log.split_at(log.len() / 3);
        here.publish(before).await;
        let mut watcher = there.watch(None).await;
        for group in after.chunks(7) {
            here.publish(group).await;
        }
        assert_eq!(take(&mut watcher, after.len()).await, after);
    });
}

pub fn a_watcher_of_one_run_sees_that_run_alone<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let log = sample_log(41, 12, &[]);
        let id = log[log.len() / 2].trace_id;
        let mut watcher = ends.watch(Some(id)).await;
        ends.publish(&log).await;
        let want: Vec<_> = log.iter().filter(|event| event.trace_id == id).cloned().collect();
        assert_eq!(take(&mut watcher, want.len()).await, want);
    });
}

pub fn every_watcher_sees_everything<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let (here, there) = (open(fixture).await, open(fixture).await);
        let mut watchers = [here.watch(None).await, there.watch(None).await, there.watch(None).await];
        let log = sample_log(42, 8, &[]);
        let (first, second) = log.split_at(log.len() / 2);
        here.publish(first).await;
        there.publish(second).await;
        for watcher in &mut watchers {
            assert_eq!(take(watcher, log.len()).await, log);
        }
    });
}

pub fn every_field_of_an_event_survives_the_feed<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(None).await;
        ends.publish(&[full_event()]).await;
        assert_eq!(take(&mut watcher, 1).await, [full_event()]);
    });
}

pub fn publishing_to_nobody_goes_well<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        ends.publish(&[]).await;
        ends.publish(&sample_log(43, 8, &[])).await;
    });
}

pub fn a_watcher_that_leaves_disturbs_nobody<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut stays = ends.watch(None).await;
        let mut leaves = ends.watch(None).await;
        let log = sample_log(44, 8, &[]);
        ends.publish(&log[..2]).await;
        take(&mut leaves, 1).await;
        drop(leaves);
        ends.publish(&log[2..]).await;
        assert_eq!(take(&mut stays, log.len()).await, log);
    });
}

pub fn a_slow_watcher_is_told_how_many_it_missed<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(None).await;
        let mut flood = run("flood").key("flood");
        (1..fixture.flood()).for_each(|_| {
            flood.point("stage:item");
        });
        let flood = flood.events();
        let published = tokio::time::timeout(PATIENCE, async {
            for group in flood.chunks(500) {
                ends.publish(group).await;
            }
        });
        published.await.expect("a slow watcher holds nobody up");
        let (mut seen, mut missed) = (Vec::new(), 0);
        while seen.len() as u64 + missed < flood.len() as u64 {
            match next(&mut watcher).await {
                StreamItem::Event(event) => seen.push(event),
                StreamItem::Missed(count) => missed += count,
            }
        }
        assert_eq!(seen.len() as u64 + missed, flood.len() as u64, "nothing is passed over in silence");
        assert!(seen.is_sorted_by_key(|event| event.order()), "what was not missed comes in order");
        assert_eq!(seen.last().map(|event| event.id()), flood.last().map(TraceEvent::id));
    });
}
