//! What the commands answer about one run.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn a_run_is_found_by_id_by_its_beginning_and_by_key() {
    let sandbox = Sandbox::with_loans();
    let id = sandbox.json(&["list", "--key", "loan-2"])["runs"][0]["trace_id"].as_str().unwrap().to_owned();
    let by_key = sandbox.see(&["show", "loan-2"]);
    insta::assert_snapshot!(by_key, @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 27e30bcf17268476ca47cf11d43abe06 · started 2011-10-02T07:00:00.000000Z · import

    ✗ workflow:Loans & more                                                      31 min 0 s           +0
    │ A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ├─ · activity:A_SUBMITTED                                                                         +0
    ├─ ✓ activity:W_Check                                                        21 min 0 s  +10 min 0 s
    └─ ✗ activity:A_DECLINED                                                                 +30 min 0 s
         A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    assert_eq!(sandbox.see(&["show", &id]), by_key);
    assert_eq!(sandbox.see(&["show", &id[..9]]), by_key);
    insta::assert_snapshot!(sandbox.see(&["show", "loan-2", "--timeline"]), @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 27e30bcf17268476ca47cf11d43abe06 · started 2011-10-02T07:00:00.000000Z · import

             +0 │━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━│ 31 min 0 s  ✗ workflow:Loans & more  A_DECLINED: co…
             +0 │•                                │             · activity:A_SUBMITTED
    +10 min 0 s │          ━━━━━━━━━━━━━━━━━━━━━━━│ 21 min 0 s  ✓ activity:W_Check
    +30 min 0 s │                               • │             ✗ activity:A_DECLINED  A_DECLINED: conc…
    ");
}

#[test]
fn why_names_the_cause_of_a_failure() {
    let loans = Sandbox::with_loans();
    insta::assert_snapshot!(loans.see(&["why", "loan-2"]), @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 27e30bcf17268476ca47cf11d43abe06 · started 2011-10-02T07:00:00.000000Z · import

    ✗ Loans & more failed: activity:A_DECLINED failed with A_DECLINED: concept:name is A_DECLINED, which
      counts as a failure
      it ended with the same error (origin inferred)
      org.resource 11

    How it got there
      ✗ workflow:Loans & more  31 min 0 s  +0
      └─ ← here ✗ activity:A_DECLINED  +30 min 0 s

    Steps before it
      · activity:A_SUBMITTED
    ");
    insta::assert_snapshot!(loans.see(&["why", "loan-1"]), @r"
    Loans & more · loan-1 · succeeded after 11 h 6 min
    trace bd6cd04282009ec2f90907eda098eacd · started 2011-09-30T22:38:44.546000Z · import

    ✓ Loans & more succeeded on the first try
    [exit code 1]
    ");
    let sagas = Sandbox::with_sagas();
    insta::assert_snapshot!(sagas.see(&["why", "order-7"]), @r#"
    order · order-7 · failed after 334 ms
    trace 5a6a0000000000000000000000000001 · started 2026-03-01T09:00:00.000000Z · shop

    ✗ order failed: stage:charge-card (step 2 of 3) failed with CardError::Declined: the card was
      declined\u{1b}[2J
      it ended with the same error (origin inferred)

    What may have led to it
      • saga:order is new: the last good run did not have it (by comparison)
      • it left the way of the nearest good run at stage:reserve-stock, which did not happen here (by
        comparison)

    How it got there
      ✗ workflow:order  334 ms  +0
      └─ ✗ saga:order  332 ms  +100 µs
         └─ ← here ✗ stage:charge-card  300 ms  +20 ms
              in  {"amount":1200}

    Steps before it
      ✓ stage:reserve-stock      10 ms

    Decisions before it
      ◆ ai:route chose express, 80 % sure  +12 ms  ← led here
          the customer waits
          ● express                   0.80
          ○ post                      0.60

    Compensation
    ✗ saga:order: 1 step not undone, 1 in doubt, started at +321 ms, took 11 ms
      ? in doubt      stage:charge-card
      ✗ failed        stage:reserve-stock    +322 ms     10 ms  stock-reservation s-1
                      StockError: the warehouse does not answer
      orphaned: stock-reservation s-1 of stage:reserve-stock
    "#);
    assert_eq!(sagas.json(&["why", "order-7"])["cause"]["span"]["name"], "stage:charge-card");
}

#[test]
fn compensations_say_what_was_left_behind() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["compensations", "order-7"]), @r"
    order · order-7 · failed after 334 ms
    trace 5a6a0000000000000000000000000001 · started 2026-03-01T09:00:00.000000Z · shop

    ✗ saga:order: 1 step not undone, 1 in doubt, started at +321 ms, took 11 ms
      ? in doubt      stage:charge-card
      ✗ failed        stage:reserve-stock    +322 ms     10 ms  stock-reservation s-1
                      StockError: the warehouse does not answer
      orphaned: stock-reservation s-1 of stage:reserve-stock
    [exit code 1]
    ");
    assert_eq!(sandbox.run(&["compensations", "order-6"]).code, 0);
}

#[test]
fn decisions_are_shown_for_a_run_and_across_runs() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!(sandbox.see(&["decisions", "order-7"]), @r"
    order · order-7 · failed after 334 ms
    trace 5a6a0000000000000000000000000001 · started 2026-03-01T09:00:00.000000Z · shop

      ◆ ai:route chose express, 80 % sure  +12 ms  ← led to the failure
          the customer waits
          ● express                   0.80
          ○ post                      0.60
        what followed
          ✗ stage:charge-card                        300 ms      +20 ms  ← the cause
    ");
    insta::assert_snapshot!(sandbox.see(&["decisions"]), @r"
    DECISION  CHOICE   FAILED  OF     RATE  INTERVAL
    ai:route  express       1   1  100.0 %  20.7–100.0 %
    ");
    insta::assert_snapshot!(sandbox.see(&["decisions", "--since", "24h"]), @r"
    throughline: no run that has ended made a decision
    [exit code 1]
    ");
}

#[test]
fn a_failure_is_compared_with_the_last_good_run() {
    let sandbox = Sandbox::with_sagas();
    let with_last_good = sandbox.see(&["diff", "order-7"]);
    insta::assert_snapshot!(with_last_good, @r"
    - order · order-7 · failed after 334 ms
      trace 5a6a0000000000000000000000000001 · started 2026-03-01T09:00:00.000000Z
    + order · order-6 · succeeded after 4.0 ms
      trace 5a6a0000000000000000000000000002 · started 2026-03-01T08:00:00.000000Z

    first divergence: workflow:order › saga:order happened only in -  +100 µs
      CardError::Declined: the card was declined\u{1b}[2J

    Different outcomes
      workflow:order: failed → succeeded

    Only in +
      + workflow:order › stage:reserve-stock  +1.0 ms

    Only in -
      - workflow:order › saga:order and 5 spans below  +100 µs
    ");
    assert_eq!(sandbox.see(&["diff", "order-7", "order-6"]), with_last_good);
    insta::assert_snapshot!(sandbox.see(&["diff", "order-6"]), @r"
    throughline: no other run of the workflow order succeeded; name the run to compare it with
    [exit code 1]
    ");
    assert_eq!(sandbox.run(&["diff", "order-6", "order-6"]).code, 1);
}

#[test]
fn watching_a_run_that_is_over_tells_it_and_ends() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["watch", "loan-2"]), @r"
    2011-10-02 07:00:00.000  loan-2        pending    workflow:started
    2011-10-02 07:00:00.000  loan-2        success    activity:A_SUBMITTED
    2011-10-02 07:10:00.000  loan-2        pending    activity:W_Check
    2011-10-02 07:30:00.000  loan-2        failed     activity:A_DECLINED  concept:name is A_DECLINED, which counts as a failure
    2011-10-02 07:31:00.000  loan-2        success    activity:W_Check  21 min 0 s
    2011-10-02 07:31:00.000  loan-2        failed     workflow:failed  31 min 0 s  concept:name is A_DECLINED, which counts as a failure
    ");
    let said = sandbox.run(&["watch", "loan-2", "--status", "failed", "--json"]);
    assert_eq!(said.stdout.lines().count(), 2);
    assert!(said.stdout.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn a_watch_sees_what_another_process_writes() {
    let sandbox = Sandbox::with_sagas();
    // A run that is open is watched until it ends; what was there before says that the watch has begun.
    let (first, rest) =
        split_first_line(&std::fs::read_to_string(crate::sandbox::data_file("saga.jsonl")).unwrap());
    let (open, end) = (first.replace("a0000000000000000000000000001", "a0000000000000000000000000009"), rest);
    let end = end.lines().find(|line| line.contains("workflow:failed")).unwrap();
    let end = end.replace("a0000000000000000000000000001", "a0000000000000000000000000009");
    sandbox.write("open.jsonl", open.replace("order-7", "order-9"));
    sandbox.write("end.jsonl", end.replace("order-7", "order-9"));
    assert_eq!(sandbox.run(&["import", "open.jsonl"]).code, 0);

    let mut watch =
        sandbox.command(&["watch", "order-9", "--for", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    seen.read_line(&mut line).unwrap();
    assert!(line.contains("workflow:started"), "{line}");
    assert_eq!(sandbox.run(&["import", "end.jsonl"]).code, 0);
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("workflow:failed"), "{rest}");
    assert!(watch.wait().unwrap().success());
}

fn split_first_line(text: &str) -> (String, String) {
    let (first, rest) = text.split_once('\n').unwrap();
    (first.to_owned(), rest.to_owned())
}
