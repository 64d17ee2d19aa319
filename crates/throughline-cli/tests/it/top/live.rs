//! The screen while runs start and fail.

use futures_util::StreamExt as _;
use throughline_core::{StreamItem, Throughline, WatchRequest};
use throughline_redis::RedisFeed;
use throughline_sqlite::SqliteStore;

use super::{Terminal, shows};
use crate::feed;
use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay, succeed};

/// So rarely the store is read that within a test it is what is told that changes the screen, or a key.
const RARELY: [&str; 2] = ["--every", "1h"];

fn has(screen: &vt100::Screen, texts: &[&str]) -> bool {
    let contents = screen.contents();
    texts.iter().all(|text| contents.contains(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_starts_and_what_fails_is_on_the_screen_when_the_feed_says_so() {
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::empty();
    let loans = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .feed(RedisFeed::new(redis.url()))
        .build()
        .unwrap();
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let url = redis.url();
    let terminal = Terminal::of(&sandbox, 30, 140, &[&["--feed", &url], &RARELY[..]].concat());
    terminal.until(shows("Nothing is running."));
    let _open = stay(loans.workflow("loan-approval").key("loan-42")).await;
    terminal.until(|screen| {
        has(screen, &["1 running", "loan-42", "stage:wait", "No run of the last hour failed."])
    });
    fail(loans.workflow("loan-approval").key("loan-43"), "the bureau is closed").await;
    let both = ["1 running", "1 of 2 failed", "loan-43", "the bureau is closed"];
    terminal.until(|screen| has(screen, &both));
    end(loans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_feed_the_store_itself_says_what_starts_and_what_fails() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let terminal = Terminal::of(&sandbox, 30, 140, &RARELY);
    terminal.until(shows("Nothing is running."));
    let _open = stay(loans.workflow("loan-approval").key("loan-42")).await;
    terminal.until(|screen| has(screen, &["1 running", "loan-42", "stage:wait"]));
    fail(loans.workflow("loan-approval").key("loan-43"), "the bureau is closed").await;
    terminal.until(|screen| has(screen, &["1 of 2 failed", "loan-43", "the bureau is closed"]));
    end(loans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_that_is_held_stays_as_it_is_until_somebody_asks_for_more() {
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::empty();
    let loans = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .feed(RedisFeed::new(redis.url()))
        .build()
        .unwrap();
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let url = redis.url();
    let mut terminal = Terminal::of(&sandbox, 30, 140, &[&["--feed", &url], &RARELY[..]].concat());
    terminal.until(shows("Nothing is running."));
    terminal.press(b" ");
    terminal.until(shows("held still"));

    let mut told = loans.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
    fail(loans.workflow("loan-approval").key("loan-42"), "the bureau is closed").await;
    // Redis has said it to others.
    while let Some(Ok(StreamItem::Event { event, .. })) = told.next().await {
        if event.event_type.as_str() == "workflow:failed" {
            break;
        }
    }
    // A screen of another size is drawn anew, by what was read before.
    terminal.resize(34, 140);
    let held = terminal
        .until(|screen| screen.contents().lines().nth(33).is_some_and(|foot| foot.contains("held still")));
    assert!(!held.iter().any(|line| line.contains("loan-42")), "{held:#?}");

    // Once more is read all the same when somebody says so.
    terminal.press(b"r");
    terminal.until(|screen| has(screen, &["loan-42", "the bureau is closed", "held still"]));
    fail(loans.workflow("loan-approval").key("loan-43"), "the bureau is closed").await;
    terminal.press(b" ");
    terminal.until(|screen| has(screen, &["loan-43", "2 of 3 failed", "space holds still"]));
    terminal.press(b"q");
    assert_eq!(terminal.ended(), Some(0));
    end(loans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_event_says_is_read_when_somebody_asks_for_it() {
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::empty();
    // It publishes nothing.
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let url = redis.url();
    let mut terminal = Terminal::of(&sandbox, 30, 140, &[&["--feed", &url], &RARELY[..]].concat());
    terminal.until(shows("Nothing is running."));
    let _open = stay(loans.workflow("loan-approval").key("loan-42")).await;
    terminal.press(b"r");
    terminal.until(shows("loan-42"));
    // Its process has ended, which no event says.
    end(loans).await;
    terminal.press(b"r");
    terminal.until(|screen| has(screen, &["0 running", "1 interrupted"]));
    terminal.press(b"q");
    assert_eq!(terminal.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_goes_away_leaves_a_screen_that_reads_the_store_now_and_then() {
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let url = redis.url();
    let mut terminal = Terminal::of(&sandbox, 30, 140, &["--feed", &url, "--every", "1s"]);
    terminal.until(shows("Nothing is running."));
    drop(redis);
    fail(loans.workflow("loan-approval").key("loan-42"), "the bureau is closed").await;
    terminal.until(|screen| has(screen, &["loan-42", "the bureau is closed", "1 of 2 failed"]));
    terminal.press(b"q");
    assert_eq!(terminal.ended(), Some(0));
    end(loans).await;
}
