//! Servers of our own, which end with this process.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Runs what it is given until its standard input ends. The other end of that is ours, and closes however we end, by
/// SIGKILL too. SIGINT has Postgres end its sessions.
const TIED_TO_US: &str = r#"folder=$1; shift; "$@" & exec >&- 2>&-; server=$!; read -r line; kill -INT "$server"; wait "$server"; rm -rf "$folder""#;

/// A server, and how it is reached.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    /// A Redis server that keeps nothing on disk.
    pub(crate) fn redis() -> anyhow::Result<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        version.context(
            "cannot start redis-server: install it (on Debian: apt-get install redis-server), or name one that runs \
             with --feed redis://127.0.0.1:6379/",
        )?;
        let folder = folder("redis")?;
        let socket = folder.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(&folder);
        command.arg("--unixsocket").arg(&socket);
        Self::start(
            &folder,
            &command,
            "eady to accept connections",
            format!("redis+unix://{}", socket.display()),
        )
    }

    /// A Postgres server with an empty database.
    pub(crate) fn postgres() -> anyhow::Result<Self> {
        let folder = folder("postgres")?;
        if rustix::process::geteuid().is_root() {
            let given = Command::new("chown").arg("postgres").arg(&folder).status()?;
            ensure!(given.success(), "there is no user `postgres`, as whom the server runs");
        }
        let data = folder.join("data");
        let mut init = postgres("initdb");
        init.args([
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--username",
            "postgres",
            "--pgdata",
        ]);
        let made = init.arg(&data).output().context(
            "cannot start Postgres: install it (on Debian: apt-get install postgresql), or name a server that runs \
             with --store postgres://…",
        )?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = postgres("postgres");
        command.arg("-D").arg(&data).arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        command.args(["-c", "listen_addresses="]);
        let url = format!("host={} user=postgres dbname=postgres", folder.display());
        Self::start(&folder, &command, "ready to accept connections", url)
    }

    fn start(folder: &Path, server: &Command, is_ready: &str, url: String) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 2>&1; {TIED_TO_US}"), "sh"]).arg(folder);
        command.arg(server.get_program()).args(server.get_args());
        // Not in our process group: a Ctrl-C is for us, and we need the server until we have ended.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn()?;
        let said = process.stdout.take().context("it says how it does")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains(is_ready)) {
            bail!("{} ended before it was ready", server.get_program().display());
        }
        // What else it says is read, so that it is not held up by nobody listening.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It may have ended already.
        let _ = self.process.wait();
    }
}

fn folder(name: &str) -> anyhow::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix(&format!("distributed-{name}-")).tempdir()?.keep())
}

/// A program of Postgres, the latest in Debian's folders or that on the path, as somebody else than root.
fn postgres(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists());
    let program = programs.max().unwrap_or_else(|| name.into());
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    command
}
