//! A viewer that is served, and a client that says exactly what it is told to say.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use throughline_viewer::Viewer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// How long something may take that either happens soon or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is the one that is waited for.
pub(crate) async fn until<T>(ask: impl AsyncFn() -> T, is_it: impl Fn(&T) -> bool) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if is_it(&answer) {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the answer is another one each time")
}

/// A router that is served until this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// The viewer with a server of its own.
    pub(crate) async fn of(viewer: &Viewer) -> Self {
        let bound = viewer.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = bound.address();
        Self { address, task: tokio::spawn(async move { bound.serve().await.unwrap() }) }
    }

    /// A router, as a service serves it that lets the viewer know who asks.
    pub(crate) async fn router(router: Router) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), router)
    }

    /// A router whose connections keep little that was not read yet.
    pub(crate) fn with_little_room(router: Router) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4_096).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self::listening(socket.listen(64).unwrap(), router)
    }

    fn listening(listener: TcpListener, router: Router) -> Self {
        let address = listener.local_addr().unwrap();
        let app = router.into_make_service_with_connect_info::<SocketAddr>();
        Self { address, task: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    /// Sends a request with these headers, and a `Host` unless there is one among them.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let read = async {
            let mut socket = self.open(method, path, headers, "close").await;
            let mut bytes = Vec::new();
            socket.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        Answer::read(&tokio::time::timeout(PATIENCE, read).await.unwrap())
    }

    /// Sends a request and leaves the answer to the caller.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        connection: &str,
    ) -> TcpStream {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: {connection}\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// The JSON of a question that is answered.
    pub(crate) async fn ask(&self, question: &str) -> Value {
        let answer = self.get(&format!("/api/{question}")).await;
        assert_eq!(answer.status, 200, "{question}: {}", answer.text());
        answer.json()
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a refusal says.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}
