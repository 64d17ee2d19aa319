//! What is new, as it happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use throughline_viewer::{Auth, Viewer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{Answer, PATIENCE, Server, until};
use crate::story;
use crate::stubborn::Stubborn;

/// A page that is told of what is new.
struct Watcher {
    socket: TcpStream,
    text: String,
}

impl Watcher {
    async fn of(server: &Server, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut watcher =
            Self { socket: server.open("GET", path, headers, "keep-alive").await, text: String::new() };
        watcher.until("\r\n\r\n").await;
        watcher
    }

    /// Reads until the answer has this text.
    async fn until(&mut self, text: &str) {
        let read = async {
            let mut part = [0; 4096];
            while !self.text.contains(text) {
                let length = self.socket.read(&mut part).await.unwrap();
                assert!(length > 0, "the connection ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&part[..length]));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no `{text}`"));
    }

    fn status(&self) -> &str {
        self.text.split(' ').nth(1).unwrap()
    }

    /// What was told of each run.
    fn runs(&self) -> BTreeMap<String, Value> {
        let told = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        told.flat_map(|data| {
            serde_json::from_str::<Value>(data).unwrap()["runs"].as_object().unwrap().clone()
        })
        .collect()
    }

    fn last_id(&self) -> &str {
        self.text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap()
    }
}

#[tokio::test]
async fn a_page_is_told_of_runs_that_begin_and_end_and_continues_where_it_was() {
    let throughline = story::service();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let mut watcher = Watcher::of(&server, "/api/live", &[]).await;
    assert_eq!(watcher.status(), "200");
    let first = story::refused_loan(&throughline, "loan-1").await.to_string();
    watcher.until("\"ended\":true").await;
    let told = watcher.runs();
    assert!(told.contains_key(&first), "{told:?}");
    // Nothing of what the run is about is told: who may see that asks for it.
    assert!(!watcher.text.contains("loan-1"), "{}", watcher.text);
    let last = watcher.last_id().to_owned();
    drop(watcher);
    let second = story::granted_loan(&throughline, "loan-2").await.to_string();
    // All of it is in the feed before the page is back.
    assert!(throughline.flush(PATIENCE).await.is_complete());
    let mut again = Watcher::of(&server, "/api/live", &[("last-event-id", &last)]).await;
    again.until("\"ended\":true").await;
    assert!(again.runs().contains_key(&second), "{}", again.text);
    assert!(!again.text.contains("\"missed\":true"), "{}", again.text);
}

#[tokio::test]
async fn pages_that_look_at_once_are_told_the_same_and_one_that_was_away_for_too_long_that_it_missed_something()
 {
    let throughline = story::service();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(Watcher::of(&server, "/api/live", &[]).await);
    }
    let id = story::granted_loan(&throughline, "loan-1").await.to_string();
    for watcher in &mut watchers {
        watcher.until("\"ended\":true").await;
        assert_eq!(watcher.runs().keys().collect::<Vec<_>>(), [&id]);
        assert!(!watcher.text.contains("\"missed\":true"), "{}", watcher.text);
    }
    let last = watchers[0].last_id().to_owned();
    assert!(watchers.iter().all(|watcher| watcher.last_id() == last));
    drop(watchers);
    for (last, missed) in [(last.as_str(), false), ("of another time", true)] {
        let mut back = Watcher::of(&server, "/api/live", &[("last-event-id", last)]).await;
        let id = story::granted_loan(&throughline, "loan-2").await.to_string();
        back.until(&id).await;
        assert_eq!(back.text.contains("\"missed\":true"), missed, "{}", back.text);
    }
}

#[tokio::test]
async fn a_page_of_one_run_is_told_of_that_run_alone() {
    let throughline = story::service();
    let waiting = story::waiting_loan(&throughline, "loan-1").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let mut watcher = Watcher::of(&server, &format!("/api/live?run={}", waiting.id), &[]).await;
    story::granted_loan(&throughline, "loan-2").await;
    let id = waiting.id.to_string();
    drop(waiting);
    watcher.until("\"ended\":true").await;
    assert_eq!(watcher.runs().into_keys().collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn so_many_pages_are_told_and_the_next_is_asked_to_come_back() {
    let throughline = story::service();
    let server = Server::of(&Viewer::of(&throughline).max_watchers(2).build().unwrap()).await;
    let first = Watcher::of(&server, "/api/live", &[]).await;
    let second = Watcher::of(&server, "/api/live", &[]).await;
    assert_eq!((first.status(), second.status()), ("200", "200"));
    let refused = server.get("/api/live").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    // Watching takes no place from those who ask.
    assert_eq!(server.ask("library").await["free_watchers"], 0);
    drop(first);
    until(async || server.ask("library").await, |library| library["free_watchers"] == 1).await;
}

#[tokio::test]
async fn one_client_does_not_take_the_places_of_the_others() {
    let throughline = story::service();
    let viewer = Viewer::of(&throughline).max_watchers_of_each_client(2);
    let viewer = viewer.auth(Auth::bearer("a token of enough length")).build().unwrap();
    let server = Server::of(&viewer).await;
    let of = async |client: &'static str| {
        let headers = [("authorization", "Bearer a token of enough length"), ("x-forwarded-for", client)];
        Watcher::of(&server, "/api/live", &headers).await
    };
    let held = [of("192.0.2.1").await, of("192.0.2.1").await];
    assert!(held.iter().all(|watcher| watcher.status() == "200"));
    assert_eq!(of("192.0.2.1").await.status(), "429");
    // What stands before the address that the proxy added anybody can write.
    assert_eq!(of("192.0.2.7, 192.0.2.1").await.status(), "429");
    assert_eq!(of("192.0.2.2").await.status(), "200");
}

#[tokio::test]
async fn a_page_that_reads_nothing_loses_its_place_to_one_that_does() {
    let throughline = story::service();
    let viewer =
        Viewer::of(&throughline).max_watchers(1).timeout(Duration::from_millis(200)).build().unwrap();
    let server = Server::with_little_room(viewer.router());
    let small = TcpSocket::new_v4().unwrap();
    small.set_recv_buffer_size(4_096).unwrap();
    let mut silent = small.connect(server.address).await.unwrap();
    let began = Instant::now();
    let request = format!("GET /api/live HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    silent.write_all(request.as_bytes()).await.unwrap();
    // A question that takes longer than a page may be silent is asked again.
    let free = |answer: &Answer, free| answer.status == 200 && answer.json()["free_watchers"] == free;
    until(async || server.get("/api/library").await, |answer| free(answer, 0)).await;
    assert_eq!(server.get("/api/live").await.status, 503);
    // It is told more than is kept for it.
    let ask = async || {
        throughline.ingest((0..1_000).flat_map(|_| story::short_run())).await.unwrap();
        server.get("/api/library").await
    };
    until(ask, |answer| free(answer, 1)).await;
    // After twenty seconds each connection ends, whether it is read or not.
    assert!(began.elapsed() < Duration::from_secs(15), "its connection ended by itself");
    let reading = Watcher::of(&server, "/api/live", &[]).await;
    assert_eq!(reading.status(), "200");
    drop(silent);
}

#[tokio::test]
async fn who_connects_again_and_again_is_asked_to_wait() {
    let throughline = story::service();
    let viewer = Viewer::of(&throughline).max_watchers_of_each_client(5).build().unwrap();
    let server = Server::of(&viewer).await;
    let mut opened = 0;
    let refused = loop {
        let watcher = Watcher::of(&server, "/api/live", &[]).await;
        if watcher.status() != "200" {
            break watcher;
        }
        opened += 1;
        drop(watcher);
        until(async || server.ask("library").await, |library| library["free_watchers"] == 100).await;
    };
    assert!((10..15).contains(&opened), "{opened} connections");
    assert_eq!(refused.status(), "429");
    assert!(refused.text.contains("retry-after: "), "{}", refused.text);
}

#[tokio::test]
async fn nobody_is_told_who_may_not_look_or_where_nothing_tells() {
    let throughline = story::service();
    let closed = Viewer::of(&throughline).auth(Auth::bearer("a token of enough length")).build().unwrap();
    let closed = Server::of(&closed).await;
    assert_eq!(closed.get("/api/live").await.status, 401);
    let quiet = Server::of(&Viewer::over(Stubborn::Down.readers()).build().unwrap()).await;
    let answer = quiet.get("/api/live").await;
    assert!(answer.status == 404 && answer.error().contains("--feed"), "{}", answer.text());
}
