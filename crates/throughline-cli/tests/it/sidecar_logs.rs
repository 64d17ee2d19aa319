//! `throughline logs`: files of other programs, followed.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::sandbox::Sandbox;

const LINES: &str = r#"{"timestamp":"2026-02-21T13:42:01.000000Z","level":"info","message":"app ready","port":8080}
{"timestamp":"2026-02-21T13:42:05.000000Z","level":"info","message":"begins","trace_id":"0198c0ffee0000000000000000000001"}
{"timestamp":"2026-02-21T13:42:06.000000Z","level":"error","message":"task failed","trace_id":"0198c0ffee0000000000000000000001","correlation_id":"loan-42","big":12345678901234567890123}
thread 'main' panicked at src/main.rs
"#;

fn append(sandbox: &Sandbox, name: &str, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(sandbox.path(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The command while it follows files, killed when this is dropped.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut child = sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_are_shown_with_what_they_say_and_what_is_no_json_as_it_is() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", LINES);
    insta::assert_snapshot!(sandbox.see(&["logs", "app.log", "--no-follow"]));
    let level = sandbox.run(&["logs", "app.log", "--no-follow", "--level", "warning"]).stdout;
    assert_eq!(level.lines().count(), 2, "{level}");
    let text = sandbox.run(&["logs", "app.log", "--no-follow", "--grep", "READY"]).stdout;
    assert_eq!(text.lines().count(), 1, "{text}");
    let colours = sandbox.run(&["logs", "app.log", "--no-follow", "--color", "always"]).stdout;
    assert!(colours.contains("\u{1b}[1m\u{1b}[31mERROR"), "{colours:?}");
}

#[test]
fn a_run_is_followed_from_its_first_line_though_its_key_comes_later() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", LINES);
    for key in ["loan-42", "0198c0ffee"] {
        let said = sandbox.run(&["logs", "app.log", "--no-follow", "--run", key]).stdout;
        let messages: Vec<_> = said.lines().map(|line| line.contains("begins")).collect();
        assert_eq!(messages, [true, false], "{key}: {said}");
    }
    assert_eq!(sandbox.run(&["logs", "app.log", "--no-follow", "--run", "loan-4"]).code, 1);
}

#[test]
fn json_has_each_line_as_the_service_wrote_it() {
    let sandbox = Sandbox::empty();
    let harmful = "{\"message\":\"\u{9b}31m \u{202e}\"}\nno json \u{1b}[2J\n";
    sandbox.write("app.log", format!("{LINES}{harmful}"));
    let said = sandbox.run(&["logs", "app.log", "--no-follow", "--json"]).stdout;
    assert!(said.contains("\"big\":12345678901234567890123}"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["line"]["message"], "app ready");
    assert_eq!(lines[3]["malformed"], "thread 'main' panicked at src/main.rs");
    assert_eq!(lines[4]["line"]["message"], "\u{9b}31m \u{202e}");
    assert_eq!(lines[5]["malformed"], "no json \u{1b}[2J");
}

#[test]
fn nothing_in_a_log_reaches_the_terminal_as_a_command() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", "{\"message\":\"\\u001b[2J\",\"\\u001b\":\"\\u009b\"}\n\u{1b}[2J\n");
    let said = sandbox.run(&["logs", "app.log", "--no-follow"]).stdout;
    assert!(!said.contains(['\u{1b}', '\u{9b}']), "{said:?}");
    assert_eq!(said.matches("[2J").count(), 2, "{said:?}");
}

#[test]
fn a_file_is_followed_through_its_late_creation_a_rename_and_a_truncation() {
    let sandbox = Sandbox::empty();
    append(&sandbox, "b.log", "b 1\n");
    let mut following = Following::start(&sandbox, &["logs", "a.log", "b.log"]);
    assert_eq!(following.next(), "b.log  b 1");
    append(&sandbox, "a.log", "a 1\n");
    assert_eq!(following.next(), "a.log  a 1");
    fs::rename(sandbox.path("a.log"), sandbox.path("a.log.1")).unwrap();
    append(&sandbox, "a.log.1", "a 2\n");
    append(&sandbox, "a.log", "a 3\n");
    assert_eq!([following.next(), following.next()], ["a.log  a 2", "a.log  a 3"]);
    fs::write(sandbox.path("a.log"), "a 4, longer than before\n").unwrap();
    assert_eq!(following.next(), "a.log  a 4, longer than before");
}

#[test]
fn following_ends_when_its_time_is_over_and_shows_a_last_line_without_an_end() {
    let sandbox = Sandbox::empty();
    append(&sandbox, "app.log", "a line without an end");
    let said = sandbox.run(&["logs", "app.log", "--for", "0s"]);
    assert_eq!((said.code, &*said.stdout), (0, "a line without an end\n"));
}

#[test]
fn an_archive_that_is_torn_keeps_nobody_from_reading_the_rest() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log.1.gz", "no gzip");
    sandbox.write("app.log", LINES);
    let said = sandbox.run(&["logs", "app.log", "--gzip", "--no-follow"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 4), "{}", said.stderr);
    assert!(said.stderr.contains("app.log.1.gz"), "{}", said.stderr);
}

#[test]
fn a_file_that_is_not_there_is_named_unless_it_may_still_come() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["logs", "none.log", "--no-follow"]));
    let said = sandbox.run(&["logs", "none.log", "--for", "0s"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn what_is_piped_in_is_read_to_its_end() {
    let sandbox = Sandbox::empty();
    sandbox.write("other.log", "of a file\n");
    let pipe = |args: &[&str]| {
        let mut child = sandbox.command(args);
        let child = child.env_remove("THROUGHLINE_STORE").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let lines = b"\xef\xbb\xbf{\"level\":\"warn\",\"msg\":\"caf\xe9\"}\nlast";
        match child.stdin.take().unwrap().write_all(lines) {
            // One that refuses its arguments reads nothing.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    // With nothing else to follow, its end is the end.
    for more in [&[][..], &["--no-follow"]] {
        let seen = pipe(&[&["logs", "-"], more].concat());
        assert_eq!(seen, (0, "WARN   caf\u{fffd}\nlast\n".to_owned()), "{more:?}");
    }
    let (code, seen) = pipe(&["logs", "other.log", "-", "--no-follow"]);
    assert_eq!((code, seen.lines().count()), (0, 3), "{seen}");
    let (_, seen) = pipe(&["report", "--logs", "-", "--json"]);
    let report: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!((&report["logs"]["lines"], &report["logs"]["malformed"]), (&2.into(), &1.into()));
    assert_eq!(pipe(&["logs", "-", "--tail", "1"]).0, 2);
}

#[test]
fn a_path_that_cannot_be_read_is_named_and_the_others_are_followed() {
    let sandbox = Sandbox::empty();
    sandbox.write("a.log", "one\n");
    let args = ["logs", "a.log/none", "a.log"];
    let said = sandbox.run(&[&args[..], &["--no-follow"]].concat());
    assert_eq!((said.code, &*said.stdout), (3, "a.log  one\n"), "{}", said.stderr);
    assert!(said.stderr.contains("a.log/none: "), "{}", said.stderr);
    let mut following = Following::start(&sandbox, &args);
    assert_eq!(following.next(), "a.log  one");
    append(&sandbox, "a.log", "two\n");
    assert_eq!(following.next(), "a.log  two");
    let mut command = sandbox.command(&["report", "--logs", "a.log/none", "a.log", "--json"]);
    let output = command.env_remove("THROUGHLINE_STORE").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(report["logs"]["lines"] == 2 && complaint.contains("a.log/none: "), "{complaint}");
}

/// In a network namespace without interfaces where this user may make one; a trace of its system calls proves the same
/// and that it opens nothing for writing, wherever `strace` is.
#[test]
fn logs_are_followed_without_a_network_and_without_writing() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", LINES);
    let args = ["logs", "app.log", "--no-follow"];
    let alone = sandbox.run(&args).stdout;
    let under = |program: &str, options: &[&str]| {
        let command = sandbox.command(&args);
        let mut under = Command::new(program);
        under.args(options).arg(command.get_program()).args(command.get_args());
        under.current_dir(sandbox.path("")).stdin(Stdio::null()).output().ok()
    };
    let may_unshare = |options: &[&str]| {
        let tried = Command::new("unshare").args(options).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    match [&["--net"][..], &["--net", "--map-root-user"]].into_iter().find(|options| may_unshare(options)) {
        Some(options) => {
            let output = under("unshare", options).unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), alone);
        }
        None => eprintln!("left out: this user may not make a network namespace"),
    }
    let trace = sandbox.path("calls");
    let options =
        ["-f", "-e", "trace=network,openat,open,creat,unlink,rename", "-o", trace.to_str().unwrap()];
    let Some(traced) = under("strace", &options) else {
        let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
        assert!(!required, "strace is missing: `apt-get install strace`");
        eprintln!("left out: without strace nothing can be said about system calls");
        return;
    };
    assert_eq!(String::from_utf8(traced.stdout).unwrap(), alone);
    let calls = fs::read_to_string(trace).unwrap();
    assert!(calls.contains("app.log"), "{calls}");
    let forbidden = ["socket(", "connect(", "O_WRONLY", "O_RDWR", "O_CREAT", "unlink(", "rename("];
    let found: Vec<_> =
        calls.lines().filter(|call| forbidden.iter().any(|forbidden| call.contains(forbidden))).collect();
    assert!(found.is_empty(), "{found:#?}");
}
