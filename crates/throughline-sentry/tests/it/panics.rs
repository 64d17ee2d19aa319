//! The panic hook: chained, and harmless wherever code panics.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::Command;

use throughline_sentry::Sentry;

use crate::receiver::{Answer, Receiver};
use crate::{LONG, with};

/// Runs one of the tests below in a process of its own, for hooks are the process's; answers what it wrote to stderr.
fn in_a_process_of_its_own(test: &str) -> Option<String> {
    if std::env::var_os("THROUGHLINE_TEST_CHILD").is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("THROUGHLINE_TEST_CHILD", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    Some(said)
}

#[tokio::test]
async fn the_hook_that_was_there_is_still_called() {
    let test = "panics::the_hook_that_was_there_is_still_called";
    if let Some(said) = in_a_process_of_its_own(test) {
        assert!(said.contains("the hook before saw it: of a thread"), "{said}");
        return;
    }
    panic::set_hook(Box::new(|panic| {
        eprintln!("the hook before saw it: {}", panic.payload_as_str().unwrap_or_default());
    }));
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (_throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()).report_panics());
    let thread = std::thread::Builder::new().name("nightly".to_owned());
    thread.spawn(|| panic!("of a thread")).unwrap().join().unwrap_err();
    assert!(sentry.flush(LONG));
    let items = receiver.next_items();
    assert_eq!(items[0].pointer("/exception/values/0/value").unwrap(), "of a thread");
    assert_eq!(items[0].pointer("/contexts/throughline/thread").unwrap(), "nightly");
}

/// Panics while it is dropped, and catches that.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        catch_unwind(|| panic!("the second")).unwrap_err();
    }
}

#[tokio::test]
async fn a_panic_that_is_caught_while_another_one_unwinds_ends_no_process_and_both_are_reported() {
    let test =
        "panics::a_panic_that_is_caught_while_another_one_unwinds_ends_no_process_and_both_are_reported";
    if in_a_process_of_its_own(test).is_some() {
        return;
    }
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (_throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()).report_panics());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _second = PanicsInDrop;
        panic!("the first");
    }));
    panicked.unwrap_err();
    assert!(sentry.flush(LONG));
    let said = [receiver.next_items(), receiver.next_items()].map(|items| items[0].to_string());
    assert!(said[0].contains("the first") && said[1].contains("the second"), "{said:?}");
}

#[tokio::test]
async fn a_panic_that_is_recovered_is_reported_once_and_given_back() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (_throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    let payload = sentry.recover_and_report(|| -> u32 { panic!("no rate for EUR") }).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"no rate for EUR"));
    assert_eq!(sentry.recover_and_report_async(async { 7 }).await.unwrap(), 7);
    let currency = String::from("USD");
    let payload = sentry.recover_and_report_async(async { panic!("no rate for {currency}") }).await;
    let payload = payload.map(|()| ()).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("no rate for USD"));
    assert!(sentry.flush(LONG));
    let said = [receiver.next_items(), receiver.next_items()].map(|items| items[0].to_string());
    assert!(said[0].contains("no rate for EUR") && said[1].contains("no rate for USD"), "{said:?}");
    assert_eq!(receiver.count(), 0);
}
