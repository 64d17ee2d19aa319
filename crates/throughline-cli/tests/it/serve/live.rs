//! Pages that are told by Redis what another process published.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::Throughline;
use throughline_redis::RedisFeed;
use throughline_sqlite::SqliteStore;

use super::Serving;
use crate::feed;
use crate::sandbox::Sandbox;
use crate::services::{end, fail, succeed};
use crate::stories::browser::{browser, may_be_left_out, modules};

/// How long a message may take that comes soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_publishes_comes_to_the_pages_through_redis() {
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::with_sagas();
    let serving = Serving::begin(&sandbox, &["--feed", &redis.url()]);
    assert!(serving.get("/api/about", "").contains("\"live\":true"));
    let mut socket = TcpStream::connect(&serving.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET /api/live HTTP/1.1\r\nhost: {}\r\n\r\n", serving.address).unwrap();
    let mut told = BufReader::new(socket).lines().map(Result::unwrap);
    let head: Vec<String> = told.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(
        head[0].contains("200") && head.iter().any(|line| line.contains("text/event-stream")),
        "{head:?}"
    );

    // It has no store at all: nobody but Redis can have told.
    let loans = Throughline::builder("loan-service").feed(RedisFeed::new(redis.url())).build().unwrap();
    let id = fail(loans.workflow("loan-approval").key("loan-42"), "the bureau is closed").await.to_string();
    let mut known = json!({ "started": false, "ended": false });
    while known != json!({ "started": true, "ended": true }) {
        let line = told.next().unwrap();
        let Some(news) = line.strip_prefix("data: ") else { continue };
        let news: Value = serde_json::from_str(news).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(news["missed"], false, "{news}");
        for (name, run) in news["runs"].as_object().unwrap() {
            assert_eq!(*name, id, "there is no other run");
            for what in ["started", "ended"] {
                known[what] = json!(known[what] == true || run[what] == true);
            }
        }
    }
    end(loans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_left_open_announces_the_run_of_another_process() {
    if may_be_left_out() {
        return;
    }
    let Some(redis) = feed::server() else { return };
    let sandbox = Sandbox::empty();
    let loans = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .feed(RedisFeed::new(redis.url()))
        .build()
        .unwrap();
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let serving = Serving::begin(&sandbox, &["--feed", &redis.url()]);
    let url = format!("http://{}/", serving.address);
    let asked = json!({ "url": url, "run": "loan-41", "browser": browser() });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node_client/live.cjs");
    let mut node = Command::new("node");
    node.arg(script).arg(asked.to_string()).env("NODE_PATH", modules());
    let mut node = node.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(node.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = said.next();
    if first.as_deref() == Some("open") {
        fail(loans.workflow("loan-approval").key("loan-42"), "the bureau is closed").await;
    }
    let seen = said.next();
    let output = node.wait_with_output().unwrap();
    let seen = seen.unwrap_or_else(|| panic!("{first:?}: {}", String::from_utf8_lossy(&output.stderr)));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains("loan-41") && text.contains("loan-42"), "{text}");
    assert!(text.contains("the bureau is closed"), "{text}");
    assert_eq!(seen["complaints"], json!([]), "{seen}");
    end(loans).await;
}
