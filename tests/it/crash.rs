//! What was acknowledged is there: a process that emits is killed with SIGKILL at a random instant, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;

use throughline::event::{Status, TraceEvent};
use throughline::query::{Liveness, RunState};
use throughline::store::{Filter, Page, PrunePolicy, TraceReader};
use throughline::{SqliteStore, TraceId, TraceQuery};

use crate::child::{self, Role};

/// How often: `THROUGHLINE_KILLS=1000 cargo test --test it crash` for longer.
fn kills() -> u32 {
    std::env::var("THROUGHLINE_KILLS").map_or(200, |kills| kills.parse().unwrap())
}

#[tokio::test]
async fn every_acknowledged_event_survives_sigkill_once_and_unfinished_steps_show_as_interrupted() {
    kill_again_and_again(Role::Emit, kills()).await;
}

#[tokio::test]
async fn what_comes_after_an_end_is_acknowledged_with_it_where_a_step_returns_before_its_end_is_stored() {
    kill_again_and_again(Role::EmitCoalesced, kills().div_ceil(4)).await;
}

#[tokio::test]
async fn the_events_of_a_step_that_has_returned_survive_sigkill_where_it_begins_before_its_start_is_stored() {
    kill_again_and_again(Role::EmitPipelined, kills().div_ceil(4)).await;
}

async fn kill_again_and_again(role: Role, kills: u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut tally = BTreeMap::<&str, usize>::new();
    for round in 0..kills {
        // A file for every 25 kills: most rounds find what others left, and the file stays small.
        let database = folder.path().join(format!("traces-{}.db", round / 25));
        let mut child = child::start(role, &database);
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
    println!("{kills} kills: {tally:?}");
}

/// Two that emit and one that imports and removes old runs, on one file; one after the other is killed.
#[tokio::test]
async fn what_two_processes_acknowledged_beside_a_prune_survives_sigkill_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("traces.db");
    let mut tally = BTreeMap::<&str, usize>::new();
    for _ in 0..kills().div_ceil(20) {
        let mut emitting = [Emitting::start(&database), Emitting::start(&database)];
        let mut pruning = child::start(Role::Prune, &database);
        let mut removals = acknowledgements(&mut pruning);
        for child in &mut emitting {
            child.read(random_up_to(200));
        }
        assert!(removals.next().unwrap().starts_with("removed"), "it removes while the others emit");
        pruning.kill().unwrap();
        pruning.wait().unwrap();
        for child in &mut emitting {
            child.read(random_up_to(50));
            child.kill();
            let reader = SqliteStore::new(&database).open_reader().unwrap();
            *tally.entry("acknowledged").or_default() += child.acknowledged.len();
            check(&reader, &child.acknowledged, &mut tally).await;
        }
    }
    println!("{tally:?}");
    // What a killed process left of runs that it removed goes, too, and only what is old.
    let store = SqliteStore::new(&database);
    store.prune(&PrunePolicy::default().age(std::time::Duration::from_secs(3600))).unwrap();
    let reader = store.open_reader().unwrap();
    let info = reader.info().await.unwrap();
    let (mut events, mut page) = (0, Page::first(1000));
    loop {
        let runs = reader.runs(&Filter::new(), &page).await.unwrap();
        for run in &runs.items {
            events += reader.trace(run.trace_id).await.unwrap().len() as u64;
        }
        match runs.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(info.events, events, "each event that is left is of a run that is there");
}

/// Some die before the file is complete; those that come after them complete it.
#[tokio::test]
async fn a_process_that_is_killed_while_it_creates_the_file_leaves_one_that_the_next_can_use() {
    let mut tally = BTreeMap::<&str, usize>::new();
    for _ in 0..kills().div_ceil(5) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("traces.db");
        let mut creating = [Emitting::start(&database), Emitting::start(&database)];
        while !database.exists() {
            std::thread::yield_now();
        }
        // From a few system calls to the first events.
        for _ in 0..random_up_to(20_000) {
            std::hint::spin_loop();
            std::thread::yield_now();
        }
        for child in &mut creating {
            child.kill();
        }
        let is_complete = SqliteStore::new(&database).open_reader().is_ok();
        *tally.entry(if is_complete { "complete" } else { "not complete" }).or_default() += 1;
        let mut next = Emitting::start(&database);
        next.read(1);
        next.kill();
        let reader = SqliteStore::new(&database).open_reader().unwrap();
        for child in creating.iter().chain([&next]) {
            *tally.entry("acknowledged").or_default() += child.acknowledged.len();
            check(&reader, &child.acknowledged, &mut tally).await;
        }
    }
    println!("{tally:?}");
}

/// A child that emits until it is killed, and what it said was acknowledged.
struct Emitting {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
    acknowledged: Vec<String>,
}

impl Emitting {
    fn start(database: &Path) -> Self {
        let mut child = child::start(Role::Emit, database);
        let lines = acknowledgements(&mut child);
        Self { child, lines: Box::new(lines), acknowledged: Vec::new() }
    }

    fn read(&mut self, count: usize) {
        self.acknowledged.extend(self.lines.by_ref().take(count));
    }

    /// Kills it, and reads what it said until then.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.read(usize::MAX);
    }
}

fn acknowledgements(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned))
}

pub(crate) fn random_up_to(most: usize) -> usize {
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
