//! Durable steps of `durare`: `durable-peers sqlite FOLDER AT_ONCE` or `durable-peers postgres URL AT_ONCE`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use durare::{DurableContext, DurableEngine, SqliteProvider, StateProvider, WorkflowOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

mod measured;

use measured::{STEPS, Steps, drive};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [engine, place, at_once] = &arguments[..] else {
        bail!("usage: durable-peers sqlite FOLDER AT_ONCE, or: durable-peers postgres URL AT_ONCE");
    };
    let at_once = at_once.parse().with_context(|| format!("`{at_once}` is not a number of workflows"))?;
    let steps: Arc<Mutex<Arc<Steps>>> = Arc::default();
    let builder = match engine.as_str() {
        "sqlite" => DurableEngine::builder(sqlite(Path::new(place)).await?),
        "postgres" => DurableEngine::connect(place).await?,
        other => bail!("there is no `{other}`: sqlite or postgres"),
    };
    let mut engine = builder.build().await?;
    let measured = Arc::clone(&steps);
    engine.register("ten", move |ctx: DurableContext, (): ()| {
        let steps = Arc::clone(&measured.lock().unwrap_or_else(PoisonError::into_inner));
        async move {
            for _ in 0..STEPS {
                steps.measure(ctx.step("empty", || async { Ok(()) })).await?;
            }
            Ok(())
        }
    });
    let engine = Arc::new(engine);
    drive(at_once, move |of_now| {
        *steps.lock().unwrap_or_else(PoisonError::into_inner) = of_now;
        let engine = Arc::clone(&engine);
        async move {
            let handle = engine.start::<_, ()>("ten", (), WorkflowOptions::default()).await?;
            Ok(handle.await?)
        }
    })
    .await
}

/// As the library opens it, but synced after each commit: what is compared is durable.
async fn sqlite(folder: &Path) -> anyhow::Result<Arc<dyn StateProvider>> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("durare.db"))
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(std::time::Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(5).connect_with(options).await?;
    Ok(Arc::new(SqliteProvider::from_pool(pool)))
}
