//! Pages: everything once, and nothing twice.

use super::oracle::{Oracle, ids};
use super::pages::{self, turn};
use super::{StoreFixture, hold, open};
use crate::testing::{run, sample_log};
use crate::{Cursor, Filter, Page, ReadError, Scope, Status, Timestamp};

pub fn pages_of_events_cover_everything_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(4, 40, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        for filter in [Filter::new(), Filter::new().status(Status::Failed).event_type("stage:*")] {
            for limit in [1, 7, 100] {
                let found = pages::events_by(&*store.reader, &filter, limit).await;
                assert_eq!(ids(&found), ids(&oracle.events(&filter)), "pages of {limit}");
            }
        }
    });
}

pub fn pages_of_runs_cover_everything_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(5, 60, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        for filter in [
            Filter::new(),
            Filter::new().status(Status::Failed).scope(Scope::all().workflow("loan-approval")),
        ] {
            for limit in [1, 7, 100] {
                assert_eq!(
                    pages::runs_by(&*store.reader, &filter, limit).await,
                    oracle.runs(&filter),
                    "pages of {limit}"
                );
            }
        }
    });
}

pub fn pages_hold_still_while_new_events_arrive<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(6, 30, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        let filter = Filter::new();
        let later = log.iter().map(|event| event.timestamp).max().unwrap();
        let arrive = async |key: String| {
            let mut new = run("loan-approval").key(&key).at(later.plus(std::time::Duration::from_secs(1)));
            new.complete_run();
            store.append(&new.events()).await;
        };
        let events = turn(
            20,
            async |page| store.reader.events(&filter, &page).await,
            async |turned| arrive(format!("new {turned}")).await,
        )
        .await;
        assert_eq!(ids(&events), ids(&oracle.events(&filter)));
        // The runs that arrived meanwhile are known by now; those that arrive from here on are not.
        let known = store.runs(&filter).await;
        let runs = turn(
            5,
            async |page| store.reader.runs(&filter, &page).await,
            async |turned| arrive(format!("newer {turned}")).await,
        )
        .await;
        assert!(known.iter().all(|run| runs.iter().filter(|found| *found == run).count() == 1));
    });
}

pub fn pages_of_events_at_one_moment_cover_everything_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut events = Vec::new();
        for key in 0..9 {
            let mut builder = run("loan-approval").key(&format!("loan-{key}"));
            builder.point("stage:sign");
            builder.complete_run();
            events.extend(builder.events());
        }
        for event in &mut events {
            // As an import without numbers has it: nothing but the identity tells these apart.
            event.timestamp = Timestamp::from_micros(1_772_323_200_000_000);
            event.n = 0;
        }
        store.append(&events).await;
        let mut want = ids(&events);
        want.sort();
        for limit in [1, 2, 5] {
            let mut found = ids(&pages::events_by(&*store.reader, &Filter::new(), limit).await);
            found.sort();
            assert_eq!(found, want, "pages of {limit}");
            let mut runs: Vec<_> = pages::runs_by(&*store.reader, &Filter::new(), limit).await;
            runs.sort_by_key(|run| run.trace_id);
            runs.dedup_by_key(|run| run.trace_id);
            assert_eq!(runs.len(), 9, "pages of {limit}");
        }
    });
}

pub fn a_full_last_page_names_no_next<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        builder.complete_run();
        store.append(&builder.events()).await;
        let events = store.reader.events(&Filter::new(), &Page::first(2)).await.unwrap();
        assert!(events.items.len() == 2 && events.next.is_none());
        let runs = store.reader.runs(&Filter::new(), &Page::first(1)).await.unwrap();
        assert!(runs.items.len() == 1 && runs.next.is_none());
        let none = store.reader.events(&Filter::new(), &Page::first(0)).await.unwrap();
        assert!(none.items.is_empty());
    });
}

pub fn a_cursor_of_nonsense_is_an_invalid_query<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append(&sample_log(7, 3, &[])).await;
        for nonsense in ["", "nonsense", "1", "-1:2:3", "'; drop table events; --", "\u{1F4A5}", ":::::::"] {
            let page = Page { limit: 10, after: Some(Cursor::new(nonsense)) };
            let events = store.reader.events(&Filter::new(), &page).await;
            assert!(matches!(events, Err(ReadError::InvalidQuery { .. })), "{nonsense:?}: {events:?}");
            let runs = store.reader.runs(&Filter::new(), &page).await;
            assert!(matches!(runs, Err(ReadError::InvalidQuery { .. })), "{nonsense:?}: {runs:?}");
        }
    });
}
