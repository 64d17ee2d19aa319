//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// What the service was started with.
pub(crate) struct Options {
    /// Whether to keep serving until somebody stops it.
    pub(crate) serve: bool,
    pub(crate) store: PathBuf,
    pub(crate) port: u16,
    pub(crate) metrics_port: u16,
}

const USAGE: &str = "want nothing or --demo, or --serve; and --store FILE, --port N, --metrics-port N";

impl Options {
    pub(crate) fn from_args() -> anyhow::Result<Self> {
        let (mut serve, mut store, mut ports) = (false, None, [None, None]);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--demo" => serve = false,
                "--serve" => serve = true,
                "--store" => store = Some(PathBuf::from(value()?)),
                "--port" => ports[0] = Some(value()?.parse()?),
                "--metrics-port" => ports[1] = Some(value()?.parse()?),
                other => bail!("`{other}` is not a valid argument: {USAGE}"),
            }
        }
        let [port, metrics_port] = ports;
        Ok(Self {
            serve,
            store: store.map_or_else(fresh_database, Ok)?,
            port: port.unwrap_or(if serve { 3000 } else { 0 }),
            metrics_port: metrics_port.unwrap_or(if serve { 9464 } else { 0 }),
        })
    }
}

/// A database of this run alone. It outlives the run, for the commands that look further.
fn fresh_database() -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("axum_service-").tempdir()?.keep();
    Ok(folder.join("traces.db"))
}
