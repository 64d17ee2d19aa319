//! A Redis server of a test's own, on a Unix socket in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A server that ends with this.
pub(crate) struct Server {
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one that keeps nothing on disk; `None` where there is no `redis-server` and none is required.
    pub(crate) fn start() -> Option<Self> {
        let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
        let is_there = || Command::new("redis-server").arg("--version").output().is_ok();
        if services == "off" || (services != "required" && !is_there()) {
            eprintln!("left out: without redis-server there is no queue to work on");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        command.arg("--unixsocket").arg(folder.path().join("redis.sock"));
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server runs: install it, or set THROUGHLINE_SERVICES=off");
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("eady to accept connections")), "the server did not start");
        // It goes on to say things, and must not be held up by nobody listening.
        std::thread::spawn(move || said.for_each(drop));
        Some(Self { process, folder })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
