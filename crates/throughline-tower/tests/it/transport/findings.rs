//! Reports and findings from calls that are the same each time.

use std::time::Duration;

use throughline_core::query::Style;
use throughline_tower::transport::{
    Analyzer, CallOutcome, CallRecord, CallTimes, CalleeTimes, FindingKind, Profiler, Transport,
};

/// A call whose parts took so many microseconds: serialize, transport, queue, callee, deserialize.
fn call(function: &'static str, transport: Transport, parts: [u64; 5]) -> CallRecord {
    let [serialize, way, queue, app, deserialize] = parts.map(Duration::from_micros);
    let callee = Some(CalleeTimes { queue, app });
    CallRecord::new(
        function,
        transport,
        CallTimes { serialize, round_trip: way + queue + app, callee, deserialize },
    )
}

fn record(profiler: &Profiler, times: usize, call: &CallRecord) {
    (0..times).for_each(|_| profiler.record(call));
}

/// `score` over every transport, `report` with large answers and a slow tail, and one function for each oddity.
fn seen() -> Profiler {
    let profiler = Profiler::new();
    let score = |transport, way| call("score", transport, [12, way, 3, 95, 14]).sizes(180, 420);
    for (transport, way) in [(Transport::Http, 260), (Transport::Ipc, 110), (Transport::Direct, 9)] {
        record(&profiler, 200, &score(transport, way));
    }
    record(&profiler, 3, &score(Transport::Http, 20).outcome(CallOutcome::Failed));
    let report = call("report", Transport::Http, [30, 400, 50, 9_000, 21_000]).sizes(90, 3_400_000);
    record(&profiler, 195, &report);
    record(
        &profiler,
        5,
        &call("report", Transport::Http, [30, 400, 50, 890_000, 21_000]).sizes(90, 3_400_000),
    );
    let crowded = call("crowded", Transport::Ipc, [10, 90, 4_000, 700, 10]).sizes(40, 60);
    record(&profiler, 40, &crowded);
    record(&profiler, 12, &crowded.outcome(CallOutcome::TimedOut));
    record(&profiler, 4, &call("rare", Transport::Http, [1, 100, 1, 100, 1]).sizes(10, 10));
    record(&profiler, 40, &call("tiny", Transport::Ipc, [4, 90, 1, 3, 5]).sizes(2, 2));
    record(&profiler, 40, &call("tiny", Transport::Direct, [4, 6, 1, 3, 5]).sizes(2, 2));
    let foreign = CallTimes { round_trip: Duration::from_micros(800), ..CallTimes::default() };
    record(&profiler, 30, &CallRecord::new("foreign", Transport::Http, foreign).sizes(10, 10));
    profiler
}

#[test]
fn a_report_shows_where_the_time_went() {
    insta::assert_snapshot!(seen().report(), @r"
    crowded over ipc · 52 calls · 12 timed_out
                                               share         p50         p95         p99
      serialize                                0.2 %       10 µs       10 µs       10 µs
      transport    ▌                           1.9 %       90 µs       90 µs       90 µs
      queue        ████████████████████       83.2 %      4.0 ms      4.0 ms      4.0 ms
      callee       ███▌                       14.6 %      704 µs      704 µs      704 µs
      deserialize                              0.2 %       10 µs       10 µs       10 µs
      total                                               4.8 ms      4.8 ms      4.8 ms
      request                                               40 B        40 B        40 B
      answer                                                60 B        60 B        60 B

    foreign over http · 30 calls
                                               share         p50         p95         p99
      serialize                                0.0 %        0 ns        0 ns        0 ns
      round_trip   ████████████████████████  100.0 %      802 µs      802 µs      802 µs
      deserialize                              0.0 %        0 ns        0 ns        0 ns
      total                                               802 µs      802 µs      802 µs
      request                                               10 B        10 B        10 B
      answer                                                10 B        10 B        10 B

    rare over http · 4 calls
                                               share         p50         p95         p99
      serialize    ▏                           0.5 %      1.0 µs      1.0 µs      1.0 µs
      transport    ███████████▉               49.3 %      100 µs      100 µs      100 µs
      queue        ▏                           0.5 %      1.0 µs      1.0 µs      1.0 µs
      callee       ███████████▉               49.3 %      100 µs      100 µs      100 µs
      deserialize  ▏                           0.5 %      1.0 µs      1.0 µs      1.0 µs
      total                                               204 µs      204 µs      204 µs
      request                                               10 B        10 B        10 B
      answer                                                10 B        10 B        10 B

    report over http · 200 calls
                                               share         p50         p95         p99
      serialize                                0.1 %       30 µs       30 µs       30 µs
      transport    ▏                           0.8 %      401 µs      401 µs      401 µs
      queue                                    0.1 %       50 µs       50 µs       50 µs
      callee       ██████████████▏            59.1 %      9.1 ms      9.1 ms      905 ms
      deserialize  █████████▋                 40.0 %       21 ms       21 ms       21 ms
      total                                                30 ms       30 ms      922 ms
      request                                               91 B        91 B        91 B
      answer                                              3.4 MB      3.4 MB      3.4 MB

    score over http · 203 calls · 3 failed
                                               share         p50         p95         p99
      serialize    ▊                           3.1 %       12 µs       12 µs       12 µs
      transport    ████████████████▎          67.7 %      262 µs      262 µs      262 µs
      queue        ▎                           0.8 %      3.0 µs      3.0 µs      3.0 µs
      callee       ██████                     24.7 %       96 µs       96 µs       96 µs
      deserialize  ▉                           3.6 %       14 µs       14 µs       14 µs
      total                                               385 µs      385 µs      385 µs
      request                                              183 B       183 B       183 B
      answer                                               423 B       423 B       423 B

    score over ipc · 200 calls
                                               share         p50         p95         p99
      serialize    █▎                          5.1 %       12 µs       12 µs       12 µs
      transport    ███████████▎               47.0 %      110 µs      110 µs      110 µs
      queue        ▎                           1.3 %      3.0 µs      3.0 µs      3.0 µs
      callee       █████████▊                 40.6 %       96 µs       96 µs       96 µs
      deserialize  █▍                          6.0 %       14 µs       14 µs       14 µs
      total                                               237 µs      237 µs      237 µs
      request                                              183 B       183 B       183 B
      answer                                               423 B       423 B       423 B

    score over direct · 200 calls
                                               share         p50         p95         p99
      serialize    ██▏                         9.0 %       12 µs       12 µs       12 µs
      transport    █▋                          6.8 %      9.2 µs      9.2 µs      9.2 µs
      queue        ▌                           2.3 %      3.0 µs      3.0 µs      3.0 µs
      callee       █████████████████▏         71.4 %       96 µs       96 µs       96 µs
      deserialize  ██▌                        10.5 %       14 µs       14 µs       14 µs
      total                                               135 µs      135 µs      135 µs
      request                                              183 B       183 B       183 B
      answer                                               423 B       423 B       423 B

    tiny over ipc · 40 calls
                                               share         p50         p95         p99
      serialize    ▉                           3.9 %      4.0 µs      4.0 µs      4.0 µs
      transport    █████████████████████      87.4 %       90 µs       90 µs       90 µs
      queue        ▎                           1.0 %      1.0 µs      1.0 µs      1.0 µs
      callee       ▊                           2.9 %      3.0 µs      3.0 µs      3.0 µs
      deserialize  █▏                          4.9 %      5.1 µs      5.1 µs      5.1 µs
      total                                               104 µs      104 µs      104 µs
      request                                                2 B         2 B         2 B
      answer                                                 2 B         2 B         2 B

    tiny over direct · 40 calls
                                               share         p50         p95         p99
      serialize    █████                      21.1 %      4.0 µs      4.0 µs      4.0 µs
      transport    ███████▋                   31.6 %      6.0 µs      6.0 µs      6.0 µs
      queue        █▎                          5.3 %      1.0 µs      1.0 µs      1.0 µs
      callee       ███▊                       15.8 %      3.0 µs      3.0 µs      3.0 µs
      deserialize  ██████▍                    26.3 %      5.1 µs      5.1 µs      5.1 µs
      total                                                19 µs       19 µs       19 µs
      request                                                2 B         2 B         2 B
      answer                                                 2 B         2 B         2 B
    ");
}

#[test]
fn findings_have_their_evidence_and_what_to_do() {
    insta::assert_snapshot!(Analyzer::default().analyze(&seen().report()), @r"
    crowded over ipc
      many calls fail
        12 of 52 calls failed, 23.1 % (95 % interval 13.7 % to 36.1 %), most of them timed_out (12).
        → Look at these first, since times are of successful calls only: `throughline list --failed`
          shows them.
      calls wait in the callee
        Waiting in the callee took 83.2 % of the time (p50 4.0 ms of 4.8 ms).
        → Give the callee more workers or a higher concurrency limit, or send it fewer calls at once.
    foreign over http
      the callee's time is unknown
        100.0 % of the time is in round trips without a Server-Timing.
        → Put `.layer(throughline.layer())` around the callee's router, so that it reports how long it
          took.
    rare over http
      too few calls to tell
        4 calls succeeded, and at least 20 are needed.
        → Make more calls, under a load like production's.
    report over http
      serialization overhead is high
        Writing and reading JSON took 40.1 % of the time in the caller alone (0.1 % and 40.0 %), for p50
        91 B sent and 3.4 MB received.
        → Consider a binary format, and send only what the function needs.
      a few calls are far slower
        The p99 is 30 times the median (922 ms against 30 ms), mostly in callee (p99 905 ms).
        → Look at the slowest runs of the callee: `throughline stats` lists them.
      answers are large
        One response in twenty has 3.4 MB or more.
        → Paginate the response, omit what the caller does not read, or stream it.
    score over http
      transport latency is high
        The transport took 67.7 % of the time (p50 262 µs of 385 µs).
        → Consider a Unix socket (ipc) if both run on one machine: over ipc its p50 was 237 µs instead
          of 385 µs.
    tiny over ipc
      transport latency is high
        The transport took 87.4 % of the time (p50 90 µs of 104 µs).
        → Consider calling it directly, in the same process: over direct its p50 was 19 µs instead of
          104 µs.
      overhead dominates the work
        The function itself took 2.9 % of the time in which calls did not wait for it (p50 3.0 µs of 104
        µs).
        → Consider direct integration, or do more per call: over direct its p50 was 19 µs instead of 104
          µs.
    tiny over direct
      serialization overhead is high
        Writing and reading JSON took 47.4 % of the time in the caller alone (21.1 % and 26.3 %), for
        p50 2 B sent and 2 B received.
        → Within a process nothing has to be JSON: call it as a plain function.
      overhead dominates the work
        The function itself took 16.7 % of the time in which calls did not wait for it (p50 3.0 µs of 19
        µs).
        → It is called directly already: do more per call, or call it as a plain function.
    ");
}

#[test]
fn a_report_is_json_for_machines() {
    let profiler = Profiler::new();
    record(&profiler, 2, &call("score", Transport::Ipc, [12, 210, 3, 95, 14]).sizes(180, 420));
    insta::assert_json_snapshot!(profiler.report(), @r#"
    {
      "functions": [
        {
          "function": "score",
          "transport": "ipc",
          "outcomes": {
            "success": 2
          },
          "total": {
            "p50_us": 335.871,
            "p95_us": 335.871,
            "p99_us": 335.871
          },
          "parts": [
            {
              "part": "serialize",
              "share": 0.035928143712574856,
              "p50_us": 12.031,
              "p95_us": 12.031,
              "p99_us": 12.031
            },
            {
              "part": "transport",
              "share": 0.62874251497006,
              "p50_us": 212.991,
              "p95_us": 212.991,
              "p99_us": 212.991
            },
            {
              "part": "queue",
              "share": 0.008982035928143714,
              "p50_us": 3.007,
              "p95_us": 3.007,
              "p99_us": 3.007
            },
            {
              "part": "callee",
              "share": 0.2844311377245509,
              "p50_us": 96.255,
              "p95_us": 96.255,
              "p99_us": 96.255
            },
            {
              "part": "deserialize",
              "share": 0.04191616766467066,
              "p50_us": 14.079,
              "p95_us": 14.079,
              "p99_us": 14.079
            }
          ],
          "request_bytes": {
            "p50": 183,
            "p95": 183,
            "p99": 183
          },
          "response_bytes": {
            "p50": 423,
            "p95": 423,
            "p99": 423
          }
        }
      ]
    }
    "#);
    let mut analyzer = Analyzer::default();
    analyzer.min_calls = 2;
    insta::assert_json_snapshot!(analyzer.analyze(&profiler.report()).findings[0], @r#"
    {
      "function": "score",
      "transport": "ipc",
      "kind": "transport_dominates",
      "measured": 0.62874251497006,
      "threshold": 0.5,
      "calls": 2,
      "evidence": "The transport took 62.9 % of the time (p50 212 µs of 335 µs)",
      "recommendation": "Consider calling it directly, in the same process"
    }
    "#);
}

#[test]
fn findings_are_coloured_where_that_is_asked_for() {
    let profiler = Profiler::new();
    record(&profiler, 20, &call("score", Transport::Http, [1, 100, 1, 1, 1]));
    let findings = Analyzer::default().analyze(&profiler.report());
    assert!(findings.render(&Style::ansi()).contains("\u{1b}[33mtransport latency is high\u{1b}[0m"));
    assert!(!findings.to_string().contains('\u{1b}'));
    assert!(profiler.report().render(&Style::ansi()).contains("\u{1b}[36m█"));
}

/// A threshold is passed from above or below, not met.
#[test]
fn a_part_that_is_exactly_at_its_threshold_is_no_finding() {
    let kinds = |parts| {
        let profiler = Profiler::new();
        record(&profiler, 20, &call("f", Transport::Http, parts));
        let findings = Analyzer::default().analyze(&profiler.report()).findings;
        findings.into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds([15, 50, 0, 20, 15]), []);
    assert_eq!(kinds([15, 51, 0, 20, 14]), [FindingKind::TransportDominates]);
    assert_eq!(kinds([16, 49, 0, 20, 15]), [FindingKind::SerializationHeavy]);
    assert_eq!(kinds([15, 50, 1, 19, 15]), [FindingKind::LittleWork]);
    assert_eq!(kinds([10, 40, 26, 20, 4]), [FindingKind::Queueing]);
}

#[test]
fn another_transport_that_was_seen_to_be_no_faster_is_not_simply_recommended() {
    let recommended = |over_ipc| {
        let profiler = Profiler::new();
        record(&profiler, 20, &call("f", Transport::Http, [10, 300, 0, 150, 10]));
        record(&profiler, 20, &call("f", Transport::Ipc, [10, over_ipc, 0, 150, 10]));
        let findings = Analyzer::default().analyze(&profiler.report()).findings;
        findings.into_iter().next().unwrap().recommendation
    };
    insta::assert_snapshot!(recommended(280), @"Consider a Unix socket (ipc) if both run on one machine, though that may not help: over ipc its p50 was 450 µs instead of 475 µs");
    insta::assert_snapshot!(recommended(900), @"Consider a Unix socket (ipc) if both run on one machine; as of now it would not help: over ipc its p50 was 1.0 ms, no less than the 475 µs here");
    insta::assert_snapshot!(recommended(200), @"Consider a Unix socket (ipc) if both run on one machine: over ipc its p50 was 376 µs instead of 475 µs");
}
