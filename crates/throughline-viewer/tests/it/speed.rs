//! How long readers wait, on a slow machine and for large runs. It is always said, and judged with `THROUGHLINE_VIEWER_SPEED=1`:
//! on a machine that has nothing else to do, with an optimised build.

use serde_json::json;
use throughline_core::MemoryStore;
use throughline_viewer::Viewer;

use crate::browser::{busy_service, is_left_out};
use crate::http::Server;
use crate::player::{PATIENCE, nothing, play};
use crate::story;

/// Whether it is judged how long readers wait.
fn is_judged() -> bool {
    std::env::var_os("THROUGHLINE_VIEWER_SPEED").is_some()
}

#[tokio::test]
async fn the_first_page_reacts_to_a_key_soon_on_a_slow_machine() {
    if is_left_out() {
        return;
    }
    let (throughline, _waiting) = busy_service().await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    play("slow", json!({ "url": server.url(), "reacts_within": is_judged().then_some(1_000) }), nothing)
        .await;
}

/// Opens a run of so many spans, in a page that may take so many megabytes, and within so many milliseconds where that is judged.
async fn play_large(spans: u64, megabytes: u64, opens_within: u64) {
    if is_left_out() {
        return;
    }
    let throughline = story::service_with(MemoryStore::new().capacity(1_000_000));
    let (id, events) = story::large_run(spans);
    throughline.ingest(events).await.unwrap();
    // Without optimisation the server takes many times as long.
    let viewer = Viewer::of(&throughline).timeout(PATIENCE).build().unwrap();
    let server = Server::of(&viewer).await;
    let given = json!({
        "url": server.url(), "run": id.to_string(), "spans": spans, "megabytes": megabytes,
        "opens_within": is_judged().then_some(opens_within),
    });
    play("large", given, nothing).await;
}

#[tokio::test]
async fn of_a_run_of_ten_thousand_spans_those_in_sight_are_drawn() {
    play_large(10_000, 100, 1_000).await;
}

#[tokio::test]
async fn a_run_of_a_hundred_thousand_spans_opens_and_is_searched_zoomed_and_panned() {
    play_large(100_000, 400, 10_000).await;
}
