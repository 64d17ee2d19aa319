//! Watching a live feed instead of a store.

#[path = "../../../../examples/apalis_worker/redis_server.rs"]
mod redis_server;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis_server::Server;
use throughline_core::{StreamItem, Throughline, WatchRequest};
use throughline_redis::RedisFeed;
use throughline_sqlite::SqliteStore;
use tokio::sync::oneshot;

use crate::sandbox::Sandbox;

/// `None` where there is no `redis-server` and none is required.
pub(crate) fn server() -> Option<Server> {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || Command::new("redis-server").arg("--version").output().is_ok();
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!("left out: there is no redis-server");
        return None;
    }
    Some(Server::start().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_watched_through_a_feed_alone_to_its_end() {
    let Some(server) = server() else { return };
    let throughline =
        Throughline::builder("loan-service").feed(RedisFeed::new(server.url())).build().unwrap();
    let mut events = throughline.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
    let run = throughline.workflow("loan-approval").run_infallible(|ctx| async move {
        ctx.step("stage:score").run_infallible(|_| async {}).await.unwrap();
    });
    run.await.unwrap();
    let Some(Ok(StreamItem::Event { event, cursor })) = events.next().await else { panic!("an event comes") };
    let trace = event.trace_id.to_string();

    let sandbox = Sandbox::empty();
    let watch = |args: &[&str]| {
        let mut command = sandbox.command(&[&["watch"], args].concat());
        command.env_remove("THROUGHLINE_STORE").env("THROUGHLINE_FEED", server.url()).output().unwrap()
    };
    let seen = watch(&[&trace, "--after", cursor.as_str(), "--json"]);
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let lines: Vec<serde_json::Value> =
        seen.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let types: Vec<_> = lines.iter().map(|line| line["event"]["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["stage:score", "stage:score", "workflow:completed"]);
    assert!(lines[0]["cursor"].as_str().unwrap().starts_with("redis:"));
    let short = watch(&[&trace[..8]]);
    assert_eq!(short.status.code(), Some(2));
    let said = String::from_utf8(short.stderr).unwrap();
    assert!(said.contains("full id") && said.contains("--store"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_the_store_is_found_by_its_key_and_watched_through_the_feed() {
    let Some(server) = server() else { return };
    let sandbox = Sandbox::empty();
    let throughline = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .feed(RedisFeed::new(server.url()))
        .build()
        .unwrap();
    let (entered, in_step) = oneshot::channel();
    let (go_on, released) = oneshot::channel::<()>();
    let run = throughline.workflow("loan-approval").key("loan-42").run_infallible(|ctx| async move {
        let waiting = ctx.step("stage:credit-check").run_infallible(|_| async move {
            entered.send(()).unwrap();
            released.await.unwrap();
        });
        waiting.await.unwrap();
    });
    let run = tokio::spawn(run);
    in_step.await.unwrap();
    let mut command = sandbox.command(&["watch", "loan-42", "--for", "60s", "--feed", &server.url()]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("stage:credit-check") {
        line.clear();
        assert!(seen.read_line(&mut line).unwrap() > 0, "the watch ended early");
    }
    go_on.send(()).unwrap();
    run.await.unwrap().unwrap();
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("workflow:completed"), "{rest}");
    assert_eq!(rest.matches("stage:credit-check").count(), 1, "only its end is new: {rest}");
    assert!(watch.wait().unwrap().success());
    throughline.shutdown(Duration::from_secs(10)).await;
}

#[test]
fn an_address_is_not_repeated_in_an_error() {
    let sandbox = Sandbox::empty();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (feed, code, help) in [
        ("http://user:hunter2@127.0.0.1/".to_owned(), 2, "expected redis://"),
        ("hunter2".to_owned(), 2, "expected redis://"),
        ("redis://user:hunter2@127.0.0.1:port/".to_owned(), 3, "expected redis://"),
        (format!("redis://user:hunter2@127.0.0.1:{closed}/"), 3, "nothing listens there"),
    ] {
        let said = sandbox.run(&["watch", "--feed", &feed]);
        assert_eq!(said.code, code, "{}", said.stderr);
        assert!(said.stderr.contains(help) && !said.stderr.contains("hunter2"), "{}", said.stderr);
    }
}
