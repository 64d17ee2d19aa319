//! What reaches a terminal, and what a pipe.

use std::io::Read;
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
    let mut list = sandbox
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(list.stdout.take());
    let mut complaints = String::new();
    list.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert!(list.wait().unwrap().success());
    assert_eq!(complaints, "");
}
