//! Pages: everything once, and nothing twice.

use std::collections::HashSet;
use std::fmt;

use super::oracle::{Oracle, ids};
use super::pages::{self, turn};
use super::{OpenStore, StoreFixture, hold, open};
use crate::testing::{RunBuilder, run, sample_log};
use crate::{Cursor, Filter, Page, Paged, ReadError, Scope, SpanId, Status, Timestamp, TraceEvent, TraceId};

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
                let runs = oracle.runs(&filter);
                assert_eq!(pages::runs_by(&*store.reader, &filter, limit).await, runs, "pages of {limit}");
                let mut without_causes = pages::runs_without_causes(&*store.reader, &filter, limit).await;
                for (found, run) in without_causes.iter_mut().zip(&runs) {
                    found.cause = found.cause.take().or_else(|| run.cause.clone());
                }
                assert_eq!(without_causes, runs, "causes may be missing, and nothing else");
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

pub fn pages_of_one_run_cover_everything_once_in_order<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(16, 20, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        for id in oracle.log.runs.keys() {
            let whole = store.reader.trace(*id).await.unwrap();
            for limit in [1, 7, 100, usize::MAX] {
                let found = pages::trace_by(&*store.reader, *id, limit).await;
                assert_eq!(found, whole, "pages of {limit}");
            }
        }
        let nobody = store.reader.trace_page(TraceId::from_key("nobody"), &Page::first(10)).await.unwrap();
        assert!(nobody.items.is_empty() && nobody.next.is_none());
    });
}

pub fn a_span_by_itself_has_the_events_that_it_has_in_its_run<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(16, 6, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        let unknown = SpanId::from_u64(u64::MAX).unwrap();
        for id in oracle.log.runs.keys() {
            let whole = store.reader.trace(*id).await.unwrap();
            let mut spans: Vec<SpanId> = whole.iter().map(|event| event.span_id).collect();
            spans.sort_unstable();
            spans.dedup();
            for span in spans.into_iter().chain([unknown]) {
                let want: Vec<_> = whole.iter().filter(|event| event.span_id == span).cloned().collect();
                assert_eq!(store.reader.span(*id, span).await.unwrap(), want, "span {span} of {id}");
            }
        }
        let nobody = store.reader.span(TraceId::from_key("nobody"), unknown).await.unwrap();
        assert_eq!(nobody, []);
    });
}

pub fn pages_of_one_run_hold_still_while_events_arrive<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut long = run("agent").key("agent");
        let step = |long: &mut RunBuilder, count: usize| {
            (0..count).for_each(|_| {
                long.point("agent:step");
            });
        };
        step(&mut long, 60);
        // Events that arrive late, each before a place that some page has passed.
        let mut late = long.events();
        late.retain(|event| event.n % 10 == 9);
        let mut there = long.events();
        there.retain(|event| event.n % 10 != 9);
        store.append(&there).await;
        let found = turn(
            4,
            async |page| store.reader.trace_page(long.trace_id(), &page).await,
            async |turned| {
                let before = long.events().len();
                let mut long = long.clone();
                step(&mut long, turned + 1);
                // What is there already is kept once.
                let growing = long.events().split_off(before);
                match turned < 10 {
                    true => store.append(&growing).await,
                    false => store.append(&late).await,
                }
            },
        )
        .await;
        assert!(found.is_sorted_by(|a, b| a.order() < b.order()), "in order, and none twice");
        let found: HashSet<_> = found.iter().map(TraceEvent::id).collect();
        assert!(there.iter().all(|event| found.contains(&event.id())), "all that was there before");
        let whole = store.reader.trace(long.trace_id()).await.unwrap();
        let last = whole.last().unwrap();
        assert!(found.contains(&last.id()), "and what arrived behind the pages");
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
        let trace = store.reader.trace_page(builder.trace_id(), &Page::first(2)).await.unwrap();
        assert!(trace.items.len() == 2 && trace.next.is_none());
        let none = store.reader.events(&Filter::new(), &Page::first(0)).await.unwrap();
        assert!(none.items.is_empty());
    });
}

pub fn a_cursor_of_nonsense_is_an_invalid_query<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append(&sample_log(7, 3, &[])).await;
        for nonsense in ["", "nonsense", "1", "-1:2:3", "'; drop table events; --", "\u{1F4A5}", ":::::::"] {
            let cursor = Cursor::new(nonsense);
            assert_invalid_for_events(&store, &cursor).await;
            assert_invalid_for_runs(&store, &cursor).await;
        }
    });
}

pub fn a_cursor_of_events_is_none_of_runs_and_the_other_way_round<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.append(&sample_log(17, 3, &[])).await;
        let events = store.reader.events(&Filter::new(), &Page::first(1)).await.unwrap();
        assert_invalid_for_runs(&store, &events.next.unwrap()).await;
        let runs = store.reader.runs(&Filter::new(), &Page::first(1)).await.unwrap();
        assert_invalid_for_events(&store, &runs.next.unwrap()).await;
    });
}

async fn assert_invalid_for_events(store: &OpenStore, cursor: &Cursor) {
    let page = Page { limit: 10, after: Some(cursor.clone()) };
    assert_invalid(cursor, store.reader.events(&Filter::new(), &page).await);
    assert_invalid(cursor, store.reader.trace_page(TraceId::from_key("loan-1"), &page).await);
}

async fn assert_invalid_for_runs(store: &OpenStore, cursor: &Cursor) {
    let page = Page { limit: 10, after: Some(cursor.clone()) };
    assert_invalid(cursor, store.reader.runs(&Filter::new(), &page).await);
    assert_invalid(cursor, store.reader.open_runs(&page).await);
    assert_invalid(cursor, store.reader.open_summaries(&page).await);
}

fn assert_invalid<T: fmt::Debug>(cursor: &Cursor, answer: Result<Paged<T>, ReadError>) {
    assert!(matches!(answer, Err(ReadError::InvalidQuery { .. })), "{cursor:?}: {answer:?}");
}
