//! What a watcher is told when it can't be shown everything.

use throughline_model::{InstanceId, ReadError, StreamItem, WatchRequest};
use throughline_redis::RedisFeed;

use crate::conformance::prefix;
use crate::server::{Server, is_there, shared};
use crate::watch::{Ends, OWN, PATIENCE, event, expect, expect_missed, feed, item, result, runtime};

#[test]
fn a_jump_in_the_numbers_of_an_instance_is_said() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed()).await;
        let mut stream = ends.watch(WatchRequest::new()).await;
        // Neighbours may change places: 2 is late, and 3 to 5 never come.
        let events = [0, 1, 3 + 3, 2, 7].map(|n| event("jump", OWN, n));
        ends.publish(&events.each_ref()).await;
        for event in &events {
            expect(&mut stream, event).await;
        }
        expect_missed(&mut stream, Some(3)).await;
        let next = event("jump", OWN, 8);
        ends.publish(&[&next]).await;
        expect(&mut stream, &next).await;
    });
}

#[test]
fn nothing_follows_from_the_numbers_of_events_that_were_emitted_elsewhere() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed()).await;
        let mut stream = ends.watch(WatchRequest::new()).await;
        let elsewhere = InstanceId::from_u64(99);
        let events =
            [event("a", OWN, 0), event("b", elsewhere, 1), event("b", elsewhere, 50), event("a", OWN, 2)];
        ends.publish(&events.each_ref()).await;
        for event in &events {
            expect(&mut stream, event).await;
        }
        expect_missed(&mut stream, Some(1)).await;
    });
}

#[test]
fn who_watches_a_run_learns_that_its_stream_was_trimmed() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed().run_capacity(10)).await;
        let request = WatchRequest::new().trace(event("long", OWN, 0).trace_id);
        let first = event("long", OWN, 0);
        let mut stream = ends.watch(request.clone()).await;
        ends.publish(&[&first]).await;
        let cursor = expect(&mut stream, &first).await;
        drop(stream);
        for n in 1..1000 {
            ends.publish(&[&event("long", OWN, n)]).await;
        }
        let mut resumed = ends.watch(request).await;
        let last = event("long", OWN, 1000);
        ends.publish(&[&last]).await;
        expect(&mut resumed, &last).await;
        let mut resumed = ends.watch(WatchRequest::new().trace(last.trace_id).after(cursor)).await;
        expect_missed(&mut resumed, None).await;
        assert!(matches!(item(&mut resumed).await, StreamItem::Event { event, .. } if event.n > 1));
    });
}

#[test]
fn who_watches_a_run_too_slowly_learns_that_its_stream_was_trimmed() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed().run_capacity(10)).await;
        let mut stream = ends.watch(WatchRequest::new().trace(event("slow", OWN, 0).trace_id)).await;
        let last = 2000;
        for n in 0..=last {
            ends.publish(&[&event("slow", OWN, n)]).await;
        }
        let (mut due, mut missed) = (0, 0);
        while due <= last {
            match item(&mut stream).await {
                StreamItem::Event { event, .. } if event.n == due => due += 1,
                StreamItem::Missed(None) => {
                    let StreamItem::Event { event, .. } = item(&mut stream).await else {
                        panic!("an event follows")
                    };
                    assert!(event.n > due, "{} follows, {due} was due", event.n);
                    (due, missed) = (event.n + 1, missed + 1);
                }
                other => panic!("{other:?}, {due} was due"),
            }
        }
        assert!(missed > 0, "more was published than is kept");
    });
}

/// Waits until the stream of a run has expired.
async fn expired(prefix: &str, key: &str) {
    let key = format!("{{{prefix}}}:run:{}", throughline_model::TraceId::from_key(key));
    let gone = async {
        while shared().command(&["EXISTS", &key]) != redis::Value::Int(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the stream expires");
}

#[test]
fn who_resumes_a_run_whose_stream_has_expired_is_told_so() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let prefix = prefix();
        let feed = RedisFeed::new(shared().url()).prefix(&prefix).ttl(std::time::Duration::from_millis(1));
        let ends = Ends::open(&feed).await;
        let [a, b] = [0, 1].map(|n| event("old", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        ends.publish(&[&a]).await;
        let cursor = expect(&mut all, &a).await;
        ends.publish(&[&b]).await;
        let last = expect(&mut all, &b).await;
        expired(&prefix, "old").await;
        let mut resumed = ends.watch(WatchRequest::new().trace(a.trace_id).after(cursor)).await;
        expect_missed(&mut resumed, None).await;
        let mut resumed = ends.watch(WatchRequest::new().after(last)).await;
        let c = event("old", OWN, 2);
        ends.publish(&[&c]).await;
        expect(&mut resumed, &c).await;
    });
}

#[test]
fn who_watched_a_run_all_along_misses_nothing_when_its_stream_expires() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let prefix = prefix();
        let feed = RedisFeed::new(shared().url()).prefix(&prefix).ttl(std::time::Duration::from_secs(3));
        let ends = Ends::open(&feed).await;
        let [a, b] = [0, 1].map(|n| event("silent", OWN, n));
        let mut stream = ends.watch(WatchRequest::new().trace(a.trace_id)).await;
        ends.publish(&[&a]).await;
        expect(&mut stream, &a).await;
        expired(&prefix, "silent").await;
        ends.publish(&[&b]).await;
        expect(&mut stream, &b).await;
    });
}

#[test]
fn who_watches_while_the_data_is_removed_is_told_so() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let [a, b, c] = [0, 1, 2].map(|n| event("flushed", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(a.trace_id)).await;
        ends.publish(&[&a]).await;
        let cursor = expect(&mut all, &a).await;
        expect(&mut run, &a).await;
        server.command(&["FLUSHALL"]);
        ends.publish(&[&b]).await;
        for stream in [&mut all, &mut run] {
            expect_missed(stream, None).await;
            expect(stream, &b).await;
        }
        let mut resumed = ends.watch(WatchRequest::new().after(cursor)).await;
        expect_missed(&mut resumed, None).await;
        let now = expect(&mut resumed, &b).await;
        ends.publish(&[&c]).await;
        let mut resumed = ends.watch(WatchRequest::new().after(now)).await;
        expect(&mut resumed, &c).await;
    });
}

#[test]
fn an_entry_that_something_else_wrote_is_an_error_and_not_the_end() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let mut stream = ends.watch(WatchRequest::new()).await;
        for field in [&["name", "value"], &["1", "{}"], &["1:0,1", "{}"], &["1:0", "{}\n{}"], &["1:0", "{}"]]
        {
            server.command(&["XADD", "{throughline}:all", "*", field[0], field[1]]);
            assert!(matches!(result(&mut stream).await, Err(ReadError::Damaged { .. })));
        }
        let a = event("after", OWN, 0);
        ends.publish(&[&a]).await;
        loop {
            match result(&mut stream).await.unwrap() {
                // What it wrote took a number.
                StreamItem::Missed(_) => {}
                StreamItem::Event { event, .. } => break assert_eq!(*event, a),
                other => panic!("{other:?}"),
            }
        }
    });
}
