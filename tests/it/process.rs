//! Processes of tests that need several: each is this test binary again, with one test to run, whose environment says what
//! to do. Without that environment the test does nothing.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// What each line begins with that a process [says](say); the others are of the test harness.
const SAID: &str = "said: ";

/// SIGKILL, after which no code of a process runs any more.
const KILLED: i32 = 9;

/// A process, killed with SIGKILL when it is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one that runs this test, with this in its environment.
    pub(crate) fn start(test: &str, told: &[(&str, &OsStr)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).envs(told.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    /// What it says next; `None` once it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        self.lines.find_map(|line| line.unwrap().strip_prefix(SAID).map(str::to_owned))
    }

    /// Lets it go on from where it [waits](wait_to_go_on).
    pub(crate) fn go_on(&mut self) {
        drop(self.stdin.take());
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert!(is_killed(self.child.wait().unwrap()), "it ended before it was killed");
    }

    /// Waits until it ends: all that it still said, and how it ended.
    pub(crate) fn end(mut self) -> (Vec<String>, ExitStatus) {
        self.go_on();
        let said = std::iter::from_fn(|| self.hear()).collect();
        (said, self.child.wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process was killed with SIGKILL.
pub(crate) fn is_killed(status: ExitStatus) -> bool {
    status.signal() == Some(KILLED)
}

/// In a process: says something to the test that started it. One write, so that a line is whole or not there.
pub(crate) fn say(what: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("\n{SAID}{what}\n").as_bytes()).and_then(|()| stdout.flush()).unwrap();
}

/// In a process: waits until the test lets it go on, or ends.
pub(crate) fn wait_to_go_on() {
    let _ = std::io::stdin().lines().next();
}
