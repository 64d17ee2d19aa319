//! The store of `examples/json_lines_store` keeps every promise that a store makes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use throughline_model::testing::conformance::StoreFixture;
use throughline_model::{
    Instance, InstanceId, Page, SpanId, StoreConfig, Timestamp, TraceEvent, TraceId, TraceReader, TraceStore,
};

use crate::child::{self, Role};
use crate::crash;

#[path = "../../examples/json_lines_store/folder.rs"]
mod folder;
#[path = "../../examples/json_lines_store/lease.rs"]
mod lease;
#[path = "../../examples/json_lines_store/reader.rs"]
mod reader;
#[path = "../../examples/json_lines_store/store.rs"]
mod store;

pub(crate) use store::JsonLinesStore;

struct Fixture(tempfile::TempDir);

impl StoreFixture for Fixture {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        Box::new(JsonLinesStore::new(self.0.path()))
    }
}

throughline_model::store_conformance!(Fixture);

async fn open(folder: &Path) -> Arc<dyn TraceStore> {
    let instance = Instance::new(InstanceId::random(), "test");
    JsonLinesStore::new(folder).open(instance).await.unwrap()
}

async fn reader(folder: &Path) -> Arc<dyn TraceReader> {
    JsonLinesStore::new(folder).open_readers().await.unwrap().reader
}

fn event(run: TraceId, span: u64) -> Arc<TraceEvent> {
    let span = SpanId::from_u64(span).unwrap();
    Arc::new(TraceEvent::new(run, span, "business:noted", Timestamp::from_micros(1), "test"))
}

#[tokio::test]
async fn every_acknowledged_event_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let mut child = child::start(Role::EmitJsonLines, folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acks = lines.by_ref().filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
        let mut acknowledged: Vec<_> = acks.take(20 + 31 * round).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned)));
        crash::check(&*reader(folder.path()).await, &acknowledged, &mut BTreeMap::new()).await;
    }
}

#[tokio::test]
async fn half_a_line_is_ignored_and_cut_off_by_the_next_append() {
    let folder = tempfile::tempdir().unwrap();
    let run = TraceId::from_key("loan-42");
    let store = open(folder.path()).await;
    store.append(&[event(run, 1)]).await.unwrap();
    let file = folder.path().join(format!("runs/{run}.jsonl"));
    let torn = |file| std::fs::File::options().append(true).open(file).unwrap().write_all(b"[{\"v\":1,\"tr");
    torn(&file).unwrap();
    let reader = reader(folder.path()).await;
    assert_eq!(reader.trace(run).await.unwrap(), [(*event(run, 1)).clone()]);

    store.append(&[event(run, 2)]).await.unwrap();
    assert_eq!(reader.trace(run).await.unwrap().len(), 2);
    let lines = std::fs::read_to_string(&file).unwrap();
    assert!(lines.lines().all(|line| line.starts_with("[{") && line.ends_with("}]")), "{lines}");
}

#[tokio::test]
async fn a_file_with_no_more_than_half_a_line_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = TraceId::from_key("loan-42");
    let _store = open(folder.path()).await;
    std::fs::write(folder.path().join(format!("runs/{run}.jsonl")), "[{").unwrap();
    let reader = reader(folder.path()).await;
    assert_eq!(reader.find_by_id_prefix("", 10).await.unwrap(), []);
    assert_eq!(reader.run(run).await.unwrap(), None);
    assert_eq!(reader.open_runs(&Page::first(10)).await.unwrap().items, []);
}
