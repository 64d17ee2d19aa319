//! What a filter finds is what it says.

use super::oracle::Oracle;
use super::{StoreFixture, hold, open};
use crate::testing::{RunBuilder, run, sample_log};
use crate::{Filter, JobKey, ReadError, Scope, SpanId, Status, Timestamp, TraceEvent, TraceId, TypeMatch};

/// Every way to ask for one thing alone, with what is there, what is not, and what must not be taken for a
/// pattern.
fn filters(log: &[TraceEvent]) -> Vec<Filter> {
    let moment = log[log.len() / 2].timestamp;
    let later = log[log.len() * 3 / 4].timestamp;
    let mut filters = vec![
        Filter::new(),
        Filter::new().scope(Scope::all().since(moment)),
        Filter::new().scope(Scope::all().until(moment)),
        Filter::new().scope(Scope::all().since(moment).until(later)),
        Filter::new().scope(Scope::all().since(later).until(moment)),
        Filter::new().status(Status::Failed).status(Status::Cancelled),
        Filter::new().tag("compensable"),
        Filter::new().tag("compensation"),
        Filter::new().tag("compensable").tag("compensation"),
        Filter::new().tag("compens"),
        Filter::new().attr("tenant", "acme"),
        Filter::new().attr("tenant", "a'b\"c"),
        Filter::new().attr("tenant", "Acme"),
        Filter::new().attr("tenant", "acme").attr("resource", "resource of reserve-funds"),
        Filter::new().attr("nobody", "acme"),
        Filter::new().service("batch"),
        Filter::new().service("bat"),
        Filter::new().scope(Scope::all().workflow("loan-approval")),
        Filter::new().scope(Scope::all().workflow("über%weisung_")),
        Filter::new().scope(Scope::all().workflow("%")),
        Filter::new().correlation_id("nobody"),
    ];
    filters.extend(
        log.iter()
            .step_by(97)
            .filter_map(|event| event.correlation_id.as_ref().map(|key| Filter::new().correlation_id(key))),
    );
    filters.extend(
        [Status::Pending, Status::Success, Status::Failed, Status::Cancelled]
            .into_iter()
            .flat_map(|status| [Filter::new().status(status), Filter::new().outcome(status)]),
    );
    filters
}

fn combined() -> Vec<Filter> {
    let failed = || Filter::new().status(Status::Failed);
    vec![
        failed().event_type("stage:*").scope(Scope::all().workflow("loan-approval")),
        failed().event_type("compensate:*").tag("compensation").attr("tenant", "globex"),
        failed().tag("compensable").service("batch").scope(Scope::all().workflow("onboarding")),
        failed().event_type("workflow:completed"),
        failed().outcome(Status::Success),
        failed().outcome(Status::Failed).scope(Scope::all().workflow("loan-approval")),
        Filter::new().outcome(Status::Cancelled).outcome(Status::Pending).attr("tenant", "globex"),
        Filter::new().outcome(Status::Success).tag("compensable").service("loan-service"),
        Filter::new().outcome(Status::Pending).event_type("stage:*"),
        Filter::new().event_type("ai:route").tag("decision").service("loan-service"),
        Filter::new().status(Status::Pending).event_type("stage:credit-check").tag("compensable"),
    ]
}

pub fn each_filter_alone_finds_what_it_says<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(8, 120, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        for filter in filters(&log) {
            oracle.assert_events(&*store.reader, &filter).await;
            oracle.assert_runs(&*store.reader, &filter).await;
        }
    });
}

pub fn filters_together_must_all_hold<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(9, 120, &[]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[]);
        let (moment, later) = (log[log.len() / 4].timestamp, log[log.len() * 3 / 4].timestamp);
        let holding = combined().iter().filter(|filter| !oracle.events(filter).is_empty()).count();
        assert!(holding >= 5, "the sample holds what is asked for");
        for filter in combined() {
            oracle.assert_events(&*store.reader, &filter).await;
            oracle.assert_runs(&*store.reader, &filter).await;
            let scope = filter.scope.clone().since(moment).until(later);
            let filter = filter.scope(scope);
            oracle.assert_events(&*store.reader, &filter).await;
            oracle.assert_runs(&*store.reader, &filter).await;
        }
    });
}

pub fn a_prefix_is_taken_literally<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        for name in [
            "a%b",
            "axb",
            "a%",
            "a_b",
            "a_",
            "a*b",
            "a**",
            "a?b",
            "a[b]c",
            "a\\b",
            "a'b",
            "a\"b",
            "A%b",
            "a",
            "é:x",
            "ê:x",
            "\u{10FFFF}x",
            "z",
            "",
        ] {
            builder.point(name);
        }
        store.append(&builder.events()).await;
        for (pattern, found) in
            [("a%*", 2), ("a_*", 2), ("a**", 2), ("A*", 1), ("%*", 0), ("a%", 1), ("*", 20)]
        {
            let filter = Filter::new().event_type(pattern);
            assert_eq!(store.events(&filter).await.len(), found, "{pattern}");
        }
        let events = builder.events();
        let oracle = Oracle::with_living(&events, &[]);
        for pattern in [
            "",
            "a",
            "a%",
            "a%b",
            "%",
            "a_",
            "_",
            "a*",
            "a**",
            "a?",
            "a[",
            "a[b]",
            "a\\",
            "a'",
            "a\"",
            "A",
            "é",
            "\u{10FFFF}",
            "aa",
            "z",
            "workflow:",
        ] {
            for wanted in
                [TypeMatch::Prefix(pattern.to_owned().into()), TypeMatch::Exact(pattern.to_owned().into())]
            {
                let mut filter = Filter::new();
                filter.event_type = Some(wanted);
                oracle.assert_events(&*store.reader, &filter).await;
                oracle.assert_runs(&*store.reader, &filter).await;
            }
        }
    });
}

pub fn since_is_inclusive_and_until_is_not<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let start = Timestamp::from_micros(1_772_323_200_000_000);
        let mut builder = run("loan-approval").key("loan-1").at(start);
        builder.complete_run();
        store.append(&builder.events()).await;
        let end = builder.events()[1].timestamp;
        let count =
            async |filter: Filter| (store.events(&filter).await.len(), store.runs(&filter).await.len());
        let microsecond = std::time::Duration::from_micros(1);
        assert_eq!(count(Filter::new().scope(Scope::all().since(start))).await, (2, 1));
        assert_eq!(count(Filter::new().scope(Scope::all().since(start.plus(microsecond)))).await, (1, 0));
        assert_eq!(count(Filter::new().scope(Scope::all().since(end))).await, (1, 0));
        assert_eq!(count(Filter::new().scope(Scope::all().until(end))).await, (1, 1));
        assert_eq!(count(Filter::new().scope(Scope::all().until(start))).await, (0, 0));
        assert_eq!(count(Filter::new().scope(Scope::all().until(start.plus(microsecond)))).await, (1, 1));
        assert_eq!(count(Filter::new().scope(Scope::all().since(start).until(start))).await, (0, 0));
    });
}

pub fn events_come_newest_first_and_runs_last_started_first<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(10, 30, &[]);
        store.append_in_groups(&log).await;
        let events = store.events(&Filter::new()).await;
        assert!(events.is_sorted_by_key(|event| std::cmp::Reverse(event.order())));
        assert_eq!(events.first(), log.last());
        let runs = store.runs(&Filter::new()).await;
        assert!(runs.is_sorted_by_key(|run| std::cmp::Reverse(run.started)));
    });
}

pub fn a_run_is_found_by_its_summary_and_by_what_one_event_is<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").service("loan-service");
        builder.point("stage:a");
        builder.edit(|event| {
            event.tags.push("expensive".into());
            event.attrs = event.attrs.with("tenant", "acme");
            event.service = "elsewhere".into();
            event.workflow = Some("inner".into());
        });
        let failing = builder.begin("stage:b");
        builder.edit(|event| event.attrs = event.attrs.with("user", "u1"));
        builder.fail(failing, "Timeout", "no answer");
        builder.complete_run();
        store.append(&builder.events()).await;
        let found = async |filter: Filter| store.runs(&filter).await.len() == 1;
        assert!(found(Filter::new().attr("tenant", "acme").attr("user", "u1")).await, "of different events");
        assert!(found(Filter::new().status(Status::Failed).event_type("stage:b")).await, "of one event");
        assert!(!found(Filter::new().status(Status::Failed).event_type("stage:a")).await, "of no one event");
        assert!(!found(Filter::new().status(Status::Failed).tag("expensive")).await, "of no one event");
        assert!(found(Filter::new().tag("expensive").attr("user", "u1")).await, "attributes stand apart");
        assert!(
            found(Filter::new().service("loan-service").scope(Scope::all().workflow("loan-approval"))).await
        );
        assert!(!found(Filter::new().service("elsewhere")).await, "not the run's service");
        assert!(!found(Filter::new().scope(Scope::all().workflow("inner"))).await, "not the run's workflow");
    });
}

pub fn what_is_not_there_is_answered_with_nothing<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        for there in [vec![], sample_log(11, 3, &[])] {
            store.append(&there).await;
            assert_eq!(store.reader.trace(TraceId::from_key("nobody")).await.unwrap(), []);
            assert_eq!(store.reader.run(TraceId::from_key("nobody")).await.unwrap(), None);
            let nobody = Filter::new().correlation_id("nobody");
            assert_eq!(store.events(&nobody).await, []);
            assert_eq!(store.runs(&nobody).await, []);
        }
    });
}

pub fn the_last_attempt_at_a_job_is_found_among_others<F: StoreFixture>() {
    /// Adds a span with the attributes of a job, and answers its id.
    fn job(run: &mut RunBuilder, (kind, queue, id): (&str, &str, &str), number: Option<u32>) -> SpanId {
        let span = run.begin(kind);
        run.edit(|event| {
            event.attrs = [("tenant", "acme"), ("queue", queue), ("job_id", id)]
                .map(|(key, value)| (key, value.to_owned()))
                .into_iter()
                .collect();
            event.tags = vec!["detached".into()];
            event.attempt = number;
        });
        span
    }
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let wanted = ("job:payout", "payouts", "j-\"1\"%");
        // One run that a request began, and one of which a job is all that is known.
        for is_rooted in [true, false] {
            let mut run = run("loan-approval").key(if is_rooted { "rooted" } else { "rootless" });
            let key = |(kind, queue, id): (&str, &str, &str)| {
                JobKey::new(kind.to_owned(), queue.to_owned(), id.to_owned())
            };
            let last = async |run: &RunBuilder, job| {
                let mut events = run.events();
                events.retain(|event| is_rooted || event.parent_span_id.is_some());
                store.append(&events).await;
                let found = store.reader.last_attempt(run.trace_id(), &key(job)).await.unwrap();
                found.map(|attempt| (attempt.span_id, attempt.number))
            };
            assert_eq!(last(&run, wanted).await, None);
            let first = job(&mut run, wanted, None);
            assert_eq!(last(&run, wanted).await, Some((first, 1)));
            run.fail(first, "Timeout", "too late");
            let others = [
                ("job:refund", "payouts", "j-\"1\"%"),
                ("job:payout", "emails", "j-\"1\"%"),
                ("job:payout", "payouts", "j-\"1\"_"),
            ];
            for other in others {
                let span = job(&mut run, other, Some(7));
                assert_eq!(last(&run, other).await, Some((span, 7)));
                assert_eq!(last(&run, wanted).await, Some((first, 1)), "beside {other:?}");
            }
            let step = job(&mut run, wanted, Some(9));
            run.edit(|event| event.tags.clear());
            assert_eq!(
                last(&run, wanted).await,
                Some((first, 1)),
                "a span that is not detached is no attempt: {step}"
            );
            let second = job(&mut run, wanted, Some(2));
            assert_eq!(last(&run, wanted).await, Some((second, 2)));
            run.succeed(second);
            assert_eq!(last(&run, wanted).await, Some((second, 2)));
        }
        let nowhere = JobKey::new("job:payout", "payouts", "j-1");
        assert_eq!(store.reader.last_attempt(TraceId::from_key("nowhere"), &nowhere).await.unwrap(), None);
    });
}

pub fn runs_are_found_by_the_beginning_of_their_id<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let ids = [
            "00000000000000000000000000000001",
            "0af7651916cd43dd8448eb211c80319c",
            "0af7651916cd43dd8448eb211c80319d",
            "0af8651916cd43dd8448eb211c80319c",
            "ffffffffffffffffffffffffffffffff",
        ]
        .map(|id| id.parse::<TraceId>().unwrap());
        for id in ids {
            let mut events = run("loan-approval").key("loan-1");
            events.complete_run();
            let mut events = events.events();
            events.iter_mut().for_each(|event| event.trace_id = id);
            store.append(&events).await;
        }
        let find = async |prefix: &str, limit| store.reader.find_by_id_prefix(prefix, limit).await.unwrap();
        assert_eq!(find("", 10).await, ids);
        assert_eq!(find("", 3).await, ids[..3]);
        assert_eq!(find("0", 10).await, ids[..4]);
        assert_eq!(find("0a", 10).await, ids[1..4]);
        assert_eq!(find("0af", 10).await, ids[1..4]);
        assert_eq!(find("0af7", 10).await, ids[1..3]);
        assert_eq!(find("0af7651916cd43dd8448eb211c80319d", 10).await, ids[2..3]);
        assert_eq!(find("fffff", 10).await, ids[4..]);
        assert_eq!(find("00000000000000000000000000000000", 10).await, []);
        assert_eq!(find("1", 10).await, []);
        for bad in ["xyz", "0af%", "_", "'", "é"] {
            let answer = store.reader.find_by_id_prefix(bad, 10).await;
            assert!(matches!(answer, Err(ReadError::InvalidQuery { .. })), "{bad}: {answer:?}");
        }
    });
}
