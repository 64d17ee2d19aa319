//! The suites that prove a store, a feed or a spool.
//!
//! Say how to make a fresh one, and let the macro write the tests, one for each promise. With [`RemoteStore`] for a
//! store of yours:
//!
//! ```
//! use throughline_model::StoreConfig;
//! use throughline_model::testing::RemoteStore;
//! use throughline_model::testing::conformance::StoreFixture;
//!
//! struct Fixture(RemoteStore);
//!
//! impl StoreFixture for Fixture {
//!     fn fresh() -> Self {
//!         Self(RemoteStore::new())
//!     }
//!     fn config(&self) -> Box<dyn StoreConfig> {
//!         Box::new(self.0.clone())
//!     }
//! }
//!
//! throughline_model::store_conformance!(Fixture);
//! ```
//!
//! The suite asks of a store no more than its contract promises: it keeps to the store's [limits](crate::Limits), renews
//! its [lease](crate::Lease), turns pages that are shorter than asked for, and leaves out what is
//! [not supported](crate::ReadError::Unsupported).
//!
//! [`RemoteStore`]: super::RemoteStore

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail the test that the suite is called from"
)]
#![expect(missing_docs, reason = "the name of a rule is its promise in full")]

mod analytics;
mod atomic;
mod claims;
mod feed;
mod leases;
mod open_runs;
mod oracle;
mod order;
mod outside;
mod pages;
mod paging;
mod reading;
mod runs;
mod spool;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::memory_spool::json_bytes;
use crate::{
    FeedConfig, Filter, Instance, InstanceId, Lease, Limits, OpenRun, ReadError, Readers, RunSummary,
    SpoolConfig, StoreConfig, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore,
};

#[doc(hidden)]
pub mod rules {
    //! The rules by name, as the macros call them.
    pub use super::analytics::*;
    pub use super::atomic::*;
    pub use super::claims::*;
    pub use super::feed::*;
    pub use super::leases::*;
    pub use super::open_runs::*;
    pub use super::order::*;
    pub use super::outside::*;
    pub use super::paging::*;
    pub use super::reading::*;
    pub use super::runs::*;
    pub use super::spool::*;
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

    /// Moves the clock forward by which the store's leases expire, where there is such a thing: a store that has it can be
    /// proved without waiting.
    fn advance(&self, time: Duration) -> bool {
        let _ = time;
        false
    }

    /// Whether the store keeps a [secret](crate::TraceReader::secret).
    fn keeps_secret(&self) -> bool {
        false
    }

    /// Whether the store keeps in which [process](crate::TraceReader::processes) each instance ran.
    fn keeps_processes(&self) -> bool {
        false
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

/// A spool, made for one test and gone with it.
pub trait SpoolFixture: Sized {
    /// A new, empty spool. Called outside any runtime.
    fn fresh() -> Self;

    /// Describes the spool, with a capacity of a mebibyte or a few: a test fills it. What two of these open is the same
    /// spool.
    fn config(&self) -> Box<dyn SpoolConfig>;
}

/// One instance that has the store of a fixture open.
struct OpenStore {
    id: InstanceId,
    store: Arc<dyn TraceStore>,
    reader: Arc<dyn TraceReader>,
    analytics: Arc<dyn TraceAnalytics>,
    renewal: Option<JoinHandle<()>>,
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
    }
}

/// Opens the store of a fixture as a new instance, and keeps its lease as delivery does.
async fn open(fixture: &impl StoreFixture) -> OpenStore {
    open_as(fixture, InstanceId::random()).await
}

/// Opens the store of a fixture as this instance, and keeps its lease as delivery does.
async fn open_as(fixture: &impl StoreFixture, id: InstanceId) -> OpenStore {
    let mut opened = open_silently_as(fixture, id).await;
    if let Lease::Heartbeat { interval, .. } = opened.store.lease() {
        let store = Arc::clone(&opened.store);
        opened.renewal = Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                // One that fails is late; the next one is not.
                let _ = store.heartbeat().await;
            }
        }));
    }
    opened
}

/// Opens the store of a fixture as a new instance whose lease nobody renews.
async fn open_silently(fixture: &impl StoreFixture) -> OpenStore {
    open_silently_as(fixture, InstanceId::random()).await
}

async fn open_silently_as(fixture: &impl StoreFixture, id: InstanceId) -> OpenStore {
    let instance = Instance::new(id, "conformance");
    let store = fixture.config().open(instance).await.expect("a fixture's store can be opened");
    let Readers { reader, analytics } = store.readers();
    OpenStore { id, store, reader, analytics, renewal: None }
}

impl OpenStore {
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

/// The answer to a question that a store may leave unanswered.
fn supported<T>(question: &str, answer: Result<T, ReadError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(ReadError::Unsupported { question: named }) => {
            assert_eq!(named, question, "what is not supported says so by its name");
            None
        }
        Err(error) => panic!("`{question}` is not answered: {error}"),
    }
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
        $crate::conformance_tests! { $fixture;
            // writing
            appended_events_are_there_in_order_after_reopening,
            an_empty_group_changes_nothing,
            appending_again_keeps_one_of_each_and_the_first,
            overlapping_groups_keep_one_of_each,
            what_is_appended_inline_is_there_at_once_and_once,
            span_ids_belong_to_their_trace,
            every_field_of_an_event_survives,
            text_of_any_script_and_a_large_payload_survive,
            numbers_at_their_limits_survive,
            several_instances_append_at_once,
            // calls
            a_call_is_seen_as_a_whole_or_not_at_all,
            a_call_with_events_of_several_traces_is_atomic_for_each,
            a_call_at_the_limit_is_taken,
            as_many_calls_as_the_limits_say_are_taken_at_once,
            a_refused_event_keeps_its_whole_trace_out,
            a_call_that_was_dropped_may_be_made_again,
            what_was_prepared_is_there_only_after_its_call,
            what_was_prepared_in_vain_is_undone,
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
            the_last_attempt_at_a_job_is_found_among_others,
            // paging
            pages_of_events_cover_everything_once,
            pages_of_runs_cover_everything_once,
            pages_hold_still_while_new_events_arrive,
            pages_of_events_at_one_moment_cover_everything_once,
            pages_of_one_run_cover_everything_once_in_order,
            a_span_by_itself_has_the_events_that_it_has_in_its_run,
            pages_of_one_run_hold_still_while_events_arrive,
            a_full_last_page_names_no_next,
            a_cursor_of_nonsense_is_an_invalid_query,
            a_cursor_of_events_is_none_of_runs_and_the_other_way_round,
            // readers by themselves
            readers_by_themselves_see_what_was_acknowledged,
            readers_by_themselves_answer_after_the_store_was_closed,
            readers_by_themselves_make_no_store,
            questions_are_answered_on_any_runtime,
            // runs
            the_summary_of_each_run_is_as_defined,
            the_summary_of_a_broken_run_is_as_defined_after_each_event,
            open_spans_are_running_interrupted_or_unfinished,
            a_run_resumed_by_another_instance_is_running_again,
            a_run_resumed_after_its_end_is_open_again,
            a_run_starts_with_its_earliest_event_whoever_emitted_it,
            the_earliest_root_decides,
            a_root_that_began_elsewhere_decides_only_without_another,
            a_run_has_not_ended_before_the_jobs_it_put_into_a_queue,
            a_run_without_a_root_is_summarised_from_its_events,
            a_workflow_inside_a_request_names_the_run,
            the_first_failure_is_the_earliest_even_if_it_arrives_late,
            the_cause_is_what_brought_the_run_down_and_not_what_it_put_up_with,
            the_cause_is_found_from_all_that_its_rules_look_at,
            what_fails_within_a_step_is_in_its_place_among_the_steps,
            // open runs
            open_runs_come_oldest_first_with_their_current_step,
            open_runs_and_their_summaries_page_through_everything_once,
            pages_of_open_runs_hold_still_while_runs_end_and_begin,
            an_open_run_says_when_its_last_event_was_whatever_else_that_changed,
            safe_to_deploy_says_what_the_states_say,
            a_deployment_check_counts_every_open_run,
            a_deployment_is_safe_when_nothing_runs,
            // leases
            liveness_is_answered_in_the_order_asked,
            a_process_is_known_from_its_lease_also_when_it_has_ended,
            a_secret_is_the_same_for_everybody_and_stays,
            an_instance_that_opens_again_is_alive_again,
            a_renewal_after_the_end_brings_nothing_back,
            a_lease_expires_after_three_intervals_or_more,
            an_instance_that_does_not_renew_its_lease_dies_when_it_expires,
            what_an_instance_claimed_can_be_taken_when_its_lease_has_expired,
            // claims
            of_many_claims_at_once_one_is_granted,
            two_instances_never_have_one_run_at_a_time,
            a_claim_is_held_until_it_is_released,
            a_release_by_another_changes_nothing,
            closing_gives_every_claim_back,
            a_claim_makes_no_run,
            // analytics
            a_handful_of_runs_gives_the_numbers_worked_out_by_hand,
            every_answer_across_runs_equals_the_reference,
            answers_across_runs_do_not_depend_on_the_order_of_arrival,
            answers_across_runs_count_nothing_twice,
            answers_across_runs_survive_reopening,
            answers_across_runs_follow_a_run_from_open_to_ended,
            a_run_at_no_known_time_counts_and_is_at_no_time,
            an_empty_store_answers_with_nothing,
            answers_keep_to_their_limit,
        }
    };
}

/// Writes one `#[test]` for each promise that a [`LiveFeed`](crate::LiveFeed) and its
/// [`TraceStream`](crate::TraceStream) make, for the feed of a
/// [`FeedFixture`](crate::testing::conformance::FeedFixture). It is used like
/// [`store_conformance!`](crate::store_conformance); for a feed that needs something which may not be there, such as a
/// server, `feed_conformance!(Fixture, if server_is_there())` leaves the tests out without it.
#[macro_export]
macro_rules! feed_conformance {
    ($fixture:ty $(, if $there:expr)?) => {
        $crate::conformance_tests! { $fixture $(, if $there)?;
            a_watcher_sees_every_event_from_now_on_in_order,
            a_watcher_of_one_run_sees_that_run_alone,
            a_watcher_with_a_filter_sees_what_matches,
            every_watcher_sees_everything,
            every_field_of_an_event_survives_the_feed,
            an_event_that_is_published_again_is_seen_once,
            a_cursor_is_good_for_all_events_and_for_one_run,
            publishing_to_nobody_goes_well,
            a_watcher_that_leaves_disturbs_nobody,
            a_slow_watcher_learns_that_it_missed_events,
            a_stream_opened_by_itself_sees_what_is_published,
            a_watch_resumes_after_any_event,
            nothing_is_lost_between_what_was_and_what_comes,
            a_watch_resumes_while_events_are_published,
            a_resumed_watch_keeps_to_what_it_asks_for,
            a_cursor_that_is_too_old_skips_nothing_in_silence,
            a_cursor_of_another_feed_never_resumes_in_silence,
            a_watch_after_nonsense_is_an_invalid_query,
        }
    };
}

/// Writes one `#[test]` for each promise that a [`Spool`](crate::Spool) makes, for the spool of a
/// [`SpoolFixture`](crate::testing::conformance::SpoolFixture).
///
/// ```
/// use throughline_model::SpoolConfig;
/// use throughline_model::testing::MemorySpool;
/// use throughline_model::testing::conformance::SpoolFixture;
///
/// struct Fixture(MemorySpool);
///
/// impl SpoolFixture for Fixture {
///     fn fresh() -> Self {
///         Self(MemorySpool::new())
///     }
///     fn config(&self) -> Box<dyn SpoolConfig> {
///         Box::new(self.0.clone())
///     }
/// }
///
/// throughline_model::spool_conformance!(Fixture);
/// ```
#[macro_export]
macro_rules! spool_conformance {
    ($fixture:ty) => {
        $crate::conformance_tests! { $fixture;
            events_come_out_in_the_order_they_went_in,
            every_field_of_an_event_survives_the_spool,
            looking_removes_nothing,
            what_is_removed_is_gone_and_the_rest_stays,
            removing_again_changes_nothing,
            positions_grow_and_are_never_used_again,
            an_empty_push_changes_nothing,
            a_full_spool_keeps_what_it_has_and_takes_more_once_there_is_room,
            what_waits_is_there_after_reopening,
            a_spool_is_open_to_one_at_a_time,
            pushes_at_once_are_each_kept_as_a_whole,
            what_is_set_aside_no_longer_waits_and_is_kept_with_its_reason,
            a_reader_shows_what_waits_and_nothing_else,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:ty; $($rule:ident,)*) => {
        $crate::conformance_tests! { $fixture, if true; $($rule,)* }
    };
    ($fixture:ty, if $there:expr; $($rule:ident,)*) => {
        $(
            #[test]
            fn $rule() {
                if $there {
                    $crate::testing::conformance::rules::$rule::<$fixture>();
                }
            }
        )*
    };
}
