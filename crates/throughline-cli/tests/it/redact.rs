//! `throughline redact`: texts and JSON lines.

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
    let lines = "{\"n\":1}\n{\"applicant\":{\"address\":[\"Main Street 1\"]},\"note\":\"to ada@example.org\"}\n";
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
