//! The pages in a real Chromium. What is looked at and clicked on is in `web/test/`, a function for each test here.

use std::sync::Arc;

use serde_json::json;
use throughline_core::testing::MemorySpool;
use throughline_core::{MemoryStore, Redaction, Throughline};
use throughline_viewer::{Access, Auth, Viewer};

use crate::http::{PATIENCE as SOON, Server};
use crate::player::{nothing, play};
use crate::sources::may_be_left_out;
use crate::story;
use crate::stubborn::Stubborn;

pub(crate) fn is_left_out() -> bool {
    may_be_left_out(&["node", "chromium"])
}

/// A service with runs of every kind.
pub(crate) async fn busy_service() -> (Throughline, Vec<story::Waiting>) {
    let throughline = story::service();
    for number in 0..60 {
        story::granted_loan(&throughline, &format!("loan-{number}")).await;
    }
    let waiting = vec![story::waiting_loan(&throughline, "loan-1040").await];
    story::refused_loan(&throughline, "loan-1036").await;
    (throughline, waiting)
}

#[tokio::test]
async fn after_one_click_the_cause_the_compensation_and_the_decision_are_in_sight() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("loan", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn every_page_is_accessible_in_both_themes_quiet_and_fits_any_width() {
    if is_left_out() {
        return;
    }
    let (throughline, waiting) = busy_service().await;
    let failed = story::refused_loan(&throughline, "loan-2000").await;
    let folder = tempfile::tempdir().unwrap();
    story::log_of(&throughline, failed, folder.path()).await;
    let server = Server::of(&Viewer::of(&throughline).logs(folder.path()).build().unwrap()).await;
    let given =
        json!({ "url": server.url(), "failed": failed.to_string(), "open": waiting[0].id.to_string() });
    play("pages", given, nothing).await;
}

#[tokio::test]
async fn the_list_is_searched_filtered_and_paged_and_new_runs_do_not_move_it() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("list", json!({ "url": server.url() }), async |place: &str| {
        assert_eq!(place, "watching");
        for number in 0..3 {
            story::granted_loan(&throughline, &format!("new-{number}")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_list_is_asked_for_survives_a_reload_and_the_way_back() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    throughline.ingest(story::tagged_runs()).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("address", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn a_run_is_found_by_key_id_request_workflow_and_error() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    story::granted_loan(&throughline, "loan-2").await;
    throughline.ingest(story::asked_run("letter-1", "req-77").1).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("search", json!({ "url": server.url(), "failed": failed.to_string() }), nothing).await;
}

#[tokio::test]
async fn a_run_that_ends_is_told_of_in_the_row_that_it_has() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    story::granted_loan(&throughline, "loan-1").await;
    let mut waiting = Some(story::waiting_loan(&throughline, "loan-1040").await);
    story::granted_loan(&throughline, "loan-2").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("ends", json!({ "url": server.url() }), async |_: &str| drop(waiting.take())).await;
}

#[tokio::test]
async fn times_are_those_of_utc_of_the_reader_or_how_long_ago() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let (_, events) = story::uneven_run();
    let started = events[0].timestamp.to_string();
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    // Half an hour off, and hours away from midnight: of an hour ago it was today, too.
    let (timezone, ahead) = if ("06".."18").contains(&&started[11..13]) {
        ("Asia/Kolkata", 330)
    } else {
        ("Australia/Darwin", 570)
    };
    let given = json!({ "url": server.url(), "started": started, "timezone": timezone, "ahead": ahead });
    play("times", given, nothing).await;
}

#[tokio::test]
async fn the_first_page_of_a_store_with_many_failed_and_open_runs_is_small() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    throughline.ingest(story::failed_runs(75)).await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..25 {
        waiting.push(story::waiting_loan(&throughline, &format!("loan-{number}")).await);
    }
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("weight", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn a_span_tells_what_it_recorded_and_the_path_that_took_longest_is_the_one_that_is_marked() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let (run, events) = story::uneven_run();
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("uneven", json!({ "url": server.url(), "run": run.to_string() }), nothing).await;
}

#[tokio::test]
async fn what_is_in_doubt_is_neither_counted_as_undone_nor_as_left() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let run = story::doubtful_loan(&throughline, "loan-5").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("doubt", json!({ "url": server.url(), "run": run.to_string() }), nothing).await;
}

#[tokio::test]
async fn each_saga_of_a_run_says_what_it_undid_and_what_was_undone_in_the_wrong_order() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let (run, events) = story::order_of_sagas();
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("sagas", json!({ "url": server.url(), "run": run.to_string() }), nothing).await;
}

#[tokio::test]
async fn names_without_room_are_broken_between_their_parts_and_no_page_scrolls_sideways() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let (run, events) = story::long_names();
    let step = events.iter().find(|event| event.event_type.starts_with("stage:synchronise")).unwrap();
    let (stage, key) = (step.event_type.clone(), step.correlation_id.clone());
    throughline.ingest(events).await.unwrap();
    let other = story::granted_loan(&throughline, "loan-1").await;
    let _waiting = story::waiting_loan(&throughline, "0196f3a2-7c1d-4e5b-9a80-2f6d8c4b1e08").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({
        "url": server.url(), "run": run.to_string(), "other": other.to_string(), "stage": stage, "key": key,
    });
    play("narrow", given, nothing).await;
}

#[tokio::test]
async fn addresses_that_nobody_would_write_and_times_that_no_clock_shows_leave_a_page_whole() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let (run, events) = story::endless_run();
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("bounds", json!({ "url": server.url(), "run": run.to_string() }), nothing).await;
}

#[tokio::test]
async fn runs_that_stand_still_say_why_and_are_paged_by_their_age() {
    if is_left_out() {
        return;
    }
    let store = MemoryStore::new();
    let throughline = story::service_with(store.clone());
    story::granted_loan(&throughline, "a run by which the service is known").await;
    let alive = store.events()[0].instance;
    let other = story::service_with(store.clone());
    story::granted_loan(&other, "a run by which the other process is known").await;
    let gone = store.events().last().unwrap().instance;
    assert!(other.shutdown(SOON).await.is_complete());
    throughline.ingest(story::runs_that_stand_still(alive, gone, 55)).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("standstill", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn a_run_is_saved_as_a_file_that_is_read_without_a_network() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    story::granted_loan(&throughline, "loan-1").await;
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.html");
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({ "url": server.url(), "failed": failed.to_string(), "file": file });
    play("saved", given, nothing).await;
    assert!(std::fs::read(file).unwrap().starts_with(throughline_viewer::OneFile::BEGINNING));
}

#[tokio::test]
async fn where_there_is_nothing_a_page_says_what_can_be_done() {
    if is_left_out() {
        return;
    }
    let server = Server::of(&Viewer::over(MemoryStore::new().readers()).build().unwrap()).await;
    let given = json!({ "url": server.url(), "unknown": "0123456789abcdef0123456789abcdef" });
    play("empty", given, nothing).await;
}

#[tokio::test]
async fn what_happened_between_two_connections_is_announced() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("gap", json!({ "url": server.url() }), async |place: &str| {
        story::granted_loan(&throughline, place).await;
        // All of it is in the feed before the page is back.
        assert!(throughline.flush(SOON).await.is_complete());
    })
    .await;
}

#[tokio::test]
async fn the_waterfall_is_searched_zoomed_folded_and_linked_to_by_mouse_and_keys() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    let retried = story::granted_loan(&throughline, "loan-2").await;
    let (patient, events) = story::patient_run();
    throughline.ingest(events).await.unwrap();
    let (called, events) = story::called_run();
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let [failed, retried, patient, called] = [failed, retried, patient, called].map(|id| id.to_string());
    let given = json!({
        "url": server.url(), "failed": failed, "retried": retried, "patient": patient, "called": called,
    });
    play("waterfall", given, nothing).await;
}

#[tokio::test]
async fn a_selection_is_the_same_in_the_order_of_time_and_in_the_graph_that_happened() {
    if is_left_out() {
        return;
    }
    let throughline = story::service_with(MemoryStore::new().capacity(100_000));
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    let (large, mut events) = story::large_run(3_000);
    for event in &mut events {
        if event.parent_span_id.is_some() {
            event.event_type = "stage:page".into();
        }
    }
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({ "url": server.url(), "failed": failed.to_string(), "large": large.to_string() });
    play("views", given, nothing).await;
}

#[tokio::test]
async fn a_region_of_slow_spans_says_what_is_different_about_them() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    throughline.ingest(story::shipped_runs(40)).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("heatmap", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn a_run_that_is_at_work_grows_on_the_page_although_nothing_happens_in_it() {
    if is_left_out() {
        return;
    }
    let store = MemoryStore::new();
    let throughline = story::service_with(store.clone());
    let waiting = story::waiting_loan(&throughline, "loan-1").await;
    let server = Server::of(&Viewer::over(store.readers()).build().unwrap()).await;
    let given = json!({ "url": server.url(), "open": waiting.id.to_string() });
    play("grows", given, nothing).await;
}

#[tokio::test]
async fn a_page_of_a_run_at_work_is_told_when_it_ends() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let mut waiting = Some(story::waiting_loan(&throughline, "loan-1").await);
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({ "url": server.url(), "open": waiting.as_ref().map(|run| run.id.to_string()) });
    play("live", given, async |_: &str| drop(waiting.take())).await;
}

#[tokio::test]
async fn what_runs_now_is_told_with_what_a_deployment_does_what_is_usual_and_who_has_it_in_hand() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    for number in 0..5 {
        story::reviewed_loan(&throughline, &format!("loan-{number}")).await;
    }
    let _waiting = story::waiting_loan(&throughline, "loan-1040").await;
    let _retrying =
        story::retrying_loan(&throughline, "loan-1041", std::time::Duration::from_secs(600)).await;
    let request = throughline.request("http:request").open();
    request.context().event("request:arrived", ()).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("running", json!({ "url": server.url(), "pid": std::process::id() }), nothing).await;
}

#[tokio::test]
async fn a_run_is_shown_within_the_one_that_began_it_and_leads_there() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let [order, bill] = story::order_with_bill(&throughline).await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({ "url": server.url(), "order": order.to_string(), "bill": bill.to_string() });
    play("family", given, nothing).await;
}

#[tokio::test]
async fn what_was_logged_in_a_run_is_read_searched_and_found_in_its_spans() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    let quiet = story::granted_loan(&throughline, "loan-1").await;
    let folder = tempfile::tempdir().unwrap();
    story::log_of(&throughline, failed, folder.path()).await;
    let server = Server::of(&Viewer::of(&throughline).logs(folder.path()).build().unwrap()).await;
    let [failed, quiet] = [failed, quiet].map(|id| id.to_string());
    let given = json!({ "url": server.url(), "failed": failed, "quiet": quiet, "text": story::HOSTILE });
    play("logs", given, nothing).await;
}

#[tokio::test]
async fn what_is_copied_leads_back_and_names_the_run_to_the_command() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let failed = story::refused_loan(&throughline, "loan-1036").await;
    story::granted_loan(&throughline, "loan-2").await;
    let other = story::refused_loan(&throughline, "loan-1037").await;
    story::refused_loan(&throughline, "loan-1036").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let given = json!({ "url": server.url(), "failed": failed.to_string(), "other": other.to_string() });
    play("copies", given, nothing).await;
}

#[tokio::test]
async fn each_pattern_leads_to_its_runs_and_the_library_tells_what_became_of_its_events() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("patterns", json!({ "url": server.url() }), async |_: &str| {
        story::granted_loan(&throughline, "loan-2001").await;
    })
    .await;
}

#[tokio::test]
async fn the_library_tells_what_waits_in_its_outbox_until_the_store_is_back() {
    if is_left_out() {
        return;
    }
    let spool = MemorySpool::new().capacity_bytes(1 << 20);
    let (throughline, faults) = story::service_with_outbox(spool);
    faults.fail_next(u64::MAX, story::away);
    story::granted_loan(&throughline, "loan-1").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("outbox", json!({ "url": server.url() }), async |_: &str| {
        faults.heal();
        assert!(throughline.flush(SOON).await.is_complete());
    })
    .await;
}

#[tokio::test]
async fn where_nothing_answers_the_library_says_so() {
    if is_left_out() {
        return;
    }
    let down = Stubborn::Down;
    let viewer = Viewer::over(down.readers()).stream(Arc::new(down)).outbox(Arc::new(down));
    let server = Server::of(&viewer.build().unwrap()).await;
    play("away", json!({ "url": server.url() }), nothing).await;
}

#[tokio::test]
async fn a_run_whose_every_field_is_an_injection_does_nothing() {
    if is_left_out() {
        return;
    }
    let store = MemoryStore::new();
    let writer =
        Throughline::builder("other").store(store.clone()).redaction(Redaction::off()).build().unwrap();
    let (id, events) = story::events_of(story::HOSTILE);
    writer.ingest(events).await.unwrap();
    let redactor = Redaction::off().build().unwrap();
    let server = Server::of(&Viewer::over(store.readers()).redactor(redactor).build().unwrap()).await;
    let given = json!({ "url": server.url(), "run": id.to_string(), "text": story::HOSTILE });
    play("hostile", given, nothing).await;
}

#[tokio::test]
async fn a_run_whose_every_field_is_blank_can_be_read_and_clicked() {
    if is_left_out() {
        return;
    }
    let store = MemoryStore::new();
    let throughline = story::service_with(store.clone());
    let (id, events) = story::events_of("");
    throughline.ingest(events).await.unwrap();
    let server = Server::of(&Viewer::over(store.readers()).build().unwrap()).await;
    play("blank", json!({ "url": server.url(), "run": id.to_string() }), nothing).await;
}

#[tokio::test]
async fn a_page_asks_for_the_token_and_no_token_is_in_its_address() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    story::refused_loan(&throughline, "loan-1").await;
    let viewer = Viewer::of(&throughline).auth(Auth::bearer("a token of enough length")).build().unwrap();
    let server = Server::of(&viewer).await;
    play("token", json!({ "url": server.url(), "token": "a token of enough length" }), nothing).await;
}

#[tokio::test]
async fn who_may_not_see_payloads_is_told_so_and_finds_every_page_whole() {
    if is_left_out() {
        return;
    }
    let throughline = story::service();
    let failed = story::refused_loan(&throughline, "loan-1").await;
    let viewer = Viewer::of(&throughline).auth(Auth::hook(|_| Access::WithoutPayloads)).build().unwrap();
    let server = Server::of(&viewer).await;
    let given = json!({
        "url": server.url(), "failed": failed.to_string(),
        "hidden": ["boat", "incomes", "refuses the collateral", "secured"],
    });
    play("restricted", given, nothing).await;
}
