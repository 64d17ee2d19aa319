//! Our durable steps, as those of the peers in `benches/durable-peers`: `throughline-durable strict FOLDER AT_ONCE`.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail};
use throughline_benches::ours;
use throughline_core::{Durability, Throughline};
use throughline_sqlite::SqliteStore;

#[path = "../../durable-peers/src/measured.rs"]
mod measured;

use measured::{STEPS, drive};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [durability, folder, at_once] = &arguments[..] else {
        bail!("usage: throughline-durable strict|coalesced|pipelined FOLDER AT_ONCE");
    };
    let at_once = at_once.parse().with_context(|| format!("`{at_once}` is not a number of workflows"))?;
    let durability = match durability.as_str() {
        "strict" => Durability::Strict,
        "coalesced" => Durability::Coalesced,
        "pipelined" => Durability::Pipelined,
        other => bail!("there is no `{other}`: strict, coalesced or pipelined"),
    };
    let store = SqliteStore::new(Path::new(folder).join("throughline.db"));
    let throughline = Throughline::builder("bench").store(store).durability(durability).build()?;
    let emitting = throughline.clone();
    drive(at_once, move |steps| {
        let workflow = emitting.workflow("ten");
        async move {
            workflow
                .run(|ctx| async move {
                    for _ in 0..STEPS {
                        let step = ctx.trace("empty", async { Ok::<_, fmt::Error>(()) });
                        steps.measure(step).await??;
                    }
                    anyhow::Ok(())
                })
                .await?
        }
    })
    .await?;
    ours::shutdown(&throughline).await
}
