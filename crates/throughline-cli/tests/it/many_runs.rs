//! What the commands answer across runs.

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
      "emitted": 0,
      "ends_before_start": 0,
      "events_known": 21,
      "events_new": 0,
      "failed": 1,
      "foreign_elements": 0,
      "format": "xes",
      "imported_before": true,
      "log": "6858dfad8ab365a49fd6d9d1148f223318cd6fb19f7cdabe73c3e8a7c85ec47c",
      "log_attributes": 2,
      "missing_starts": 1,
      "open_starts": 1,
      "other_transitions": 1,
      "pairs": 2,
      "redacted": {},
      "runs": 4,
      "runs_apart": 0,
      "runs_replaced": 0,
      "unfinished": 1,
      "unmatched_completes": 8,
      "untimed": 0,
      "untimed_runs": 0,
      "workflow": "Loans & more",
      "workflow_from": "log",
      "xes_events": 14
    }
    "#);
    insta::assert_snapshot!(sandbox.see(&["import", "loans.xes"]), @r"
    throughline: loans.xes: this log was imported before with other options (--workflow 'Loans & more' --service 'import' --failed-when 'concept:name=A_DECLINED' --cancelled-when 'concept:name=A_CANCELLED'); use the same options, or another file
    [exit code 3]
    ");
}

#[test]
fn runs_are_listed_the_last_first() {
    let sandbox = Sandbox::with_loans();
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    ID                KEY     WORKFLOW      STATE       STARTED                    TOOK  CAUSE
    deb4436b0f1777b3  loan-4  Loans & more  unfinished  2011-10-03 08:00:00
    90811f5cbbce98ee  loan-3  Loans & more  cancelled   2011-10-03 07:00:00  30 min 0 s  activity:A_CANCELLED
    27e30bcf17268476  loan-2  Loans & more  failed      2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    bd6cd04282009ec2  loan-1  Loans & more  succeeded   2011-09-30 22:38:44  11 h 6 min
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--failed"]), @r"
    ID                KEY     WORKFLOW      STATE   STARTED                    TOOK  CAUSE
    27e30bcf17268476  loan-2  Loans & more  failed  2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--state", "cancelled", "--state", "unfinished"]), @r"
    ID                KEY     WORKFLOW      STATE       STARTED                    TOOK  CAUSE
    deb4436b0f1777b3  loan-4  Loans & more  unfinished  2011-10-03 08:00:00
    90811f5cbbce98ee  loan-3  Loans & more  cancelled   2011-10-03 07:00:00  30 min 0 s  activity:A_CANCELLED
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--type", "activity:A_ACC*"]), @r"
    ID                KEY     WORKFLOW      STATE      STARTED                    TOOK
    bd6cd04282009ec2  loan-1  Loans & more  succeeded  2011-09-30 22:38:44  11 h 6 min
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--attr", "org.resource=11"]), @r"
    ID                KEY     WORKFLOW      STATE   STARTED                    TOOK  CAUSE
    27e30bcf17268476  loan-2  Loans & more  failed  2011-10-02 07:00:00  31 min 0 s  activity:A_DECLINED: concept:name is A_DECLINED, which counts as a failure
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--key", "loan-3", "--since", "2011-10-03"]), @r"
    ID                KEY     WORKFLOW      STATE      STARTED                    TOOK  CAUSE
    90811f5cbbce98ee  loan-3  Loans & more  cancelled  2011-10-03 07:00:00  30 min 0 s  activity:A_CANCELLED
    ");
    insta::assert_snapshot!(sandbox.see(&["list", "--since", "24h"]), @r"
    throughline: no run matches; `throughline list` without filters shows the latest runs
    [exit code 1]
    ");
    insta::assert_json_snapshot!(sandbox.json(&["list", "--failed"]), @r#"
    {
      "next": null,
      "runs": [
        {
          "cause": {
            "error": {
              "message": "concept:name is A_DECLINED, which counts as a failure",
              "type": "A_DECLINED"
            },
            "event_type": "activity:A_DECLINED",
            "name": "activity:A_DECLINED",
            "span_id": "2482d2ed325d0b40",
            "step_index": null,
            "step_total": null
          },
          "correlation_id": "loan-2",
          "duration_us": 1860000000,
          "ended": "2011-10-02T07:31:00.000000Z",
          "first_failure": {
            "error": {
              "message": "concept:name is A_DECLINED, which counts as a failure",
              "type": "A_DECLINED"
            },
            "event_type": "activity:A_DECLINED",
            "name": "activity:A_DECLINED",
            "span_id": "2482d2ed325d0b40",
            "step_index": null,
            "step_total": null
          },
          "root": {
            "attempt": null,
            "event_type": "workflow:started",
            "is_resumable": false,
            "name": "workflow:started",
            "span_id": "efd044508f4c0837"
          },
          "service": "import",
          "started": "2011-10-02T07:00:00.000000Z",
          "state": "failed",
          "trace_id": "27e30bcf17268476ca47cf11d43abe06",
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
fn stats_show_rates_slow_stages_and_hot_spots() {
    insta::assert_snapshot!(Sandbox::with_loans().see(&["stats"]), @r"
    1 of 3 ended runs failed: 33.3 % (95 % interval 6.1–79.2 %)

    Failures over time
    FROM        FAILED  OF     RATE
    2011-09-30       0   1    0.0 %  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
    2011-10-01       0   0
    2011-10-02       1   1  100.0 %  ██████████████████████████████
    2011-10-03       0   1    0.0 %  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░

    Where runs fail
    TYPE                 ERROR       RUNS    SHARE
    activity:A_DECLINED  A_DECLINED     1  100.0 %

    What fails most
    TYPE                 FAILED  OF     RATE  INTERVAL
    activity:A_DECLINED       1   1  100.0 %  20.7–100.0 %

    Slowest stages
    TYPE              COUNT         P50         P95         P99         MAX
    activity:W_Check      2  8 min 31 s  21 min 0 s  21 min 0 s  21 min 0 s

    Slowest spans
    SPAN                         TOOK  WORKFLOW      KEY     ID
    workflow:Loans & more  11 h 6 min  Loans & more  loan-1  bd6cd04282009ec2
    workflow:Loans & more  31 min 0 s  Loans & more  loan-2  27e30bcf17268476
    workflow:Loans & more  30 min 0 s  Loans & more  loan-3  90811f5cbbce98ee
    activity:W_Check       21 min 0 s  Loans & more  loan-2  27e30bcf17268476
    activity:W_Check       8 min 27 s  Loans & more  loan-1  bd6cd04282009ec2
    ");
    insta::assert_snapshot!(Sandbox::with_sagas().see(&["stats", "--workflow", "order"]), @r"
    1 of 2 ended runs failed: 50.0 % (95 % interval 9.5–90.5 %)
    1 of 2 runs started compensating: 50.0 % (95 % interval 9.5–90.5 %)

    Failures over time
    FROM              FAILED  OF     RATE
    2026-03-01 08:00       0   1    0.0 %  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
    2026-03-01 09:00       1   1  100.0 %  ██████████████████████████████

    Where runs fail
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
    SPAN                        TOOK  WORKFLOW  KEY      ID
    workflow:order            334 ms  order     order-7  5a6a000000000000
    saga:order                332 ms  order     order-7  5a6a000000000000
    stage:charge-card         300 ms  order     order-7  5a6a000000000000
    stage:reserve-stock        10 ms  order     order-7  5a6a000000000000
    compensate:reserve-stock   10 ms  order     order-7  5a6a000000000000

    Outcomes by decision
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
          "correlation_id": "order-7",
          "duration_us": 334000,
          "event_type": "workflow:failed",
          "name": "workflow:order",
          "span_id": "0000000000000001",
          "trace_id": "5a6a0000000000000000000000000001",
          "workflow": "order"
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
    // The columns are as wide as the ages, which grow.
    settings.add_filter(r"\d+ d \d+ h", "[days]");
    settings.add_filter(r" {2,}", "  ");
    settings.bind(|| {
        insta::assert_snapshot!(sandbox.see(&["running"]), @r"
        ID  KEY  WORKFLOW  STATE  AGE  CURRENT STEP  IN IT  QUIET FOR
        deb4436b0f1777b3  loan-4  Loans & more  unfinished  [days]  activity:W_Check  [days]  [days]
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
fn pruning_removes_what_is_old() {
    let sandbox = Sandbox::with_loans();
    let said = sandbox.run(&["prune", "--older-than", "1d"]);
    assert!(said.stdout.starts_with("Removed 4 runs with 21 events: "), "{}{}", said.stdout, said.stderr);
    assert_eq!(sandbox.json(&["prune", "--older-than", "1d"])["runs"], 0);
    // One of them never ended, and no process works on it.
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 0);
}
