//! A server that sentinels watch over, through failovers.

use std::sync::Arc;

use throughline_model::{FeedConfig as _, OpenError, TraceEvent, WatchRequest};
use throughline_redis::RedisFeed;

use crate::address::{PUBLISHER, WATCHER};
use crate::server::{Server, is_there};
use crate::watch::{Ends, OWN, PATIENCE, event, expect, runtime};

impl Server {
    /// A sentinel that watches over a server, which it knows by this name.
    fn start_sentinel(name: &str, of: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("sentinel.conf");
        let port = of.port();
        let settings = format!(
            "sentinel monitor {name} 127.0.0.1 {port} 1\nsentinel down-after-milliseconds {name} 300\n\
             sentinel failover-timeout {name} 2000\n"
        );
        std::fs::write(&config, settings).unwrap();
        Self::start_in(folder, Some(config), &["--sentinel"])
    }
}

const KEEPS_NOTHING: &[&str] = &["--save", "", "--appendonly", "no"];

/// Publishes until a server takes it.
async fn publish(ends: &Ends, event: &TraceEvent) {
    let event = [Arc::new(event.clone())];
    let published = async {
        while ends.feed.publish(&event).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, published).await.expect("a server takes it");
}

/// Repeats a command until the response is as it should be. In a failover a sentinel cuts all connections to a server, and
/// before one it may not know yet that the other server is fit for it.
async fn until(server: &Server, command: &[&str], is_as_wanted: impl Fn(&redis::Value) -> bool) {
    let responded = async {
        while !server.try_command_at("", command).is_ok_and(|response| is_as_wanted(&response)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, responded).await.unwrap_or_else(|_| panic!("{command:?} in vain"));
}

/// Waits until a server says this of its replication.
async fn says(server: &Server, sign: &str) {
    let has_sign = |response: &redis::Value| match response {
        redis::Value::BulkString(info) => String::from_utf8_lossy(info).contains(sign),
        _ => false,
    };
    until(server, &["INFO", "replication"], has_sign).await;
}

/// Waits until so many entries have reached a server, at least: one whose response was lost is published again.
async fn has_entries(server: &Server, count: i64) {
    let has_them = |length: &redis::Value| matches!(length, redis::Value::Int(length) if *length >= count);
    until(server, &["XLEN", "{throughline}:all"], has_them).await;
}

#[test]
fn publishers_and_watchers_follow_a_failover_and_miss_nothing() {
    if !is_there() {
        return;
    }
    let first = Server::start_with(KEEPS_NOTHING);
    let port = first.port().to_string();
    let mut second = Server::start_with(&[KEEPS_NOTHING, &["--replicaof", "127.0.0.1", &port]].concat());
    runtime().block_on(async {
        says(&first, "state=online").await;
        let sentinel = Server::start_sentinel("loans", &first);
        let ends = Ends::open(&RedisFeed::sentinel([sentinel.url()], "redis://loans/")).await;
        let [a, b, c] = [0, 1, 2].map(|n| event("failover", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(a.trace_id)).await;
        publish(&ends, &a).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &a).await;
        }

        // In order: the first server becomes a replica while watchers wait for it.
        has_entries(&second, 1).await;
        until(&sentinel, &["SENTINEL", "FAILOVER", "loans"], |_| true).await;
        says(&second, "role:master").await;
        says(&first, "role:slave").await;
        says(&second, "state=online").await;
        publish(&ends, &b).await;
        for stream in [&mut all, &mut run] {
            expect(stream, &b).await;
        }

        // By accident: the other one is killed, and the sentinel promotes the first.
        has_entries(&first, 2).await;
        second.kill();
        publish(&ends, &c).await;
        says(&first, "role:master").await;
        for stream in [&mut all, &mut run] {
            expect(stream, &c).await;
        }
    });
}

#[test]
fn a_name_that_no_sentinel_knows_is_said_and_so_is_an_address_without_one() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    let sentinel = Server::start_sentinel("loans", &server);
    runtime().block_on(async {
        let unknown = RedisFeed::sentinel([sentinel.url()], "redis://user:secret@cards/");
        let error = unknown.open_stream().await.err().unwrap();
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("check the name"), "{error}");
        assert!(!format!("{error} {error:?} {unknown:?}").contains("secret"));
        let none: [&str; 0] = [];
        for feed in [
            RedisFeed::sentinel(none, "redis://loans/"),
            RedisFeed::sentinel([sentinel.url()], "redis+unix:///a"),
        ] {
            let error = feed.open_stream().await.err().unwrap();
            assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        }
    });
}

#[test]
fn a_server_behind_sentinels_may_want_a_user_and_have_databases() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    let set = format!("ACL SETUSER loans on >secret ~{{throughline}}:* +role +select {PUBLISHER} {WATCHER}");
    server.command(&set.split(' ').collect::<Vec<_>>());
    let sentinel = Server::start_sentinel("main", &server);
    runtime().block_on(async {
        let feed = RedisFeed::sentinel([sentinel.url()], "redis://loans:secret@main/4?protocol=resp3");
        let ends = Ends::open(&feed).await;
        let a = event("user", OWN, 0);
        let mut all = ends.watch(WatchRequest::new()).await;
        ends.publish(&[&a]).await;
        expect(&mut all, &a).await;
    });
    assert!(matches!(server.command(&["DBSIZE"]), redis::Value::Int(0)), "it is in another database");
}
