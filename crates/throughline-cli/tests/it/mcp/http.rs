//! Who is let in over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A server at an address of its own.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn of(sandbox: &Sandbox, options: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["mcp", "--listen", "127.0.0.1:0"], options].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("Listening at ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, url }
    }

    /// The status of the response to a question with these headers.
    pub(crate) fn status(&self, headers: &str) -> u16 {
        self.post(headers, &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).0
    }

    /// What the holder of a token is answered.
    pub(crate) fn ask(&self, token: &str, method: &str, params: &Value) -> Value {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, body) = self.post(&format!("Authorization: Bearer {token}\r\n"), &asked);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The status and the body of the response to a message with these headers.
    fn post(&self, headers: &str, message: &Value) -> (u16, String) {
        let body = message.to_string();
        let address = self.url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
        write!(
            stream,
            "POST /mcp HTTP/1.1\r\n{host}{headers}Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_page_in_a_browser_is_no_client() {
    let server = Server::of(&Sandbox::with_sagas(), &[]);
    assert_eq!(server.status(""), 200);
    assert_eq!(server.status("Origin: https://example.org\r\n"), 403);
    assert_eq!(server.status("Host: rebound.example.org\r\n"), 403);
}

#[test]
fn a_token_is_demanded_of_every_request() {
    let sandbox = Sandbox::with_sagas();
    sandbox.write("token.txt", "tulip-42-tulip\n");
    let server = Server::of(&sandbox, &["--token-file", "token.txt"]);
    assert_eq!(server.status(""), 401);
    assert_eq!(server.status("Authorization: Bearer tulip-42-tuli\r\n"), 401);
    assert_eq!(server.status("Authorization: Basic tulip-42-tulip\r\n"), 401);
    assert_eq!(server.status("Authorization: Bearer tulip-42-tulip\r\n"), 200);
}

#[test]
fn other_machines_are_not_served_without_a_token() {
    let sandbox = Sandbox::with_sagas();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7333"] {
        let said = sandbox.run(&["mcp", "--listen", address]);
        assert_eq!(said.code, 2, "{address}");
        assert!(said.stderr.contains("--token-file FILE"), "{}", said.stderr);
    }
    sandbox.write("empty.txt", "\n");
    let said = sandbox.run(&["mcp", "--listen", "0.0.0.0:0", "--token-file", "empty.txt"]);
    assert!(said.code == 3 && said.stderr.contains("has no token"), "{}", said.stderr);
    sandbox.write("short.txt", "abc\n");
    for option in ["--token-file", "--token-file-without-payloads"] {
        let said = sandbox.run(&["mcp", "--listen", "127.0.0.1:0", option, "short.txt"]);
        assert!(said.code == 2 && said.stderr.contains("use at least 12"), "{}", said.stderr);
        let said = sandbox.run(&["mcp", option, "short.txt"]);
        assert!(said.code == 2 && said.stderr.contains("--listen"), "{}", said.stderr);
    }
}
