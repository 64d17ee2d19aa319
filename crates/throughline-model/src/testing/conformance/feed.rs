//! What happens now is seen now, or the watcher learns that it missed something.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::writing::full_event;
use super::{FeedFixture, hold, shared};
use crate::testing::{run, sample_log};
use crate::{
    Cursor, EventId, EventStream, Filter, Instance, InstanceId, LiveFeed, ReadError, Scope, SpanId, Status,
    StreamItem, Timestamp, TraceEvent, TraceId, TraceStream, WatchRequest,
};

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

    async fn watch(&self, request: WatchRequest) -> EventStream {
        self.stream.watch(request).await.expect("a feed can be watched")
    }
}

async fn next(stream: &mut EventStream) -> StreamItem {
    tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("the next event comes")
        .expect("a feed that is open does not end")
        .expect("a feed that is open can be read")
}

/// The next events with their cursors, of which none may be missed.
async fn take_with_cursors(stream: &mut EventStream, count: usize) -> Vec<(TraceEvent, Cursor)> {
    let mut items = Vec::new();
    while items.len() < count {
        match next(stream).await {
            StreamItem::Event { event, cursor } => items.push((TraceEvent::clone(&event), cursor)),
            other => panic!("{other:?} after {} of {count} events", items.len()),
        }
    }
    items
}

/// The next events, of which none may be missed.
async fn take(stream: &mut EventStream, count: usize) -> Vec<TraceEvent> {
    take_with_cursors(stream, count).await.into_iter().map(|(event, _)| event).collect()
}

/// The next events with their cursors, of which none may be missed, until this one.
async fn take_until(stream: &mut EventStream, last: &TraceEvent) -> Vec<(TraceEvent, Cursor)> {
    let mut items = Vec::new();
    loop {
        items.extend(take_with_cursors(stream, 1).await);
        if items.last().is_some_and(|(event, _)| event.id() == last.id()) {
            return items;
        }
    }
}

/// Watches until the last of these events, which were published in this order; none may be skipped in silence.
async fn follow(stream: &mut EventStream, published: &[TraceEvent]) {
    let places: HashMap<EventId, usize> =
        published.iter().enumerate().map(|(place, event)| (event.id(), place)).collect();
    let (mut due, mut gap) = (0, false);
    while due < published.len() {
        match next(stream).await {
            StreamItem::Event { event, .. } => {
                let place = places[&event.id()];
                assert!(place == due || (gap && place > due), "event {place} follows, {due} was due");
                (due, gap) = (place + 1, false);
            }
            StreamItem::Missed(count) => {
                match count {
                    Some(count) => due += usize::try_from(count).unwrap(),
                    None => gap = true,
                }
                assert!(due < published.len(), "the last event is never missed");
            }
        }
    }
}

pub fn a_watcher_sees_every_event_from_now_on_in_order<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let (here, there) = (open(fixture).await, open(fixture).await);
        let log = sample_log(40, 12, &[]);
        let (before, after) = log.split_at(log.len() / 3);
        here.publish(before).await;
        let mut watcher = there.watch(WatchRequest::new()).await;
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
        let mut watcher = ends.watch(WatchRequest::new().trace(id)).await;
        ends.publish(&log).await;
        let want: Vec<_> = log.iter().filter(|event| event.trace_id == id).cloned().collect();
        assert_eq!(take(&mut watcher, want.len()).await, want);
    });
}

/// Requests for a part of a log.
fn requests(log: &[TraceEvent]) -> [WatchRequest; 4] {
    let stages = || Filter::new().event_type("stage:*");
    let id = log.iter().rfind(|event| stages().matches(event)).unwrap().trace_id;
    [
        WatchRequest::new().filter(Filter::new().status(Status::Failed)),
        WatchRequest::new().filter(stages().attr("tenant", "acme")),
        WatchRequest::new().filter(stages()).trace(id),
        WatchRequest::new().filter(Filter::new().scope(Scope::all().workflow("onboarding"))),
    ]
}

pub fn a_watcher_with_a_filter_sees_what_matches<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        for place in 0..4 {
            // Other events each time: those that a feed has shown are not shown again.
            let log = sample_log(450 + place as u64, 20, &[]);
            let request = requests(&log)[place].clone();
            let want: Vec<_> = log.iter().filter(|event| request.matches(event)).cloned().collect();
            assert!(!want.is_empty(), "the sample holds what is asked for: {request:?}");
            let mut watcher = ends.watch(request).await;
            ends.publish(&log).await;
            assert_eq!(take(&mut watcher, want.len()).await, want);
        }
    });
}

pub fn every_watcher_sees_everything<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let (here, there) = (open(fixture).await, open(fixture).await);
        let all = WatchRequest::new;
        let mut watchers = [here.watch(all()).await, there.watch(all()).await, there.watch(all()).await];
        let log = sample_log(42, 8, &[]);
        let (first, second) = log.split_at(log.len() / 2);
        here.publish(first).await;
        there.publish(second).await;
        for watcher in &mut watchers {
            assert_eq!(take(watcher, log.len()).await, log);
        }
    });
}

pub fn a_stream_opened_by_itself_sees_what_is_published<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let Some(stream) = fixture.config().open_stream().await.unwrap() else { return };
        let ends = open(fixture).await;
        let mut watcher = stream.watch(WatchRequest::new()).await.unwrap();
        let log = sample_log(46, 8, &[]);
        ends.publish(&log).await;
        let seen = take_with_cursors(&mut watcher, log.len()).await;
        assert!(seen.iter().map(|(event, _)| event).eq(&log));
        // It is the same feed: what one end calls a place, the other knows.
        if fixture.kept() >= log.len() {
            let mut resumed = ends.watch(WatchRequest::new().after(seen[0].1.clone())).await;
            assert_eq!(take(&mut resumed, log.len() - 1).await, log[1..]);
        }
    });
}

pub fn every_field_of_an_event_survives_the_feed<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(WatchRequest::new()).await;
        ends.publish(&[full_event()]).await;
        assert_eq!(take(&mut watcher, 1).await, [full_event()]);
    });
}

pub fn an_event_that_is_published_again_is_seen_once<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let (here, there) = (open(fixture).await, open(fixture).await);
        let log = sample_log(53, 8, &[]);
        let (first, rest) = log.split_at(log.len() / 2);
        let mut watchers = [
            here.watch(WatchRequest::new()).await,
            there.watch(WatchRequest::new().trace(log[0].trace_id)).await,
        ];
        here.publish(first).await;
        // As after an attempt whose outcome is not known.
        here.publish(first).await;
        there.publish(&log).await;
        let of_run = log.iter().filter(|event| event.trace_id == log[0].trace_id).cloned().collect();
        for (watcher, want) in watchers.iter_mut().zip([[first, rest].concat(), of_run]) {
            assert_eq!(take(watcher, want.len()).await, want);
        }
    });
}

pub fn a_cursor_is_good_for_all_events_and_for_one_run<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        if fixture.kept() < 20 {
            return;
        }
        let ends = open(fixture).await;
        let mut log = sample_log(54, 12, &[]);
        log.truncate(fixture.kept());
        let mut watcher = ends.watch(WatchRequest::new()).await;
        ends.publish(&log).await;
        let seen = take_with_cursors(&mut watcher, log.len()).await;
        let id = log[log.len() / 2].trace_id;
        let is_of_run = |event: &&TraceEvent| event.trace_id == id;
        let before = log.iter().position(|event| event.trace_id == id).unwrap() + 1;
        // The cursor is of an event of another run, perhaps.
        let cursor = &seen[before].1;
        let want: Vec<_> = log[before + 1..].iter().filter(is_of_run).cloned().collect();
        assert!(!want.is_empty(), "the run continues");
        let mut run = ends.watch(WatchRequest::new().trace(id).after(cursor.clone())).await;
        let of_run = take_with_cursors(&mut run, want.len()).await;
        assert!(of_run.iter().map(|(event, _)| event).eq(&want));
        let (last, cursor) = of_run.first().unwrap();
        let after = log.iter().position(|event| event.id() == last.id()).unwrap() + 1;
        let mut all = ends.watch(WatchRequest::new().after(cursor.clone())).await;
        assert_eq!(take(&mut all, log.len() - after).await, log[after..]);
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
        let mut stays = ends.watch(WatchRequest::new()).await;
        let mut leaves = ends.watch(WatchRequest::new()).await;
        let log = sample_log(44, 8, &[]);
        ends.publish(&log[..2]).await;
        take(&mut leaves, 1).await;
        drop(leaves);
        ends.publish(&log[2..]).await;
        assert_eq!(take(&mut stays, log.len()).await, log);
    });
}

/// An event of a run of its own.
fn single(key: &str) -> TraceEvent {
    TraceEvent::new(
        TraceId::from_key(key),
        SpanId::from_u64(1).unwrap(),
        "stage:single",
        Timestamp::from_micros(1_772_323_200_000_000),
        "loan-service",
    )
}

/// More events than the feed keeps.
fn flood(fixture: &impl FeedFixture) -> Vec<TraceEvent> {
    let mut flood = run("flood").key("flood");
    (1..fixture.flood()).for_each(|_| {
        flood.point("stage:item");
    });
    flood.events()
}

async fn publish_flood(ends: &Ends, flood: &[TraceEvent]) {
    let published = tokio::time::timeout(PATIENCE, async {
        for group in flood.chunks(500) {
            ends.publish(group).await;
        }
    });
    published.await.expect("a slow watcher holds nobody up");
}

pub fn a_slow_watcher_learns_that_it_missed_events<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(WatchRequest::new()).await;
        let flood = flood(fixture);
        publish_flood(&ends, &flood).await;
        follow(&mut watcher, &flood).await;
        let after = sample_log(47, 2, &[]);
        ends.publish(&after).await;
        assert_eq!(take(&mut watcher, after.len()).await, after, "it has caught up");
    });
}

pub fn a_watch_resumes_after_any_event<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(WatchRequest::new()).await;
        let mut log = sample_log(48, 12, &[]);
        log.truncate(fixture.kept());
        for group in log.chunks(7) {
            ends.publish(group).await;
        }
        let seen = take_with_cursors(&mut watcher, log.len()).await;
        let distinct: HashSet<_> = seen.iter().map(|(_, cursor)| cursor.as_str()).collect();
        assert_eq!(distinct.len(), log.len(), "each event has a cursor of its own");
        // One more follows, so that there is something to see after the last cursor.
        let last = single("the last");
        ends.publish(std::slice::from_ref(&last)).await;
        // The first is too old by now if the feed keeps no more than so many.
        for (place, (_, cursor)) in seen.iter().enumerate().skip(1) {
            let mut resumed = ends.watch(WatchRequest::new().after(cursor.clone())).await;
            let rest = take_with_cursors(&mut resumed, log.len() - place).await;
            let want = log[place + 1..].iter().chain([&last]);
            assert!(rest.iter().map(|(event, _)| event).eq(want), "after event {place}");
            let cursors = rest.iter().map(|(_, cursor)| cursor);
            let before = seen[place + 1..].iter().map(|(_, cursor)| cursor);
            assert!(cursors.zip(before).all(|(now, before)| now == before), "a cursor stays the same");
        }
    });
}

pub fn a_resumed_watch_keeps_to_what_it_asks_for<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        if fixture.kept() < 200 {
            return;
        }
        let ends = open(fixture).await;
        for place in 0..4 {
            let mut log = sample_log(490 + place as u64, 12, &[]);
            log.truncate(200);
            let request = requests(&log)[place].clone();
            let mut watcher = ends.watch(request.clone()).await;
            ends.publish(&log).await;
            let want: Vec<_> = log.iter().filter(|event| request.matches(event)).cloned().collect();
            let seen = take_with_cursors(&mut watcher, want.len()).await;
            let mut resumed = ends.watch(request.after(seen[0].1.clone())).await;
            assert_eq!(take(&mut resumed, want.len() - 1).await, want[1..]);
        }
    });
}

/// A run of so many events.
fn items(count: usize) -> Vec<TraceEvent> {
    let mut batch = run("batch").key("batch");
    (1..count).for_each(|_| {
        batch.point("stage:item");
    });
    batch.events()
}

pub fn nothing_is_lost_between_what_was_and_what_comes<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        if fixture.kept() < 20 {
            return;
        }
        let ends = open(fixture).await;
        let mut watcher = ends.watch(WatchRequest::new()).await;
        let items = items(210);
        ends.publish(&items[..1]).await;
        let mut last = take_with_cursors(&mut watcher, 1).await.remove(0).1;
        for (round, group) in items[1..].chunks(10).enumerate() {
            // Some of the group are there when the watch begins, and some of those are seen before the others come.
            let (there, coming) = group.split_at(round % 10);
            ends.publish(there).await;
            let mut resumed = ends.watch(WatchRequest::new().after(last)).await;
            let mut seen = take_with_cursors(&mut resumed, there.len() / 2).await;
            ends.publish(coming).await;
            seen.extend(take_until(&mut resumed, group.last().unwrap()).await);
            assert!(seen.iter().map(|(event, _)| event).eq(group), "each once, in order");
            last = seen.last().unwrap().1.clone();
        }
    });
}

pub fn a_watch_resumes_while_events_are_published<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        if fixture.kept() < 20 {
            return;
        }
        let (here, there) = (open(fixture).await, open(fixture).await);
        let items = items(fixture.kept().min(500));
        let mut watcher = there.watch(WatchRequest::new()).await;
        let published = items.clone();
        let publisher = tokio::spawn(async move {
            for event in &published {
                here.publish(std::slice::from_ref(event)).await;
                tokio::task::yield_now().await;
            }
        });
        let mut seen = Vec::new();
        while seen.len() < items.len() {
            let some = take_with_cursors(&mut watcher, 3.min(items.len() - seen.len())).await;
            let last = some.last().unwrap().1.clone();
            seen.extend(some.into_iter().map(|(event, _)| event));
            watcher = there.watch(WatchRequest::new().after(last)).await;
        }
        assert_eq!(seen, items, "each once, in order");
        publisher.await.unwrap();
    });
}

pub fn a_cursor_that_is_too_old_skips_nothing_in_silence<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        let mut watcher = ends.watch(WatchRequest::new()).await;
        let first = single("the first");
        ends.publish(std::slice::from_ref(&first)).await;
        let seen = take_with_cursors(&mut watcher, 1).await;
        drop(watcher);
        let flood = flood(fixture);
        publish_flood(&ends, &flood).await;
        let mut resumed = ends.watch(WatchRequest::new().after(seen[0].1.clone())).await;
        // A feed that keeps nothing says so as soon as something happens.
        let after = single("after");
        ends.publish(std::slice::from_ref(&after)).await;
        follow(&mut resumed, &[flood, vec![after]].concat()).await;
    });
}

pub fn a_cursor_of_another_feed_never_resumes_in_silence<F: FeedFixture>() {
    hold((F::fresh(), F::fresh()), async |(one, other)| {
        let (one, other) = (open(one).await, open(other).await);
        let mut watcher = one.watch(WatchRequest::new()).await;
        let log = sample_log(50, 4, &[]);
        one.publish(&log).await;
        let seen = take_with_cursors(&mut watcher, log.len()).await;
        other.publish(&[log.clone(), sample_log(51, 4, &[])].concat()).await;
        for (key, (_, cursor)) in [("new", &seen[0]), ("newer", &seen[log.len() - 1])] {
            match other.stream.watch(WatchRequest::new().after(cursor.clone())).await {
                Err(ReadError::InvalidQuery { .. }) => {}
                Err(error) => panic!("{error:?}"),
                Ok(mut resumed) => {
                    other.publish(&[single(key)]).await;
                    let item = next(&mut resumed).await;
                    assert!(matches!(item, StreamItem::Missed(_)), "{item:?} follows a foreign cursor");
                }
            }
        }
    });
}

pub fn a_watch_after_nonsense_is_an_invalid_query<F: FeedFixture>() {
    hold(F::fresh(), async |fixture| {
        let ends = open(fixture).await;
        ends.publish(&sample_log(52, 4, &[])).await;
        for nonsense in ["", "nonsense", "-1:2", "\u{1F4A5}", ":::", "run:1:2"] {
            let request = WatchRequest::new().after(Cursor::new(nonsense));
            match ends.stream.watch(request).await {
                Err(ReadError::InvalidQuery { .. }) => {}
                Err(error) => panic!("{nonsense:?}: {error:?}"),
                Ok(_) => panic!("{nonsense:?} is taken for a cursor"),
            }
        }
    });
}
