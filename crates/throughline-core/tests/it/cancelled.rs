//! Who cancelled a step, and what is recorded where code continues without something.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_core::{
    BoxError, CancelledBy, InContext as _, MemoryStore, Relation, Status, Throughline, TraceContext,
    TraceEvent, names,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{SOON, ended, open, started};

/// No limit that a test waits for.
const SHORT: Duration = Duration::from_millis(1);

async fn recorded(throughline: &Throughline, store: &MemoryStore) -> Vec<TraceEvent> {
    throughline.flush(SOON).await;
    store.events()
}

/// Runs a workflow and gives what it recorded.
async fn record<F, T>(body: impl FnOnce(TraceContext) -> F) -> Vec<TraceEvent>
where
    F: Future<Output = Result<T, BoxError>>,
{
    let (throughline, store) = open();
    let _ = throughline.workflow("test").run(body).await.unwrap();
    recorded(&throughline, &store).await
}

/// Who cancelled a step, and in which words.
fn reason(events: &[TraceEvent], event_type: &str) -> Option<(String, String)> {
    let end = ended(events, event_type);
    assert_eq!(end.status, Status::Cancelled, "{event_type}");
    end.error.map(|error| (error.kind.to_string(), error.message.to_string()))
}

fn kind(events: &[TraceEvent], event_type: &str) -> Option<String> {
    reason(events, event_type).map(|(kind, _)| kind)
}

/// A step with another one in it, of which neither ends; it says when it is under way.
async fn waits(ctx: TraceContext, under_way: Arc<Notify>) -> Result<(), BoxError> {
    let step = ctx.step("stage:outer").run(|ctx| async move {
        let inner = ctx.trace_infallible("stage:inner", async move {
            under_way.notify_one();
            pending::<()>().await;
        });
        inner.await?;
        Ok::<_, BoxError>(())
    });
    step.await?
}

#[tokio::test]
async fn a_time_limit_of_the_context_says_that_it_cancelled_and_brings_the_caller_down() {
    let events = record(|ctx| async move {
        let waiting = waits(ctx.clone(), Arc::default());
        ctx.timeout(SHORT, waiting).await?
    })
    .await;
    let expected = Some(("deadline".to_owned(), "it took longer than 1ms".to_owned()));
    assert_eq!(reason(&events, "stage:outer"), expected);
    assert_eq!(reason(&events, "stage:inner"), expected);
    let run = ended(&events, names::WORKFLOW_FAILED);
    let step = started(&events, "stage:outer").span_id;
    assert_eq!(
        run.links.iter().map(|link| (link.rel.clone(), link.span_id)).collect::<Vec<_>>(),
        [(Relation::FailedBy, step)]
    );
}

#[test]
fn a_time_limit_passes_on_a_runtime_that_has_no_timer() {
    // Tokio's own timer panics there.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events = runtime.block_on(record(|ctx| async move {
        let waiting = waits(ctx.clone(), Arc::default());
        ctx.timeout(SHORT, waiting).await?
    }));
    assert_eq!(kind(&events, "stage:outer").as_deref(), Some("deadline"));
}

#[tokio::test]
async fn a_time_limit_that_does_not_pass_gives_the_output_and_changes_nothing() {
    let (throughline, store) = open();
    let run = throughline.workflow("test").run(|ctx| async move {
        let step = ctx.trace("stage:a", async { Ok::<_, BoxError>(7) });
        assert_eq!(ctx.timeout(SOON, step).await???, 7);
        assert_eq!(ctx.timeout(Duration::MAX, async { 8 }).await?, 8);
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    assert_eq!(ended(&recorded(&throughline, &store).await, "stage:a").status, Status::Success);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_a_time_limit_of_tokio_gave_up_is_named_by_the_caller_that_ends_with_its_error() {
    let events = record(|ctx| async move {
        let step = ctx.trace("stage:ask", pending::<Result<(), BoxError>>());
        tokio::time::timeout(SHORT, step).await???;
        Ok(())
    })
    .await;
    assert_eq!(kind(&events, "stage:ask"), None);
    let run = ended(&events, names::WORKFLOW_FAILED);
    assert_eq!(run.links[0].span_id, started(&events, "stage:ask").span_id);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_lost_a_race_did_not_time_out_later() {
    let events = record(|ctx| async move {
        tokio::select! {
            _ = ctx.trace("stage:slow", pending::<Result<(), BoxError>>()) => {}
            () = tokio::task::yield_now() => {}
        }
        tokio::time::timeout(SHORT, pending::<()>()).await?;
        Ok(())
    })
    .await;
    assert_eq!(ended(&events, "stage:slow").status, Status::Cancelled);
    assert_eq!(ended(&events, names::WORKFLOW_FAILED).links, []);
}

#[tokio::test]
async fn what_a_sibling_cancelled_by_failing_names_that() {
    let events = record(|ctx| async move {
        let under_way = Arc::new(Notify::new());
        let fails = ctx.trace("stage:fails", async {
            under_way.notified().await;
            Err::<(), BoxError>("no funds".into())
        });
        let fails = async { fails.await? };
        tokio::try_join!(waits(ctx.clone(), Arc::clone(&under_way)), fails).map(drop)
    })
    .await;
    let expected = Some(("sibling_failed".to_owned(), "stage:fails failed, which ran beside it".to_owned()));
    assert_eq!(reason(&events, "stage:outer"), expected);
    assert_eq!(reason(&events, "stage:inner"), expected);
}

#[tokio::test]
async fn the_tasks_of_a_set_that_one_of_them_ended_by_failing_name_that() {
    let under_way = Arc::new(Notify::new());
    let (throughline, store) = open();
    let run = throughline.workflow("test").run(|ctx| async move {
        let mut set = JoinSet::new();
        set.spawn(waits(ctx.clone(), Arc::clone(&under_way)));
        set.spawn(async move {
            under_way.notified().await;
            ctx.trace("stage:fails", async { Err::<(), BoxError>("no funds".into()) }).await?
        });
        let failed = set.join_next().await.unwrap().unwrap();
        set.shutdown().await;
        failed
    });
    run.await.unwrap().unwrap_err();
    let events = recorded(&throughline, &store).await;
    assert_eq!(kind(&events, "stage:outer").as_deref(), Some("sibling_failed"));
}

#[tokio::test]
async fn what_is_dropped_later_than_a_sibling_failed_was_not_cancelled_by_that() {
    let events = record(|ctx| async move {
        let waiting = Box::pin(waits(ctx.clone(), Arc::default()));
        let failing = async {
            let failed = ctx.trace("stage:fails", async { Err::<(), _>("no stock") }).await;
            // The failure was put up with: whatever ends the wait does so in another poll.
            tokio::task::yield_now().await;
            failed
        };
        tokio::select! {
            biased;
            waited = waiting => waited,
            _ = failing => Ok(()),
        }
    })
    .await;
    assert_eq!(reason(&events, "stage:outer"), None);
}

#[tokio::test]
async fn what_another_branch_cancelled_by_being_first_does_not_say_who_did() {
    let events = record(|ctx| async move {
        let _ = ctx.trace("stage:tolerated", async { Err::<(), BoxError>("no cache".into()) }).await?;
        let under_way = Arc::new(Notify::new());
        tokio::select! {
            ended = waits(ctx.clone(), Arc::clone(&under_way)) => ended,
            () = under_way.notified() => Ok(()),
        }
    })
    .await;
    assert_eq!((kind(&events, "stage:outer"), kind(&events, "stage:inner")), (None, None));
    assert_eq!(ended(&events, names::WORKFLOW_COMPLETED).links, []);
}

#[tokio::test]
async fn a_run_whose_task_is_aborted_says_so_and_so_do_its_steps() {
    let (throughline, store) = open();
    let under_way = Arc::new(Notify::new());
    let started = Arc::clone(&under_way);
    let task = tokio::spawn(throughline.workflow("test").run(|ctx| waits(ctx, started)));
    under_way.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let events = recorded(&throughline, &store).await;
    for step in [names::WORKFLOW_CANCELLED, "stage:outer", "stage:inner"] {
        assert_eq!(kind(&events, step).as_deref(), Some("aborted"), "{step}");
    }
}

#[tokio::test]
async fn a_spawned_step_that_is_aborted_says_so_also_in_a_context() {
    let events = record(|ctx| async move {
        let under_way = Arc::new(Notify::new());
        let task = tokio::spawn(waits(ctx.clone(), Arc::clone(&under_way)).in_context(&ctx));
        under_way.notified().await;
        task.abort();
        let _ = task.await;
        Ok(())
    })
    .await;
    assert_eq!(kind(&events, "stage:outer").as_deref(), Some("aborted"));
}

#[tokio::test]
async fn what_is_dropped_after_a_shutdown_was_announced_was_cancelled_by_that() {
    let (throughline, store) = open();
    let under_way = Arc::new(Notify::new());
    let mut run = Box::pin(throughline.workflow("test").run(|ctx| waits(ctx, Arc::clone(&under_way))));
    tokio::select! {
        _ = &mut run => {}
        () = under_way.notified() => {}
    }
    let mut request = throughline.request("http:request").open();
    request.ensure_recorded();
    request.answered_with("http.response.status_code", "200");
    throughline.announce_shutdown();
    drop(run);
    drop(request);
    let events = recorded(&throughline, &store).await;
    for step in ["stage:outer", "stage:inner", "http:request"] {
        assert_eq!(kind(&events, step).as_deref(), Some("shutdown"), "{step}");
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_lost_its_client() {
    let (throughline, store) = open();
    let request = throughline.request("http:request").open();
    request.ensure_recorded();
    drop(request);
    let expected = Some(("client_gone".to_owned(), "the client went away".to_owned()));
    assert_eq!(reason(&recorded(&throughline, &store).await, "http:request"), expected);
}

#[tokio::test]
async fn whoever_drops_work_on_behalf_of_somebody_says_for_whom() {
    let (throughline, store) = open();
    let under_way = Arc::new(Notify::new());
    let mut run = Box::pin(throughline.workflow("test").run(|ctx| waits(ctx, Arc::clone(&under_way))));
    assert!((&mut run).now_or_never().is_none());
    CancelledBy::ClientGone.while_dropping(|| drop(run));
    // It goes no further than the closure.
    let mut other =
        Box::pin(throughline.workflow("other").event_type("other").run(|ctx| waits(ctx, Arc::default())));
    assert!((&mut other).now_or_never().is_none());
    drop(other);
    let events = recorded(&throughline, &store).await;
    assert_eq!(kind(&events, names::WORKFLOW_CANCELLED).as_deref(), Some("client_gone"));
    assert_eq!(kind(&events, "other"), None);
}

#[tokio::test]
async fn a_fallback_records_the_text_and_the_error_that_was_tolerated() {
    let events = record(|ctx| async move {
        let failed =
            ctx.trace("stage:limit", async { Err::<(), _>(std::io::Error::other("no limit")) }).await?;
        let error = failed.unwrap_err();
        ctx.fallback("no limit known, 0 taken; mail to ada@example.org", &error).await?;
        // The same text again, but it is another one.
        Err::<(), BoxError>("no limit".into())
    })
    .await;
    let fallback = started(&events, names::FALLBACK);
    assert_eq!((fallback.status, fallback.tags), (Status::Success, vec!["fallback".into()]));
    assert_eq!(fallback.error.unwrap().message, "no limit");
    assert_eq!(fallback.data.unwrap()["message"], "no limit known, 0 taken; mail to [redacted:email]");
    assert_eq!(fallback.parent_span_id, Some(events[0].span_id));
    assert_eq!(ended(&events, names::WORKFLOW_FAILED).links, []);
}
