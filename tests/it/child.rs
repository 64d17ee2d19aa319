//! The process that others kill or trace: this test binary again, whose environment says what to be.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use throughline::delivery::{Durability, Retry};
use throughline::store::{AppendError, PrunePolicy, SqliteSpool, Synchronous};
use throughline::testing::FaultyStore;
use throughline::{MemoryStore, NotRecorded, SqliteStore, Throughline, TraceContext};

use crate::json_lines_store::JsonLinesStore;

const DATABASE: &str = "THROUGHLINE_TEST_DATABASE";
const ROLE: &str = "THROUGHLINE_TEST_ROLE";

/// What the child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Emits from many tasks until it is killed.
    Emit,
    /// The same, in another mode of durability.
    EmitCoalesced,
    EmitPipelined,
    /// As [`Role::Emit`], into the store of the example `json_lines_store`.
    EmitJsonLines,
    /// Emits some events one after the other, then many at once, and ends.
    Mark,
    /// Imports runs that are old, and removes what is old, until it is killed.
    Prune,
    /// As [`Role::Mark`], with a store that does not wait for the disk.
    MarkWithoutSync,
    /// As [`Role::Mark`], into a spool, as the store is away.
    MarkIntoSpool,
}

const ROLES: [(Role, &str); 8] = [
    (Role::Emit, "emit"),
    (Role::EmitCoalesced, "emit-coalesced"),
    (Role::EmitPipelined, "emit-pipelined"),
    (Role::Prune, "prune"),
    (Role::EmitJsonLines, "emit-json-lines"),
    (Role::Mark, "mark"),
    (Role::MarkWithoutSync, "mark-without-sync"),
    (Role::MarkIntoSpool, "mark-into-spool"),
];

/// Describes the child; `through` is a command to run it under.
pub(crate) fn command(role: Role, database: &Path, through: Option<Command>) -> Command {
    let executable = std::env::current_exe().unwrap();
    let mut command = match through {
        Some(mut through) => {
            through.arg(executable);
            through
        }
        None => Command::new(executable),
    };
    let name = ROLES.iter().find(|(known, _)| *known == role).map(|(_, name)| *name).unwrap();
    command.args(["--exact", "child::this_process_is_the_child_when_it_is_told_to_be", "--nocapture"]);
    command.env(DATABASE, database).env(ROLE, name).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Starts the child.
pub(crate) fn start(role: Role, database: &Path) -> Child {
    command(role, database, None).spawn().unwrap()
}

#[test]
fn this_process_is_the_child_when_it_is_told_to_be() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let role = ROLES.iter().find(|(_, known)| *known == name).map(|(role, _)| *role).unwrap();
    let database = std::env::var_os(DATABASE).unwrap();
    if role == Role::Prune {
        prune(&SqliteStore::new(&database));
    }
    let builder = Throughline::builder("child");
    let builder = match role {
        Role::EmitJsonLines => builder.store(JsonLinesStore::new(database)),
        Role::MarkWithoutSync => builder.store(SqliteStore::new(database).synchronous(Synchronous::Off)),
        Role::MarkIntoSpool => {
            let away = FaultyStore::around(MemoryStore::new());
            away.faults().append().fail_next(u64::MAX, || AppendError::Unavailable {
                reason: "away".to_owned(),
                retry_after: None,
                source: None,
            });
            builder.store(away).spool(SqliteSpool::new(database)).retry(Retry::attempts(1))
        }
        _ => builder.store(SqliteStore::new(database)),
    };
    let durability = match role {
        Role::EmitCoalesced => Durability::Coalesced,
        Role::EmitPipelined => Durability::Pipelined,
        _ => Durability::Strict,
    };
    let throughline = builder.durability(durability).build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        match role {
            Role::Emit | Role::EmitJsonLines | Role::EmitCoalesced | Role::EmitPipelined => {
                emit(&throughline, durability).await;
            }
            Role::Mark | Role::MarkWithoutSync | Role::MarkIntoSpool => mark(&throughline).await,
            Role::Prune => {}
        }
    });
}

/// The runs are of long ago, those of the other children are not.
fn prune(store: &SqliteStore) {
    let policy = PrunePolicy::default().age(std::time::Duration::from_secs(3600));
    for round in 0.. {
        let mut importer = store.open_importer().unwrap();
        importer.append(&throughline_model::testing::sample_log(round, 100, &[])).unwrap();
        importer.finish().unwrap();
        let removed = store.prune(&policy).unwrap().events;
        assert!(removed > 0, "nothing was there to be removed");
        acknowledge(format_args!("removed {removed}"));
    }
}

/// Says that an event was acknowledged. One write, so that a line is whole or not there.
fn acknowledge(what: impl std::fmt::Display) {
    let line = format!("\nack {what}\n");
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).unwrap();
}

/// Each event is acknowledged as soon as the mode of durability says that it is recorded.
async fn emit(throughline: &Throughline, durability: Durability) {
    let starts_are_awaited = durability != Durability::Pipelined;
    let runs = (0..16).map(|_| {
        throughline.workflow("crash").run(move |ctx| async move {
            if starts_are_awaited {
                acknowledge(event_id(&ctx, 0));
            }
            let mut unsettled = None;
            for round in 0_u32.. {
                let before = unsettled.take();
                let done = ctx.step("stage:work").run(move |ctx| async move {
                    if starts_are_awaited {
                        before.into_iter().for_each(|end: String| acknowledge(end));
                        acknowledge(event_id(&ctx, 0));
                    }
                    let noted = ctx.event("business:noted", json!({ "some": "payload" })).await?;
                    if starts_are_awaited {
                        acknowledge(format_args!("{}:{noted}:0", ctx.trace_id()));
                    }
                    Ok::<_, NotRecorded>((event_id(&ctx, 0), event_id(&ctx, 1)))
                });
                let (start, end) = done.await??;
                if !starts_are_awaited {
                    acknowledge(start);
                }
                match durability {
                    Durability::Coalesced if round % 4 > 0 => unsettled = Some(end),
                    _ => {
                        ctx.settled().await?;
                        acknowledge(end);
                    }
                }
            }
            Ok::<(), NotRecorded>(())
        })
    });
    let tasks: Vec<_> = runs.map(tokio::spawn).collect();
    for task in tasks {
        task.await.unwrap().unwrap().unwrap();
    }
}

fn event_id(ctx: &TraceContext, seq: u32) -> String {
    format!("{}:{}:{seq}", ctx.trace_id(), ctx.span_id())
}

async fn mark(throughline: &Throughline) {
    let run = throughline.workflow("mark").run(|ctx| async move {
        let note = |number: u32| {
            let ctx = ctx.clone();
            async move {
                let marker = format!("marker-{number:04}.");
                ctx.event("business:marked", json!({ "marker": marker })).await?;
                acknowledge(&marker);
                Ok::<_, NotRecorded>(())
            }
        };
        for number in 0..20 {
            note(number).await?;
        }
        let together: Vec<_> = (20..60).map(|number| tokio::spawn(note(number))).collect();
        for noted in together {
            noted.await.unwrap()?;
        }
        Ok::<_, NotRecorded>(())
    });
    run.await.unwrap().unwrap();
    throughline.shutdown(std::time::Duration::from_secs(10)).await;
}
