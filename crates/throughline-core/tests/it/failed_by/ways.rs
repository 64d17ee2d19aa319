//! The ways on which errors come up in real code: streams of futures, time limits, shared and boxed errors, texts.

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};

use super::*;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A part of which some fail, each once the others have had their turn.
async fn part(ctx: &TraceContext, n: usize, failing: &[usize]) -> anyhow::Result<()> {
    let name = ["part:0", "part:1", "part:2", "part:3"][n];
    let fails = failing.contains(&n);
    ctx.trace(name, async move {
        tokio::task::yield_now().await;
        anyhow::ensure!(!fails, "part {n} has a bad checksum");
        Ok(())
    })
    .await?
}

#[tokio::test]
async fn of_buffered_futures_the_one_whose_error_was_returned_is_named() {
    for wanted in [1, 3] {
        let events = record(|ctx| async move {
            let parts = stream::iter(0..4).map(|n| part(&ctx, n, &[1, 3])).buffer_unordered(2);
            let failed: Vec<_> = parts.filter_map(|done| async { done.err() }).collect().await;
            let text = format!("part {wanted}");
            let error = failed.into_iter().find(|error| error.to_string().starts_with(&text)).unwrap();
            Err::<(), _>(error.context("downloading"))
        })
        .await;
        assert_eq!(cause(&events), [format!("part:{wanted}")]);
    }
}

#[tokio::test]
async fn of_unordered_futures_the_first_that_failed_is_named_if_its_error_ends_it() {
    let events = record(|ctx| async move {
        let mut parts: FuturesUnordered<_> = (0..4).map(|n| part(&ctx, n, &[2])).collect();
        while let Some(done) = parts.next().await {
            done.context("downloading")?;
        }
        anyhow::Ok(())
    })
    .await;
    assert_eq!(cause(&events), ["part:2"]);
}

#[tokio::test]
async fn a_step_that_fails_within_a_time_limit_of_tokio_is_named() {
    let events = record(|ctx| async move {
        let asked = ctx.trace("stage:ask", async { Err::<(), _>(silent()) });
        tokio::time::timeout(Duration::from_secs(600), asked).await.unwrap().unwrap()
    })
    .await;
    assert_eq!(cause(&events), ["stage:ask"]);
}

#[tokio::test]
async fn an_error_is_not_taken_for_one_that_was_put_up_with_and_in_whose_memory_it_is() {
    for is_typed in [false, true] {
        let events = record(|ctx| async move {
            let refused = || anyhow::anyhow!("connection refused");
            drop(ctx.trace("stage:cache", async { Err::<(), _>(refused()) }).await.unwrap());
            pass(&ctx).await;
            let step = ctx.step("stage:persist").run(|ctx| async move {
                if is_typed {
                    let asked = ctx.trace("stage:ask", async { Err::<(), _>("connection refused") });
                    asked.await.unwrap().map_err(anyhow::Error::msg)
                } else {
                    ctx.trace("stage:ask", async { Err::<(), _>(refused()) }).await.unwrap()
                }
                .context("beginning a transaction")
            });
            step.await.unwrap().context("closing the day")
        })
        .await;
        assert_eq!(cause(&events), ["stage:persist"]);
        assert_eq!(causes(&events, "stage:persist"), ["stage:ask"]);
    }
}

#[tokio::test]
async fn an_error_of_its_own_with_the_words_of_one_that_was_put_up_with_names_no_step() {
    let events = record(|ctx| async move {
        let timed_out = || anyhow::anyhow!("timed out waiting for the lock");
        // In a loop, for whether an error gets the memory of another is up to chance.
        for _ in 0..3 {
            drop(ctx.trace("stage:poll", async { Err::<(), _>(timed_out()) }).await.unwrap());
            pass(&ctx).await;
        }
        Box::pin(async { Err::<(), _>(timed_out()) }).await
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
}

async fn pass(ctx: &TraceContext) {
    ctx.trace_infallible("stage:validate", async {}).await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_standard_library_is_known_by_what_is_in_it() {
    for returned in [0, 1] {
        let events = record(|ctx| async move {
            let gate = Notify::new();
            let full = || std::io::Error::other("quota exceeded");
            let step = |name: &'static str, is_first: bool| {
                let (ctx, gate) = (&ctx, &gate);
                ctx.trace(name, async move {
                    if !is_first {
                        gate.notified().await;
                    }
                    gate.notify_one();
                    Err::<(), _>(full())
                })
            };
            let (a, b) = tokio::join!(step("stage:a", true), step("stage:b", false));
            if returned == 0 { a.unwrap() } else { b.unwrap() }
        })
        .await;
        assert_eq!(cause(&events), [["stage:a", "stage:b"][returned]]);
    }
}

#[tokio::test]
async fn an_error_without_a_source_is_known_by_its_text_alone() {
    #[derive(Debug, thiserror::Error)]
    enum OrderError {
        #[error("the order was not paid: {0}")]
        Shown(BureauError),
        #[error("the order was not paid")]
        Hidden(BureauError),
    }
    let events = record(|ctx| async move {
        let paid = ctx.trace("stage:pay", async { Err::<(), _>(BureauError::Declined) }).await.unwrap();
        paid.map_err(OrderError::Shown)
    })
    .await;
    assert_eq!(cause(&events), ["stage:pay"]);
    let events = record(|ctx| async move {
        let paid = ctx.trace("stage:pay", async { Err::<(), _>(BureauError::Declined) }).await.unwrap();
        paid.map_err(OrderError::Hidden)
    })
    .await;
    assert_eq!(cause(&events), [""; 0], "nothing of it is in the error");
}

#[tokio::test]
async fn an_error_that_is_boxed_or_made_a_text_on_its_way_is_the_same() {
    async fn ask(ctx: &TraceContext) -> Result<(), BoxError> {
        ctx.trace("stage:ask", async { Err::<(), _>(silent()) }).await?.map_err(BoxError::from)
    }
    let events = record(|ctx| async move { ask(&ctx).await }).await;
    assert_eq!(cause(&events), ["stage:ask"]);
    let events = record(|ctx| async move { ask(&ctx).await.map_err(|error| error.to_string()) }).await;
    assert_eq!(cause(&events), ["stage:ask"]);
    let events = record(|ctx| async move {
        let step = ctx
            .step("stage:score")
            .run(|ctx| async move { ask(&ctx).await.map_err(|error| error.to_string()) });
        step.await.unwrap().map_err(|text| format!("no score: {text}"))
    })
    .await;
    assert_eq!(cause(&events), ["stage:score"]);
    assert_eq!(causes(&events, "stage:score"), ["stage:ask"]);
}
