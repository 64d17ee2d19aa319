//! What becomes of emitters and watchers when the server is killed, stopped or not there.

use std::sync::Arc;

use futures_util::StreamExt as _;
use throughline_core::Throughline;
use throughline_model::{AppendError, OpenError, StreamItem, WatchRequest};
use throughline_redis::RedisFeed;

use crate::server::{Server, is_there};
use crate::watch::{Ends, OWN, PATIENCE, event, expect, expect_missed, runtime};

/// A server that keeps every write.
const DURABLE: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

#[test]
fn a_server_that_is_killed_and_started_again_with_its_data_costs_a_watcher_nothing() {
    if !is_there() {
        return;
    }
    let mut server = Server::start_with(DURABLE);
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let events: Vec<_> = (0..30).map(|n| event("durable", OWN, n)).collect();
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(events[0].trace_id)).await;
        for group in events.chunks(10) {
            for event in group {
                // The first after a restart finds its connection gone, and makes a new one.
                ends.publish(&[event]).await;
            }
            server.kill();
            let lost = ends.feed.publish(&[Arc::new(event("lost", OWN, 99))]).await;
            assert!(matches!(lost, Err(AppendError::Unavailable { .. })), "{lost:?}");
            server.restart();
        }
        for stream in [&mut all, &mut run] {
            for event in &events {
                expect(stream, event).await;
            }
        }
    });
}

#[test]
fn a_server_that_becomes_a_replica_and_is_promoted_again_costs_a_watcher_nothing() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let [a, b] = [0, 1].map(|n| event("promoted", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(a.trace_id)).await;
        ends.publish(&[&a]).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &a).await;
        }
        // Both wait for what comes, which the server ends when it is no longer for it to say.
        let waiting = || match server.command(&["INFO", "clients"]) {
            redis::Value::BulkString(info) => {
                String::from_utf8(info).unwrap().lines().any(|line| line == "blocked_clients:2")
            }
            other => panic!("{other:?}"),
        };
        let both_wait = async {
            while !waiting() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, both_wait).await.expect("both wait");
        server.command(&["REPLICAOF", "127.0.0.1", "1"]);
        server.command(&["REPLICAOF", "NO", "ONE"]);
        ends.publish(&[&b]).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &b).await;
        }
    });
}

#[test]
fn a_server_that_comes_back_empty_is_said_to_watchers() {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let [a, b, c] = [0, 1, 2].map(|n| event("empty", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(a.trace_id)).await;
        ends.publish(&[&a, &b]).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &a).await;
            expect(stream, &b).await;
        }
        server.restart();
        for stream in [&mut all, &mut run] {
            expect_missed(stream, None).await;
        }
        ends.publish(&[&c]).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &c).await;
        }
    });
}

#[test]
fn who_watched_a_feed_before_its_first_event_is_told_that_its_server_came_back_empty() {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let event = event("unseen", OWN, 0);
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(event.trace_id)).await;
        // Whatever was published meanwhile would be lost with the server, before anybody saw it.
        server.kill();
        server.restart();
        ends.publish(&[&event]).await;
        for stream in [&mut all, &mut run] {
            expect_missed(stream, None).await;
            expect(stream, &event).await;
        }
    });
}

#[test]
fn a_server_that_lost_the_end_of_its_data_is_said_to_watchers() {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let events: Vec<_> = (0..10).map(|n| event("end", OWN, n)).collect();
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(events[0].trace_id)).await;
        ends.publish(&[&events[0], &events[1]]).await;
        server.command(&["SAVE"]);
        ends.publish(&[&events[2], &events[3], &events[4]]).await;
        for stream in [&mut all, &mut run] {
            for event in &events[..5] {
                expect(stream, event).await;
            }
        }
        server.restart();
        // As many numbers as were lost are given again, and one more.
        for event in &events[5..9] {
            ends.publish(&[event]).await;
        }
        for stream in [&mut all, &mut run] {
            expect_missed(stream, None).await;
            for event in &events[5..9] {
                expect(stream, event).await;
            }
        }
    });
}

#[test]
fn a_server_that_is_stopped_holds_no_publisher_for_ever_and_watchers_continue() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let [a, b, c] = [0, 1, 2].map(|n| event("stopped", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        ends.publish(&[&a]).await;
        expect(&mut all, &a).await;
        server.stop();
        let late = tokio::time::timeout(PATIENCE, ends.feed.publish(&[Arc::new(b.clone())])).await.unwrap();
        assert!(matches!(late, Err(AppendError::Unavailable { .. })), "{late:?}");
        server.resume();
        ends.publish(&[&c]).await;
        // The group whose response was late may have arrived.
        let Some(Ok(StreamItem::Event { event, .. })) = all.next().await else { panic!("an event comes") };
        if *event == b {
            expect(&mut all, &c).await;
        } else {
            assert_eq!(*event, c);
        }
    });
}

#[test]
fn emitters_wait_for_no_server_and_every_event_is_accounted_for() {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    let (first, second) = (server.url(), format!("redis+unix://{}", server.socket().display()));
    let throughline = Throughline::builder("test").feed(RedisFeed::new(first)).build().unwrap();
    runtime().block_on(async {
        let watcher = Throughline::builder("watcher").feed(RedisFeed::new(second)).build().unwrap();
        let mut all = watcher.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
        let emit = async |count: usize| {
            for _ in 0..count {
                throughline.workflow("loan").run_infallible(|_| async {}).await.unwrap();
            }
        };
        emit(10).await;
        throughline.flush(PATIENCE).await;
        server.kill();
        // More than any queue holds: whatever is not accepted is dropped and counted.
        emit(50_000).await;
        let report = throughline.delivery_report();
        let destination = &report.destinations[0];
        assert!(destination.dropped() > 0, "{report:?}");
        assert_eq!(
            destination.accepted,
            destination.delivered + destination.pending + destination.dropped(),
            "{report:?}"
        );
        server.restart();
        let is_back = async {
            loop {
                emit(1).await;
                throughline.flush(PATIENCE).await;
                if throughline.delivery_report().destinations[0].delivered > destination.delivered {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, is_back).await.expect("it delivers again");
        // What the watcher sees is what was delivered, and that something is missing.
        let mut missed = false;
        let seen = async {
            while let Some(item) = all.next().await {
                match item.unwrap() {
                    StreamItem::Missed(_) => missed = true,
                    StreamItem::Event { event, .. } if missed && event.n > 100 => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("it sees what happens then");
    });
}

#[test]
fn an_emitter_starts_without_its_server_and_delivers_once_it_is_there() {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    server.kill();
    let throughline = Throughline::builder("test").feed(RedisFeed::new(server.url())).build().unwrap();
    runtime().block_on(async {
        let stream = throughline.stream().unwrap();
        assert!(stream.watch(WatchRequest::new()).await.unwrap_err_text().contains("nothing listens there"));
        throughline.workflow("loan").run_infallible(|_| async {}).await.unwrap();
        server.restart();
        let mut all = stream.watch(WatchRequest::new()).await.unwrap();
        let seen = async {
            loop {
                throughline.workflow("loan").run_infallible(|_| async {}).await.unwrap();
                throughline.flush(PATIENCE).await;
                if throughline.delivery_report().destinations[0].delivered > 0 {
                    break all.next().await.unwrap().unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("it delivers");
    });
}

trait ErrorText {
    fn unwrap_err_text(self) -> String;
}

impl<T, E: std::fmt::Display> ErrorText for Result<T, E> {
    fn unwrap_err_text(self) -> String {
        self.err().expect("it fails").to_string()
    }
}

#[test]
fn a_password_that_is_wrong_is_said_at_once_and_not_shown() {
    if !is_there() {
        return;
    }
    let server = Server::start_with(&["--requirepass", "right"]);
    for (user, wanted) in [(":hunter2@", "password"), ("app:hunter2@", "password"), ("", "NOAUTH")] {
        let url = server.url().replace("redis://", &format!("redis://{user}"));
        let feed = RedisFeed::new(&url);
        assert!(!format!("{feed:?}").contains("hunter2"));
        let error = Throughline::builder("test").feed(feed).build().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(wanted) && !shown.contains("hunter2"), "{shown}");
    }
    for nonsense in
        ["hunter2", "redis://:hunter2@:x/", "http://:hunter2@127.0.0.1/", "redis://:hunter2@127.0.0.1/x", ""]
    {
        let opened = runtime().block_on(async {
            throughline_model::FeedConfig::open_stream(&RedisFeed::new(nonsense)).await.map(drop)
        });
        let error = opened.unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }), "{nonsense}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("expected redis://") && !shown.contains("hunter2"), "{shown}");
    }
}
