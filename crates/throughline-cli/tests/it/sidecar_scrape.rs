//! `throughline scrape`: the page of a real server, as it grows, goes away and comes back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A server that answers every request with the next of its answers, and with the last one from then on. `None` is a
/// connection that is closed.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answers: Vec<Option<(u16, String)>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let paths = Arc::clone(&asked);
        thread::spawn(move || {
            for (at, connection) in listener.incoming().enumerate() {
                let answer = answers[at.min(answers.len() - 1)].as_ref();
                answer_one(connection.unwrap(), answer, &paths);
            }
        });
        Self { address, asked }
    }

    /// One that always answers with this page.
    pub(crate) fn of(page: &str) -> Self {
        Self::start(vec![Some((200, page.to_owned()))])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer_one(mut connection: TcpStream, answer: Option<&(u16, String)>, asked: &Mutex<Vec<String>>) {
    let request = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let request: Vec<_> = request.take_while(|line| !line.is_empty()).collect();
    asked.lock().unwrap().push(request.join("\n"));
    let Some((status, body)) = answer else { return };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // Who asked may be gone.
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes()));
}

fn page(ok: u32, failed: u32) -> Option<(u16, String)> {
    let page = format!(
        "# TYPE http_requests_total counter\nhttp_requests_total{{status=\"200\"}} {ok}\n\
         http_requests_total{{status=\"500\"}} {failed}\n"
    );
    Some((200, page))
}

fn scrape(sandbox: &Sandbox, url: &str, times: &str, more: &[&str]) -> (i32, Vec<Value>) {
    let args = [&["scrape", url, "--every", "1ms", "--times", times, "--json"], more].concat();
    let said = sandbox.run(&args);
    assert_eq!(said.stderr, "");
    (said.code, said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn totals_grow_start_again_and_survive_a_target_that_is_away() {
    let sandbox = Sandbox::empty();
    let server = Server::start(vec![
        page(10, 0),
        page(14, 1),
        None,
        Some((503, String::new())),
        page(20, 1),
        page(3, 0),
    ]);
    let (code, seen) = scrape(&sandbox, &server.url("/metrics"), "6", &["--store", "new/metrics.jsonl"]);
    assert_eq!(code, 0);
    let seen: Vec<_> = seen
        .iter()
        .map(|snapshot| {
            let family = &snapshot["families"][0];
            (snapshot["up"] == true, family["value"].as_f64(), family["increase"].as_f64())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (true, Some(10.0), None),
            (true, Some(15.0), Some(5.0)),
            (false, None, None),
            (false, None, None),
            (true, Some(21.0), Some(6.0)),
            (true, Some(3.0), Some(3.0)),
        ]
    );
    let stored = sandbox.read("new/metrics.jsonl");
    assert_eq!(stored.lines().count(), 6, "{stored}");
    assert!(stored.contains("status 503"), "{stored}");
    assert!(server.asked()[0].contains("application/openmetrics-text"));
}

#[test]
fn a_target_that_does_not_answer_is_named_without_its_secrets() {
    let sandbox = Sandbox::empty();
    let url = Server::start(vec![None]).url("/metrics").replace("http://", "http://user:secret@");
    let said = sandbox.run(&["scrape", &format!("{url}?token=secret"), "--times", "1"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("away since") && said.stdout.contains("/metrics"), "{}", said.stdout);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("secret"), "{}{}", said.stdout, said.stderr);
}

#[test]
fn the_panel_says_what_is_new_and_where_it_is_stored() {
    let sandbox = Sandbox::empty();
    let server = Server::start(vec![page(10, 0), page(14, 1)]);
    let said =
        sandbox.run(&["scrape", &server.url("/m"), "--every", "1ms", "--times", "2", "--store", "h.jsonl"]);
    let row = said.stdout.lines().rfind(|line| line.contains("http_requests_total")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["http_requests_total", "15", "(+5)", "20.0%", "█"]
    );
    assert!(said.stdout.ends_with("  stored → h.jsonl\n"), "{}", said.stdout);
}

#[test]
fn the_store_of_the_environment_is_no_history() {
    let sandbox = Sandbox::empty();
    let server = Server::start(vec![page(1, 0)]);
    let said = sandbox.run(&["scrape", &server.url("/m"), "--times", "1"]);
    assert!(!said.stdout.contains("stored"), "{}", said.stdout);
    assert!(!sandbox.path("sqlite:traces.db").exists() && !sandbox.path("traces.db").exists());
}

#[test]
fn a_page_of_50_megabytes_is_read_as_it_comes() {
    let sandbox = Sandbox::empty();
    let line = format!("big_total{{path=\"{}\",n=\"%\"}} 1\n", "x".repeat(460));
    let page: String = (0..104_000).map(|n| line.replace('%', &format!("{n:06}"))).collect();
    assert!(page.len() > 50_000_000);
    let server = Server::start(vec![Some((200, page))]);
    let (code, seen) = scrape(&sandbox, &server.url("/metrics"), "1", &[]);
    assert_eq!((code, seen[0]["series"].as_u64()), (0, Some(104_000)));
    assert_eq!(seen[0]["families"][0]["value"], 104_000.0);
}

#[test]
fn an_address_that_is_none_is_refused() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["scrape", "app:8080/metrics"]));
}
