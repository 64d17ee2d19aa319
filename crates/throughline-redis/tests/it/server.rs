//! A Redis server of a test's own, which can be killed, stopped and started again.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

/// Runs what it is given, which says its process before anything else, until its standard input ends: the other end of that is ours, and closes
/// however we end, by SIGKILL too.
const TIED_TO_US: &str = r#"sh -c 'echo "$$"; exec "$@"' sh "$@" & server=$!; exec >&-; read -r line; kill -CONT "$server"; kill -KILL "$server"; wait"#;

/// A server, which ends with this.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    port: u16,
    /// The file that a sentinel has to have; the first argument.
    config: Option<PathBuf>,
    arguments: Vec<OsString>,
    running: Option<Running>,
}

struct Running {
    shell: Child,
    server: Pid,
}

/// Whether there is a server to be started; if none is there and one is required, it is said by what starts one.
pub(crate) fn is_there() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_installed = || Command::new("redis-server").arg("--version").output().is_ok();
    let is_there = services == "required" || (services != "off" && is_installed());
    if !is_there {
        eprintln!("left out: there is no redis-server");
    }
    is_there
}

impl Server {
    /// One that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"])
    }

    /// One with these arguments besides its address.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), None, arguments)
    }

    /// One in this folder, with a file of settings as its first argument if it is given one.
    pub(crate) fn start_in(folder: tempfile::TempDir, config: Option<PathBuf>, arguments: &[&str]) -> Self {
        // Free now; if another process takes it in the meantime, the start fails and not a test.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(Into::into).collect();
        let mut server = Self { folder, port, config, arguments, running: None };
        server.restart();
        server
    }

    /// Starts it again at the same address, with what it kept.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_US, "sh", "redis-server"]).args(&self.config);
        command.args(["--bind", "127.0.0.1", "--dir"]);
        command.arg(self.folder.path()).arg("--port").arg(self.port.to_string());
        command.arg("--unixsocket").arg(self.socket()).args(&self.arguments);
        // Not in our process group: a Ctrl-C is for us.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut shell = command.spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines().map_while(Result::ok);
        let process = lines.next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        self.running = Some(Running { shell, server: process.unwrap() });
        let mut said = Vec::new();
        let is_ready = lines.by_ref().any(|line| {
            said.push(line);
            let is_sign = |line: &String| {
                line.contains("eady to accept connections") || line.contains("+monitor master")
            };
            said.last().is_some_and(is_sign)
        });
        assert!(is_ready, "redis-server did not start: {said:#?}");
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// Kills it by SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.shell.stdin.take());
            running.shell.wait().unwrap();
        }
    }

    /// Stops it: connections stay open and nothing is answered.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it continue.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.running.as_ref().unwrap().server, signal).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Runs a command on it, as an administrator.
    pub(crate) fn command(&self, command: &[&str]) -> redis::Value {
        self.command_at("", command)
    }

    /// The same as this user, as in `name:password@`.
    pub(crate) fn command_at(&self, user: &str, command: &[&str]) -> redis::Value {
        self.try_command_at(user, command).unwrap()
    }

    /// The same, of a command that it may refuse.
    pub(crate) fn try_command_at(&self, user: &str, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://{user}127.0.0.1:{}/", self.port)).unwrap();
        let mut connection = client.get_connection()?;
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query(&mut connection)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One that tests share which use a prefix each.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}
