//! `throughline redact`: texts and JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn a_text_and_json_lines_are_printed_with_marks() {
    let sandbox = Sandbox::empty();
    sandbox.write("service.log", "login of ada@example.org\npassword: |\n  hunter2\nport: 80\n");
    let said = sandbox.run(&["redact", &sandbox.path("service.log").to_string_lossy()]);
    assert_eq!(said.stdout, "login of [redacted:email]\npassword: |\n  [redacted]\nport: 80\n");
    assert_eq!(said.code, 0);

    sandbox.write("events.jsonl", "{\"pin\":1234,\"note\":\"fine\"}\n{\"note\":\"to ada@example.org\"}\n");
    let said = sandbox.run(&["redact", &sandbox.path("events.jsonl").to_string_lossy()]);
    let lines: Vec<serde_json::Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"pin": "[redacted]", "note": "fine"}));
    assert_eq!(lines[1], serde_json::json!({"note": "to [redacted:email]"}));
}

#[test]
fn what_would_be_redacted_is_explained_and_counted() {
    let sandbox = Sandbox::empty();
    sandbox.write("service.log", "fine\nlogin of ada@example.org\npassword=hunter2\n");
    let file = sandbox.path("service.log");
    let said = sandbox.run(&["redact", "--explain", &file.to_string_lossy()]);
    assert_eq!(said.stdout, "2:10: email: the form of: email\n3:10: key: the value of `password`\n");
    assert_eq!(said.code, 0);
    let said = sandbox.run(&["redact", "--count", &file.to_string_lossy()]);
    assert_eq!(said.stdout, "       1  email\n       1  key\n");

    sandbox.write("fine.log", "fine\n");
    let said = sandbox.run(&["redact", "--count", &sandbox.path("fine.log").to_string_lossy()]);
    assert_eq!((said.stdout.as_str(), said.code), ("there is nothing to redact\n", 1));
}

#[test]
fn of_json_lines_the_same_is_explained_and_counted_that_is_hidden() {
    let sandbox = Sandbox::empty();
    let lines =
        "{\"n\":1}\n{\"applicant\":{\"address\":[\"Main Street 1\"]},\"note\":\"to ada@example.org\"}\n";
    sandbox.write("events.jsonl", lines);
    let file = sandbox.path("events.jsonl");
    let said = sandbox.run(&["redact", &file.to_string_lossy()]);
    assert_eq!(
        said.stdout,
        "{\"n\":1}\n{\"applicant\":{\"address\":\"[redacted]\"},\"note\":\"to [redacted:email]\"}\n"
    );
    let said = sandbox.run(&["redact", "--explain", &file.to_string_lossy()]);
    assert_eq!(
        said.stdout,
        "2:/applicant/address: key: the value of `address`\n2:/note: email: the form of: email\n"
    );
    let said = sandbox.run(&["redact", "--count", &file.to_string_lossy()]);
    assert_eq!(said.stdout, "       1  email\n       1  key\n");
}

#[test]
fn lines_of_a_pipe_that_belong_together_are_read_together() {
    let sandbox = Sandbox::empty();
    for (input, output) in [
        ("port: 80\npassword: |\n  hunter2\nport: 80\n", "port: 80\npassword: |\n  [redacted]\nport: 80\n"),
        ("user,password\nada,hunter2\nbob,tulip1\n", "user,password\nada,[redacted]\nbob,[redacted]\n"),
        (
            "{\n  \"password\":\n    \"hunter2\",\n  \"pin\": 1234\n}\n",
            "{\n  \"password\":\n    \"[redacted]\",\n  \"pin\": \"[redacted]\"\n}\n",
        ),
        (
            "Content-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--x\r\n",
            "Content-Disposition: form-data; name=\"password\"\r\n\r\n[redacted]\r\n--x\r\n",
        ),
        ("starting\n{\"pin\":1234}\nready\n", "starting\n{\"pin\":\"[redacted]\"}\nready\n"),
        (
            "[\n{\"pin\":1234},\n{\"pin\":4321}\n]\n",
            "[\n{\"pin\":\"[redacted]\"},\n{\"pin\":\"[redacted]\"}\n]\n",
        ),
        ("no line end: ada@example.org", "no line end: [redacted:email]"),
    ] {
        let said = sandbox.run_with_input(&["redact"], input.as_bytes());
        assert_eq!(said.stdout, output);
    }
    let said = sandbox.run_with_input(&["redact", "--explain"], b"user,pin\n\nuser,pin\nada,1234\n");
    assert_eq!(said.stdout, "4:5: key: the value of `pin`\n");
}

#[test]
fn of_a_pipe_that_never_ends_each_line_is_printed_soon_and_a_table_keeps_its_head() {
    let sandbox = Sandbox::empty();
    let mut process =
        sandbox.command(&["redact"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let mut lines = BufReader::new(output).lines();
    for (line, redacted) in [
        ("login of ada@example.org", "login of [redacted:email]"),
        ("user,password", "user,password"),
        ("ada,hunter2", "ada,[redacted]"),
        ("bob,tulip1", "bob,[redacted]"),
        ("done", "done"),
    ] {
        writeln!(input, "{line}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), redacted);
    }
    drop(input);
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_long_input_is_read_in_pieces_and_loses_nothing_between_them() {
    let sandbox = Sandbox::empty();
    let rows: String = (0..100_000).map(|n| format!("user{n},tulip{n}\n")).collect();
    let said = sandbox.run_with_input(&["redact"], format!("user,password\n{rows}").as_bytes());
    assert_eq!(said.stdout.lines().count(), 100_001);
    assert!(said.stdout.lines().skip(1).all(|row| row.ends_with(",[redacted]")));
}
