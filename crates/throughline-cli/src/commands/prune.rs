//! `throughline prune`: removes old runs.

use serde::Serialize;
use throughline_sqlite::PrunePolicy;

use crate::args::PruneArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, group};
use crate::store::Store;

/// The JSON of `prune`.
#[derive(Serialize)]
struct Pruned {
    runs: u64,
    events: u64,
}

pub(super) fn run(args: &PruneArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    store.must_exist()?;
    let mut policy = PrunePolicy::default();
    policy.older_than = args.older_than;
    policy.max_size = args.max_size;
    let pruned = store.sqlite().prune(&policy).map_err(|error| CliError::Write(error.to_string()))?;
    let Pruned { runs, events } = Pruned { runs: pruned.runs, events: pruned.events };
    if screen.wants_json() {
        screen.json(&Pruned { runs, events })?;
    } else {
        screen.line(format_args!("Removed {} runs with {} events", group(runs), group(events)))?;
    }
    Ok(Answer::Yes)
}
