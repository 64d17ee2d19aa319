//! `throughline prune`: removes old runs.

use indicatif::HumanBytes;
use serde::Serialize;
use throughline_sqlite::{PruneError, PrunePolicy, PruneReport};

use crate::args::PruneArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, count};
use crate::store::Store;

/// The JSON of `prune`.
#[derive(Serialize)]
struct Pruned {
    runs: u64,
    events: u64,
    bytes_before: u64,
    bytes_after: u64,
}

pub(super) fn run(args: &PruneArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let sqlite = store.sqlite()?;
    store.must_exist()?;
    let mut policy = PrunePolicy::default();
    policy.age = args.older_than;
    policy.bytes = args.max_size;
    let PruneReport { runs, events, bytes_before, bytes_after, .. } =
        sqlite.prune(&policy).map_err(|error| match error {
            PruneError::Open(error) => store.open_error(error),
            error => CliError::Write(error.to_string()),
        })?;
    if screen.wants_json() {
        screen.json(&Pruned { runs, events, bytes_before, bytes_after })?;
    } else {
        let [before, after] = [bytes_before, bytes_after].map(HumanBytes);
        let (runs, events) = (count(runs, "run"), count(events, "event"));
        screen.line(format_args!("Removed {runs} with {events}: {before} → {after}"))?;
    }
    Ok(Answer::Yes)
}
