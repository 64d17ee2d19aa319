//! What goes wrong is one line that says what, and what next; and an exit code.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sandbox::{Sandbox, data_file};

#[test]
fn the_store_is_read_from_a_file_which_says_what_it_lacks() {
    let sandbox = Sandbox::with_loans();
    std::fs::write(sandbox.path("store.txt"), "sqlite:traces.db\nkept by hand\n").unwrap();
    let listed =
        sandbox.command(&["list", "--store-file", "store.txt"]).env_remove("THROUGHLINE_STORE").output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.contains("loan-1"), "{listed}");
    std::fs::write(sandbox.path("empty.txt"), "\nsqlite:traces.db").unwrap();
    insta::assert_snapshot!(sandbox.see(&["list", "--store-file", "empty.txt"]), @r"
    throughline: empty.txt: its first line is empty, and names no store
    [exit code 3]
    ");
    let missing = sandbox.see(&["list", "--store-file", "missing.txt"]);
    assert!(missing.starts_with("throughline: missing.txt: No such file"), "{missing}");
    assert!(missing.contains("--store-file names a file that has a store in it"), "{missing}");
}

#[test]
fn a_store_that_is_not_there_or_no_store_is_named() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    throughline: sqlite:traces.db: no such file; `throughline import FILE` creates one, or name another with --store
    [exit code 3]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", ""]), @r"
    throughline: no store given: use --store sqlite:PATH, --store postgres://… or --store cosmos:…, or set THROUGHLINE_STORE
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "redis://localhost"]), @r"
    throughline: stores of the kind `redis` are not supported: expected sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or cosmos:https://HOST/DATABASE
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "sqlite:"]), @r"
    throughline: a store needs a path: sqlite:PATH
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "traces.db"]), @r"
    throughline: invalid store: expected sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or cosmos:https://HOST/DATABASE
    [exit code 2]
    ");
    sandbox
        .write("notes.txt", "this is no database, whatever its name may be, and it is long enough to say so");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "notes.txt"]), @r"
    throughline: `notes.txt` is not a store; did you mean sqlite:notes.txt?
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "sqlite:notes.txt"]), @r"
    throughline: sqlite:notes.txt: notes.txt is not a SQLite database; name another file, or move this one away
    [exit code 3]
    ");
}

#[test]
fn a_file_that_nothing_has_been_written_to_yet_says_so_and_is_no_error() {
    let sandbox = Sandbox::empty();
    sandbox.write("traces.db", "");
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    throughline: sqlite:traces.db: traces.db is empty; nothing has been written to it yet
    [exit code 1]
    ");
    assert_eq!(sandbox.run(&["running"]).code, 1);
    assert_eq!(sandbox.run(&["prune", "--older-than", "1d"]).code, 1);
    assert_eq!(std::fs::metadata(sandbox.path("traces.db")).unwrap().len(), 0);
}

#[test]
fn an_empty_store_says_how_to_fill_it() {
    let sandbox = Sandbox::empty();
    sandbox.write("none.xes", "<log/>");
    assert_eq!(sandbox.run(&["import", "none.xes"]).code, 0);
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    throughline: there are no runs in sqlite:traces.db yet; run `throughline import FILE`, or let a service write to it
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["stats"]), @r"
    throughline: there are no runs in sqlite:traces.db yet; run `throughline import FILE`, or let a service write to it
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["export"]), @r"
    throughline: there are no runs in sqlite:traces.db yet; run `throughline import FILE`, or let a service write to it
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["running"]), @r"
    throughline: nothing is running; `throughline list` shows what ran
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["running", "--check"]), @"Safe to deploy: nothing is running.");
}

#[test]
fn a_name_of_no_run_or_of_several_is_said() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["why", "order-99"]), @r"
    throughline: no run has the id, key or request id `order-99`; `throughline list` shows the latest runs
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["why", ""]), @r"
    throughline: no run has the id, key or request id ``; `throughline list` shows the latest runs
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["why", "5a6a"]), @r"
    throughline: `5a6a` is the beginning of several ids; which run is meant? Name it by its id:
      ID                                KEY      WORKFLOW  SERVICE  STATE      STARTED
      5a6a0000000000000000000000000001  order-7  order     shop     failed     2026-03-01 09:00:00
      5a6a0000000000000000000000000002  order-6  order     shop     succeeded  2026-03-01 08:00:00
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["why", "5a6a0000000000000000000000000003"]), @r"
    throughline: no run has the id, key or request id `5a6a0000000000000000000000000003`; `throughline list` shows the latest runs
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--key", "order-99"]), @r"
    throughline: no run matches; `throughline list` without filters shows the latest runs
    [exit code 1]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--after", "nonsense"]), @r"
    throughline: `nonsense` is not a cursor for runs; pass the `next` of the previous page
    [exit code 2]
    ");
}

#[test]
fn a_file_that_can_not_be_imported_is_named() {
    let sandbox = Sandbox::empty();
    sandbox.write("empty", "");
    sandbox.write("blank", " \n\n");
    sandbox.write("notes.txt", "Dear diary");
    sandbox.write("page.html", "<html><body/></html>");
    sandbox.write("utf16.xes", b"\xFF\xFE<\0l\0o\0g\0");
    for file in ["missing", ".", "empty", "blank", "notes.txt", "page.html", "utf16.xes"] {
        let seen = sandbox.see(&["import", file]);
        insta::assert_snapshot!(format!("import_{}", file.replace('.', "_")), seen);
    }
    sandbox.write("some.jsonl", "{}");
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl", "--failed-when", "a=b"]), @r"
    throughline: --workflow, --failed-when and --cancelled-when apply to event logs only; JSON lines contain this information
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl", "--failed-when", "nothing"]), @r"
    error: invalid value 'nothing' for '--failed-when <KEY=VALUE>': expected KEY=VALUE, as in concept:name=A_DECLINED

    For more information, try '--help'.
    [exit code 2]
    ");
}

#[test]
fn what_came_before_the_break_is_kept() {
    let sandbox = Sandbox::empty();
    let xes = std::fs::read_to_string(data_file("loans.xes")).unwrap();
    sandbox.write(
        "broken.xes",
        xes.replacen("</event>\n\t</trace>", "</evnt>\n\t</trace>", 3).replacen("</evnt>", "</event>", 2),
    );
    insta::assert_snapshot!(sandbox.see(&["import", "broken.xes"]), @r"
    broken.xes → sqlite:traces.db: 13 new events, 0 already there
    2 runs of `Loans & more`: 2 completed, 0 failed, 0 cancelled, 0 unfinished
    9 XES events: 2 start/complete pairs, 4 completes without a start (0 of activities that have starts elsewhere), 0 starts without a complete, 1 other transition
    Not kept: 2 attributes of the log itself
    throughline: broken.xes: line 91, column 3: ill-formed document: expected `</event>`, but `</evnt>` was found; what came before is imported
    [exit code 3]
    ");
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2);

    let jsonl = std::fs::read_to_string(data_file("saga.jsonl")).unwrap();
    sandbox.write("broken.jsonl", jsonl.replace("2026-03-01T08:00:00.003000Z", "soon"));
    insta::assert_snapshot!(sandbox.see(&["import", "broken.jsonl"]), @r"
    broken.jsonl → sqlite:traces.db: 15 new events, 0 already there
    throughline: broken.jsonl: 1 line is not an event; all others are imported
      line 15: this is not an event: `soon` is not a timestamp: expected RFC 3339, as in 2026-03-01T09:30:00.000000Z (column 200)
    [exit code 3]
    ");
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 4);
}

#[test]
fn a_truncated_gzip_is_read_as_far_as_it_goes() {
    let sandbox = Sandbox::empty();
    let run = |number: u32| {
        format!(
            "<trace><string key='concept:name' value='{number}'/><event><string key='concept:name' value='{:x}'/></event></trace>\n",
            number.wrapping_mul(2_654_435_761)
        )
    };
    let log = format!("<log>\n{}</log>", (0..3_000).map(run).collect::<String>());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(log.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    sandbox.write("whole", &gzip);
    sandbox.write("half", &gzip[..gzip.len() / 2]);
    let said = sandbox.run(&["import", "half"]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("ends unexpectedly") && said.stderr.contains("line "), "{}", said.stderr);
    let half = sandbox.json(&["import", "half"]);
    assert!(half["runs"].as_u64().unwrap() > 100, "{half}");
    assert_eq!(sandbox.json(&["import", "whole"])["runs"], 3_000);
}

#[test]
fn a_wrong_command_line_says_how_it_is_meant() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["list", "--since", "yesterday"]), @r"
    error: invalid value 'yesterday' for '--since <WHEN>': expected a time ago (24h, 7d), a date (2026-01-01) or a time (2026-01-01T09:30:00Z)

    For more information, try '--help'.
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--status", "bad"]), @r"
    error: invalid value 'bad' for '--status <STATUS>'
      [possible values: pending, success, failed, cancelled]

    For more information, try '--help'.
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--limit", "0"]), @r"
    error: invalid value '0' for '--limit <N>': expected a number of at least 1

    For more information, try '--help'.
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["prune"]), @r"
    error: the following required arguments were not provided:
      <--older-than <DURATION>|--max-size <SIZE>>

    Usage: throughline prune --store <STORE> <--older-than <DURATION>|--max-size <SIZE>>

    For more information, try '--help'.
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["explain"]), @r"
    error: unrecognized subcommand 'explain'

    Usage: throughline [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [exit code 2]
    ");
}

#[test]
fn undoing_and_resuming_are_no_commands_and_whoever_tries_is_told_how_it_is_done() {
    let sandbox = Sandbox::empty();
    for (command, code, guide) in [
        ("undo", "throughline.undo(ID, \"saga\")", "docs/guide/sagas-in-handlers.md"),
        ("resume", "throughline.resume(ID)", "docs/guide/starting-up-after-a-crash.md"),
    ] {
        for more in [&[][..], &["loan-42"], &["loan-42", "--saga", "loan"], &["--help"], &["--all", "--json"]]
        {
            let said = sandbox.run(&[&[command], more].concat());
            assert_eq!((said.code, &*said.stdout), (2, ""), "{command} {more:?}");
            for part in [code, guide, "nothing was changed"] {
                assert!(said.stderr.contains(part), "{}", said.stderr);
            }
            assert!(!said.stderr.contains("abandon") && !said.stderr.contains("prune"), "{}", said.stderr);
        }
        let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(guide);
        assert!(guide.exists(), "{guide:?}");
        assert!(!sandbox.run(&["--help"]).stdout.contains(&format!("  {command} ")));
    }
    assert!(!sandbox.path("traces.db").exists());
}
