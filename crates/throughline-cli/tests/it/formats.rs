//! What goes in comes out again.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sandbox::{Sandbox, data_file};

#[test]
fn an_event_log_comes_out_as_it_went_in() {
    let first = Sandbox::with_loans();
    let exported = first.run(&["export", "--format", "xes"]).stdout;
    insta::assert_snapshot!("exported.xes", exported);

    // The log that was written is read again, and written again the same. It says itself which events count as failures.
    let second = Sandbox::empty();
    second.write("exported.xes", &exported);
    let report = second.json(&["import", "exported.xes"]);
    assert_eq!((&report["failed"], &report["cancelled"]), (&1.into(), &1.into()));
    assert_eq!((&report["runs"], &report["xes_events"]), (&4.into(), &14.into()));
    assert_eq!(second.run(&["export", "--format", "xes"]).stdout, exported);
    let without_place = |sandbox: &Sandbox| sandbox.run(&["export"]).stdout;
    assert_eq!(without_place(&second), without_place(&first));
}

#[test]
fn json_lines_come_out_as_they_went_in() {
    let first = Sandbox::with_sagas();
    let written = first.run(&["export", "-o", "out.jsonl"]);
    insta::assert_snapshot!(written.stdout, @"Wrote 2 runs, 16 events, to out.jsonl");
    let second = Sandbox::empty();
    second.write("in.jsonl", first.read("out.jsonl"));
    assert_eq!(second.json(&["import", "in.jsonl"])["events_new"], 16);
    assert_eq!(second.json(&["import", "in.jsonl"])["events_known"], 16);
    assert_eq!(second.run(&["export"]).stdout, first.read("out.jsonl"));
    assert_eq!(second.run(&["export", "--failed"]).stdout.lines().count(), 12);
}

#[test]
fn what_a_service_emitted_is_an_event_log_too() {
    let exported = Sandbox::with_sagas().run(&["export", "--format", "xes", "--key", "order-7"]).stdout;
    insta::assert_snapshot!("emitted.xes", exported);
}

#[test]
fn the_content_says_what_a_file_is_and_not_its_name() {
    let sandbox = Sandbox::empty();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&std::fs::read(data_file("loans.xes")).unwrap()).unwrap();
    let gzip = gzip.finish().unwrap();
    sandbox.write("loans.txt", &gzip);
    let report = sandbox.json(&["import", "loans.txt"]);
    assert_eq!((&report["format"], &report["runs"]), (&"xes".into(), &4.into()));

    // The same bytes from a pipe are the same log.
    let report = sandbox.json_of_pipe(&["import", "-"], &gzip);
    assert_eq!((&report["imported_before"], &report["events_new"]), (&true.into(), &0.into()));
}

#[test]
fn a_log_without_a_name_is_called_after_its_file() {
    let sandbox = Sandbox::empty();
    sandbox.write("claims.2026.xes", "<log><trace><event/></trace><trace/></log>");
    assert_eq!(sandbox.json(&["import", "claims.2026.xes"])["workflow"], "claims");
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn secrets_in_an_event_log_do_not_reach_the_store() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "log.xes",
        "<log><trace><string key='concept:name' value='1'/><string key='password' value='hunter2'/>\
         <event><string key='concept:name' value='pay'/><string key='note' value='card 4111 1111 1111 1111'/></event>\
         </trace></log>",
    );
    assert_eq!(sandbox.run(&["import", "log.xes"]).code, 0);
    let exported = sandbox.run(&["export"]).stdout;
    assert!(!exported.contains("hunter2") && !exported.contains("4111 1111"), "{exported}");
}

/// Runs a line of shell in the folder of a sandbox, in which `$EXPORT` is the command that exports.
#[cfg(unix)]
fn in_shell(sandbox: &Sandbox, line: &str) -> (i32, String, String) {
    let mut shell = std::process::Command::new("sh");
    let export = format!("{} export", env!("CARGO_BIN_EXE_throughline"));
    let output = shell
        .args(["-c", line])
        .current_dir(sandbox.path("."))
        .env("THROUGHLINE_STORE", "sqlite:traces.db")
        .env("EXPORT", export)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[cfg(unix)]
#[test]
fn runs_are_exported_to_whatever_can_be_written_and_not_only_to_files() {
    let sandbox = Sandbox::with_sagas();
    let exported = sandbox.run(&["export"]).stdout;
    let quiet = |output: &str| (0, output.to_owned(), String::new());
    for output in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"] {
        assert_eq!(in_shell(&sandbox, &format!("$EXPORT -o {output}")), quiet(&exported), "{output}");
        let xes = sandbox.run(&["export", "--format", "xes"]).stdout;
        assert_eq!(in_shell(&sandbox, &format!("$EXPORT --format xes -o {output}")), quiet(&xes), "{output}");
        // What is in the file of a redirection stays there.
        let line = format!("echo first > log; $EXPORT -o {output} >> log && echo last >> log && cat log");
        assert_eq!(in_shell(&sandbox, &line), quiet(&format!("first\n{exported}last\n")), "{output}");
        // A reader that leaves early is no error.
        let line = format!("{{ $EXPORT -o {output}; echo $? >&2; }} | head -n 0");
        assert_eq!(in_shell(&sandbox, &line), (0, String::new(), "0\n".into()), "{output}");
    }
    let said = "Wrote 2 runs, 16 events, to pipe\n";
    assert_eq!(in_shell(&sandbox, "mkfifo pipe; cat pipe > copy & $EXPORT -o pipe && wait $!"), quiet(said));
    assert_eq!(sandbox.read("copy"), exported);
    let said = "Wrote 2 runs, 16 events, to /dev/null\n";
    assert_eq!(in_shell(&sandbox, "$EXPORT -o /dev/null"), quiet(said));
    let (code, _, complaint) = in_shell(&sandbox, "$EXPORT -o /dev/full");
    assert!(code == 3 && complaint.contains("/dev/full: No space left"), "{complaint}");
}
