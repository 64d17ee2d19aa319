//! What a run costs: the operations that it takes, what those cost by the published prices, and what the emulator charges.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use throughline_model::testing::{RunBuilder, run};
use throughline_model::{TraceId, TraceStore};

use crate::server::{Fate, Server};
use crate::{open, shared};

/// Request units of a document of a kilobyte, without indexes: what it costs to read, to create and to replace it. From
/// <https://learn.microsoft.com/azure/cosmos-db/optimize-cost-reads-writes>.
const PUBLISHED: [(&str, f64); 3] = [("Read", 1.0), ("Create", 5.5), ("Replace", 11.0)];

/// The operations of batches, and the bytes of the documents in them.
#[derive(Default)]
struct Seen {
    operations: Vec<String>,
    documents: Vec<usize>,
}

impl Seen {
    fn add(&mut self, batch: &Value) {
        for operation in batch.as_array().unwrap() {
            self.operations.push(operation["operationType"].as_str().unwrap().to_owned());
            if let Some(document) = operation.get("resourceBody") {
                self.documents.push(document.to_string().len());
            }
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.operations.iter().filter(|operation| *operation == kind).count()
    }

    fn published(&self) -> f64 {
        PUBLISHED.iter().map(|(kind, price)| self.count(kind) as f64 * price).sum()
    }
}

/// A run of fifteen events.
fn loan(key: &str) -> RunBuilder {
    let mut loan = run("loan-approval").key(key);
    loan.root();
    for step in
        ["stage:credit-check", "stage:score", "stage:offer", "stage:sign", "stage:pay-out", "stage:report"]
    {
        let span = loan.begin(step);
        loan.succeed(span);
    }
    loan.point("business:approved");
    loan.complete_run();
    loan
}

struct Cost {
    seen: Seen,
    charged: u64,
}

/// What it costs to store a run in calls of so many events.
async fn cost_of_writing(server: &Server, store: &dyn TraceStore, loan: &RunBuilder, at_once: usize) -> Cost {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sees = Arc::clone(&seen);
    server.judge(move |request| {
        if request.is_batch {
            sees.lock().unwrap().add(&serde_json::from_slice(request.body).unwrap());
        }
        Fate::Answered
    });
    let before = charged(store);
    for events in shared(&loan.events()).chunks(at_once) {
        store.append(events).await.unwrap();
    }
    server.recover();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Cost { seen, charged: charged(store) - before }
}

fn charged(store: &dyn TraceStore) -> u64 {
    store.charges().totals().values().sum()
}

/// How many requests it takes to read a run, and what the emulator charges for it.
async fn cost_of_reading(server: &Server, store: &dyn TraceStore, trace: TraceId) -> (usize, u64) {
    let requests = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&requests);
    server.judge(move |_| {
        *counted.lock().unwrap() += 1;
        Fate::Answered
    });
    let before = charged(store);
    assert_eq!(store.readers().reader.trace(trace).await.unwrap().len(), 15);
    server.recover();
    let requests = *requests.lock().unwrap();
    (requests, charged(store) - before)
}

const BEGIN: &str = "<!-- BEGIN: measured by `UPDATE_DOCS=1 cargo test -p throughline-cosmos charges` -->\n";
const END: &str = "<!-- END -->\n";

#[tokio::test]
async fn what_a_run_costs_is_what_the_guide_says() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let mut table = "| a run of 15 events | documents created | replaced | read | by published prices | an event | the emulator charges |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (at_once, how) in [(1, "each event by itself"), (3, "three at a time"), (15, "all at once")] {
        let loan = loan(how);
        let Cost { seen, charged } = cost_of_writing(&server, &*store, &loan, at_once).await;
        let [created, replaced, read] = ["Create", "Replace", "Read"].map(|kind| seen.count(kind));
        assert_eq!(created + replaced + read, seen.operations.len(), "{:?}", seen.operations);
        assert_eq!(created, 16, "a document for each event, and one for the run");
        assert!(
            seen.documents.iter().all(|bytes| *bytes <= 1280),
            "the prices are of about a kilobyte: {:?}",
            seen.documents
        );
        let published = seen.published();
        let _ = writeln!(
            table,
            "| written, {how} | {created} | {replaced} | {read} | {published:.1} | {:.1} | {charged} |",
            published / 15.0
        );
        let (requests, charged) = cost_of_reading(&server, &*store, loan.trace_id()).await;
        assert_eq!(requests, 1, "a run is one query of one partition");
        if at_once == 15 {
            let _ = writeln!(table, "| read | | | a query of one partition | not published | | {charged} |");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/choosing-a-store.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = is.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let ought = format!("{before}{BEGIN}{table}\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, ought).unwrap();
    } else {
        assert!(is == ought, "the guide says something else than\n\n{table}\nwrite it with UPDATE_DOCS=1");
    }
}

#[tokio::test]
async fn an_event_between_the_start_and_the_end_of_a_run_costs_a_document_and_a_look_at_the_run() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let mut loan = run("loan-approval");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    loan.point("business:approved");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sees = Arc::clone(&seen);
    server.judge(move |request| {
        sees.lock().unwrap().add(&serde_json::from_slice(request.body).unwrap());
        Fate::Answered
    });
    store.append(&shared(&loan.events()[1..])).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.operations, ["Create", "Read"]);
    assert!(seen.published() <= 1.3 * 5.0, "{}", seen.published());
}
