//! Several processes that write to the same runs at the same time.

use std::sync::Arc;

use throughline_model::testing::{broken_run, run};
use throughline_model::{InstanceId, Liveness, RunSummary, SpanId, Status, Timestamp, TraceEvent};

use crate::server::{Fate, Server};
use crate::{append_until_taken, open, shared};

/// How many write at once.
const WRITERS: usize = 4;

/// Lets writers share runs, event by event or a few at a time, and compares what is stored of each with its events.
async fn share(server: &Server, seeds: std::ops::Range<u64>) {
    let mut stores = Vec::new();
    for _ in 0..WRITERS {
        stores.push(open(&server.store()).await);
    }
    let reader = stores[0].readers().reader;
    for seed in seeds {
        let events = broken_run(seed, &[InstanceId::IMPORTED]);
        let mut parts: [Vec<Arc<TraceEvent>>; WRITERS] = Default::default();
        for (at, event) in events.iter().enumerate() {
            parts[at % WRITERS].push(Arc::new(event.clone()));
        }
        let group = 1 + seed as usize % 3;
        let writing = parts.into_iter().zip(&stores).map(|(part, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for group in part.chunks(group) {
                    append_until_taken(&*store, group).await;
                }
            })
        });
        for written in writing.collect::<Vec<_>>() {
            written.await.unwrap();
        }
        let trace = events[0].trace_id;
        assert_eq!(reader.trace(trace).await.unwrap().len(), events.len());
        let wanted = RunSummary::of(&events, |_| Liveness::Imported);
        assert_eq!(reader.run(trace).await.unwrap(), wanted, "seed {seed}");
    }
}

#[tokio::test]
async fn a_run_stands_as_its_events_say_whether_they_come_in_one_call_or_in_two() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let reader = store.readers().reader;
    for seed in 3000..3300 {
        let events = broken_run(seed, &[InstanceId::IMPORTED]);
        let split = if seed % 2 == 0 { events.len() } else { events.len() / 2 };
        for call in [&events[..split], &events[split..]] {
            store.append(&shared(call)).await.unwrap();
        }
        let wanted = RunSummary::of(&events, |_| Liveness::Imported);
        assert_eq!(reader.run(events[0].trace_id).await.unwrap(), wanted, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_leave_documents_of_runs_as_their_events_say() {
    share(&Server::start(), 1000..1060).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_whose_answers_are_lost_leave_documents_of_runs_as_their_events_say() {
    let server = Server::start();
    let mut batches = 0;
    server.judge(move |request| {
        batches += usize::from(request.is_batch);
        if request.is_batch && batches % 3 == 0 { Fate::AnswerLost } else { Fate::Answered }
    });
    share(&server, 2000..2025).await;
}

#[tokio::test]
async fn what_another_writer_made_of_a_run_counts_though_an_answer_was_lost() {
    let server = Server::start();
    let (stale, other) = (open(&server.store()).await, open(&server.store()).await);
    let trace = run("loan").trace_id();
    let event = |span, seq, status, at| {
        let span = SpanId::from_u64(span).unwrap();
        let mut event =
            TraceEvent::new(trace, span, "workflow:started", Timestamp::from_micros(at), "loan-service");
        (event.seq, event.status) = (seq, status);
        event
    };
    let root = event(1, 0, Status::Pending, 10);
    stale.append(&shared(std::slice::from_ref(&root))).await.unwrap();
    // From here on another span is the root, which the first writer does not know.
    let earlier = event(2, 0, Status::Pending, 5);
    other.append(&shared(std::slice::from_ref(&earlier))).await.unwrap();
    let end = event(2, 1, Status::Success, 20);
    let mut batches = 0;
    server.judge(move |request| {
        batches += usize::from(request.is_batch);
        if request.is_batch && batches == 1 { Fate::AnswerLost } else { Fate::Answered }
    });
    append_until_taken(&*stale, &shared(std::slice::from_ref(&end))).await;
    let wanted = RunSummary::of(&[root, earlier, end], |_| Liveness::Imported);
    assert_eq!(stale.readers().reader.run(trace).await.unwrap(), wanted);
}
