//! What goes in comes out again.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sandbox::{Sandbox, data_file};

#[test]
fn an_event_log_comes_out_as_it_went_in() {
    let first = Sandbox::with_loans();
    let exported = first.run(&["export", "--format", "xes"]).stdout;
    insta::assert_snapshot!("exported.xes", exported);

    // The log that was written is read again, and written again the same.
    let second = Sandbox::empty();
    second.write("exported.xes", &exported);
    let report = second.json(&[
        "import",
        "exported.xes",
        "--failed-when",
        "concept:name=A_DECLINED",
        "--cancelled-when",
        "concept:name=A_CANCELLED",
    ]);
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
    let mut import = sandbox
        .command(&["import", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&gzip).unwrap();
    let output = import.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
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
