//! The suite passes a feed that keeps every promise, and finds each feed that breaks one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use throughline_model::testing::FaultyFeed;
use throughline_model::testing::conformance::{FeedFixture, rules};
use throughline_model::{
    AppendError, BoxFuture, Cursor, EventStream, FeedConfig, Instance, InstanceId, LiveFeed, OpenError,
    ReadError, StreamItem, TraceEvent, TraceStream, WatchFrom, WatchRequest,
};
use tokio::sync::watch;

use crate::broken_store::assert_broken;

mod sound {
    use super::*;

    struct Fixture(LogFeed);

    impl FeedFixture for Fixture {
        fn fresh() -> Self {
            Self(LogFeed::new(Change::None))
        }
        fn config(&self) -> Box<dyn FeedConfig> {
            Box::new(FaultyFeed::around(self.0.clone()))
        }
        fn flood(&self) -> usize {
            3 * LogFeed::CAPACITY
        }
        fn kept(&self) -> usize {
            LogFeed::CAPACITY
        }
    }

    throughline_model::feed_conformance!(Fixture);
}

/// A feed that keeps no event for those who resume, and does not count what they missed.
mod without_memory {
    use super::*;

    struct Fixture(LogFeed);

    impl FeedFixture for Fixture {
        fn fresh() -> Self {
            Self(LogFeed::new(Change::KeepsNothing))
        }
        fn config(&self) -> Box<dyn FeedConfig> {
            Box::new(self.0.clone())
        }
        fn flood(&self) -> usize {
            3 * LogFeed::CAPACITY
        }
        fn kept(&self) -> usize {
            0
        }
    }

    throughline_model::feed_conformance!(Fixture);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// Who resumes has missed something, and it is not said how much: this is allowed.
    KeepsNothing,
    SkipsInSilence,
    ResumesAtTheCursor,
    OneCursorForTwo,
    TakesForeignCursors,
    TakesNonsense,
    ForgetsTheFilter,
    IgnoresTheFilter,
    BeginsLate,
    ShowsRepeats,
    CursorsOfOneWatch,
}

/// A log with a bound, which watchers follow.
#[derive(Clone)]
struct LogFeed {
    /// Part of every cursor, so that those of another feed are known.
    id: InstanceId,
    log: Arc<Mutex<Log>>,
    /// How many events were published.
    published: watch::Sender<u64>,
    change: Change,
}

#[derive(Default)]
struct Log {
    first: u64,
    events: VecDeque<Arc<TraceEvent>>,
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

impl LogFeed {
    const CAPACITY: usize = 500;

    fn new(change: Change) -> Self {
        let (log, published) = (Arc::default(), watch::Sender::new(0));
        Self { id: InstanceId::random(), log, published, change }
    }

    fn cursor(&self, place: u64) -> Cursor {
        let place = if self.change == Change::OneCursorForTwo { place / 2 } else { place };
        Cursor::new(format!("log:{}:{place}", self.id))
    }

    /// The place of the event that a cursor names; `None` for one of another feed.
    fn place(&self, cursor: &Cursor) -> Result<Option<u64>, ReadError> {
        let read = || {
            let (id, place) = cursor.as_str().strip_prefix("log:")?.split_once(':')?;
            let is_own = id.parse() == Ok(self.id) || self.change == Change::TakesForeignCursors;
            let place: u64 = place.parse().ok()?;
            Some(is_own.then_some(place))
        };
        read().ok_or_else(|| cursor.foreign("this feed"))
    }
}

impl FeedConfig for LogFeed {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let feed = self.clone();
        Box::pin(async move { Ok(Arc::new(feed) as Arc<dyn LiveFeed>) })
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        let feed = self.clone();
        Box::pin(async move { Ok(Some(Arc::new(feed) as Arc<dyn TraceStream>)) })
    }
}

impl LiveFeed for LogFeed {
    fn name(&self) -> &str {
        "log"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let end = {
                let mut log = self.log.lock().unwrap();
                for event in events {
                    let is_repeat = log.events.iter().any(|kept| kept.id() == event.id());
                    if is_repeat && self.change != Change::ShowsRepeats {
                        continue;
                    }
                    log.events.push_back(Arc::clone(event));
                    if log.events.len() > Self::CAPACITY {
                        log.events.pop_front();
                        log.first += 1;
                    }
                }
                log.end()
            };
            self.published.send_replace(end);
            Ok(())
        })
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::new(self.clone()))
    }
}

/// One who follows the log.
struct Watcher {
    feed: LogFeed,
    request: WatchRequest,
    place: u64,
    /// Where the log ended when the watch began.
    replayed: u64,
    /// What must be said first.
    missed: Option<StreamItem>,
    published: watch::Receiver<u64>,
}

impl Watcher {
    /// What there is to see now.
    fn look(&mut self) -> Option<StreamItem> {
        if let Some(missed) = self.missed.take() {
            return Some(missed);
        }
        let log = self.feed.log.lock().unwrap();
        if self.place < log.first {
            let missed = log.first - std::mem::replace(&mut self.place, log.first);
            match self.feed.change {
                Change::SkipsInSilence => {}
                Change::KeepsNothing => return Some(StreamItem::Missed(None)),
                _ => return Some(StreamItem::Missed(Some(missed))),
            }
        }
        while self.place < log.end() {
            // Between what was replayed and what is seen live, something was published.
            let is_seam = self.place == self.replayed && self.place + 1 < log.end();
            self.place += u64::from(is_seam && self.feed.change == Change::BeginsLate);
            let place = self.place;
            self.place += 1;
            let event = &log.events[(place - log.first) as usize];
            let resumed = self.request.from != WatchFrom::Now;
            let sees_all = match self.feed.change {
                Change::IgnoresTheFilter => true,
                Change::ForgetsTheFilter => resumed,
                _ => false,
            };
            if sees_all || self.request.matches(event) {
                return Some(StreamItem::Event { event: Arc::clone(event), cursor: self.feed.cursor(place) });
            }
        }
        None
    }
}

impl TraceStream for LogFeed {
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        let published = self.published.subscribe();
        Box::pin(async move {
            let end = self.log.lock().unwrap().end();
            let mut missed = None;
            let place = match &request.from {
                WatchFrom::Now => end,
                WatchFrom::After(cursor) => match self.place(cursor) {
                    Err(_) if self.change == Change::TakesNonsense => end,
                    Ok(_) if self.change == Change::CursorsOfOneWatch && request.trace.is_some() => {
                        return Err(cursor.foreign("this watch"));
                    }
                    Err(error) => return Err(error),
                    Ok(Some(place)) if self.change != Change::KeepsNothing => match self.change {
                        Change::ResumesAtTheCursor => place,
                        _ => place + 1,
                    },
                    Ok(_) => {
                        missed = Some(StreamItem::Missed(None));
                        end
                    }
                },
            };
            let feed = self.clone();
            let replayed = if request.from == WatchFrom::Now { u64::MAX } else { end };
            let watcher = Watcher { feed, request, place, replayed, missed, published };
            let items = stream::unfold(watcher, async |mut watcher| {
                loop {
                    watcher.published.borrow_and_update();
                    if let Some(item) = watcher.look() {
                        return Some((Ok(item), watcher));
                    }
                    watcher.published.changed().await.ok()?;
                }
            });
            Ok(Box::pin(items) as EventStream)
        })
    }
}

macro_rules! broken_feeds {
    ($($test:ident: $change:ident breaks $($rule:ident),+;)*) => {
        $(
            #[test]
            fn $test() {
                struct Broken(LogFeed);

                impl FeedFixture for Broken {
                    fn fresh() -> Self {
                        Self(LogFeed::new(Change::$change))
                    }
                    fn config(&self) -> Box<dyn FeedConfig> {
                        Box::new(self.0.clone())
                    }
                    fn flood(&self) -> usize {
                        3 * LogFeed::CAPACITY
                    }
                }

                assert_broken(&[$((stringify!($rule), rules::$rule::<Broken>)),+]);
            }
        )*
    };
}

broken_feeds! {
    a_feed_that_skips_in_silence_is_found: SkipsInSilence breaks
        a_slow_watcher_learns_that_it_missed_events,
        a_cursor_that_is_too_old_skips_nothing_in_silence;
    a_watch_that_repeats_the_event_of_its_cursor_is_found: ResumesAtTheCursor breaks
        a_watch_resumes_after_any_event,
        a_watch_resumes_while_events_are_published;
    cursors_that_two_events_share_are_found: OneCursorForTwo breaks
        a_watch_resumes_after_any_event;
    a_cursor_of_another_feed_that_is_taken_is_found: TakesForeignCursors breaks
        a_cursor_of_another_feed_never_resumes_in_silence;
    nonsense_that_is_taken_for_a_cursor_is_found: TakesNonsense breaks
        a_watch_after_nonsense_is_an_invalid_query;
    a_filter_that_is_forgotten_is_found: ForgetsTheFilter breaks
        a_resumed_watch_keeps_to_what_it_asks_for;
    a_filter_that_is_ignored_is_found: IgnoresTheFilter breaks
        a_watcher_with_a_filter_sees_what_matches,
        a_watcher_of_one_run_sees_that_run_alone;
    an_event_that_is_shown_twice_is_found: ShowsRepeats breaks
        an_event_that_is_published_again_is_seen_once;
    a_cursor_that_is_good_for_one_kind_of_watch_alone_is_found: CursorsOfOneWatch breaks
        a_cursor_is_good_for_all_events_and_for_one_run;
    a_gap_between_replay_and_live_is_found: BeginsLate breaks
        nothing_is_lost_between_what_was_and_what_comes;
}
