//! Sagas whose callers are gone: a client that hangs up, a time-out, a process that dies; and how they are undone by others.

mod doubt;
mod dropped;
mod undone;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::query::CompensationState;
use throughline_core::{
    MemoryStore, NotRecorded, OnCancel, RunState, Saga, SagaFailed, Throughline, TraceContext, TraceId,
};
use tokio::sync::oneshot;

const SOON: Duration = Duration::from_secs(60);

/// What stands in the world, in the order in which it was done.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<&'static str>>>);

impl World {
    fn put(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn remove(&self, what: &'static str) {
        self.0.lock().unwrap().retain(|there| *there != what);
    }

    fn seen(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    /// A step that puts something into the world, and takes it out again if it is undone.
    async fn reserve(&self, saga: &Saga, name: &'static str, what: &'static str) -> Result<(), NotRecorded> {
        let (world, undo) = (self.clone(), self.clone());
        let step = saga.step(name).input(what).resource(what).compensate(move |what, _| async move {
            undo.remove(what);
            Ok::<_, NotRecorded>(())
        });
        step.run(|what, _| async move {
            world.put(what);
            Ok(())
        })
        .await?
    }
}

/// A saga that reserves two things and then hangs.
async fn hang(ctx: TraceContext, world: World, on_cancel: OnCancel, hangs: oneshot::Sender<()>) {
    let saga = ctx.saga("loan-approval").on_cancel(on_cancel).run(|saga| async move {
        world.reserve(&saga, "stage:a", "a").await?;
        world.reserve(&saga, "stage:b", "b").await?;
        hangs.send(()).unwrap();
        pending::<()>().await;
        Ok::<_, NotRecorded>(())
    });
    saga.await.unwrap().unwrap();
}

/// Runs such a saga until it hangs, and drops it.
async fn hang_up(throughline: &Throughline, world: &World, on_cancel: OnCancel) -> TraceId {
    let (tx, hangs) = oneshot::channel();
    let (id, known) = oneshot::channel();
    let world = world.clone();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        id.send(ctx.trace_id()).unwrap();
        hang(ctx, world, on_cancel, tx).await;
    });
    tokio::select! {
        _ = run => unreachable!(),
        hung = hangs => hung.unwrap(),
    }
    known.await.unwrap()
}

async fn state(throughline: &Throughline, run: TraceId) -> RunState {
    throughline.reader().unwrap().run(run).await.unwrap().unwrap().state
}

async fn ledger(throughline: &Throughline, run: TraceId) -> Vec<(String, CompensationState)> {
    let ledger = throughline.query(run).await.unwrap().compensation_ledger();
    let entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
    entries.map(|entry| (entry.step.name.to_string(), entry.state)).collect()
}

fn entries<const N: usize>(of: [(&str, CompensationState); N]) -> Vec<(String, CompensationState)> {
    of.into_iter().map(|(name, state)| (name.to_owned(), state)).collect()
}

/// Undoes the saga from another process.
async fn undo(
    throughline: &Throughline,
    run: TraceId,
    world: &World,
) -> Result<SagaFailed<throughline_core::Text>, NotRecorded> {
    let remove = |world: &World| {
        let world = world.clone();
        move |what: &'static str, _: TraceContext| async move {
            world.remove(what);
            Ok::<_, NotRecorded>(())
        }
    };
    throughline
        .undo(run, "loan-approval")
        .step("stage:a", "a", remove(world))
        .step("stage:b", "b", remove(world))
        .run()
        .await
}

/// A process that dies after two steps of a saga and within a third.
async fn die(store: &MemoryStore, world: &World, in_request: bool) -> TraceId {
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let inside = world.clone();
    let body = |ctx: TraceContext| async move {
        let trace_id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").steps(3).run(|saga| async move {
            inside.reserve(&saga, "stage:a", "a").await?;
            inside.reserve(&saga, "stage:b", "b").await?;
            let step = saga
                .step("stage:c")
                .input("c")
                .resource("c")
                .compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|what, _| async move {
                inside.put(what);
                hangs.send(trace_id).unwrap();
                pending::<Result<(), NotRecorded>>().await
            })
            .await?
        });
        saga.await.unwrap().unwrap();
    };
    if in_request {
        let request = throughline.request("http:request").open();
        tokio::spawn(body(request.context().clone()));
        std::mem::forget(request);
    } else {
        tokio::spawn(throughline.workflow("loan").key("loan-42").steps(2).run_infallible(body));
    }
    let trace_id = hung.await.unwrap();
    store.abandon(store.trace(trace_id)[0].instance);
    trace_id
}
