//! The suite finds each store that breaks a promise: a proof of the suite.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use throughline_model::testing::conformance::{StoreFixture, rules};
use throughline_model::{StoreConfig, TraceEvent};

use crate::altered::{Altered, Change};
use crate::remote_store::refused_event;

/// Asserts that rules are broken.
pub(crate) fn assert_broken(rules: &[(&str, fn())]) {
    for (name, rule) in rules {
        assert!(catch_unwind(AssertUnwindSafe(rule)).is_err(), "`{name}` finds nothing wrong");
    }
}

macro_rules! broken_stores {
    ($($test:ident: $change:ident breaks $($rule:ident),+;)*) => {
        $(
            #[test]
            fn $test() {
                struct Broken(Altered);

                impl StoreFixture for Broken {
                    fn fresh() -> Self {
                        Self(Altered::new(Change::$change))
                    }
                    fn config(&self) -> Box<dyn StoreConfig> {
                        Box::new(self.0.clone())
                    }
                    fn refused_event(&self) -> Option<TraceEvent> {
                        Some(refused_event())
                    }
                    fn advance(&self, time: Duration) -> bool {
                        self.0.advance(time);
                        true
                    }
                    fn keeps_secret(&self) -> bool {
                        true
                    }
                }

                assert_broken(&[$((stringify!($rule), rules::$rule::<Broken>)),+]);
            }
        )*
    };
}

broken_stores! {
    an_order_that_is_lost_is_found: OrderById breaks
        appended_events_are_there_in_order_after_reopening,
        events_of_equal_time_keep_the_order_of_instance_and_number;
    a_call_that_is_split_is_found: SplitsCalls breaks
        a_call_is_seen_as_a_whole_or_not_at_all,
        a_call_with_events_of_several_traces_is_atomic_for_each,
        a_call_that_was_dropped_may_be_made_again;
    a_part_of_a_trace_beside_a_refused_event_is_found: KeepsPartOfATrace breaks
        a_refused_event_keeps_its_whole_trace_out;
    a_later_version_in_the_place_of_the_first_is_found: KeepsTheLast breaks
        appending_again_keeps_one_of_each_and_the_first;
    an_event_that_is_there_twice_is_found: KeepsRepetitions breaks
        appending_again_keeps_one_of_each_and_the_first,
        overlapping_groups_keep_one_of_each,
        a_call_that_was_dropped_may_be_made_again;
    a_limit_of_events_that_does_not_hold_is_found: TakesLessThanItSays breaks
        a_call_at_the_limit_is_taken;
    a_limit_of_calls_that_does_not_hold_is_found: TakesFewerCallsThanItSays breaks
        as_many_calls_as_the_limits_say_are_taken_at_once;
    a_claim_that_is_granted_twice_is_found: GrantsEveryClaim breaks
        of_many_claims_at_once_one_is_granted,
        two_instances_never_have_one_run_at_a_time,
        a_claim_is_held_until_it_is_released;
    a_claim_in_two_steps_is_found: ClaimsInTwoSteps breaks
        of_many_claims_at_once_one_is_granted;
    a_claim_that_is_refused_to_its_holder_is_found: RefusesItsHolder breaks
        a_claim_is_held_until_it_is_released;
    a_release_for_others_is_found: ReleasesForOthers breaks
        a_release_by_another_changes_nothing;
    a_claim_that_outlives_its_store_is_found: ClaimsOutliveClose breaks
        closing_gives_every_claim_back;
    a_claim_that_outlives_its_lease_is_found: ClaimsOutliveLeases breaks
        what_an_instance_claimed_can_be_taken_when_its_lease_has_expired;
    a_claim_that_makes_a_run_is_found: ClaimsMakeRuns breaks
        a_claim_makes_no_run;
    a_renewal_after_the_end_is_found: RenewsAfterClose breaks
        a_renewal_after_the_end_brings_nothing_back;
    a_lease_that_expires_early_is_found: ExpiresEarly breaks
        an_instance_that_does_not_renew_its_lease_dies_when_it_expires;
    a_lease_without_room_for_a_late_renewal_is_found: NoRoomForALateRenewal breaks
        a_lease_expires_after_three_intervals_or_more;
    an_attempt_at_another_job_is_found: TakesJobsOfAllQueuesForOne breaks
        the_last_attempt_at_a_job_is_found_among_others;
    a_secret_that_changes_is_found: TellsEachAnotherSecret breaks
        a_secret_is_the_same_for_everybody_and_stays;
    an_unknown_instance_that_counts_as_imported_is_found: TakesUnknownForImported breaks
        liveness_is_answered_in_the_order_asked;
    a_page_that_repeats_an_event_is_found: EventsRepeat breaks
        pages_of_events_cover_everything_once,
        each_filter_alone_finds_what_it_says;
    a_page_that_skips_a_run_is_found: RunsAreSkipped breaks
        pages_of_runs_cover_everything_once,
        the_summary_of_each_run_is_as_defined;
    a_run_whose_pages_end_early_is_found: TraceEndsEarly breaks
        pages_of_one_run_cover_everything_once_in_order;
    a_span_that_is_read_in_part_is_found: SpansHaveNoEnd breaks
        a_span_by_itself_has_the_events_that_it_has_in_its_run;
    pages_counted_from_the_newest_are_found: PagesByOffset breaks
        pages_hold_still_while_new_events_arrive;
    pages_of_open_runs_counted_from_the_oldest_are_found: OpenPagesByOffset breaks
        pages_of_open_runs_hold_still_while_runs_end_and_begin;
    a_full_last_page_with_a_next_one_is_found: FullPagesNameNext breaks
        a_full_last_page_names_no_next;
    a_cursor_that_nobody_reads_is_found: TakesAnyCursor breaks
        a_cursor_of_nonsense_is_an_invalid_query;
    open_runs_in_a_wrong_order_are_found: OpenRunsById breaks
        open_runs_and_their_summaries_page_through_everything_once;
    a_wrong_last_event_is_found: LastEventIsTheFirst breaks
        open_runs_and_their_summaries_page_through_everything_once,
        an_open_run_says_when_its_last_event_was_whatever_else_that_changed;
    a_deployment_check_of_one_page_is_found: ChecksOnePage breaks
        a_deployment_check_counts_every_open_run;
    readers_that_are_stale_are_found: ReadersAreStale breaks
        readers_by_themselves_see_what_was_acknowledged;
    readers_that_end_with_the_store_are_found: ReadersEndWithTheStore breaks
        readers_by_themselves_answer_after_the_store_was_closed;
    readers_that_keep_to_their_runtime_are_found: ReadersKeepToTheirRuntime breaks
        questions_are_answered_on_any_runtime;
    a_rate_that_is_off_by_one_is_found: MiscountsFailures breaks
        a_handful_of_runs_gives_the_numbers_worked_out_by_hand,
        every_answer_across_runs_equals_the_reference,
        answers_across_runs_follow_a_run_from_open_to_ended;
}
