//! Each call of a service inside a `StepLayer` is a step of the run around it.

use std::sync::Arc;

use insta::assert_snapshot;
use throughline_core::{BoxError, NotRecorded, Relation, SpanId, Text, Throughline, TraceContext, names};
use throughline_workflow::{Carrier, Job, JobLayer, StepCall, StepLayer, WorkflowLayer};
use tokio::sync::Notify;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::support::{Bench, TOO_LONG, Trouble, not_read, starts};

/// A node of a workflow, as executors have them.
#[derive(Clone, Default)]
struct Node {
    id: &'static str,
    attempt: u32,
    compensable: bool,
    undoes: Option<&'static str>,
    undoes_span: Option<SpanId>,
    within: Option<TraceContext>,
    fails: bool,
}

fn node(id: &'static str) -> Node {
    Node { id, attempt: 1, ..Node::default() }
}

fn describe(node: &Node) -> StepCall {
    let call = StepCall::new(node.id).step_type("script").attempt(node.attempt);
    let call = if node.compensable { call.compensable().resource(format!("{} r-1", node.id)) } else { call };
    let call = match &node.within {
        Some(context) => call.within(context),
        None => call,
    };
    match (node.undoes, node.undoes_span) {
        (Some(undone), _) => call.compensates(undone),
        (None, Some(span)) => call.compensates_span(span),
        (None, None) => call.input(&serde_json::json!({ "node": node.id })),
    }
}

async fn execute(node: Node) -> Result<SpanId, Trouble> {
    let span = TraceContext::current().map_or(SpanId::from_u64(1).unwrap(), |ctx| ctx.span_id());
    if node.fails { Err(Trouble::timeout()) } else { Ok(span) }
}

type Steps = tower::util::BoxCloneSyncService<Node, SpanId, BoxError>;

fn steps(throughline: &Throughline) -> Steps {
    Steps::new(StepLayer::new(throughline, describe).layer(service_fn(execute)))
}

async fn call(steps: &Steps, node: Node) -> Result<SpanId, BoxError> {
    steps.clone().oneshot(node).await
}

/// An executor that runs these nodes one after the other, goes on whatever comes of them, and fails if one did.
async fn run(bench: &Bench, nodes: impl IntoIterator<Item = Node>) -> Vec<Result<SpanId, BoxError>> {
    let (steps, mut outcomes) = (steps(&bench.throughline), Vec::new());
    let nodes: Vec<_> = nodes.into_iter().collect();
    let ran = bench.throughline.workflow("onboarding").execution("e-17").run(|_| async {
        for node in nodes {
            outcomes.push(call(&steps, node).await);
        }
        if outcomes.iter().all(Result::is_ok) { Ok(()) } else { Err(Trouble::timeout()) }
    });
    let _ = ran.await.unwrap();
    outcomes
}

#[tokio::test]
async fn a_call_is_a_step_of_the_workflow_around_it_with_its_id_and_type() {
    let bench = Bench::new();
    let inner = steps(&bench.throughline);
    let executor = WorkflowLayer::new(&bench.throughline, |throughline, (): &()| {
        throughline.workflow("onboarding").tenant("acme").execution("e-17")
    });
    let executor = executor.layer(service_fn(move |()| {
        let inner = inner.clone();
        async move { call(&inner, node("welcome")).await }
    }));
    executor.oneshot(()).await.unwrap();
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      step:welcome success
    ");
    let start = &starts(&bench.events().await, "step:welcome")[0];
    let attrs = ["step_id", "step_type", "tenant"].map(|key| start.attrs.get(key));
    assert_eq!(attrs, [Some("welcome"), Some("script"), Some("acme")]);
    assert_eq!(start.data.as_ref().unwrap()["input"]["node"], "welcome");
    assert_snapshot!(bench.readings("throughline_step"), @"
    throughline_step_duration_seconds{tenant=acme,workflow=onboarding,step_type=script,status=success} 1
    throughline_steps_active{step_type=script} 0
    ");
}

#[tokio::test]
async fn what_is_said_of_a_step_is_not_said_of_the_steps_inside() {
    let bench = Bench::new();
    let layer = StepLayer::new(&bench.throughline, describe);
    let outer = layer.layer(service_fn(|_: Node| async {
        let ctx = TraceContext::current().unwrap();
        ctx.trace_infallible("stage:inside", async {}).await.map_err(BoxError::from)
    }));
    let ran = bench.throughline.workflow("onboarding").run(|_| outer.oneshot(node("outer")));
    ran.await.unwrap().unwrap();
    let inside = &starts(&bench.events().await, "stage:inside")[0];
    assert!(inside.attrs.is_empty(), "{:?}", inside.attrs);
}

#[tokio::test]
async fn a_second_attempt_links_the_first() {
    let bench = Bench::new();
    run(&bench, [Node { fails: true, ..node("score") }, Node { attempt: 2, ..node("score") }]).await;
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:failed failed [Trouble::Timeout]
      step:score failed [Trouble::Timeout]
      step:score success attempt 2 (retry_of step:score)
    ");
}

#[tokio::test]
async fn compensations_link_what_they_undo_so_that_the_ledger_balances() {
    let bench = Bench::new();
    let compensable = |id| Node { compensable: true, ..node(id) };
    let undo = |id, undone| Node { undoes: Some(undone), ..node(id) };
    run(
        &bench,
        [
            compensable("reserve"),
            compensable("transfer"),
            compensable("notify"),
            Node { fails: true, ..node("sign") },
            undo("undo-notify", "notify"),
            Node { fails: true, ..undo("undo-transfer", "transfer") },
        ],
    )
    .await;
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:failed failed [Trouble::Timeout] (failed_by step:sign)
      step:reserve success #compensable
      step:transfer success #compensable
      step:notify success #compensable
      step:sign failed [Trouble::Timeout]
      compensate:notify success #compensation (compensates step:notify)
      compensate:transfer failed [Trouble::Timeout] #compensation (compensates step:transfer)
    ");
    let query = bench.throughline.query(bench.run_of("e-17").await.trace_id).await.unwrap();
    let ledger = query.compensation_ledger();
    let states: Vec<_> = ledger.sagas[0].entries.iter().map(|entry| entry.state.as_str()).collect();
    assert_eq!(states, ["compensated", "failed", "missing"], "{ledger:#?}");
    assert!(ledger.unmatched.is_empty());
    let orphaned: Vec<_> = ledger.orphaned().map(|orphan| orphan.resource.as_deref().unwrap()).collect();
    assert_eq!(orphaned, ["transfer r-1", "reserve r-1"]);
}

#[tokio::test]
async fn a_compensation_undoes_the_attempts_that_took_effect_and_no_compensation() {
    let bench = Bench::new();
    // As executors do that know a step and its compensation by one id.
    let undo = || Node { undoes: Some("reserve"), ..node("reserve") };
    let first = Node { fails: true, compensable: true, ..node("reserve") };
    let second = Node { attempt: 2, compensable: true, ..node("reserve") };
    let outcomes = run(&bench, [first, second, undo(), undo()]).await;
    let done = outcomes[1].as_ref().unwrap();
    for compensation in starts(&bench.events().await, "compensate:reserve") {
        let undone: Vec<_> = compensation.links.iter().map(|link| link.span_id).collect();
        assert_eq!(undone, [*done]);
    }
    assert_eq!(starts(&bench.events().await, "compensate:reserve").len(), 2);
}

#[tokio::test]
async fn a_compensation_may_name_the_span_itself() {
    let bench = Bench::new();
    let done = run(&bench, [Node { compensable: true, ..node("reserve") }]).await.remove(0).unwrap();
    let undo = Node { undoes_span: Some(done), ..node("release") };
    let ran = bench.throughline.workflow("cleanup").run_infallible(|_| {
        let steps = steps(&bench.throughline);
        async move { call(&steps, undo).await }
    });
    ran.await.unwrap().unwrap();
    let links = &starts(&bench.events().await, "compensate:release")[0].links;
    assert_eq!((links[0].rel.clone(), links[0].span_id), (Relation::Compensates, done));
}

/// A worker's attempt at a job that carries this context and runs these nodes, and fails if one did.
async fn job(bench: &Bench, id: &'static str, carrier: Carrier, nodes: impl IntoIterator<Item = Node>) {
    struct Booking(&'static str, Carrier);
    impl Job for Booking {
        fn job_type(&self) -> Text {
            "booking".into()
        }
        fn job_id(&self) -> Option<Text> {
            Some(self.0.into())
        }
        fn carrier(&self) -> Carrier {
            self.1.clone()
        }
    }
    let nodes: Vec<_> = nodes.into_iter().collect();
    let done = JobLayer::new(&bench.throughline, "bookings").run(Booking(id, carrier), |_| {
        // What the job does is a workflow of its own within the job.
        bench.throughline.workflow("booking-steps").run(|_| async {
            let steps = steps(&bench.throughline);
            for node in nodes {
                call(&steps, node).await?;
            }
            Ok::<_, BoxError>(())
        })
    });
    let _ = done.await;
}

/// The steps that the last compensation undid.
async fn undone(bench: &Bench) -> Vec<SpanId> {
    let compensations = starts(&bench.events().await, "compensate:reserve");
    compensations.last().unwrap().links.iter().map(|link| link.span_id).collect()
}

#[tokio::test]
async fn steps_of_one_id_in_two_jobs_of_one_trace_are_different_steps() {
    let bench = Bench::new();
    let enqueued = bench.throughline.workflow("tour").run_infallible(|_| async { Carrier::current() });
    let carrier = enqueued.await.unwrap();
    let reserve = || Node { compensable: true, ..node("reserve") };
    let undo = || Node { undoes: Some("reserve"), ..node("release") };
    job(&bench, "a", carrier.clone(), [reserve()]).await;
    job(&bench, "b", carrier.clone(), [reserve(), undo()]).await;
    let reserved: Vec<_> =
        starts(&bench.events().await, "step:reserve").iter().map(|start| start.span_id).collect();
    assert_eq!(undone(&bench).await, [reserved[1]]);

    // What an earlier attempt at the job has done, a later one undoes.
    job(&bench, "a", carrier.clone(), [undo()]).await;
    assert_eq!(undone(&bench).await, [reserved[0]]);

    // And a second attempt at the step follows the first at it, not one in another job.
    job(&bench, "c", carrier.clone(), [Node { attempt: 2, ..node("reserve") }]).await;
    job(&bench, "b", carrier, [Node { attempt: 2, ..node("reserve") }]).await;
    let again = starts(&bench.events().await, "step:reserve");
    let retried: Vec<Vec<_>> =
        again.iter().map(|start| start.links.iter().map(|link| link.span_id).collect()).collect();
    assert_eq!(retried, [vec![], vec![], vec![], vec![reserved[1]]]);
}

#[tokio::test]
async fn the_same_part_of_an_earlier_attempt_is_not_guessed_where_there_are_two() {
    let bench = Bench::new();
    let reserve = || Node { compensable: true, ..node("reserve") };
    let twice = async |nodes: [Vec<Node>; 2]| {
        let done = JobLayer::new(&bench.throughline, "bookings").run(Tour, async |_| {
            for nodes in nodes {
                let steps = steps(&bench.throughline);
                let leg = bench.throughline.workflow("leg").run(|_| async move {
                    for node in nodes {
                        call(&steps, node).await?;
                    }
                    Ok::<_, BoxError>(())
                });
                leg.await??;
            }
            Ok::<_, BoxError>(())
        });
        done.await.unwrap();
    };
    twice([vec![reserve()], vec![reserve()]]).await;
    twice([vec![Node { undoes: Some("reserve"), ..node("release") }], vec![]]).await;
    assert!(starts(&bench.events().await, "compensate:reserve")[0].links.is_empty());
}

struct Tour;

impl Job for Tour {
    fn job_type(&self) -> Text {
        "tour".into()
    }
    fn job_id(&self) -> Option<Text> {
        Some("t-1".into())
    }
}

#[tokio::test]
async fn steps_are_found_although_they_do_not_wait_for_their_start() {
    let bench = Bench::pipelined();
    let undo = Node { undoes: Some("reserve"), ..node("release") };
    let enqueued = bench.throughline.workflow("tour").run_infallible(|_| async { Carrier::current() });
    let carrier = enqueued.await.unwrap();
    job(&bench, "a", carrier.clone(), [Node { compensable: true, ..node("reserve") }]).await;
    job(&bench, "a", carrier, [undo]).await;
    let reserved = starts(&bench.events().await, "step:reserve")[0].span_id;
    assert_eq!(undone(&bench).await, [reserved]);
}

#[tokio::test]
async fn a_second_attempt_at_a_compensation_links_the_first() {
    let bench = Bench::new();
    let undo = Node { undoes: Some("reserve"), ..node("release") };
    let steps = steps(&bench.throughline);
    let ran = bench.throughline.workflow("onboarding").execution("e-17").run(|_| async {
        let reserved = call(&steps, Node { compensable: true, ..node("reserve") }).await?;
        call(&steps, Node { fails: true, ..undo.clone() }).await.unwrap_err();
        call(&steps, Node { attempt: 2, ..undo }).await?;
        // The same for a caller that knows the span.
        call(&steps, Node { undoes_span: Some(reserved), attempt: 3, ..node("reserve") }).await
    });
    ran.await.unwrap().unwrap();
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      step:reserve success #compensable
      compensate:reserve failed [Trouble::Timeout] #compensation (compensates step:reserve)
      compensate:reserve success attempt 2 #compensation (compensates step:reserve) (retry_of compensate:reserve)
      compensate:reserve success attempt 3 #compensation (compensates step:reserve) (retry_of compensate:reserve)
    ");
    let query = bench.throughline.query(bench.run_of("e-17").await.trace_id).await.unwrap();
    assert_eq!(query.compensation_ledger().sagas[0].entries[0].state.as_str(), "compensated");
}

#[tokio::test]
async fn a_step_is_not_held_up_by_a_store_that_does_not_answer() {
    let bench = Bench::new();
    bench.faults.read().fail_next(2, not_read);
    let undo = || Node { undoes: Some("reserve"), ..node("release") };
    run(&bench, [Node { compensable: true, ..node("reserve") }, undo()]).await;
    let reserved = starts(&bench.events().await, "step:reserve")[0].span_id;
    assert_eq!(undone(&bench).await, [reserved]);

    bench.faults.read().hold();
    tokio::time::timeout(TOO_LONG, run(&bench, [undo()])).await.unwrap();
    assert!(undone(&bench).await.is_empty());
}

#[tokio::test]
async fn without_tower_all_is_the_same() {
    let bench = Bench::new();
    let workflows = WorkflowLayer::new(&bench.throughline, |throughline, id: &&'static str| {
        throughline.workflow("onboarding").tenant("acme").execution(*id)
    });
    let steps = StepLayer::new(&bench.throughline, |node: &Node| describe(node).step_type(""));
    let active = || {
        let gauges =
            bench.readings("throughline_workflows_active") + &bench.readings("throughline_steps_active");
        assert_snapshot!(gauges, @"throughline_workflows_active{tenant=acme,workflow=onboarding} 1throughline_steps_active{step_type=step:welcome} 1");
    };
    let done = workflows.run("e-17", async |_| {
        steps.run(node("welcome"), async |node| execute(node).await.inspect(|_| active())).await
    });
    done.await.unwrap();
    let error = workflows.run("e-18", async |_| Err::<(), _>(Trouble::timeout())).await.unwrap_err();
    assert!(error.is::<Trouble>());
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      step:welcome success
    workflow:started > workflow:failed failed [Trouble::Timeout]
    ");
    // The gauge and the histogram of a step without a type can be joined.
    assert_snapshot!(bench.readings("throughline_step"), @"
    throughline_step_duration_seconds{tenant=acme,workflow=onboarding,step_type=step:welcome,status=success} 1
    throughline_steps_active{step_type=step:welcome} 0
    ");
    let outside = steps.run(node("welcome"), execute).await;
    outside.unwrap();
    bench.fail_next();
    let refused = workflows.run("e-19", async |_| panic!("it was called") as Result<(), Trouble>).await;
    assert!(refused.unwrap_err().is::<NotRecorded>());
}

#[tokio::test]
async fn a_step_in_a_task_of_its_own_belongs_to_the_context_it_was_given() {
    let bench = Bench::new();
    let inner = steps(&bench.throughline);
    let ran = bench.throughline.workflow("onboarding").run_infallible(|ctx| async move {
        let node = Node { within: Some(ctx), ..node("welcome") };
        tokio::spawn(async move { call(&inner, node).await }).await.unwrap()
    });
    ran.await.unwrap().unwrap();
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      step:welcome success
    ");
}

#[tokio::test]
async fn a_step_outside_of_every_run_is_called_and_not_recorded() {
    let bench = Bench::new();
    call(&steps(&bench.throughline), node("welcome")).await.unwrap();
    assert!(bench.events().await.is_empty());
}

#[tokio::test]
async fn a_step_whose_start_is_not_recorded_is_not_called() {
    let bench = Bench::new();
    let layer = StepLayer::new(&bench.throughline, describe);
    let mut service =
        layer.layer(service_fn(|_: Node| async { panic!("it was called") as Result<(), Trouble> }));
    let ran = bench.throughline.workflow("onboarding").run_infallible(|_| {
        bench.fail_next();
        let step = service.call(node("welcome"));
        async move { step.await.unwrap_err().downcast::<NotRecorded>().unwrap() }
    });
    let not_started = ran.await.unwrap();
    assert!(not_started.to_string().contains("the disk is full"), "{not_started}");
    assert!(starts(&bench.events().await, "step:welcome").is_empty());
    assert_eq!(names::STEP_PREFIX, "step:");
}

#[tokio::test]
async fn a_step_that_is_dropped_was_cancelled_and_counts_as_active_until_then() {
    let (bench, begun) = (Bench::new(), Arc::new(Notify::new()));
    let service = {
        let begun = Arc::clone(&begun);
        service_fn(move |_: Node| {
            let begun = Arc::clone(&begun);
            async move {
                begun.notify_one();
                std::future::pending::<Result<(), Trouble>>().await
            }
        })
    };
    let step = StepLayer::new(&bench.throughline, describe).layer(service);
    let active = || bench.readings("throughline_steps_active");
    let ran = bench.throughline.workflow("onboarding").run_infallible(|_| async {
        let meanwhile = async {
            begun.notified().await;
            active()
        };
        tokio::select! {
            _ = step.oneshot(node("welcome")) => unreachable!("it never ends"),
            active = meanwhile => assert_snapshot!(active, @"throughline_steps_active{step_type=script} 1"),
        }
    });
    ran.await.unwrap();
    assert_snapshot!(active(), @"throughline_steps_active{step_type=script} 0");
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      step:welcome cancelled
    ");
}

#[tokio::test]
async fn of_an_input_that_json_lacks_nothing_is_lost() {
    let bench = Bench::new();
    let input = (std::collections::HashMap::from([((1, 2), 3)]), u128::MAX, "plain");
    let layer = StepLayer::new(&bench.throughline, move |_: &Node| StepCall::new("score").input(&input));
    let ran =
        bench.throughline.workflow("onboarding").run(|_| layer.layer(service_fn(execute)).oneshot(node("a")));
    ran.await.unwrap().unwrap();
    let input = starts(&bench.events().await, "step:score")[0].data.clone().unwrap()["input"].clone();
    let kept = serde_json::json!([{"[1,2]": 3}, "340282366920938463463374607431768211455", "plain"]);
    assert_eq!(input, kept);
}
