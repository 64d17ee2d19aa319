//! What the delivery report says of reports that nobody took, and how long a shutdown takes then.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use throughline_core::{DropReason, Throughline};
use throughline_sentry::Sentry;

use crate::receiver::{Answer, Receiver};
use crate::{LONG, account, reporting, with};

/// Fails in a step of this name.
async fn fail(throughline: &Throughline, step: &'static str) {
    let run = throughline
        .workflow("loan-approval")
        .run(async |ctx| ctx.trace(step, async { Err::<(), _>(io::Error::other("away")) }).await.unwrap());
    run.await.unwrap().unwrap_err();
}

/// What is dropped of two failures if the server answers so, and how many requests it got.
async fn dropped_of_two(answer: Answer) -> (Vec<(DropReason, u64)>, usize) {
    let receiver = Receiver::start(&[answer]);
    let (throughline, _sentry, _guard) = reporting(&receiver.dsn());
    for step in ["stage:a", "stage:b"] {
        fail(&throughline, step).await;
        throughline.flush(LONG).await;
    }
    let account = account(&throughline);
    assert_eq!((account.accepted, account.delivered, account.pending), (2, 2 - account.dropped(), 0));
    (account.dropped, receiver.count())
}

#[tokio::test]
async fn what_a_server_refuses_is_in_the_delivery_report_with_its_reason() {
    let of = |status| dropped_of_two(Answer::Status(status, ""));
    assert_eq!(of(200).await, (vec![], 2));
    assert_eq!(of(413).await, (vec![(DropReason::Rejected, 2)], 2));
    assert_eq!(of(403).await, (vec![(DropReason::Rejected, 2)], 2));
    assert_eq!(of(503).await, (vec![(DropReason::Unavailable, 2)], 2));
}

#[tokio::test]
async fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let limited = vec![(DropReason::RateLimited, 2)];
    for header in ["", "Retry-After: 60", "X-Sentry-Rate-Limits: 60:error:organization"] {
        assert_eq!(dropped_of_two(Answer::Status(429, header)).await, (limited.clone(), 1), "{header}");
    }
    // A limit on something else is none on failures, and one that came with an acknowledgement holds from then on.
    let header = "X-Sentry-Rate-Limits: 60:transaction;span:organization";
    assert_eq!(dropped_of_two(Answer::Status(200, header)).await, (vec![], 2));
    let header = "X-Sentry-Rate-Limits: 60::organization";
    let one = vec![(DropReason::RateLimited, 1)];
    assert_eq!(dropped_of_two(Answer::Status(200, header)).await, (one, 1));
}

#[tokio::test]
async fn a_server_that_is_away_costs_reports_and_nothing_else() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (throughline, _sentry, _guard) = reporting(&format!("http://key@127.0.0.1:{port}/1"));
    fail(&throughline, "stage:a").await;
    throughline.flush(LONG).await;
    assert_eq!(account(&throughline).dropped, [(DropReason::Unavailable, 1)]);
}

#[tokio::test]
async fn failures_of_one_kind_are_reported_so_many_times_and_then_counted() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, _sentry, _guard) =
        with(Sentry::builder().dsn(receiver.dsn()).rate_limit(2, Duration::from_secs(3600)));
    for _ in 0..5 {
        fail(&throughline, "stage:a").await;
    }
    fail(&throughline, "stage:b").await;
    throughline.flush(LONG).await;
    let account = account(&throughline);
    assert_eq!((account.accepted, account.delivered), (6, 3));
    assert_eq!(account.dropped, [(DropReason::RateLimited, 3)]);
}

#[tokio::test]
async fn what_is_sampled_out_is_in_the_delivery_report() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, _sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()).sample_rate(0.0));
    fail(&throughline, "stage:a").await;
    throughline.flush(LONG).await;
    assert_eq!((account(&throughline).dropped, receiver.count()), (vec![(DropReason::Sampled, 1)], 0));
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_counted_and_nobody_waits() {
    let receiver = Receiver::start(&[Answer::Nothing]);
    let builder = Sentry::builder().dsn(receiver.dsn()).rate_limit(u32::MAX, Duration::from_secs(1));
    let (throughline, _sentry, _guard) = with(builder.shutdown_timeout(Duration::ZERO));
    for _ in 0..400 {
        fail(&throughline, "stage:a").await;
    }
    let account = account(&throughline);
    assert_eq!(account.accepted, 400);
    // One is in hand at most, and 256 wait.
    assert!(account.pending <= 257, "{account:?}");
    assert_eq!(account.dropped, [(DropReason::QueueFull, 400 - account.pending)]);
}

/// A server that hangs: how long a shutdown takes, and what it says.
async fn shutdown_takes_no_longer_than_it_may() {
    let receiver = Receiver::start(&[Answer::Nothing]);
    let builder = Sentry::builder().dsn(receiver.dsn()).shutdown_timeout(Duration::from_millis(50));
    let (throughline, _sentry, guard) = with(builder);
    fail(&throughline, "stage:a").await;
    fail(&throughline, "stage:b").await;
    receiver.next();
    let started = Instant::now();
    let report = throughline.shutdown(Duration::from_millis(200)).await;
    drop(guard);
    // A request may take 10 seconds.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let account = report.destinations.into_iter().find(|destination| destination.name == "sentry").unwrap();
    assert_eq!((account.accepted, account.pending, account.delivered), (2, 2, 0));
    assert!(account.balances());
}

#[tokio::test]
async fn a_shutdown_with_a_server_that_hangs_is_bounded_and_says_what_is_pending_on_one_thread() {
    shutdown_takes_no_longer_than_it_may().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_a_server_that_hangs_is_bounded_and_says_what_is_pending_on_several_threads() {
    shutdown_takes_no_longer_than_it_may().await;
}

#[tokio::test]
async fn a_failure_after_the_client_was_closed_or_before_it_was_made_is_counted() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let sentry = Sentry::builder().dsn(receiver.dsn()).build().unwrap();
    let throughline = Throughline::builder("loans").sink(sentry.clone()).build().unwrap();
    fail(&throughline, "stage:a").await;
    assert_eq!(account(&throughline).dropped, [(DropReason::Unavailable, 1)]);
    drop(sentry.init());
    fail(&throughline, "stage:a").await;
    let dropped = [(DropReason::Unavailable, 1), (DropReason::Shutdown, 1)];
    assert_eq!((account(&throughline).dropped, receiver.count()), (dropped.to_vec(), 0));
}

#[tokio::test]
async fn without_a_dsn_nothing_is_sent_and_nothing_is_counted() {
    let (throughline, sentry, _guard) = with(Sentry::builder());
    fail(&throughline, "stage:a").await;
    throughline.flush(LONG).await;
    assert!(!sentry.is_enabled());
    assert_eq!(account(&throughline).accepted, 0);
}

#[tokio::test]
async fn a_client_of_the_applications_own_is_used_and_is_flushed() {
    let transport = sentry::test::TestTransport::new();
    let options =
        sentry::ClientOptions::new().dsn("https://key@sentry.invalid/1").transport(transport.clone());
    let client = std::sync::Arc::new(sentry::Client::from(options));
    let hub = std::sync::Arc::new(sentry::Hub::new(Some(client), std::sync::Arc::default()));
    let reporter = Sentry::builder().build().unwrap();
    let throughline = Throughline::builder("loans").sink(reporter).build().unwrap();
    sentry::SentryFutureExt::bind_hub(fail(&throughline, "stage:a"), hub).await;
    let events = transport.fetch_and_clear_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].tags["step"], "stage:a");
    assert_eq!(account(&throughline).accepted, 1);
}
