//! The panic hook: chained, and harmless wherever code panics.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::Command;

use futures_util::FutureExt as _;
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
    let payload = payload.unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("no rate for USD"));
    assert!(sentry.flush(LONG));
    let said = [receiver.next_items(), receiver.next_items()].map(|items| items[0].to_string());
    assert!(said[0].contains("no rate for EUR") && said[1].contains("no rate for USD"), "{said:?}");
    assert_eq!(receiver.count(), 0);
}

fn no_rate() {
    panic!("no rate for CHF")
}

/// What the reports say that there are so far, each with the name of its step if it has one.
fn reported(receiver: &Receiver, sentry: &Sentry) -> Vec<Option<String>> {
    assert!(sentry.flush(LONG));
    let items = receiver.all_items();
    let said: Vec<_> =
        items.iter().map(|item| item.pointer("/exception/values/0/value").unwrap().clone()).collect();
    assert!(said.iter().all(|said| said == "no rate for CHF"), "{said:?}");
    items.iter().map(|item| item["tags"]["step"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_panic_is_told_although_another_one_said_the_same_before() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    for _ in 0..2 {
        // Each ends a run, and somebody else catches it.
        let run = throughline.workflow("rates").run_infallible(|_| async { no_rate() });
        assert!(tokio::spawn(run).await.unwrap_err().is_panic());
        sentry.recover_and_report(no_rate).unwrap_err();
        let step = throughline.workflow("rates").run_infallible(|_| async { no_rate() });
        assert!(tokio::spawn(step).await.unwrap_err().is_panic());
        sentry.recover_and_report_async(async { no_rate() }).await.unwrap_err();
    }
    let run = || Some("workflow:rates".to_owned());
    assert_eq!(reported(&receiver, &sentry), [run(), None, run(), None, run(), None, run(), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_that_ended_a_run_is_told_once_whatever_way_it_takes_to_who_recovers_from_it() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    let run = || {
        throughline.workflow("rates").run_infallible(|ctx| async move {
            let _ = ctx.trace_infallible("stage:look-up", async { no_rate() }).await;
        })
    };
    sentry.recover_and_report_async(run()).await.unwrap_err();
    // By way of a task, whose panic is carried to another thread.
    let task = async { tokio::spawn(run()).await.map_err(|error| panic::resume_unwind(error.into_panic())) };
    sentry.recover_and_report_async(task).await.unwrap_err();
    // Within others that recover.
    let twice = sentry.recover_and_report_async(async {
        let payload = sentry.recover_and_report_async(run()).await.unwrap_err();
        panic::resume_unwind(payload)
    });
    let _: Result<(), _> = twice.await;
    assert_eq!(reported(&receiver, &sentry), [(); 3].map(|()| Some("stage:look-up".to_owned())));
}

#[tokio::test]
async fn a_panic_is_told_although_one_that_said_the_same_was_caught_just_before() {
    let test = "panics::a_panic_is_told_although_one_that_said_the_same_was_caught_just_before";
    if in_a_process_of_its_own(test).is_some() {
        return;
    }
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()).report_panics());
    for _ in 0..3 {
        let recovered = sentry.recover_and_report_async(async {
            let run = throughline.workflow("rates").run_infallible(|_| async { no_rate() });
            // Its payload is dropped, and the next one may be in the same place.
            drop(AssertUnwindSafe(run).catch_unwind().await.unwrap_err());
            no_rate();
        });
        recovered.await.unwrap_err();
    }
    let run = || Some("workflow:rates".to_owned());
    assert_eq!(reported(&receiver, &sentry), [run(), None, run(), None, run(), None]);
}

#[tokio::test]
async fn a_panic_without_a_message_is_told_as_well() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    let run = throughline.workflow("rates").run_infallible(|_| async { panic::panic_any(()) });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    sentry.recover_and_report(|| panic::panic_any(())).unwrap_err();
    assert!(sentry.flush(LONG));
    assert_eq!(receiver.all_items().len(), 2);
}
