//! What reaches a terminal, and what a pipe.

use std::process::Stdio;

use throughline_core::InContext as _;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay, succeed};

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

#[tokio::test]
async fn no_name_of_a_run_or_of_what_it_has_to_do_with_reaches_the_terminal_as_a_command() {
    let sandbox = Sandbox::empty();
    let (shop, billing) = (service(&sandbox, "shop\u{1b}[2J"), service(&sandbox, "billing\u{1b}[2J"));
    let request = shop.request("http:request\u{1b}[2J").open();
    let (order, key) = ("order\u{1b}[2J", "4711\u{1b}[2J");
    let context = request.context().clone();
    fail(shop.workflow(order).key(key), "no stock\u{1b}[2J").in_context(&context).await;
    let last = fail(shop.workflow(order).key(key), "no stock\u{1b}[2J").in_context(&context).await;
    let other = fail(billing.workflow(order).key(key), "no account\u{1b}[2J").await;
    succeed(billing.workflow("invoice\u{1b}[2J").key("4712\u{1b}[2J")).in_context(&context).await;
    let open = stay(shop.workflow(order).key("4713\u{1b}[2J")).await;
    end(shop).await;
    end(billing).await;

    let [last, other, open, cause] = [last, other, open.id, context.trace_id()].map(|id| id.to_string());
    for args in [
        &["why", &last][..],
        &["why", &other, "--json"],
        &["show", &cause],
        &["why", key],
        &["list"],
        &["running"],
        &["running", "--check"],
        &["abandon", &last, "--reason", "\u{1b}[2J"],
        &["abandon", &open, "--reason", "\u{1b}[2J"],
        &["abandon", &cause, "--reason", "\u{1b}[2J"],
    ] {
        let said = sandbox.run(args);
        assert!(!said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'), "{args:?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains("[2J"), "{args:?}: {}", said.stderr);
    }
    drop(request);
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

#[test]
fn a_screen_without_a_terminal_says_what_to_ask_in_its_place() {
    let sandbox = Sandbox::with_loans();
    for args in [&["top"][..], &["top", "--json"]] {
        let said = sandbox.run(args);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{args:?}");
        assert!(said.stderr.contains("`throughline running`"), "{}", said.stderr);
    }
}
