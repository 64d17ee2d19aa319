//! `throughline serve` as a process: what it shows, and to whom.

mod live;
mod outbox;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::sandbox::Sandbox;

/// The command while it serves; it is ended when this is dropped.
struct Serving {
    process: Child,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    fn begin(sandbox: &Sandbox, options: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        let mut process = sandbox.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        Self { process, address: address.unwrap_or_else(|| panic!("no address: {line}")).to_owned() }
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", self.address);
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn the_runs_of_a_store_are_shown_with_the_answers_of_the_other_commands() {
    let sandbox = Sandbox::with_sagas();
    let serving = Serving::begin(&sandbox, &[]);
    assert!(serving.get("/", "").contains("<div id=\"app\">"));
    let listed = sandbox.json(&["list"]);
    let answer = serving.get("/api/runs", "");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let shown: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(shown["runs"], listed["runs"]);
    // The store is watched without a feed.
    assert!(serving.get("/api/about", "").contains("\"live\":true"));
}

#[test]
fn log_lines_of_a_run_are_read_where_logs_says_and_a_place_that_is_not_there_is_named() {
    let sandbox = Sandbox::with_sagas();
    let listed = sandbox.json(&["list"]);
    let (id, started) =
        (listed["runs"][0]["trace_id"].as_str().unwrap(), listed["runs"][0]["started"].as_str().unwrap());
    let line =
        format!(r#"{{"timestamp":"{started}","level":"warn","message":"no answer","trace_id":"{id}"}}"#);
    sandbox.write("app.jsonl", line);
    let logs = sandbox.path("app.jsonl");
    let serving = Serving::begin(&sandbox, &["--logs", logs.to_str().unwrap()]);
    let answer = serving.get(&format!("/api/runs/{id}/logs"), "");
    assert!(answer.contains("\"message\":\"no answer\""), "{answer}");
    let refused = sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--logs", "no/such/folder"]);
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("no/such/folder") && refused.stderr.contains("--logs names"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_token_or_a_password_of_a_file_is_demanded() {
    let sandbox = Sandbox::with_sagas();
    sandbox.write("token", "a token of enough length\nand more\n");
    sandbox.write("password", "ops:a password of enough length\n");
    let serving = Serving::begin(&sandbox, &["--token-file", "token"]);
    assert!(serving.get("/api/runs", "").starts_with("HTTP/1.1 401"));
    let authorized = "authorization: Bearer a token of enough length\r\n";
    assert!(serving.get("/api/runs", authorized).starts_with("HTTP/1.1 200"));
    let serving = Serving::begin(&sandbox, &["--password-file", "password"]);
    // `printf %s 'ops:a password of enough length' | base64`
    let authorized = "authorization: Basic b3BzOmEgcGFzc3dvcmQgb2YgZW5vdWdoIGxlbmd0aA==\r\n";
    assert!(serving.get("/api/runs", "").starts_with("HTTP/1.1 401"));
    assert!(serving.get("/api/runs", authorized).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_second_token_shows_runs_without_what_they_worked_on() {
    let sandbox = Sandbox::with_sagas();
    sandbox.write("password", "ops:a password of enough length\n");
    sandbox.write("token", "a token of enough length\n");
    sandbox.write("support", "another token of support\n");
    let support = ["--token-file-without-payloads", "support"];
    let bearer = |token| format!("authorization: Bearer {token}\r\n");
    let basic = "authorization: Basic b3BzOmEgcGFzc3dvcmQgb2YgZW5vdWdoIGxlbmd0aA==\r\n".to_owned();
    for (options, all) in [
        (&[][..], None),
        (&["--token-file", "token"], Some(bearer("a token of enough length"))),
        (&["--password-file", "password"], Some(basic)),
    ] {
        let serving = Serving::begin(&sandbox, &[options, &support].concat());
        // What is not shown can't be asked for either.
        for (path, status) in [("/api/runs", "200"), ("/api/runs?tag=x", "403")] {
            assert!(serving.get(path, "").starts_with("HTTP/1.1 401"), "{options:?}");
            let answer = serving.get(path, &bearer("another token of support"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{options:?} {path}: {answer}");
            let answer = all.as_ref().map(|all| serving.get(path, all));
            assert!(answer.is_none_or(|answer| answer.starts_with("HTTP/1.1 200")), "{options:?} {path}");
        }
    }
}

#[test]
fn what_would_show_the_runs_to_everybody_is_refused_with_what_to_do() {
    let sandbox = Sandbox::with_sagas();
    sandbox.write("short", "tulip\n");
    for (options, part) in [
        (&["--listen", "0.0.0.0:0"][..], "--token-file or --password-file"),
        (&["--token-file", "short"], "use at least"),
        (&["--token-file", "nowhere"], "nowhere: No such file"),
        (&["--password-file", "short"], "expected NAME:PASSWORD"),
        (&["--feed", "kafka://x"], "expected redis://HOST/"),
    ] {
        let said = sandbox.run(&[&["serve"], options].concat());
        assert!(said.code > 1 && said.stderr.contains(part), "{options:?}: {}", said.stderr);
        assert!(!said.stderr.contains("tulip"), "{}", said.stderr);
    }
}

#[test]
fn a_run_that_is_taken_along_is_read_back_as_it_was() {
    let sandbox = Sandbox::with_sagas();
    let serving = Serving::begin(&sandbox, &[]);
    let listed = sandbox.json(&["list"]);
    let id = listed["runs"][0]["trace_id"].as_str().unwrap();
    let answer = serving.get(&format!("/api/runs/{id}/export"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let page = answer.split_once("\r\n\r\n").unwrap().1;
    // The very file that the command writes.
    let other = Sandbox::empty();
    other.write("run.html", page);
    let said = other.run(&["import", "run.html", "--redaction", "off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let export = ["export", id];
    assert_eq!(other.run(&export).stdout, sandbox.run(&export).stdout);
    assert_eq!(page, sandbox.run(&["export", id, "--format", "html"]).stdout);
}

#[test]
fn as_many_pages_are_told_of_news_as_the_command_says() {
    let sandbox = Sandbox::with_sagas();
    let watch = |serving: &Serving| {
        let mut socket = TcpStream::connect(&serving.address).unwrap();
        write!(socket, "GET /api/live HTTP/1.1\r\nhost: {}\r\n\r\n", serving.address).unwrap();
        let mut status = String::new();
        BufReader::new(socket.try_clone().unwrap()).read_line(&mut status).unwrap();
        (status.split(' ').nth(1).unwrap().to_owned(), socket)
    };
    for (options, refused) in [(["--max-watchers", "1"], "503"), (["--max-watchers-each", "1"], "429")] {
        let serving = Serving::begin(&sandbox, &options);
        let (status, _held) = watch(&serving);
        assert_eq!(status, "200", "{options:?}");
        assert_eq!(watch(&serving).0, refused, "{options:?}");
    }
}
