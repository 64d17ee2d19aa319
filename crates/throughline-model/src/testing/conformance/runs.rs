//! How a run stands.

use std::time::Duration;

use super::oracle::Oracle;
use super::{OpenStore, StoreFixture, hold, open};
use crate::names::{HTTP_REQUEST, tags};
use crate::testing::{RunBuilder, broken_run, run, sample_log};
use crate::{Filter, InstanceId, Page, RunState, RunSummary, Scope, TraceId};

async fn state(store: &OpenStore, id: TraceId) -> RunState {
    summary(store, id).await.state
}

async fn summary(store: &OpenStore, id: TraceId) -> RunSummary {
    store.reader.run(id).await.unwrap().expect("the run is there")
}

/// A run that has begun a step and not ended it.
fn open_run(key: &str, instance: InstanceId) -> RunBuilder {
    let mut builder = run("loan-approval").key(key).instance(instance);
    builder.begin("stage:sign");
    builder
}

pub fn the_summary_of_each_run_is_as_defined<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(20, 80, &[store.id, InstanceId::IMPORTED]);
        store.append_in_groups(&log).await;
        let oracle = Oracle::with_living(&log, &[store.id]);
        for (id, run) in &oracle.log.runs {
            assert_eq!(summary(&store, *id).await, run.summary);
        }
        oracle.assert_runs(&*store.reader, &Filter::new()).await;
    });
}

pub fn the_summary_of_a_broken_run_is_as_defined_after_each_event<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        // Two that write in turn: neither can rely on what it remembers of the run.
        let stores = [open(fixture).await, open(fixture).await];
        let instances = [stores[0].id, stores[1].id, InstanceId::IMPORTED];
        for seed in 0..60 {
            let events = broken_run(seed, &instances);
            for (at, event) in events.iter().enumerate() {
                stores[at % 2].append(std::slice::from_ref(event)).await;
                let oracle = Oracle::with_living(&events[..=at], &instances[..2]);
                let wanted = &oracle.log.runs[&event.trace_id].summary;
                assert_eq!(&summary(&stores[0], event.trace_id).await, wanted, "run {seed}, event {at}");
            }
        }
    });
}

pub fn open_spans_are_running_interrupted_or_unfinished<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let by_mine = open_run("by mine", mine.id);
        let by_other = open_run("by other", other.id);
        let imported = open_run("imported", InstanceId::IMPORTED);
        let by_stranger = open_run("by a stranger", InstanceId::from_u64(0xfeed));
        mine.append(&by_mine.events()).await;
        other.append(&by_other.events()).await;
        mine.append(&imported.events()).await;
        mine.append(&by_stranger.events()).await;
        assert_eq!(state(&mine, by_mine.trace_id()).await, RunState::Running);
        assert_eq!(state(&mine, by_other.trace_id()).await, RunState::Running);
        assert_eq!(state(&mine, imported.trace_id()).await, RunState::Unfinished);
        assert_eq!(
            state(&mine, by_stranger.trace_id()).await,
            RunState::Unfinished,
            "no lease was ever held"
        );

        other.close().await;
        assert_eq!(state(&mine, by_mine.trace_id()).await, RunState::Running);
        assert_eq!(state(&mine, by_other.trace_id()).await, RunState::Interrupted);
        assert_eq!(state(&mine, imported.trace_id()).await, RunState::Unfinished);

        mine.close().await;
        let after = open(fixture).await;
        assert_eq!(state(&after, by_mine.trace_id()).await, RunState::Interrupted);
        assert_eq!(state(&after, by_other.trace_id()).await, RunState::Interrupted);
        assert_eq!(state(&after, imported.trace_id()).await, RunState::Unfinished);
    });
}

pub fn a_run_resumed_by_another_instance_is_running_again<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (first, second) = (open(fixture).await, open(fixture).await);
        let mut builder = open_run("loan-1", first.id);
        let by_first = builder.events().len();
        first.append(&builder.events()).await;
        first.close().await;
        assert_eq!(state(&second, builder.trace_id()).await, RunState::Interrupted);

        builder.resume(second.id);
        second.append(&builder.events()[by_first..]).await;
        assert_eq!(state(&second, builder.trace_id()).await, RunState::Running);
        let current = async || {
            let open = second.open_runs().await;
            open[0].current.as_ref().map(|step| step.span_id)
        };
        assert_eq!(current().await, None, "nobody works on what the first left open");
        let saga = builder.begin("saga:started");
        let again = builder.begin_in(saga, "stage:sign");
        second.append(&builder.events()).await;
        assert_eq!(current().await, Some(again));
        builder.succeed(again);
        builder.complete_run();
        second.append(&builder.events()).await;
        let ended = summary(&second, builder.trace_id()).await;
        assert_eq!(ended.state, RunState::Succeeded);
        assert_eq!(ended.started, builder.events()[0].timestamp);
        assert_eq!(ended.ended, builder.events().last().map(|event| event.timestamp));
        assert_eq!(second.open_runs().await, []);
    });
}

pub fn a_run_resumed_after_its_end_is_open_again<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = open_run("loan-1", store.id);
        builder.cancel_run();
        store.append(&builder.events()).await;
        assert_eq!(state(&store, builder.trace_id()).await, RunState::Cancelled);
        builder.resume(store.id);
        // The clock of the next life may be behind: what counts is the place within the span.
        builder.edit(|event| event.timestamp = event.timestamp.minus(Duration::from_secs(60)));
        store.append(&builder.events()).await;
        let open = summary(&store, builder.trace_id()).await;
        assert_eq!((open.state, open.ended, open.duration_us), (RunState::Running, None, None));
        assert_eq!(store.open_runs().await.len(), 1);
        let events = builder.events();
        assert_eq!(open, Oracle::with_living(&events, &[store.id]).runs(&Filter::new())[0]);
    });
}

pub fn a_run_starts_with_its_earliest_event_whoever_emitted_it<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        builder.point("stage:behind");
        // Emitted by a machine whose clock is behind that of the root's.
        builder.edit(|event| {
            event.timestamp = event.timestamp.minus(Duration::from_secs(10));
            event.service = "elsewhere".into();
        });
        builder.complete_run();
        let events = builder.events();
        let earliest = events[1].timestamp;
        store.append(&events[..1]).await;
        store.append(&events[1..]).await;
        let started = summary(&store, builder.trace_id()).await;
        assert_eq!((started.started, &*started.service), (earliest, "test-service"));
        let oracle = Oracle::with_living(&events, &[]);
        for moment in [earliest, events[0].timestamp] {
            oracle.assert_runs(&*store.reader, &Filter::new().scope(Scope::all().since(moment))).await;
            oracle.assert_runs(&*store.reader, &Filter::new().scope(Scope::all().until(moment))).await;
        }
    });
}

pub fn the_earliest_root_decides<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("outer").key("loan-1").instance(store.id);
        builder.root();
        let second = builder.begin("workflow:started");
        builder.edit(|event| {
            event.tags.push(tags::REMOTE_PARENT.into());
            event.workflow = Some("inner".into());
        });
        let events = builder.events();
        // The later root arrives first, and ends first.
        store.append(&events[1..]).await;
        assert_eq!(summary(&store, builder.trace_id()).await.workflow.as_deref(), Some("inner"));
        store.append(&events[..1]).await;
        builder.fail(second, "Timeout", "no answer");
        store.append(&builder.events()).await;
        let open = summary(&store, builder.trace_id()).await;
        assert_eq!((open.state, open.workflow.as_deref()), (RunState::Running, Some("outer")));
        assert_eq!(open.first_failure.map(|failure| failure.span_id), Some(second));
        builder.complete_run();
        store.append(&builder.events()).await;
        assert_eq!(state(&store, builder.trace_id()).await, RunState::Succeeded);
    });
}

pub fn a_root_that_began_elsewhere_decides_only_without_another<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("caller").key("loan-1").instance(store.id);
        let call = builder.begin("dependency:http");
        builder.pass(Duration::from_millis(5));
        let callee = builder.begin_in(call, "http:request");
        let trace = builder.trace_id();
        builder.edit(|event| {
            event.tags.push(tags::REMOTE_PARENT.into());
            event.workflow = Some("callee".into());
            // Its clock is behind that of its caller.
            event.timestamp = event.timestamp.minus(Duration::from_millis(50));
        });
        builder.succeed(callee);
        builder.fail(call, "Timeout", "no answer");
        builder.fail_run("Timeout", "no answer");
        let (of_callee, of_caller): (Vec<_>, Vec<_>) =
            builder.events().into_iter().partition(|event| event.span_id == callee);
        store.append(&of_callee).await;
        let first = summary(&store, trace).await;
        assert_eq!((first.state, first.workflow.as_deref()), (RunState::Succeeded, Some("callee")));
        store.append(&of_caller).await;
        let both = summary(&store, trace).await;
        assert_eq!((both.state, both.workflow.as_deref()), (RunState::Failed, Some("caller")));
        assert_eq!(both.started, of_callee[0].timestamp);
        assert_eq!(both.cause.map(|cause| cause.span_id), Some(call));
    });
}

pub fn a_run_has_not_ended_before_the_jobs_it_put_into_a_queue<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, worker) = (open(fixture).await, open(fixture).await);
        let mut builder = run("loan-approval").key("loan-1").instance(mine.id);
        let root = builder.root();
        builder.complete_run();
        mine.append(&builder.events()).await;
        assert_eq!(state(&mine, builder.trace_id()).await, RunState::Succeeded);

        let job = |builder: &mut RunBuilder, before: Option<crate::SpanId>, instance| {
            let job = builder.begin_in(root, "job:payout");
            builder.edit(|event| {
                event.instance = instance;
                event.tags = vec![tags::REMOTE_PARENT.into(), tags::DETACHED.into()];
                event.links.extend(before.map(|before| crate::Link::to(crate::Relation::RetryOf, before)));
            });
            job
        };
        let first = job(&mut builder, None, worker.id);
        let step = builder.begin_in(first, "stage:transfer");
        builder.edit(|event| event.instance = worker.id);
        worker.append(&builder.events()).await;
        let running = summary(&mine, builder.trace_id()).await;
        assert_eq!((running.state, running.ended, running.duration_us), (RunState::Running, None, None));
        worker.close().await;
        assert_eq!(state(&mine, builder.trace_id()).await, RunState::Interrupted);
        let open_runs = mine.open_runs().await;
        assert_eq!(open_runs[0].current.as_ref().map(|current| current.span_id), Some(step));

        // The job is retried, by a process that has not seen the run yet.
        mine.close().await;
        let after = open(fixture).await;
        let before = builder.events().len();
        let second = job(&mut builder, Some(first), after.id);
        after.append(&builder.events()[before..]).await;
        assert_eq!(state(&after, builder.trace_id()).await, RunState::Running);
        let open_runs = after.open_runs().await;
        let current = open_runs[0].current.as_ref().map(|current| current.span_id);
        assert_eq!(current, Some(second), "nobody works on what the first attempt left open");
        builder.fail(second, "Timeout", "no answer");
        after.append(&builder.events()).await;
        assert_eq!(state(&after, builder.trace_id()).await, RunState::Failed);

        let before = builder.events().len();
        let third = job(&mut builder, Some(second), after.id);
        builder.succeed(third);
        after.append(&builder.events()[before..]).await;
        let ended = summary(&after, builder.trace_id()).await;
        let (events, last) = (builder.events(), builder.events().last().map(|event| event.timestamp));
        assert_eq!((ended.state, ended.ended), (RunState::Succeeded, last));
        assert_eq!(ended.duration_us, last.map(|last| last.since(ended.started).as_micros() as u64));
        assert_eq!(ended, Oracle::with_living(&events, &[after.id]).runs(&Filter::new())[0]);
        assert_eq!(after.open_runs().await, []);
    });
}

pub fn a_run_without_a_root_is_summarised_from_its_events<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").instance(store.id).service("loan-service");
        let step = builder.begin("stage:sign");
        store.append(&builder.events()[1..]).await;
        let open = summary(&store, builder.trace_id()).await;
        assert_eq!((open.state, &*open.service), (RunState::Running, "loan-service"));
        assert_eq!(open.started, builder.events()[1].timestamp);
        assert_eq!(store.open_runs().await.len(), 1);

        builder.succeed(step);
        store.append(&builder.events()[1..]).await;
        let ended = summary(&store, builder.trace_id()).await;
        assert_eq!((ended.state, ended.ended, ended.duration_us), (RunState::Succeeded, None, None));
        assert_eq!(store.open_runs().await, []);

        let dropped = builder.begin("stage:archive");
        builder.cancel(dropped);
        store.append(&builder.events()[1..]).await;
        assert_eq!(state(&store, builder.trace_id()).await, RunState::Cancelled);

        let failing = builder.begin("stage:archive");
        builder.fail(failing, "Timeout", "no answer");
        store.append(&builder.events()[1..]).await;
        assert_eq!(state(&store, builder.trace_id()).await, RunState::Failed);

        store.append(&builder.events()[..1]).await;
        let rooted = summary(&store, builder.trace_id()).await;
        assert_eq!((rooted.state, rooted.started), (RunState::Running, builder.events()[0].timestamp));
    });
}

pub fn a_workflow_inside_a_request_names_the_run<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").instance(store.id);
        builder.root();
        builder.edit(|event| {
            event.event_type = HTTP_REQUEST.into();
            event.workflow = None;
            event.correlation_id = None;
        });
        let inner = builder.begin("workflow:started");
        let nested = builder.begin_in(inner, "workflow:started");
        builder.edit(|event| event.workflow = Some("nested".into()));
        builder.succeed(nested);
        builder.succeed(inner);
        builder.complete_run();
        let mut arriving = builder.events();
        arriving.reverse();
        for event in &arriving {
            store.append(std::slice::from_ref(event)).await;
        }
        let named = summary(&store, builder.trace_id()).await;
        assert_eq!(named.workflow.as_deref(), Some("loan-approval"));
        assert_eq!(named.correlation_id.as_deref(), Some("loan-1"));
        let events = builder.events();
        let oracle = Oracle::with_living(&events, &[store.id]);
        for filter in [
            Filter::new().scope(Scope::all().workflow("loan-approval")),
            Filter::new().scope(Scope::all().workflow("nested")),
            Filter::new().correlation_id("loan-1"),
        ] {
            oracle.assert_runs(&*store.reader, &filter).await;
        }
    });
}

pub fn the_first_failure_is_the_earliest_even_if_it_arrives_late<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        let first = builder.begin("stage:a");
        builder.fail(first, "Timeout", "the first");
        let second = builder.begin("stage:b");
        builder.fail(second, "Refused", "the second");
        builder.complete_run();
        let mut events = builder.events();
        let late = events.remove(2);
        store.append(&events).await;
        let failure = summary(&store, builder.trace_id()).await.first_failure.unwrap();
        assert_eq!((failure.span_id, &*failure.event_type), (second, "stage:b"));
        store.append(std::slice::from_ref(&late)).await;
        let failure = summary(&store, builder.trace_id()).await.first_failure.unwrap();
        assert_eq!((failure.span_id, failure.error), (first, late.error.map(|error| *error)));
        assert_eq!(state(&store, builder.trace_id()).await, RunState::Succeeded, "it recovered");
    });
}

pub fn the_cause_is_what_brought_the_run_down_and_not_what_it_put_up_with<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1");
        let tolerated = builder.begin("tool:grep");
        builder.fail(tolerated, "Exit", "exit status 1");
        let fatal = builder.begin("stage:pay");
        builder.fail(fatal, "Refused", "no funds");
        builder.fail_run("LoanError", "paying: no funds");
        let mut events = builder.events();
        let late = events.remove(events.len() - 2);
        let end = events.pop().unwrap();
        store.append(&events).await;
        assert_eq!(summary(&store, builder.trace_id()).await.cause, None, "it is open");
        store.append(std::slice::from_ref(&end)).await;
        // The end of what brought it down is not there yet.
        let cause = summary(&store, builder.trace_id()).await.cause.unwrap();
        assert_eq!(&*cause.event_type, "workflow:failed");
        store.append(std::slice::from_ref(&late)).await;
        let found = summary(&store, builder.trace_id()).await;
        assert_eq!(found.first_failure.map(|failure| failure.span_id), Some(tolerated));
        let cause = found.cause.unwrap();
        assert_eq!((cause.span_id, &*cause.event_type), (fatal, "stage:pay"));
        assert_eq!(cause.error, late.error.map(|error| *error));
    });
}

pub fn the_cause_is_found_from_all_that_its_rules_look_at<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        // By their inputs these are three things, and no attempts at one.
        let mut items = run("import").key("items");
        let mut attempt = |input: u64, is_good: bool| {
            let item = items.begin("stage:item");
            items.edit(|event| event.data = Some([("input".to_owned(), input.into())].into_iter().collect()));
            match is_good {
                true => items.succeed(item),
                false => items.fail(item, "Refused", "no such account"),
            }
            item
        };
        let first = attempt(1, false);
        attempt(2, true);
        attempt(3, false);
        items.fail_run("BatchError", "batch failed");
        // What this workflow does is no clean-up after something else, as it would be in another one.
        let mut refund = run("refund-order").key("refund");
        let told = refund.begin("stage:notify");
        refund.fail(told, "Smtp", "mailbox full");
        let refunded = refund.begin("stage:refund-order");
        refund.fail(refunded, "Bank", "account closed by its owner");
        refund.fail_run("Bank", "account closed by its owner");
        for (builder, cause) in [(&items, first), (&refund, refunded)] {
            store.append(&builder.events()).await;
            let found = summary(&store, builder.trace_id()).await.cause.unwrap();
            assert_eq!(found.span_id, cause, "{}", found.name);
        }
    });
}

pub fn what_fails_within_a_step_is_in_its_place_among_the_steps<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut builder = run("loan-approval").key("loan-1").instance(store.id);
        let step = builder.begin("stage:pay");
        builder.edit(|event| (event.step_index, event.step_total) = (Some(4), Some(10)));
        let call = builder.begin_in(step, "dependency:http");
        let open_runs = builder.events();
        store.append(&open_runs).await;
        let open = store.reader.open_runs(&Page::first(1)).await.unwrap().items.pop().unwrap();
        let current = open.current.unwrap();
        assert_eq!((current.span_id, current.step_index, current.step_total), (call, Some(4), Some(10)));
        builder.fail(call, "Timeout", "no answer");
        builder.fail(step, "Timeout", "no answer");
        builder.fail_run("Timeout", "no answer");
        store.append(&builder.events()[open_runs.len()..]).await;
        let cause = summary(&store, builder.trace_id()).await.cause.unwrap();
        assert_eq!((cause.span_id, cause.step_index, cause.step_total), (call, Some(4), Some(10)));
    });
}
