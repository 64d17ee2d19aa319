//! A process is killed with SIGKILL at every write of a saga, and at every write of undoing it: what is recorded is true of
//! the world, and another process finishes what was left.

mod store;
mod truth;
mod world;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use throughline::delivery::Durability;
use throughline::event::TraceEvent;
use throughline::query::CompensationState::{self, Compensated, InDoubt};
use throughline::query::{RunState, TraceQuery};
use throughline::saga::SagaFailed;
use throughline::store::{BoxError, Filter, Page, StoreConfig as _, TraceReader};
use throughline::{NotRecorded, SqliteStore, Throughline, TraceContext, TraceId};

use crate::process::{Process, is_killed, say};
use store::{Instant, KillingStore, Side, WRITTEN};
use truth::File;
use world::World;

const ROLE: &str = "THROUGHLINE_TEST_SAGA";
const FOLDER: &str = "THROUGHLINE_TEST_SAGA_FOLDER";
const DIES: &str = "THROUGHLINE_TEST_SAGA_DIES";

const SAGA: &str = "loan-approval";

/// The steps that can be undone, by what each puts into the world.
const STEPS: [&str; 5] = ["file", "funds", "collateral", "account", "card"];

/// None of this is about waiting: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Runs the saga, to a good end.
    Succeed,
    /// Runs it until its last step fails, and undoes it.
    Fail,
    /// The same where a step returns before its end is stored.
    FailCoalesced,
    /// Undoes what another process left, but for what is in doubt; twice.
    Undo,
    /// The same with what is in doubt.
    UndoInDoubt,
    /// Resumes what another process left, to a good end.
    Resume,
}

const ROLES: [(Role, &str); 6] = [
    (Role::Succeed, "succeed"),
    (Role::Fail, "fail"),
    (Role::FailCoalesced, "fail coalesced"),
    (Role::Undo, "undo"),
    (Role::UndoInDoubt, "undo in doubt"),
    (Role::Resume, "resume"),
];

impl Role {
    fn fails(self) -> bool {
        matches!(self, Self::Fail | Self::FailCoalesced)
    }

    fn durability(self) -> Durability {
        if self == Self::FailCoalesced { Durability::Coalesced } else { Durability::Strict }
    }
}

/// How a write of an event is described.
fn event(event: &TraceEvent) -> String {
    format!("{} {}", event.event_type, event.status.as_str())
}

#[test]
fn this_process_runs_or_undoes_the_saga_when_it_is_told_to() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let role = ROLES.iter().find(|(_, known)| *known == name).unwrap().0;
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let dies = std::env::var(DIES).ok().map(|dies| serde_json::from_str(&dies).unwrap());
    let store = KillingStore::new(SqliteStore::new(folder.join("traces.db")), dies);
    let claims = store.claims();
    let builder = Throughline::builder("loan-service").store(store).durability(role.durability());
    let throughline = builder.build().unwrap();
    let world = World::at(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role {
            Role::Succeed | Role::Fail | Role::FailCoalesced => run(&throughline, &world, role).await,
            Role::Undo | Role::UndoInDoubt => {
                undo(&throughline, &world, role).await;
                claims.released().await;
                undo(&throughline, &world, role).await;
            }
            Role::Resume => resume(&throughline, &world).await,
        }
        claims.released().await;
        assert!(throughline.shutdown(PATIENCE).await.is_complete());
    });
}

async fn run(throughline: &Throughline, world: &World, role: Role) {
    let world = world.clone();
    let run = throughline.workflow("loan").key("loan-42").once().run(|ctx| async move {
        let saga = ctx.saga(SAGA).run(|saga| async move {
            for step in STEPS {
                let (put, remove) = (world.clone(), world.clone());
                let step = saga.step(format!("stage:{step}")).input(step).resource(step);
                let step = step.compensate(move |what, _| async move { remove.remove(what) });
                step.run(|what, _| async move { put.put(what) }).await??;
            }
            let sign = async {
                match role.fails() {
                    true => Err(BoxError::from("the customer does not sign")),
                    false => Ok(()),
                }
            };
            saga.trace("stage:sign", sign).await?
        });
        saga.await?.map_err(SagaFailed::into_error)
    });
    assert_eq!(run.await.unwrap().is_err(), role.fails());
}

/// Undoes the only run; one without a saga to undo is closed.
async fn undo(throughline: &Throughline, world: &World, role: Role) {
    let reader = throughline.reader().unwrap();
    let Some(run) = only_run(&*reader).await else { return };
    let mut undo = throughline.undo(run, SAGA);
    for step in STEPS {
        let world = world.clone();
        let remove = move |what, _: TraceContext| async move { world.remove(what) };
        undo = undo.step(format!("stage:{step}"), step, remove);
    }
    if role == Role::UndoInDoubt {
        undo = undo.compensate_when_in_doubt();
    }
    match undo.run().await {
        Ok(failed) => {
            assert_eq!(failed.orphaned().count(), 0, "{failed}");
            say(format_args!("undone: {}", failed.compensations.len() - failed.in_doubt().count()));
        }
        Err(NotRecorded::NoSuchSaga { .. }) => {
            match throughline.abandon(run, "nothing of it is left").await {
                Ok(()) | Err(NotRecorded::HasEnded { .. }) => say("nothing to undo"),
                Err(error) => panic!("{error}"),
            }
        }
        Err(error) => panic!("{error}"),
    }
}

/// Resumes the only run. What succeeded before is not done again.
async fn resume(throughline: &Throughline, world: &World) {
    let reader = throughline.reader().unwrap();
    let Some(run) = only_run(&*reader).await else { return };
    let world = world.clone();
    let resumed = throughline.resume(run).run(|ctx| async move {
        let saga = ctx.saga(SAGA).run(|saga| async move {
            for step in STEPS {
                let (put, remove, find) = (world.clone(), world.clone(), world.clone());
                let step = saga.step(format!("stage:{step}")).input(step).resource(step);
                let step = step.compensate(move |what, _| async move { remove.remove(what) });
                let done = async move |what: &str, ctx: TraceContext| {
                    assert!(!ctx.completed_before(&format!("stage:{what}")), "{what} succeeded before");
                    put.put_if_missing(what)
                };
                let find = async move |what: &str| match find.has(what) {
                    true => Ok(()),
                    false => Err(std::io::Error::other("it is not there")),
                };
                step.run_or_recover(done, find).await??;
            }
            saga.trace("stage:sign", async { Ok::<_, BoxError>(()) }).await?
        });
        saga.await?.map_err(SagaFailed::into_error)
    });
    match resumed.await {
        Ok(ended) => ended.unwrap(),
        Err(NotRecorded::HasEnded { state: RunState::Succeeded, .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn only_run(reader: &dyn TraceReader) -> Option<TraceId> {
    let runs = reader.runs(&Filter::new(), &Page::first(10)).await.unwrap().items;
    assert!(runs.len() <= 1, "{runs:?}");
    runs.first().map(|run| run.trace_id)
}

/// What a process said, and how it ended.
struct Outcome {
    lines: Vec<String>,
    status: ExitStatus,
}

impl Outcome {
    /// What it wrote, as far as it could say.
    fn written(&self) -> Vec<String> {
        self.lines.iter().filter_map(|line| line.strip_prefix(WRITTEN)).map(str::to_owned).collect()
    }
}

/// Runs a process to its end.
fn process(role: Role, folder: &Path, dies: Option<Instant>) -> Outcome {
    let name = ROLES.iter().find(|(known, _)| *known == role).unwrap().1;
    let dies = dies.map(|dies| serde_json::to_string(&dies).unwrap());
    let mut told = vec![(ROLE, OsStr::new(name)), (FOLDER, folder.as_os_str())];
    told.extend(dies.as_ref().map(|dies| (DIES, OsStr::new(dies))));
    let test = "saga_kills::this_process_runs_or_undoes_the_saga_when_it_is_told_to";
    let (lines, status) = Process::start(test, &told).end();
    Outcome { lines, status }
}

/// Runs a process that is not killed; what it wrote.
fn whole_process(role: Role, folder: &Path) -> Vec<String> {
    let outcome = process(role, folder, None);
    assert!(outcome.status.success(), "{:?}", outcome.lines);
    outcome.written()
}

/// Runs a process that is killed at this instant; which of its writes the file has, of those that it makes otherwise.
fn killed_process<'w>(role: Role, folder: &Path, dies: Instant, writes: &'w [String]) -> &'w [String] {
    let outcome = process(role, folder, Some(dies));
    assert!(is_killed(outcome.status), "{dies:?}: {:?}", outcome.lines);
    assert_eq!(outcome.written(), writes[..dies.write - 1]);
    match dies.side {
        Side::Before => &writes[..dies.write - 1],
        Side::After => &writes[..dies.write],
    }
}

fn instants(writes: &[String]) -> impl Iterator<Item = Instant> {
    println!("{} instants", 2 * writes.len());
    let sides = |write| [Side::Before, Side::After].map(|side| Instant { write, side });
    (1..=writes.len()).flat_map(sides)
}

/// Whether a write is an event of the run.
fn is_event(write: &str) -> bool {
    !matches!(write, "claim" | "release")
}

/// A folder in which nothing has happened yet.
fn fresh() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    World::at(folder.path()).create();
    folder
}

/// Whether the store has what was written, says what is true, and that is so in the world. All processes are dead.
async fn check(folder: &Path, writes: &[String]) {
    let truth = truth::after(writes);
    let reader = SqliteStore::new(folder.join("traces.db")).open_readers().await.unwrap().reader;
    let world = World::at(folder);
    for (step, file) in STEPS.iter().zip(&truth.files) {
        let is_there = world.has(step);
        assert!(*file == File::Unknown || is_there == (*file == File::There), "{step} after {writes:#?}");
    }

    let safe = reader.safe_to_deploy(PATIENCE).await.unwrap();
    assert!(safe.is_safe(), "nothing is running: {safe:?}");
    assert_eq!(safe.interrupted.len(), usize::from(truth.run == Some(RunState::Interrupted)));
    let Some(run) = only_run(&*reader).await else {
        assert_eq!(truth.run, None, "after {writes:#?}");
        return;
    };
    let recorded: Vec<_> = reader.trace(run).await.unwrap().iter().map(event).collect();
    let appended = writes.iter().filter(|write| is_event(write));
    assert!(recorded.iter().eq(appended), "{recorded:#?} after {writes:#?}");
    assert_eq!(Some(reader.run(run).await.unwrap().unwrap().state), truth.run, "after {writes:#?}");

    let query = TraceQuery::read(&*reader, run).await.unwrap();
    assert!(query.problems().is_empty(), "{:?}", query.problems());
    let ledger = query.compensation_ledger();
    let entries: Vec<_> = ledger
        .sagas
        .iter()
        .flat_map(|saga| &saga.entries)
        .map(|entry| (entry.step.name.to_string(), entry.state))
        .collect();
    assert_eq!(entries, truth.entries, "after {writes:#?}");
    assert!(ledger.unmatched.is_empty());
    assert_eq!(ledger.is_clean(), entries.iter().all(|(_, state)| *state == Compensated));
    let anything_is_there = STEPS.iter().any(|step| world.has(step));
    assert!(truth.saga_succeeded || !(ledger.is_clean() && anything_is_there), "after {writes:#?}");
}

/// Another process undoes what is left, and nothing the second time. All that was written until then.
async fn undo_what_is_left(folder: &Path, writes: &[String], role: Role) -> Vec<String> {
    let outcome = process(role, folder, None);
    assert!(outcome.status.success(), "{:?}", outcome.lines);
    let mut said = outcome.lines.iter().filter(|line| !line.starts_with(WRITTEN));
    let second = outcome.lines.iter().skip_while(|line| line.starts_with(WRITTEN)).skip(1);
    let changed = second.filter_map(|line| line.strip_prefix(WRITTEN)).find(|write| is_event(write));
    assert_eq!(changed, None, "the second time changes nothing: {:#?}", outcome.lines);
    let is_nothing = |line: &String| matches!(line.as_str(), "undone: 0" | "nothing to undo");
    assert!(said.nth(1).is_none_or(is_nothing), "{:#?}", outcome.lines);

    let all = [writes, &outcome.written()].concat();
    check(folder, &all).await;
    let truth = truth::after(&all);
    let is_settled = |state: CompensationState| match role {
        Role::UndoInDoubt => state == Compensated,
        _ => matches!(state, Compensated | InDoubt),
    };
    assert!(truth.entries.iter().all(|(_, state)| is_settled(*state)), "{truth:?}");
    assert!(truth.run.is_none_or(|run| !run.is_open()), "{truth:?}");
    all
}

/// What was in doubt and was not undone with the rest is undone after all.
async fn undo_what_is_in_doubt(folder: &Path) {
    whole_process(Role::UndoInDoubt, folder);
    let reader = SqliteStore::new(folder.join("traces.db")).open_readers().await.unwrap().reader;
    let run = only_run(&*reader).await.unwrap();
    let ledger = TraceQuery::read(&*reader, run).await.unwrap().compensation_ledger();
    let mut entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
    // What was undone before it may have been built upon by it.
    assert!(entries.all(|entry| entry.state.is_undone()), "{ledger:#?}");
    let world = World::at(folder);
    assert!(!STEPS.iter().any(|step| world.has(step)));
    assert!(!reader.run(run).await.unwrap().unwrap().state.is_open());
}

/// Every instant of a process that is killed, and what others do then.
async fn kill_at_every_write(role: Role) {
    let folder = fresh();
    let writes = whole_process(role, folder.path());
    assert_eq!(writes, expected(role));
    check(folder.path(), &writes).await;
    for dies in instants(&writes) {
        let folder = fresh();
        let folder = folder.path();
        let kept = killed_process(role, folder, dies, &writes);
        check(folder, kept).await;
        // So that of two instants in one step, one is undone in each way.
        let in_doubt = (dies.write / 2 + usize::from(dies.side == Side::After)) % 2 == 0;
        let undo = if in_doubt { Role::UndoInDoubt } else { Role::Undo };
        let all = undo_what_is_left(folder, kept, undo).await;
        if truth::after(&all).entries.iter().any(|(_, state)| *state == InDoubt) {
            undo_what_is_in_doubt(folder).await;
        }
    }
}

/// Every write of a process that runs the saga.
fn expected(role: Role) -> Vec<String> {
    let span = |name: String, status| ["pending", status].map(|status| format!("{name} {status}"));
    let begun = ["claim", "workflow:started pending", "saga:started pending"];
    let steps = STEPS.iter().flat_map(|step| span(format!("stage:{step}"), "success"));
    let undone = STEPS.iter().rev().flat_map(|step| span(format!("compensate:{step}"), "success"));
    let mut writes: Vec<String> = begun.map(str::to_owned).into_iter().chain(steps).collect();
    if role.fails() {
        writes.extend(span("stage:sign".to_owned(), "failed"));
        writes.push("saga:compensating success".to_owned());
        writes.extend(undone);
        writes.extend(["saga:failed failed", "workflow:failed failed"].map(str::to_owned));
    } else {
        writes.extend(span("stage:sign".to_owned(), "success"));
        writes.extend(["saga:completed success", "workflow:completed success"].map(str::to_owned));
    }
    writes.push("release".to_owned());
    writes
}

#[tokio::test]
async fn a_process_that_dies_at_any_write_of_a_saga_that_fails_leaves_what_is_true_and_can_be_undone() {
    kill_at_every_write(Role::Fail).await;
}

#[tokio::test]
async fn a_saga_whose_steps_return_before_their_ends_are_stored_leaves_what_is_true_at_any_write_and_can_be_undone()
 {
    kill_at_every_write(Role::FailCoalesced).await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_write_of_a_saga_that_succeeds_leaves_what_is_true_and_can_be_undone() {
    kill_at_every_write(Role::Succeed).await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_write_of_a_saga_is_followed_by_one_that_resumes_it_to_a_good_end() {
    let writes = expected(Role::Succeed);
    for dies in instants(&writes) {
        let folder = fresh();
        let folder = folder.path();
        let kept = killed_process(Role::Succeed, folder, dies, &writes);
        let all = [kept, &whole_process(Role::Resume, folder)].concat();
        check(folder, &all).await;
        let truth = truth::after(&all);
        assert!(truth.run.is_none_or(|run| run == RunState::Succeeded), "{truth:?}");
        assert!(truth.run.is_none() || truth.files == [File::There; 5]);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap().path(), to.to_owned());
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry, &to);
        } else {
            std::fs::copy(&entry, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_at_any_write_of_undoing_leaves_what_is_true_and_the_next_one_goes_on() {
    let forward = expected(Role::Fail);
    // Within a step, and within a compensation.
    for last in ["stage:account success", "compensate:account success"] {
        let start = fresh();
        let write = 1 + forward.iter().position(|write| write == last).unwrap();
        let dies = Instant { write, side: Side::Before };
        let left = killed_process(Role::Fail, start.path(), dies, &forward);

        let whole = tempfile::tempdir().unwrap();
        copy(start.path(), whole.path());
        let writes = whole_process(Role::UndoInDoubt, whole.path());
        for dies in instants(&writes) {
            let folder = tempfile::tempdir().unwrap();
            copy(start.path(), folder.path());
            let kept = killed_process(Role::UndoInDoubt, folder.path(), dies, &writes);
            let all = [left, kept].concat();
            check(folder.path(), &all).await;
            undo_what_is_left(folder.path(), &all, Role::UndoInDoubt).await;
        }
    }
}
