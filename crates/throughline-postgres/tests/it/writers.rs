//! Several processes that write to the same runs at the same time.

use std::sync::Arc;

use throughline_model::testing::broken_run;
use throughline_model::{InstanceId, Liveness, RunSummary, TraceEvent};

use crate::open;
use crate::server::Database;

/// How many write at once.
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_wait_for_each_other_and_leave_rows_as_their_events_say() {
    let Some(database) = Database::new() else { return };
    // Whatever other transactions of the database do by default.
    let isolation = "SET default_transaction_isolation = 'serializable'";
    database.psql(&format!("ALTER DATABASE {} {isolation}", database.name));
    let mut stores = Vec::new();
    for _ in 0..WRITERS {
        stores.push(open(&database.store()).await);
    }
    let reader = stores[0].readers().reader;
    for seed in 0..12 {
        let runs = [0, 1, 2].map(|run| broken_run(1000 + 3 * seed + run, &[InstanceId::IMPORTED]));
        let mut parts: [Vec<Arc<TraceEvent>>; WRITERS] = Default::default();
        for (at, event) in runs.iter().flatten().enumerate() {
            parts[at % WRITERS].push(Arc::new(event.clone()));
        }
        // Half of them begin with the other end, so that who locks runs as they come has a deadlock.
        parts.iter_mut().step_by(2).for_each(|part| part.reverse());
        let writing = parts.map(|part| part.chunks(4).map(<[_]>::to_vec).collect::<Vec<_>>());
        let writing = writing.into_iter().zip(&stores).map(|(groups, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for group in groups {
                    store.append(&group).await.unwrap();
                }
            })
        });
        for written in writing.collect::<Vec<_>>() {
            written.await.unwrap();
        }
        for events in runs {
            let trace = events[0].trace_id;
            assert_eq!(reader.trace(trace).await.unwrap().len(), events.len());
            let wanted = RunSummary::of(&events, |_| Liveness::Imported);
            assert_eq!(reader.run(trace).await.unwrap(), wanted, "seed {seed}");
        }
    }
}
