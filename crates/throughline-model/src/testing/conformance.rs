//! The suites that prove a store or a feed.
//!
//! Say how to make a fresh store, and let the macro write the tests, one for each promise. With `JsonLines` for a
//! store of yours:
//!
//! ```text
//! struct Fixture(tempfile::TempDir);
//!
//! impl StoreFixture for Fixture {
//!     fn fresh() -> Self {
//!         Self(tempfile::tempdir().unwrap())
//!     }
//!     fn config(&self) -> Box<dyn StoreConfig> {
//!         Box::new(JsonLines::new(self.0.path()))
//!     }
//! }
//!
//! throughline_model::store_conformance!(Fixture);
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail the test that the suite is called from"
)]
#![expect(missing_docs, reason = "the name of a rule is its promise in full")]

mod analytics;
mod feed;
mod oracle;
mod order;
mod pages;
mod paging;
mod reading;
mod runs;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;

use super::memory_spool::json_bytes;
use crate::{
    FeedConfig, Filter, Instance, InstanceId, Limits, OpenRun, Readers, RunSummary, StoreConfig,
    TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore,
};

#[doc(hidden)]
pub mod rules {
    //! The rules by name, as the macros call them.
    pub use super::analytics::*;
    pub use super::feed::*;
    pub use super::order::*;
    pub use super::paging::*;
    pub use super::reading::*;
    pub use super::runs::*;
    pub use super::writing::*;
}

/// A place where events are kept, made for one test and gone with it: a temporary folder, an emulator's
/// database, a handle of a memory store.
pub trait StoreFixture: Sized {
    /// A new, empty store. Called outside any runtime.
    fn fresh() -> Self;

    /// Describes the store. What two of these open are two instances that share all data, whether they are
    /// open at the same time or one after the other.
    fn config(&self) -> Box<dyn StoreConfig>;

    /// An event that the store will never take, where there is such a thing: one with a name that is too long, say. It
    /// fits into the store's [limits](TraceStore::limits) together with a few small events.
    fn refused_event(&self) -> Option<TraceEvent> {
        None
    }
}

/// A live feed, made for one test and gone with it.
pub trait FeedFixture: Sized {
    /// A new feed that nobody watches. Called outside any runtime.
    fn fresh() -> Self;

    /// Describes the feed. What two of these open are two ends of one feed.
    fn config(&self) -> Box<dyn FeedConfig>;

    /// How many events to publish at a watcher that does not look: more than the feed keeps for it.
    fn flood(&self) -> usize {
        20_000
    }

    /// How many of the latest events a watcher that [resumes](crate::WatchFrom::After) is sure to be shown; 0 where the
    /// feed keeps none.
    fn kept(&self) -> usize {
        200
    }
}

/// One instance that has the store of a fixture open.
struct Opened {
    id: InstanceId,
    store: Arc<dyn TraceStore>,
    reader: Arc<dyn TraceReader>,
    analytics: Arc<dyn TraceAnalytics>,
}

/// Opens the store of a fixture as a new instance.
async fn open(fixture: &impl StoreFixture) -> Opened {
    open_as(fixture, InstanceId::random()).await
}

/// Opens the store of a fixture as this instance.
async fn open_as(fixture: &impl StoreFixture, id: InstanceId) -> Opened {
    let instance = Instance::new(id, "conformance");
    let store = fixture.config().open(instance).await.expect("a fixture's store can be opened");
    let Readers { reader, analytics } = store.readers();
    Opened { id, store, reader, analytics }
}

impl Opened {
    /// Appends events as delivery does: in calls that keep to the store's limits, the events of each trace in order.
    async fn append(&self, events: &[TraceEvent]) {
        let limits = self.store.limits();
        let events = shared(events);
        if !limits.one_trace {
            return self.append_in_turn(&limits, &events).await;
        }
        let mut traces: Vec<Vec<Arc<TraceEvent>>> = Vec::new();
        let mut places: HashMap<TraceId, usize> = HashMap::new();
        for event in events {
            let place = *places.entry(event.trace_id).or_insert_with(|| {
                traces.push(Vec::new());
                traces.len() - 1
            });
            traces[place].push(event);
        }
        let limits = &limits;
        futures_util::stream::iter(traces)
            .for_each_concurrent(limits.in_flight, |trace| async move {
                self.append_in_turn(limits, &trace).await;
            })
            .await;
    }

    async fn append_in_turn(&self, limits: &Limits, events: &[Arc<TraceEvent>]) {
        for call in calls(limits, events) {
            self.store.append(call).await.expect("a sound call is taken");
        }
    }

    /// Appends events in groups as an emitter makes them.
    async fn append_in_groups(&self, events: &[TraceEvent]) {
        for group in events.chunks(97) {
            self.append(group).await;
        }
    }

    async fn events(&self, filter: &Filter) -> Vec<TraceEvent> {
        pages::events(&*self.reader, filter).await
    }

    async fn runs(&self, filter: &Filter) -> Vec<RunSummary> {
        pages::runs(&*self.reader, filter).await
    }

    async fn open_runs(&self) -> Vec<OpenRun> {
        pages::open_runs(&*self.reader).await
    }

    async fn close(self) {
        self.store.close().await.expect("an open store can be closed");
    }
}

/// Events cut into calls that keep to the limits of events and bytes.
fn calls<'a>(limits: &Limits, events: &'a [Arc<TraceEvent>]) -> Vec<&'a [Arc<TraceEvent>]> {
    let (mut calls, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, event) in events.iter().enumerate() {
        let more = json_bytes(event);
        if at > from && (at - from >= limits.events || bytes + more > limits.bytes) {
            calls.push(&events[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    calls.push(&events[from..]);
    calls
}

fn shared(events: &[TraceEvent]) -> Vec<Arc<TraceEvent>> {
    events.iter().cloned().map(Arc::new).collect()
}

/// Runs a rule on a runtime of its own, with a fixture that was made outside of it and outlives it.
fn hold<F>(fixture: F, rule: impl AsyncFnOnce(&F)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a test can have a runtime");
    runtime.block_on(rule(&fixture));
    drop(runtime);
}

/// Writes one `#[test]` for each promise that a [`TraceStore`] makes, for the store of a
/// [`StoreFixture`](crate::testing::conformance::StoreFixture). See
/// [`testing::conformance`](crate::testing::conformance).
#[macro_export]
macro_rules! store_conformance {
    ($fixture:ty) => {
        $crate::conformance_tests! { $fixture:
            // writing
            appended_events_are_there_in_order_after_reopening,
            a_group_is_seen_as_a_whole_or_not_at_all,
            a_refused_event_keeps_its_whole_group_out,
            an_empty_group_changes_nothing,
            a_group_of_thousands_is_appended,
            appending_again_keeps_one_of_each_and_the_first,
            overlapping_groups_keep_one_of_each,
            what_is_appended_inline_is_there_at_once_and_once,
            span_ids_belong_to_their_trace,
            every_field_of_an_event_survives,
            text_of_any_script_and_a_large_payload_survive,
            numbers_at_their_limits_survive,
            several_instances_append_at_once,
            // order
            events_of_equal_time_keep_the_order_of_instance_and_number,
            moments_before_1970_are_moments_like_any_other,
            arrival_in_any_order_gives_the_same_answers,
            // reading
            each_filter_alone_finds_what_it_says,
            filters_together_must_all_hold,
            a_prefix_is_taken_literally,
            since_is_inclusive_and_until_is_not,
            events_come_newest_first_and_runs_last_started_first,
            a_run_is_found_by_its_summary_and_by_what_one_event_is,
            what_is_not_there_is_answered_with_nothing,
            runs_are_found_by_the_beginning_of_their_id,
            // paging
            pages_of_events_cover_everything_once,
            pages_of_runs_cover_everything_once,
            pages_hold_still_while_new_events_arrive,
            pages_of_events_at_one_moment_cover_everything_once,
            a_full_last_page_names_no_next,
            a_cursor_of_nonsense_is_an_invalid_query,
            // runs
            the_summary_of_each_run_is_as_defined,
            the_summary_of_a_broken_run_is_as_defined_after_each_event,
            open_spans_are_running_interrupted_or_unfinished,
            a_run_resumed_by_another_instance_is_running_again,
            a_run_resumed_after_its_end_is_open_again,
            a_run_starts_with_its_earliest_event_whoever_emitted_it,
            the_earliest_root_decides,
            a_run_has_not_ended_before_the_jobs_it_put_into_a_queue,
            a_run_without_a_root_is_summarised_from_its_events,
            a_workflow_inside_a_request_names_the_run,
            the_first_failure_is_the_earliest_even_if_it_arrives_late,
            open_runs_come_oldest_first_with_their_current_step,
            liveness_is_answered_in_the_order_asked,
            an_instance_that_opens_again_is_alive_again,
            a_deployment_is_safe_when_nothing_runs,
            // analytics
            a_handful_of_runs_gives_the_numbers_worked_out_by_hand,
            every_answer_across_runs_equals_the_reference,
            answers_across_runs_do_not_depend_on_the_order_of_arrival,
            answers_across_runs_count_nothing_twice,
            answers_across_runs_survive_reopening,
            answers_across_runs_follow_a_run_from_open_to_ended,
            an_empty_store_answers_with_nothing,
            answers_keep_to_their_limit,
        }
    };
}

/// Writes one `#[test]` for each promise that a [`LiveFeed`](crate::LiveFeed) and its
/// [`TraceStream`](crate::TraceStream) make, for the feed of a
/// [`FeedFixture`](crate::testing::conformance::FeedFixture).
#[macro_export]
macro_rules! feed_conformance {
    ($fixture:ty) => {
        $crate::conformance_tests! { $fixture:
            a_watcher_sees_every_event_from_now_on_in_order,
            a_watcher_of_one_run_sees_that_run_alone,
            a_watcher_with_a_filter_sees_what_matches,
            every_watcher_sees_everything,
            every_field_of_an_event_survives_the_feed,
            publishing_to_nobody_goes_well,
            a_watcher_that_leaves_disturbs_nobody,
            a_slow_watcher_learns_that_it_missed_events,
            a_stream_opened_by_itself_sees_what_is_published,
            a_watch_resumes_after_any_event,
            a_watch_resumes_while_events_are_published,
            a_resumed_watch_keeps_to_what_it_asks_for,
            a_cursor_that_is_too_old_skips_nothing_in_silence,
            a_cursor_of_another_feed_never_resumes_in_silence,
            a_watch_after_nonsense_is_an_invalid_query,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:ty: $($rule:ident,)*) => {
        $(
            #[test]
            fn $rule() {
                $crate::testing::conformance::rules::$rule::<$fixture>();
            }
        )*
    };
}
