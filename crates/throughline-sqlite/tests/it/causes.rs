//! Causes of runs that have too many events for the writer to look for them.

use throughline_model::testing::run;
use throughline_model::{Filter, Page, TraceReader as _};

use crate::{Place, open, shared};

#[tokio::test]
async fn the_cause_of_a_very_long_run_is_found_where_it_is_asked_for_and_nowhere_else() {
    let place = Place::new();
    let mut long = run("import").key("nightly");
    long.root();
    for _ in 0..20_000 {
        long.point("stage:row");
    }
    let failed = long.begin("stage:commit");
    long.fail(failed, "Timeout", "no answer");
    long.fail_run("Timeout", "no answer");
    let store = open(place.store()).await;
    for group in long.events().chunks(1_000) {
        store.append(&shared(group)).await.unwrap();
    }
    let reader = place.store().open_reader().unwrap();
    let (filter, page) = (Filter::new().correlation_id("nightly"), Page::first(1));
    let with = reader.runs(&filter, &page).await.unwrap().items.remove(0);
    assert_eq!(with.cause.as_ref().map(|cause| cause.name.as_str()), Some("stage:commit"));
    let mut without = reader.runs_without_causes(&filter, &page).await.unwrap().items.remove(0);
    assert_eq!(without.cause.take(), None);
    without.cause.clone_from(&with.cause);
    assert_eq!(without, with);
}
