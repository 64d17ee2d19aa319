//! Steps that fail in ways of their own.

use anyhow::anyhow;
use throughline::TraceContext;

/// A step that fails with a plain text, which is not told from another of the same words.
pub(crate) async fn text(ctx: &TraceContext, name: &'static str, error: &'static str) -> Result<(), String> {
    ctx.trace(name, async move { Err::<(), _>(error.to_owned()) }).await.unwrap()
}

/// A step that fails after others have had their turn.
pub(crate) async fn late(ctx: &TraceContext, name: &'static str, error: &'static str) -> anyhow::Result<()> {
    let step = async move {
        tokio::task::yield_now().await;
        Err::<(), _>(anyhow!(error))
    };
    ctx.trace(name, step).await?
}

/// A call to a dependency that fails.
pub(crate) async fn call(
    ctx: &TraceContext,
    kind: &'static str,
    to: &'static str,
    error: &'static str,
) -> anyhow::Result<()> {
    ctx.dependency(kind, to, async move { Err::<(), _>(anyhow!(error)) }).await?
}

/// What does not end.
pub(crate) fn never() -> std::future::Pending<anyhow::Result<()>> {
    std::future::pending()
}

/// A step that panics in a task of its own.
pub(crate) fn panicking(ctx: &TraceContext, name: &'static str) -> tokio::task::JoinHandle<()> {
    let ctx = ctx.clone();
    tokio::spawn(async move {
        let step = async {
            let pixels: Vec<u8> = Vec::new();
            pixels[std::hint::black_box(1)]
        };
        drop(ctx.trace_infallible(name, step).await);
    })
}
