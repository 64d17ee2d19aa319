//! What goes wrong is one line that says what, and what next; and an exit code.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sandbox::{Sandbox, data_file};

#[test]
fn a_store_that_is_not_there_or_no_store_is_named() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["list"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", ""]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "redis://localhost"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "sqlite:"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "traces.db"]), @"");
    sandbox
        .write("notes.txt", "this is no database, whatever its name may be, and it is long enough to say so");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "notes.txt"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--store", "sqlite:notes.txt"]), @"");
}

#[test]
fn an_empty_store_says_how_to_fill_it() {
    let sandbox = Sandbox::empty();
    sandbox.write("none.xes", "<log/>");
    assert_eq!(sandbox.run(&["import", "none.xes"]).code, 0);
    insta::assert_snapshot!(sandbox.see(&["list"]), @"");
    insta::assert_snapshot!(sandbox.see(&["stats"]), @"");
    insta::assert_snapshot!(sandbox.see(&["export"]), @"");
    insta::assert_snapshot!(sandbox.see(&["running"]), @"");
    insta::assert_snapshot!(sandbox.see(&["running", "--check"]), @"");
}

#[test]
fn a_name_of_no_run_or_of_several_is_said() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["why", "order-99"]), @"");
    insta::assert_snapshot!(sandbox.see(&["why", ""]), @"");
    insta::assert_snapshot!(sandbox.see(&["why", "5a6a"]), @"");
    insta::assert_snapshot!(sandbox.see(&["why", "5a6a0000000000000000000000000003"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--key", "order-99"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--after", "nonsense"]), @"");
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
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl", "--failed-when", "a=b"]), @"");
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl", "--failed-when", "nothing"]), @"");
}

#[test]
fn what_came_before_the_break_is_kept() {
    let sandbox = Sandbox::empty();
    let xes = std::fs::read_to_string(data_file("loans.xes")).unwrap();
    sandbox.write(
        "broken.xes",
        xes.replacen("</event>\n\t</trace>", "</evnt>\n\t</trace>", 3).replacen("</evnt>", "</event>", 2),
    );
    insta::assert_snapshot!(sandbox.see(&["import", "broken.xes"]), @"");
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2);

    let jsonl = std::fs::read_to_string(data_file("saga.jsonl")).unwrap();
    sandbox.write("broken.jsonl", jsonl.replace("2026-03-01T08:00:00.003000Z", "soon"));
    insta::assert_snapshot!(sandbox.see(&["import", "broken.jsonl"]), @"");
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
    assert!(said.stderr.contains("breaks off") && said.stderr.contains("line "), "{}", said.stderr);
    let half = sandbox.json(&["import", "half"]);
    assert!(half["runs"].as_u64().unwrap() > 100, "{half}");
    assert_eq!(sandbox.json(&["import", "whole"])["runs"], 3_000);
}

#[test]
fn a_wrong_command_line_says_how_it_is_meant() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["list", "--since", "yesterday"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--status", "bad"]), @"");
    insta::assert_snapshot!(sandbox.see(&["list", "--limit", "0"]), @"");
    insta::assert_snapshot!(sandbox.see(&["prune"]), @"");
    insta::assert_snapshot!(sandbox.see(&["explain"]), @"");
}
