//! A Redis server of our own, on a Unix socket in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs what it is given until its standard input ends. The other end of that is ours, and closes however we end, by
/// SIGKILL too. Its standard output is given away, so that it ends with the server.
const TIED_TO_US: &str = r#""$@" & exec >&-; server=$!; read -r line; kill "$server"; wait "$server""#;

/// A server that ends with this, and with this process at the latest.
pub(crate) struct Server {
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one, which keeps nothing on disk.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        version.context(
            "cannot start redis-server: install it (on Debian: apt-get install redis-server), or name one that runs \
             with --redis redis://127.0.0.1:6379/",
        )?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_US, "sh", "redis-server"]);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        command.arg("--unixsocket").arg(folder.path().join("redis.sock"));
        // Not in our process group: a Ctrl-C is for us, and we need the server until we have ended.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn()?;
        let said = process.stdout.take().context("redis-server says how it does")?;
        let server = Self { process, folder };
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("eady to accept connections")) {
            bail!("redis-server ended before it was ready");
        }
        // What else it says is read, so that it is not held up by nobody listening.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It may have ended already.
        let _ = self.process.wait();
    }
}
