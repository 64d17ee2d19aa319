//! A server that answers as it is told: as Sentry does where a real one can't be made to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::Value;

/// What it answers to a request.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// A status, and a header if there is one to be sent.
    Status(u16, &'static str),
    /// Nothing, and the connection stays open.
    Nothing,
}

pub(crate) struct Receiver {
    port: u16,
    requests: mpsc::Receiver<Vec<u8>>,
}

impl Receiver {
    /// One that gives these answers in turn, and the last one to all requests after that.
    pub(crate) fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, requests) = mpsc::channel();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for (at, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let answer = answers[at.min(answers.len() - 1)];
                // Told before the answer: a test that has that may count.
                if seen.send(read(&stream)).is_err() {
                    break;
                }
                if let Answer::Status(status, header) = answer {
                    let mut stream = &stream;
                    let head =
                        format!("HTTP/1.1 {status} Told\r\nContent-Length: 2\r\nConnection: close\r\n");
                    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
                    let _ = write!(stream, "{head}{header}\r\n{{}}");
                } else {
                    open.push(stream);
                }
            }
        });
        Self { port, requests }
    }

    pub(crate) fn dsn(&self) -> String {
        format!("http://0123456789abcdef@127.0.0.1:{}/1", self.port)
    }

    /// The body of the next request.
    pub(crate) fn next(&self) -> Vec<u8> {
        self.requests.recv_timeout(crate::LONG).unwrap()
    }

    /// The items of the next request.
    pub(crate) fn next_items(&self) -> Vec<Value> {
        items(self.next())
    }

    /// The items of all further requests that there were.
    pub(crate) fn all_items(&self) -> Vec<Value> {
        self.requests.try_iter().flat_map(items).collect()
    }

    /// How many more requests there were.
    pub(crate) fn count(&self) -> usize {
        self.requests.try_iter().count()
    }
}

fn items(body: Vec<u8>) -> Vec<Value> {
    let body = String::from_utf8(body).unwrap();
    let lines = body.lines().skip(1).collect::<Vec<_>>();
    lines.chunks(2).filter_map(|item| serde_json::from_str(item.get(1)?).ok()).collect()
}

fn read(stream: &TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    body
}
