//! A Sentry-compatible server, written by others, and Sentry's own normaliser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

/// How many tests there may be that need a project.
const PROJECTS: usize = 16;

/// The server and the normaliser, as they are given to Python.
const SERVER: &str = include_str!("server.py");
const NORMALISER: &str = include_str!("normalise.py");

/// What they are run by: what the test command says, or what it has installed.
fn python() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let installed = folders.find_map(|folder| {
        let python = folder.join("target/python/bin/python3");
        python.exists().then_some(python)
    });
    let named = std::env::var_os("THROUGHLINE_PYTHON").map(PathBuf::from);
    named.or(installed).unwrap_or_else(|| PathBuf::from("python3"))
}

/// Whether the packages are there; if one is required and is not, whatever runs it says so.
pub(crate) fn is_there() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_installed = || {
        let import = Command::new(python()).args(["-c", "import bugsink, sentry_relay"]).output();
        import.is_ok_and(|import| import.status.success())
    };
    let is_there = services == "required" || (services != "off" && is_installed());
    if !is_there {
        eprintln!("left out: the Python packages bugsink and sentry-relay are not there");
    }
    is_there
}

struct Bugsink {
    folder: PathBuf,
    dsns: Mutex<Vec<String>>,
    /// Ends when its standard input does, which is ours to hold.
    #[expect(dead_code, reason = "held for its standard input")]
    server: Child,
}

fn shared() -> &'static Bugsink {
    static SHARED: OnceLock<Bugsink> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut command = Command::new(python());
        command.args(["-c", SERVER]).arg(&folder).arg(PROJECTS.to_string());
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        let dsns: Vec<_> = lines.take_while(|line| line != "ready").collect();
        assert_eq!(dsns.len(), PROJECTS, "the server did not start");
        Bugsink { folder, dsns: Mutex::new(dsns), server }
    })
}

/// A project of a test's own.
pub(crate) struct Project {
    pub(crate) dsn: String,
    id: i64,
}

impl Project {
    /// `None` where there is no server and none is required.
    pub(crate) fn new() -> Option<Self> {
        if !is_there() {
            return None;
        }
        let dsn =
            shared().dsns.lock().unwrap().pop().expect("raise PROJECTS: there are more tests than that");
        let id = dsn.rsplit('/').next().unwrap().parse().unwrap();
        Some(Self { dsn, id })
    }

    /// The issue and the payload of each event that the server keeps of the project, in the order in which they came.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        let database = rusqlite::Connection::open(shared().folder.join("db.sqlite3")).unwrap();
        let mut query = database
            .prepare("SELECT issue_id, data FROM events_event WHERE project_id = ? ORDER BY digested_at")
            .unwrap();
        let rows = query.query_map([self.id], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(|row| row.unwrap())
            .map(|(issue, data)| (issue, serde_json::from_str(&data).unwrap()))
            .collect()
    }

    /// The only event that the server keeps of the project.
    #[allow(dead_code, reason = "not every binary that shares this file asks for one")]
    pub(crate) fn only_event(&self) -> Value {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:#?}");
        events.into_iter().next().unwrap().1
    }
}

/// Whether a text is anywhere in what the server keeps: its databases, and its files.
pub(crate) fn keeps(text: &str) -> bool {
    let mut folders = vec![shared().folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path())
                && bytes.windows(text.len()).any(|window| window == text.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

/// Has Sentry's own normaliser look at events, and fails if it finds anything invalid in them.
pub(crate) fn assert_valid(events: &[Value]) {
    let mut command = Command::new(python());
    command.args(["-c", NORMALISER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut normaliser = command.spawn().unwrap();
    let mut input = normaliser.stdin.take().unwrap();
    events.iter().for_each(|event| writeln!(input, "{event}").unwrap());
    drop(input);
    let output = normaliser.wait_with_output().unwrap();
    let found: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found.len(), events.len(), "the normaliser did not read all of them");
    for (found, event) in found.iter().zip(events) {
        assert_eq!(found["errors"], serde_json::json!([]), "{event:#}");
    }
}
