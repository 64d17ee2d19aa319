//! Logs that are kept in memory, and the lines in them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use throughline_core::{MemoryStore, Redaction, Redactor, Throughline};
use throughline_log::{Format, Logs, LogsBuilder, Output};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

/// Longer than any of these tests takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A writer whose content can be read by its other clones.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs in memory, and a subscriber that has nothing but their layer.
pub(crate) struct Captured {
    pub(crate) logs: Logs,
    pub(crate) throughline: Throughline,
    pub(crate) store: MemoryStore,
    pub(crate) memory: Memory,
    pub(crate) dispatch: Dispatch,
    /// Beside a second one, `tracing` asks the right one whether it wants what another thread logs first.
    pub(crate) _second: Dispatch,
}

pub(crate) fn captured() -> Captured {
    capture(|logs| logs)
}

pub(crate) fn capture(configure: impl FnOnce(LogsBuilder) -> LogsBuilder) -> Captured {
    let memory = Memory::default();
    let logs = Logs::builder("loans").output(Output::writer(memory.clone())).format(Format::Json);
    let logs = configure(logs).build().unwrap();
    let store = MemoryStore::new();
    let redaction = Redaction::standard().key("iris").pseudonym_key("sixteen bytes at least");
    let throughline = Throughline::builder("loans")
        .store(store.clone())
        .sink(logs.story())
        .redaction(redaction)
        .build()
        .unwrap();
    let _second = Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(logs.layer(throughline.redactor())));
    Captured { logs, throughline, store, memory, dispatch, _second }
}

pub(crate) fn redactor() -> Redactor {
    Redaction::standard().build().unwrap()
}

impl Captured {
    pub(crate) fn run(&self, log: impl FnOnce()) {
        tracing::dispatcher::with_default(&self.dispatch, log);
    }

    /// Runs a future on this thread, with whatever it spawns.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _default = tracing::dispatcher::set_default(&self.dispatch);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    pub(crate) fn text(&self) -> String {
        self.logs.flush(LONG);
        self.memory.text()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines that were logged, without those of the story.
    pub(crate) fn logged(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["target"] != "throughline::story").collect()
    }

    pub(crate) fn story(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["target"] == "throughline::story").collect()
    }
}

/// The last line that says this.
pub(crate) fn saying<'l>(lines: &'l [Value], message: &str) -> &'l Value {
    lines.iter().rfind(|line| line["message"] == message).unwrap_or_else(|| panic!("{message} in {lines:#?}"))
}
