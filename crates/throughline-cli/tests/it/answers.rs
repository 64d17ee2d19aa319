//! What the commands answer.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn an_import_accounts_for_everything() {
    let sandbox = Sandbox::empty();
    std::fs::copy(crate::sandbox::data_file("loans.xes"), sandbox.path("loans.xes")).unwrap();
    let import = [
        "import",
        "loans.xes",
        "--failed-when",
        "concept:name=A_DECLINED",
        "--cancelled-when",
        "concept:name=A_CANCELLED",
    ];
    insta::assert_snapshot!(sandbox.see(&import), @r"
    loans.xes → sqlite:traces.db: 21 new events, 0 already there
    4 runs of `Loans & more`: 1 completed, 1 failed, 1 cancelled, 1 unfinished
    14 XES events: 2 start/complete pairs, 8 completes without a start (1 of activities that have starts elsewhere), 1 start without a complete, 1 other transition
    Not kept: 2 attributes of the log itself
    ");
    insta::assert_snapshot!(sandbox.see(&import), @r"
    loans.xes → sqlite:traces.db: 0 new events, 21 already there
    4 runs of `Loans & more`: 1 completed, 1 failed, 1 cancelled, 1 unfinished; this log was imported before
    14 XES events: 2 start/complete pairs, 8 completes without a start (1 of activities that have starts elsewhere), 1 start without a complete, 1 other transition
    Not kept: 2 attributes of the log itself
    ");
    insta::assert_json_snapshot!(sandbox.json(&import), @r#"
    {
      "broke_off": null,
      "cancelled": 1,
      "events_known": 21,
      "events_new": 0,
      "failed": 1,
      "format": "xes",
      "imported_before": true,
      "log": "6858dfad8ab365a49fd6d9d1148f223318cd6fb19f7cdabe73c3e8a7c85ec47c",
      "log_attributes": 2,
      "lone_completes": 8,
      "missing_starts": 1,
      "open_starts": 1,
      "other_transitions": 1,
      "pairs": 2,
      "runs": 4,
      "unfinished": 1,
      "untimed": 0,
      "workflow": "Loans & more",
      "xes_events": 14
    }
    "#);
    insta::assert_snapshot!(sandbox.see(&["import", "loans.xes"]), @r"
    throughline: loans.xes: this log was imported before with other options (--workflow 'Loans & more' --service 'import' --failed-when 'concept:name=A_DECLINED' --cancelled-when 'concept:name=A_CANCELLED'); repeat these, or use another file
    [exit code 3]
    ");
}

#[test]
fn runs_are_listed_the_last_first() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    ID                KEY     WORKFLOW      STATE       STARTED                    TOOK  FIRST FAILURE
    e7620f74c74f7884  loan-4  Loans & more  unfinished  2011-10-03 08:00:00
    d7557102d7da4956  loan-3  Loans & more  cancelled   2011-10-03 07:00:00  30 min 0 s
    7d7d2dac6a140fc0  loan-2  Loans & more  failed      2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    4cab299c8961081e  loan-1  Loans & more  succeeded   2011-09-30 22:38:44  11 h 6 min
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--failed"]), @r"
    ID                KEY     WORKFLOW      STATE   STARTED                    TOOK  FIRST FAILURE
    7d7d2dac6a140fc0  loan-2  Loans & more  failed  2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--state", "cancelled", "--state", "unfinished"]), @r"
    ID                KEY     WORKFLOW      STATE       STARTED                    TOOK
    e7620f74c74f7884  loan-4  Loans & more  unfinished  2011-10-03 08:00:00
    d7557102d7da4956  loan-3  Loans & more  cancelled   2011-10-03 07:00:00  30 min 0 s
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--type", "activity:A_ACC*"]), @r"
    ID                KEY     WORKFLOW      STATE      STARTED                    TOOK
    4cab299c8961081e  loan-1  Loans & more  succeeded  2011-09-30 22:38:44  11 h 6 min
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--attr", "org.resource=11"]), @r"
    ID                KEY     WORKFLOW      STATE   STARTED                    TOOK  FIRST FAILURE
    7d7d2dac6a140fc0  loan-2  Loans & more  failed  2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--key", "loan-3", "--since", "2011-10-03"]), @r"
    ID                KEY     WORKFLOW      STATE      STARTED                    TOOK
    d7557102d7da4956  loan-3  Loans & more  cancelled  2011-10-03 07:00:00  30 min 0 s
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--since", "24h"]), @r"
    throughline: no run is like that; `throughline list` without filters shows the latest
    [exit code 1]
    ");
    insta::assert_json_snapshot!(sandbox.json(&["list", "--failed"]), @r#"
    {
      "next": null,
      "runs": [
        {
          "correlation_id": "loan-2",
          "duration_us": 1860000000,
          "ended": "2011-10-02T07:31:00.000000Z",
          "first_failure": {
            "error": {
              "message": "concept:name is A_DECLINED, which counts as a failure",
              "type": "A_DECLINED"
            },
            "event_type": "activity:A_DECLINED",
            "span_id": "24c36de3f68579cd"
          },
          "service": "import",
          "started": "2011-10-02T07:00:00.000000Z",
          "state": "failed",
          "trace_id": "7d7d2dac6a140fc0f76de482e2a4e586",
          "workflow": "Loans & more"
        }
      ]
    }
    "#);
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let sandbox = Sandbox::with_loans();
    let mut keys = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["list", "--limit", "1"];
        args.extend(after.iter().flat_map(|after| ["--after", after]));
        let page = sandbox.json(&args);
        keys.extend(page["runs"].as_array().unwrap().iter().map(|run| run["correlation_id"].to_string()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(keys.join(" "), r#""loan-4" "loan-3" "loan-2" "loan-1""#);
}

#[test]
fn a_run_is_found_by_id_by_its_beginning_and_by_key() {
    let sandbox = Sandbox::with_loans();
    let id = sandbox.json(&["list", "--key", "loan-2"])["runs"][0]["trace_id"].as_str().unwrap().to_owned();
    let by_key = sandbox.see(&["show", "loan-2"]);
    insta::assert_snapshot!(by_key, @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 7d7d2dac6a140fc0f76de482e2a4e586 · started 2011-10-02T07:00:00.000000Z · import

    ✗ workflow:Loans & more                                                      31 min 0 s        +0 µs
    │ A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ├─ · activity:A_SUBMITTED                                                                      +0 µs
    ├─ ✓ activity:W_Check                                                        21 min 0 s  +10 min 0 s
    └─ ✗ activity:A_DECLINED                                                                 +30 min 0 s
         A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    assert_eq!(sandbox.see(&["show", &id]), by_key);
    assert_eq!(sandbox.see(&["show", &id[..9]]), by_key);
    insta::assert_snapshot!(sandbox.see(&["show", "loan-2", "--timeline"]), @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 7d7d2dac6a140fc0f76de482e2a4e586 · started 2011-10-02T07:00:00.000000Z · import

          +0 µs │━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━│ 31 min 0 s  ✗ workflow:Loans & more  A_DECLINED: co…
          +0 µs │•                                │             · activity:A_SUBMITTED
    +10 min 0 s │          ━━━━━━━━━━━━━━━━━━━━━━━│ 21 min 0 s  ✓ activity:W_Check
    +30 min 0 s │                               • │             ✗ activity:A_DECLINED  A_DECLINED: conc…
    ");
}

#[test]
fn why_names_the_cause_of_a_failure() {
    let loans = Sandbox::with_loans();
    insta::assert_snapshot!(loans.see(&["why", "loan-2"]), @r"
    Loans & more · loan-2 · failed after 31 min 0 s
    trace 7d7d2dac6a140fc0f76de482e2a4e586 · started 2011-10-02T07:00:00.000000Z · import

    ✗ Loans & more failed: activity:A_DECLINED failed with A_DECLINED: concept:name is A_DECLINED, which
      counts as a failure

    How it got there
      ✗ workflow:Loans & more  31 min 0 s  +0 µs
      └─ ✗ activity:A_DECLINED  +30 min 0 s  ← here

    What led there
      · activity:A_SUBMITTED

    What went down with it
      around it: workflow:Loans & more
    ");
    insta::assert_snapshot!(loans.see(&["why", "loan-1"]), @r"
    Loans & more · loan-1 · succeeded after 11 h 6 min
    trace 4cab299c8961081e1d0f8a52262df6df · started 2011-09-30T22:38:44.546000Z · import

    ✓ Loans & more succeeded at the first try
    [exit code 1]
    ");
    let sagas = Sandbox::with_sagas();
    insta::assert_snapshot!(sagas.see(&["why", "order-7"]), @r#"
    order · order-7 · failed after 334 ms
    trace 5a6a0000000000000000000000000001 · started 2026-03-01T09:00:00.000000Z · shop

    ✗ order failed: stage:charge-card (step 2 of 3) failed with CardError::Declined: the card was
      declined\u{1b}[2J

    How it got there
      ✗ workflow:order  334 ms  +0 µs
      └─ ✗ saga:order  332 ms  +100 µs
         └─ ✗ stage:charge-card  300 ms  +20 ms  ← here
              in  {"amount":1200}

    What led there
      ✓ stage:reserve-stock                     10 ms

    Decisions before it
      ◆ ai:route chose express, 80 % sure  +12 ms
          the customer waits
          ● express                   0.80
          ○ post                      0.60

    What went down with it
      around it: saga:order, workflow:order

    Compensation
    ✗ saga:order: none of 1 step undone, begun at +321 ms, took 11 ms
      ✗ failed        stage:reserve-stock                  +322 ms     10 ms  stock-reservation s-1
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

    ✗ saga:order: none of 1 step undone, begun at +321 ms, took 11 ms
      ✗ failed        stage:reserve-stock                  +322 ms     10 ms  stock-reservation s-1
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
    throughline: no run that has ended took a decision
    [exit code 1]
    ");
}

#[test]
fn a_failure_is_compared_with_the_last_good_run() {
    let sandbox = Sandbox::with_sagas();
    let with_last_good = sandbox.see(&["diff", "order-7"]);
    insta::assert_snapshot!(with_last_good, @r"
    + order · order-7 · failed after 334 ms · 5a6a0000000000000000000000000001 · 2026-03-01T09:00:00.00…
    - order · order-6 · succeeded after 4.0 ms · 5a6a0000000000000000000000000002 · 2026-03-01T08:00:00…

    first divergence: workflow:order › stage:reserve-stock happened there only  +1.0 ms

    Ended differently
      workflow:order: succeeded → failed
        CardError::Declined: the card was declined\u{1b}[2J

    Only here
      + workflow:order › saga:order and 5 spans below  +100 µs

    Only there
      - workflow:order › stage:reserve-stock  +1.0 ms

    Much slower
      workflow:order: 4.0 ms → 334 ms  83.5 times as long
    ");
    assert_eq!(sandbox.see(&["diff", "order-7", "order-6"]), with_last_good);
    insta::assert_snapshot!(sandbox.see(&["diff", "order-6"]), @r"
    throughline: no other run of the workflow of order-6 went well; name the run to compare it with
    [exit code 1]
    ");
    assert_eq!(sandbox.run(&["diff", "order-6", "order-6"]).code, 1);
}

#[test]
fn stats_show_rates_slow_stages_and_hot_spots() {
    insta::assert_snapshot!(Sandbox::with_loans().see(&["stats"]), @r"
    1 of 3 runs that ended failed: 33.3 % (95 % interval 6.1–79.2 %)

    Failures over time
    FROM        FAILED  OF     RATE
    2011-09-30       0   1    0.0 %
    2011-10-01       0   0
    2011-10-02       1   1  100.0 %  ██████████████████████████████
    2011-10-03       0   1    0.0 %

    Where runs fail first
    TYPE                 ERROR       RUNS    SHARE
    activity:A_DECLINED  A_DECLINED     1  100.0 %

    What fails most
    TYPE                 FAILED  OF     RATE  INTERVAL
    activity:A_DECLINED       1   1  100.0 %  20.7–100.0 %

    Slowest stages
    TYPE              COUNT         P50         P95         P99         MAX
    activity:W_Check      2  8 min 31 s  21 min 0 s  21 min 0 s  21 min 0 s

    Slowest spans
    TYPE                      TOOK  ID
    workflow:completed  11 h 6 min  4cab299c8961081e
    workflow:failed     31 min 0 s  7d7d2dac6a140fc0
    workflow:cancelled  30 min 0 s  d7557102d7da4956
    activity:W_Check    21 min 0 s  7d7d2dac6a140fc0
    activity:W_Check    8 min 27 s  4cab299c8961081e
    ");
    insta::assert_snapshot!(Sandbox::with_sagas().see(&["stats", "--workflow", "order"]), @r"
    1 of 2 runs that ended failed: 50.0 % (95 % interval 9.5–90.5 %)
    1 of 2 runs began to compensate: 50.0 % (95 % interval 9.5–90.5 %)

    Failures over time
    FROM              FAILED  OF     RATE
    2026-03-01 08:00       0   1    0.0 %
    2026-03-01 09:00       1   1  100.0 %  ██████████████████████████████

    Where runs fail first
    TYPE               ERROR                RUNS    SHARE
    stage:charge-card  CardError::Declined     1  100.0 %

    What fails most
    TYPE                      FAILED  OF     RATE  INTERVAL
    compensate:reserve-stock       1   1  100.0 %  20.7–100.0 %
    stage:charge-card              1   1  100.0 %  20.7–100.0 %

    Slowest stages
    TYPE                      COUNT     P50     P95     P99     MAX
    stage:charge-card             1  300 ms  300 ms  300 ms  300 ms
    compensate:reserve-stock      1   10 ms   10 ms   10 ms   10 ms
    stage:reserve-stock           2  2.0 ms   10 ms   10 ms   10 ms

    Slowest spans
    TYPE                        TOOK  ID
    workflow:failed           334 ms  5a6a000000000000
    saga:failed               332 ms  5a6a000000000000
    stage:charge-card         300 ms  5a6a000000000000
    stage:reserve-stock        10 ms  5a6a000000000000
    compensate:reserve-stock   10 ms  5a6a000000000000

    How runs ended by what was decided
    DECISION  CHOICE   FAILED  OF     RATE  INTERVAL
    ai:route  express       1   1  100.0 %  20.7–100.0 %
    ");
    insta::assert_json_snapshot!(Sandbox::with_sagas().json(&["stats", "--limit", "1"]), @r#"
    {
      "compensations": {
        "hits": 1,
        "interval": [
          0.09453120573423071,
          0.9054687942657693
        ],
        "ratio": 0.5,
        "total": 2
      },
      "decisions": [
        {
          "choice": "express",
          "decision": "ai:route",
          "failed": {
            "hits": 1,
            "total": 1
          }
        }
      ],
      "failure_rate_by_type": [
        {
          "event_type": "compensate:reserve-stock",
          "rate": {
            "hits": 1,
            "total": 1
          }
        },
        {
          "event_type": "stage:charge-card",
          "rate": {
            "hits": 1,
            "total": 1
          }
        },
        {
          "event_type": "ai:route",
          "rate": {
            "hits": 0,
            "total": 1
          }
        },
        {
          "event_type": "saga:compensating",
          "rate": {
            "hits": 0,
            "total": 1
          }
        },
        {
          "event_type": "stage:reserve-stock",
          "rate": {
            "hits": 0,
            "total": 2
          }
        }
      ],
      "failures": {
        "hits": 1,
        "interval": [
          0.09453120573423071,
          0.9054687942657693
        ],
        "ratio": 0.5,
        "total": 2
      },
      "hot_spots": [
        {
          "error_type": "CardError::Declined",
          "event_type": "stage:charge-card",
          "share": {
            "hits": 1,
            "total": 1
          }
        }
      ],
      "over_time": [
        {
          "failed": {
            "hits": 0,
            "total": 1
          },
          "start": "2026-03-01T08:00:00.000000Z"
        },
        {
          "failed": {
            "hits": 1,
            "total": 1
          },
          "start": "2026-03-01T09:00:00.000000Z"
        }
      ],
      "slowest_spans": [
        {
          "duration_us": 334000,
          "event_type": "workflow:failed",
          "span_id": "0000000000000001",
          "trace_id": "5a6a0000000000000000000000000001"
        }
      ],
      "slowest_stages": [
        {
          "count": 1,
          "event_type": "stage:charge-card",
          "max_us": 300000,
          "p50_us": 300000,
          "p95_us": 300000,
          "p99_us": 300000
        }
      ]
    }
    "#);
}

#[test]
fn what_was_imported_and_has_not_ended_is_unfinished_and_safe_to_deploy_over() {
    let sandbox = Sandbox::with_loans();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+ d \d+ h", "[days]");
    settings.bind(|| {
        insta::assert_snapshot!(sandbox.see(&["running"]), @r"
        ID                KEY     WORKFLOW      STATE               AGE  CURRENT STEP            IN IT    QUIET FOR
        e7620f74c74f7884  loan-4  Loans & more  unfinished  [days]  activity:W_Check  [days]  [days]
        ");
        insta::assert_snapshot!(sandbox.see(&["running", "--check"]), @"Safe to deploy: nothing is running.");
    });
    assert_eq!(sandbox.json(&["running", "--check"])["safe_to_deploy"], true);
    insta::assert_snapshot!(Sandbox::with_sagas().see(&["running"]), @r"
    throughline: nothing is running; `throughline list` shows what ran
    [exit code 1]
    ");
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

#[test]
fn pruning_removes_what_is_old() {
    let sandbox = Sandbox::with_loans();
    let said = sandbox.run(&["prune", "--older-than", "1d"]);
    assert!(said.stdout.starts_with("Removed 3 runs with 18 events: "), "{}{}", said.stdout, said.stderr);
    assert_eq!(sandbox.json(&["prune", "--older-than", "1d"])["runs"], 0);
    assert_eq!(sandbox.json(&["list"])["runs"][0]["correlation_id"], "loan-4");
}

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
