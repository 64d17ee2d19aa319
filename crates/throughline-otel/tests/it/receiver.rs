//! A receiver that others wrote, in a process of its own that ends with its handle.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Http,
    Grpc,
}

pub(crate) struct Receiver {
    process: Child,
    port: u16,
    is_encrypted: bool,
    got: Arc<Got>,
}

#[derive(Default)]
struct Got {
    lines: Mutex<Vec<Value>>,
    more: Condvar,
}

fn python() -> PathBuf {
    let of_xtask = || {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut pythons = folders.map(|folder| folder.join("target/python/bin/python3"));
        pythons.find(|python| python.exists()).unwrap_or_default()
    };
    std::env::var_os("THROUGHLINE_PYTHON").map_or_else(of_xtask, PathBuf::from)
}

/// Whether there is a receiver to be started; if none is there and one is required, it is said by what starts one.
pub(crate) fn is_there() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_installed = || {
        let imported = Command::new(python()).args(["-c", "import grpc, oteltap"]).output();
        imported.is_ok_and(|imported| imported.status.success())
    };
    let is_there = services == "required" || (services != "off" && is_installed());
    if !is_there {
        eprintln!("left out: there is no Python with oteltap and grpcio, which `cargo xtask test` installs");
    }
    is_there
}

impl Receiver {
    pub(crate) fn start(over: Over) -> Self {
        Self::start_with(over, &[])
    }

    /// Over TLS, with the key and the certificate in these files: gRPC alone.
    pub(crate) fn start_with(over: Over, key_and_certificate: &[&Path]) -> Self {
        let how = if over == Over::Http { "http" } else { "grpc" };
        let mut process = Command::new(python())
            .args(["-c", include_str!("receiver.py"), how])
            .args(key_and_certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        let got = Arc::<Got>::default();
        let theirs = Arc::clone(&got);
        std::thread::spawn(move || collect(lines, &theirs));
        let is_encrypted = !key_and_certificate.is_empty();
        Self { process, port: first["port"].as_u64().unwrap().try_into().unwrap(), is_encrypted, got }
    }

    pub(crate) fn endpoint(&self) -> String {
        // A certificate is one of a name.
        let place = if self.is_encrypted { "https://localhost" } else { "http://127.0.0.1" };
        format!("{place}:{}", self.port)
    }

    /// All that it has got so far, once this is true of it.
    pub(crate) fn once(&self, is_complete: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        let mut lines = self.got.lines.lock().unwrap();
        while !is_complete(&lines) {
            assert!(began.elapsed() < PATIENCE, "after {PATIENCE:?} it has got {lines:#?}");
            (lines, _) = self.got.more.wait_timeout(lines, Duration::from_secs(1)).unwrap();
        }
        lines.clone()
    }

    /// The same with so many spans.
    pub(crate) fn spans(&self, count: usize) -> Vec<Value> {
        let is_span = |line: &&Value| line["signal"] == "span";
        let lines = self.once(|lines| lines.iter().filter(is_span).count() >= count);
        lines.iter().filter(is_span).cloned().collect()
    }
}

fn collect(lines: BufReader<ChildStdout>, got: &Got) {
    for line in lines.lines() {
        let Ok(line) = line else { return };
        got.lines.lock().unwrap().push(serde_json::from_str(&line).unwrap());
        got.more.notify_all();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
