//! A folder with a store, and what the command says when it is run there.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of its own, in which the store is `sqlite:traces.db`.
pub(crate) struct Sandbox(TempDir);

/// What one run of the command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A folder with a store into which a file of `tests/data` was imported.
    pub(crate) fn with(data: &str, options: &[&str]) -> Self {
        let sandbox = Self::empty();
        fs::copy(data_file(data), sandbox.path(data)).unwrap();
        let said = sandbox.run(&[&["import", data], options].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
        sandbox
    }

    /// A folder with the runs of four loan applications.
    pub(crate) fn with_loans() -> Self {
        Self::with(
            "loans.xes",
            &["--failed-when", "concept:name=A_DECLINED", "--cancelled-when", "concept:name=A_CANCELLED"],
        )
    }

    /// A folder with the runs of a saga that failed and of one that did not.
    pub(crate) fn with_sagas() -> Self {
        Self::with("saga.jsonl", &[])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command, in this folder, with an environment that says nothing but the store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        for (_, variable) in throughline::config::variables() {
            for name in std::iter::once(&variable.name).chain(variable.aliases) {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.0.path())
            .env_remove("NO_COLOR")
            .env("THROUGHLINE_STORE", "sqlite:traces.db")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the command with something to read on its standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Said {
        let mut process = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        // It may say much before it has read all.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).unwrap());
            process.wait_with_output().unwrap()
        });
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the command and gives what people see: the answer, or the error, and the exit code.
    pub(crate) fn see(&self, args: &[&str]) -> String {
        let said = self.run(args);
        let folder = self.0.path().display().to_string();
        let mut seen = format!("{}{}", said.stdout, said.stderr).replace(&folder, "FOLDER");
        if said.code != 0 {
            seen.push_str(&format!("[exit code {}]", said.code));
        }
        seen
    }

    /// Runs the command and reads its answer as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let said = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", said.stdout, said.stderr))
    }

    /// What the command says as JSON of bytes that it gets through a pipe, whatever its exit code.
    pub(crate) fn json_of_pipe(&self, args: &[&str], bytes: &[u8]) -> serde_json::Value {
        let mut command = self.command(&[args, &["--json"]].concat());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(bytes).unwrap();
        serde_json::from_slice(&process.wait_with_output().unwrap().stdout).unwrap()
    }
}

/// A file of `tests/data`.
pub(crate) fn data_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The rows of the section on related runs, without its heading; spaces are taken together.
pub(crate) fn related(seen: &str) -> Vec<String> {
    let (_, section) = seen.split_once("\nRelated runs\n").unwrap_or_else(|| panic!("{seen}"));
    let rows = section.lines().take_while(|row| row.starts_with("  "));
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The command that a row ends with, run.
pub(crate) fn follow(sandbox: &Sandbox, row: &str) -> serde_json::Value {
    let (_, command) = row.split_once("throughline ").unwrap_or_else(|| panic!("{row}"));
    sandbox.json(&command.split(' ').collect::<Vec<_>>())
}
