//! What reaches a terminal, and what a pipe.

use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn nothing_of_an_event_reaches_the_terminal_as_a_command() {
    let sandbox = Sandbox::with_sagas();
    for args in [
        &["list"][..],
        &["show", "order-7"],
        &["show", "order-7", "--timeline"],
        &["why", "order-7"],
        &["why", "order-7", "--json"],
        &["watch", "order-7"],
        &["stats"],
        &["diff", "order-7"],
        &["compensations", "order-7"],
        &["export"],
    ] {
        let said = sandbox.run(args);
        assert!(!said.stdout.contains('\u{1b}'), "{args:?}: {}", said.stdout);
    }
}

#[test]
fn colours_are_for_terminals_or_by_request() {
    let sandbox = Sandbox::with_loans();
    assert!(!sandbox.run(&["list"]).stdout.contains('\u{1b}'));
    assert!(sandbox.run(&["list", "--color", "always"]).stdout.contains("\u{1b}[31mfailed"));
    assert!(!sandbox.run(&["list", "--color", "always", "--json"]).stdout.contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sandbox = Sandbox::with_loans();
    for args in [&["list"][..], &["export"], &["export", "--format", "xes"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = sandbox.command(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    }
}
