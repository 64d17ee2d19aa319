//! The comparisons, one module each.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::million::Million;
use crate::report::Line;

mod analytics;
mod beside;
mod durable;
mod export;
mod feed;
#[cfg(feature = "http")]
mod http_layer;
mod import;
mod key;
mod list;
mod log;
mod lookup;
mod memory;
mod off;
mod postgres;
mod query;
mod redaction;
mod scale;
#[cfg(feature = "http")]
mod service;
mod sidecars;
#[cfg(feature = "signals")]
mod signals;
mod single;
mod step;
mod steps;
mod watchers;
mod why;

/// One comparison.
#[derive(Debug)]
pub struct Row {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// Measures it.
    pub measure: fn(&mut Bench) -> anyhow::Result<Vec<Line>>,
}

/// The names of all comparisons, in the order of the table, whether this build can measure them or not.
pub const NAMES: &[&str] = &[
    step::NAME,
    export::NAME,
    off::NAME,
    durable::NAME,
    durable::BULK,
    single::NAME,
    steps::NAME,
    import::NAME,
    beside::NAME,
    feed::NAME,
    postgres::NAME,
    watchers::NAME,
    memory::NAME,
    lookup::NAME,
    key::NAME,
    list::NAME,
    scale::NAME,
    analytics::NAME,
    query::NAME,
    why::NAME,
    redaction::NAME,
    log::NAME,
    sidecars::NAME,
    HTTP,
    SERVICE,
    SIGNALS,
];

/// The row that takes so long and writes so much that it has to be asked for.
pub const SCALE: &str = scale::NAME;

/// How many events its large file has where nobody says.
pub const MANY_EVENTS: usize = scale::MANY;

/// The rows that want the feature `http`.
pub const HTTP: &str = "http";
/// See [`HTTP`].
pub const SERVICE: &str = "service";

/// The row that wants the feature `signals`.
pub const SIGNALS: &str = "signals";

/// The comparisons of this build.
pub const ALL: &[Row] = &[
    Row { name: step::NAME, measure: step::measure },
    Row { name: export::NAME, measure: export::measure },
    Row { name: off::NAME, measure: off::measure },
    Row { name: durable::NAME, measure: durable::measure },
    Row { name: durable::BULK, measure: durable::measure_bulk },
    Row { name: single::NAME, measure: single::measure },
    Row { name: steps::NAME, measure: steps::measure },
    Row { name: import::NAME, measure: import::measure },
    Row { name: beside::NAME, measure: beside::measure },
    Row { name: feed::NAME, measure: feed::measure },
    Row { name: postgres::NAME, measure: postgres::measure },
    Row { name: watchers::NAME, measure: watchers::measure },
    Row { name: memory::NAME, measure: memory::measure },
    Row { name: lookup::NAME, measure: lookup::measure },
    Row { name: key::NAME, measure: key::measure },
    Row { name: list::NAME, measure: list::measure },
    Row { name: scale::NAME, measure: scale::measure },
    Row { name: analytics::NAME, measure: analytics::measure },
    Row { name: query::NAME, measure: query::measure },
    Row { name: why::NAME, measure: why::measure },
    Row { name: redaction::NAME, measure: redaction::measure },
    Row { name: log::NAME, measure: log::measure },
    Row { name: sidecars::NAME, measure: sidecars::measure },
    #[cfg(feature = "http")]
    Row { name: HTTP, measure: http_layer::measure },
    #[cfg(feature = "http")]
    Row { name: SERVICE, measure: service::measure },
    #[cfg(feature = "signals")]
    Row { name: SIGNALS, measure: signals::measure },
];

/// The command line, which `cargo xtask bench` builds.
fn command() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe()?.with_file_name("throughline")))
}

/// What the comparisons share.
#[derive(Debug)]
pub struct Bench {
    /// A folder of its own on a real disk, for everything that is written; removed in the end.
    pub folder: TempDir,
    /// The runtime of a caller that is alone.
    pub single: Runtime,
    /// The runtime of many callers.
    pub many: Runtime,
    million: Option<Million>,
    /// How many events the large file of the row `scale` has.
    pub many_events: usize,
}

impl Bench {
    /// Everything that comparisons need; files go into a folder inside `parent`.
    ///
    /// # Errors
    /// If the folder can't be made or a runtime can't be started.
    pub fn new(parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        let single = tokio::runtime::Builder::new_current_thread().build()?;
        let many = tokio::runtime::Builder::new_multi_thread().build()?;
        Ok(Self { folder, single, many, million: None, many_events: MANY_EVENTS })
    }

    /// A million events, written when they are first asked for, and the runtime of a caller that is alone.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn million(&mut self) -> anyhow::Result<(&Million, &Runtime)> {
        let million = match self.million.take() {
            Some(million) => million,
            None => Million::build(self.folder.path(), &self.single)?,
        };
        Ok((self.million.insert(million), &self.single))
    }
}
