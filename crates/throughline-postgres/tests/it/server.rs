//! A Postgres server of this process's own, and a database of it for each test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use throughline_postgres::PostgresStore;

/// Runs what it is given until its standard input ends, and removes its folder then. The other end of that is ours, and
/// closes however we end, by SIGKILL too. SIGINT has Postgres cut its connections and end.
const TIED_TO_US: &str = r#"folder=$1; shift; "$@" & server=$!; read -r line; kill -INT "$server"; wait "$server"; rm -rf "$folder""#;

/// A server that ends with this, and with this process at the latest.
pub(crate) struct Server {
    /// The last one is that which runs; those before were killed.
    processes: Vec<Child>,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| vec!["-c".to_owned(), "listen_addresses=".to_owned()])
    }

    /// Starts one with these arguments, which may name files that are written into its folder.
    pub(crate) fn start_with(prepare: impl FnOnce(&std::path::Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("throughline-pg-").tempdir().unwrap().keep();
        if rustix::process::geteuid().is_root() {
            assert!(as_postgres("true").status().unwrap().success(), "there is no user `postgres`");
            let owned = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(owned.success());
        }
        let data = folder.join("data");
        let mut init = as_postgres(program("initdb"));
        init.args([
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--username",
            "postgres",
            "--no-sync",
        ]);
        let made = init.arg("--pgdata").arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let arguments = prepare(&folder);
        let mut server = Self { processes: Vec::new(), folder, arguments };
        server.run();
        server
    }

    /// Ends the server by this signal, and starts it again: `-INT` has it cut its connections and end in order, `-QUIT` as a
    /// crash would, without a checkpoint.
    pub(crate) fn end_and_restart(&mut self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
        while self.folder.join("data/postmaster.pid").exists() {
            std::thread::yield_now();
        }
        self.run();
    }

    fn run(&mut self) {
        let folder = &self.folder;
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_US, "sh"]).arg(folder);
        let server = as_postgres(program("postgres"));
        command.arg(server.get_program()).args(server.get_args()).arg("-D").arg(folder.join("data"));
        command.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        command.args(["-c", "max_connections=400"]).args(&self.arguments);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        self.processes.push(command.spawn().unwrap());
        while self.psql("postgres", "SELECT 1").is_err() {
            let process = self.processes.last_mut().unwrap();
            if let Some(status) = process.try_wait().unwrap() {
                panic!("postgres ended with {status} before it was ready");
            }
        }
    }

    /// The folder in which it keeps everything.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The connection string of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("host={} user=postgres dbname={database}", self.folder.display())
    }

    /// Makes a new, empty database; returns its name.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// What the shell says to some SQL.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        let port = self.arguments.iter().find_map(|argument| argument.strip_prefix("port="));
        command.args(["-p", port.unwrap_or("5432")]);
        let said = command.arg("-h").arg(&self.folder).args(["-c", sql]).output().unwrap();
        match said.status.success() {
            true => Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The folder goes with the first, when no server runs any more.
        while let Some(mut process) = self.processes.pop() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

/// A command that runs as somebody else than root, as whom Postgres does not start.
pub(crate) fn as_postgres(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// A program of Postgres: that of the latest version in Debian's folders, or on the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path())
        .filter(|version| version.join("bin").join(name).exists())
        .collect();
    found.sort_by_key(|version| {
        version.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or_default()
    });
    found.pop().map_or_else(|| name.into(), |version| version.join("bin").join(name))
}

/// Whether the tests that need a server are left out.
pub(crate) fn is_left_out() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || Command::new(program("initdb")).arg("--version").output().is_ok();
    services == "off" || (services != "required" && !is_there())
}

/// The server of this process; `None` where there is none and none is required.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| match is_left_out() {
            true => {
                eprintln!("left out: without Postgres there is no store");
                None
            }
            false => Some(Server::start()),
        })
        .as_ref()
}

/// A database of a test's own.
pub(crate) struct Database {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    /// `None` where there is no server and none is required.
    pub(crate) fn new() -> Option<Self> {
        let server = shared()?;
        Some(Self { server, name: server.database() })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::new(self.url())
    }

    /// What the shell says to some SQL.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }
}
