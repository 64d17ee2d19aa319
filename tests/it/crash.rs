//! What was acknowledged is there: a process that emits is killed with SIGKILL at a random instant, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};

use throughline::event::{Status, TraceEvent};
use throughline::query::{Liveness, RunState};
use throughline::store::{Page, TraceReader};
use throughline::{SqliteStore, TraceId, TraceQuery};

use crate::child::{self, Role};

/// How often: `THROUGHLINE_KILLS=1000 cargo test --test it crash` for longer.
fn kills() -> u32 {
    std::env::var("THROUGHLINE_KILLS").map_or(200, |kills| kills.parse().unwrap())
}

#[tokio::test]
async fn every_acknowledged_event_survives_sigkill_once_and_unfinished_steps_show_as_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut tally = BTreeMap::<&str, usize>::new();
    for round in 0..kills() {
        // A file for every 25 kills: most rounds find what others left, and the file stays small.
        let database = folder.path().join(format!("traces-{}.db", round / 25));
        let mut child = child::start(Role::Emit, &database);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = Vec::new();
        let mut read = |acknowledged: &mut Vec<String>, wanted: usize| {
            while acknowledged.len() < wanted {
                let Some(line) = lines.next() else { return };
                acknowledged.extend(line.strip_prefix("ack ").map(str::to_owned));
            }
        };
        read(&mut acknowledged, random_up_to(400));
        if round % 10 == 0 {
            let reader = SqliteStore::new(&database).open_reader().unwrap();
            let open = reader.open_runs(&Page::first(1000)).await.unwrap().items;
            let running = open.iter().filter(|run| run.summary.state == RunState::Running).count();
            assert!(
                (1..=16).contains(&running),
                "while it lives its runs are running, not {running} of them"
            );
            *tally.entry("seen running").or_default() += running;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        read(&mut acknowledged, usize::MAX);

        *tally.entry("acknowledged").or_default() += acknowledged.len();
        let reader = SqliteStore::new(&database).open_reader().unwrap();
        check(&reader, &acknowledged, &mut tally).await;
    }
    println!("{} kills: {tally:?}", kills());
}

fn random_up_to(most: usize) -> usize {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    1 + random as usize % most
}

/// Whether all that was acknowledged is there once, and shows as left behind by a process that is dead.
pub(crate) async fn check(
    reader: &dyn TraceReader,
    acknowledged: &[String],
    tally: &mut BTreeMap<&'static str, usize>,
) {
    let mut by_run = HashMap::<TraceId, BTreeSet<&str>>::new();
    for id in acknowledged {
        let run = id.split(':').next().unwrap().parse().unwrap();
        assert!(by_run.entry(run).or_default().insert(id), "{id} was acknowledged twice");
    }
    for (run, acknowledged) in by_run {
        let events = reader.trace(run).await.unwrap();
        let stored: Vec<_> = events.iter().map(|event| event.id().to_string()).collect();
        let once: BTreeSet<_> = stored.iter().map(String::as_str).collect();
        assert_eq!(once.len(), stored.len(), "an event is there twice");
        let lost: Vec<_> = acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        interrupted(reader, run, events, tally).await;
    }
}

async fn interrupted(
    reader: &dyn TraceReader,
    run: TraceId,
    events: Vec<TraceEvent>,
    tally: &mut BTreeMap<&'static str, usize>,
) {
    assert_eq!(reader.run(run).await.unwrap().unwrap().state, RunState::Interrupted);
    assert_eq!(reader.liveness(&[events[0].instance]).await.unwrap(), [Liveness::Dead]);
    let open = events.iter().filter(|event| event.status == Status::Pending).count()
        - events.iter().filter(|event| event.seq > 0).count();
    let query = TraceQuery::new(events).with_liveness(|_| Liveness::Dead);
    let shown: Vec<_> = query.spans().filter(|span| span.state() == RunState::Interrupted).collect();
    assert_eq!(shown.len(), open, "every unfinished step shows as interrupted, and nothing else");
    *tally.entry("interrupted steps").or_default() += shown.len();
}
