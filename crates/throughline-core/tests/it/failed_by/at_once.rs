//! Branches that fail at once: each has ended before the next begins.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::*;

const NAMES: [&str; 3] = ["stage:a", "stage:b", "stage:c"];

async fn declined() -> Result<(), BureauError> {
    Err(BureauError::Declined)
}

/// The names of those beside which a span says that it began.
fn beside(events: &[TraceEvent], event_type: &str) -> Vec<String> {
    let links = &started(events, event_type).links;
    let beside = links.iter().filter(|link| link.rel == Relation::Beside);
    let name = |span| events.iter().find(|event| event.span_id == span).unwrap().event_type.to_string();
    beside.map(|link| name(link.span_id)).collect()
}

#[tokio::test]
async fn of_joined_branches_that_fail_at_once_with_the_same_text_the_first_is_named() {
    let events = record(|ctx| async move {
        let (a, b) = tokio::join!(ctx.trace("stage:a", declined()), ctx.trace("stage:b", declined()));
        a.unwrap().and(b.unwrap())
    })
    .await;
    assert_eq!(cause(&events), ["stage:a"]);
    let events = record(|ctx| async move {
        let all = join_all(NAMES.map(|name| ctx.trace(name, declined()))).await;
        all.into_iter().map(Result::unwrap).collect::<Result<Vec<()>, _>>()
    })
    .await;
    assert_eq!(cause(&events), ["stage:a"]);
}

#[tokio::test]
async fn of_futures_in_a_set_and_of_tasks_that_fail_at_once_the_first_is_named() {
    let events = record(|ctx| async move {
        let step = |name| {
            let ctx = &ctx;
            async move { ctx.trace(name, declined()).await.unwrap() }
        };
        let set: FuturesUnordered<_> = NAMES.map(step).into_iter().collect();
        set.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<()>, _>>()
    })
    .await;
    let first = events.iter().find(|event| event.error.is_some()).unwrap();
    assert_eq!(cause(&events), [first.event_type.as_str()]);
    let events = record(|ctx| async move {
        let mut set = JoinSet::new();
        for name in NAMES {
            set.spawn(ctx.trace(name, declined()));
        }
        set.join_all().await.into_iter().map(Result::unwrap).collect::<Result<Vec<()>, _>>()
    })
    .await;
    assert_eq!(cause(&events), ["stage:a"]);
}

#[tokio::test]
async fn of_branches_that_return_clones_of_one_error_the_first_is_named() {
    let events = record(|ctx| async move {
        let connected = ctx.trace("db:connect", async { Err::<(), _>(Arc::new(silent())) }).await.unwrap();
        let error = connected.unwrap_err();
        let read = |name| {
            let error = Arc::clone(&error);
            ctx.trace(name, async move { Err::<(), _>(error) })
        };
        let (a, b) = tokio::join!(read("stage:read-a"), read("stage:read-b"));
        a.unwrap().and(b.unwrap())
    })
    .await;
    assert_eq!(cause(&events), ["stage:read-a"]);
}

#[tokio::test]
async fn what_is_tried_in_another_way_after_a_failure_is_named_though_it_fails_with_the_same_text() {
    async fn primary(ctx: &TraceContext, _order: [u8; 400]) -> Result<(), BureauError> {
        ctx.trace("stage:primary", declined()).await.unwrap()
    }
    async fn backup(ctx: &TraceContext) -> Result<(), BureauError> {
        ctx.trace("stage:backup", declined()).await.unwrap()
    }
    let events = record(|ctx| async move {
        match primary(&ctx, [1; 400]).await {
            Ok(()) => Ok(()),
            Err(_) => backup(&ctx).await,
        }
    })
    .await;
    assert_eq!(cause(&events), ["stage:backup"]);
    assert_eq!(beside(&events, "stage:backup"), [""; 0]);
}

#[tokio::test]
async fn a_branch_says_beside_which_failures_it_began_and_what_comes_after_the_branches_does_not() {
    let events = record(|ctx| async move {
        let _ = tokio::join!(
            ctx.trace("stage:a", async { Err::<(), _>("a has no funds") }),
            ctx.trace("stage:b", async { Err::<(), _>("b has no funds") }),
        );
        let _ = ctx.trace("stage:c", declined()).await;
        Err::<(), _>("checks failed")
    })
    .await;
    assert_eq!(beside(&events, "stage:a"), [""; 0]);
    assert_eq!(beside(&events, "stage:b"), ["stage:a"]);
    assert_eq!(beside(&events, "stage:c"), [""; 0]);
    assert_eq!(cause(&events), [""; 0]);
}
