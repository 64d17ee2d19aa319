//! `throughline doctor`: what the environment switches on, and whether each destination is there.

mod checks;
mod production;
mod rules;
mod seen;

use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use anstyle::AnsiColor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use throughline::config::{
    ConfigError, LogDestination, LogSettings, MetricsSettings, ObservabilityConfig, TraceSettings,
};
use throughline_core::names::env::THROUGHLINE_STORE;

use crate::args::DoctorArgs;
use crate::error::{Answer, CliError};
use crate::feed;
use crate::output::{Cell, Screen, Table, clean};
use crate::store::{Store, open_outbox};
use production::ChecklistLine;
use seen::Seen;

/// A destination that takes longer to answer is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The JSON of `doctor`.
#[derive(Serialize)]
struct Diagnosis {
    /// Whether everything that is on works.
    ok: bool,
    /// What the service is called.
    service: String,
    /// Whether everything is off.
    disabled: bool,
    /// What is set.
    settings: Vec<Setting>,
    /// What is set in vain.
    warnings: Vec<String>,
    /// What is wrong with the environment.
    problems: Vec<String>,
    /// What is on, and whether it works.
    checks: Vec<Check>,
    /// The production checklist; `null` if it was not asked for.
    production: Option<Vec<ChecklistLine>>,
}

/// A variable that is set.
#[derive(Serialize)]
struct Setting {
    /// Its name in the table.
    variable: &'static str,
    /// The name that it was set by.
    set_by: &'static str,
    /// What it is set to, as far as that is shown.
    value: String,
}

/// One thing that can be on.
#[derive(Clone, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    detail: String,
}

/// How it is.
#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It is on, and works.
    Ok,
    /// It is on, and does not work.
    Failed,
    /// It is off.
    Off,
}

/// `location` is the store of the command line, or else of the environment.
pub(super) async fn run(
    args: &DoctorArgs,
    location: Option<&str>,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let config = ObservabilityConfig::builder().or_environment();
    let config = match location {
        Some(location) => config.set(THROUGHLINE_STORE, location),
        None => config,
    };
    let config = config.build();
    let mut diagnosis = match &config {
        Ok(config) => examine(config, location).await,
        Err(ConfigError { problems, .. }) => Diagnosis {
            ok: false,
            service: String::new(),
            disabled: false,
            settings: Vec::new(),
            warnings: Vec::new(),
            problems: problems.iter().map(ToString::to_string).collect(),
            checks: Vec::new(),
            production: None,
        },
    };
    if args.production {
        let lines =
            production::go_through(&Seen::look(args, config, diagnosis.checks.clone(), location).await);
        diagnosis.ok &= !lines.iter().any(ChecklistLine::has_failed);
        diagnosis.production = Some(lines);
    }
    let answer = Answer::of(diagnosis.ok);
    if screen.wants_json() {
        screen.json(&diagnosis)?;
    } else {
        show(&diagnosis, screen)?;
        diagnosis.production.as_deref().map_or(Ok(()), |lines| production::show(lines, screen))?;
    }
    Ok(answer)
}

async fn examine(config: &ObservabilityConfig, location: Option<&str>) -> Diagnosis {
    let settings = config.shown().map(|(variable, set_by, shown)| Setting {
        variable,
        set_by,
        value: shown.strip_prefix('=').map(str::to_owned).unwrap_or(shown.trim().to_owned()),
    });
    let checks = if config.is_disabled() {
        Vec::new()
    } else {
        vec![
            check("store", "events are kept nowhere: set THROUGHLINE_STORE", store(config, location).await),
            check(
                "outbox",
                "workflows wait while the store is away: set THROUGHLINE_OUTBOX",
                config.outbox().map(outbox),
            ),
            check("feed", "nothing is shown live: set THROUGHLINE_FEED", feed(config).await),
            check("metrics", "no page of metrics: set METRICS_PORT", config.metrics().map(|to| metrics(&to))),
            check("logs", "THROUGHLINE_LOG_OUTPUT is none", config.logs().map(|to| logs(&to))),
            check(
                "traces",
                "none are exported: set OTEL_EXPORTER_OTLP_ENDPOINT",
                config.traces().map(|to| traces(&to)),
            ),
            check(
                "log records",
                "the starts of steps and exceptions are not exported with traces",
                config.traces().and_then(|to| to.logs_endpoint.is_some().then(|| reach(to.logs_address()))),
            ),
            check(
                "exported metrics",
                "no collector is sent any: set OTEL_METRICS_EXPORTER to otlp",
                config.metrics_collector().map(|to| reach(Some(to))),
            ),
            check(
                "log lines",
                "no collector is sent any: set OTEL_LOGS_EXPORTER to otlp",
                config.log_lines_collector().map(|to| reach(Some(to))),
            ),
            check(
                "sentry",
                "no failure is reported: set SENTRY_DSN",
                config.sentry().map(|to| reach(to.address())),
            ),
        ]
    };
    Diagnosis {
        ok: checks.iter().all(|check| check.state != State::Failed),
        service: config.service().to_owned(),
        disabled: config.is_disabled(),
        settings: settings.collect(),
        warnings: config.warnings().to_vec(),
        problems: Vec::new(),
        checks,
        production: None,
    }
}

fn check(what: &'static str, off: &str, tried: Option<Result<String, String>>) -> Check {
    let (state, detail) = match tried {
        None => (State::Off, off.to_owned()),
        Some(Ok(detail)) => (State::Ok, detail),
        Some(Err(reason)) => (State::Failed, reason),
    };
    Check { what, state, detail }
}

/// Opens the store for reading, as it may be in use.
async fn store(config: &ObservabilityConfig, location: Option<&str>) -> Option<Result<String, String>> {
    config.store()?;
    let store = match Store::named(location) {
        Ok(store) => store,
        Err(error) => return Some(Err(error.to_string())),
    };
    if !store.may_exist() {
        return Some(will_be_created(store.name(), store.folder()));
    }
    Some(match within(store.readers()).await {
        Some(Ok(_)) => Ok(store.name().to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("{} does not answer", store.name())),
    })
}

fn will_be_created(name: &str, folder: Option<&Path>) -> Result<String, String> {
    match folder.filter(|folder| *folder != Path::new("") && !folder.is_dir()) {
        Some(folder) => Err(format!("{name}: there is no folder {}; create it", folder.display())),
        None => Ok(format!("{name} will be created")),
    }
}

fn outbox(file: &Path) -> Result<String, String> {
    if !file.exists() {
        return will_be_created(&file.display().to_string(), file.parent());
    }
    let opened = open_outbox(file).map_err(|error| error.to_string());
    opened.map(|_| file.display().to_string())
}

async fn feed(config: &ObservabilityConfig) -> Option<Result<String, String>> {
    let opened = within(feed::open(config.feed()?)).await;
    Some(match opened {
        Some(Ok(_)) => Ok("it answers".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it does not answer".to_owned()),
    })
}

async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, work).await.ok()
}

/// Whether somebody can listen there.
fn metrics(to: &MetricsSettings) -> Result<String, String> {
    let place = format!("{}:{}", to.host, to.port);
    match TcpListener::bind((to.host.as_str(), to.port)) {
        Ok(_) if to.port == 0 => Ok(format!("on any free port of {}", to.host)),
        Ok(_) => Ok(format!("http://{place}/metrics can be served")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok(format!("{place} is in use: by the service itself, if that runs"))
        }
        Err(error) => Err(format!("{place}: {error}; set OTEL_EXPORTER_PROMETHEUS_PORT to another port")),
    }
}

/// Whether the place is there, or can be made. Nothing is created.
fn logs(to: &LogSettings) -> Result<String, String> {
    let place = match &to.output {
        LogDestination::Stdout => return Ok(format!("to the standard output, {}", to.levels)),
        LogDestination::Stderr => return Ok(format!("to the standard error output, {}", to.levels)),
        LogDestination::File(path) => {
            log_file(path)?;
            path
        }
        LogDestination::Daily(folder) | LogDestination::Hourly(folder) => {
            log_folder(folder)?;
            folder
        }
        other => return Ok(format!("{other:?}, {}", to.levels)),
    };
    Ok(format!("to {}, {}", place.display(), to.levels))
}

/// A file is made, and its folder is not.
fn log_file(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("{} is a folder; name a file in it", path.display()));
    }
    if path.exists() {
        let opened = std::fs::OpenOptions::new().append(true).open(path);
        return opened.map(|_| ()).map_err(|error| format!("{}: {error}", path.display()));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    if !folder.exists() {
        return Err(format!("there is no folder {}; create it", folder.display()));
    }
    may_be_written_to(folder)
}

/// A folder is made, with those that it is in.
fn log_folder(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    may_be_written_to(there)
}

fn may_be_written_to(folder: &Path) -> Result<(), String> {
    match folder.metadata() {
        Ok(found) if !found.is_dir() => Err(format!("{} is no folder", folder.display())),
        Ok(found) if found.permissions().readonly() => {
            Err(format!("{} may not be written to", folder.display()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

/// Whether the collector is there, and the certificates that it is checked with can be read.
fn traces(to: &TraceSettings) -> Result<String, String> {
    let reached = reach(to.address())?;
    let Some(path) = &to.certificate else { return Ok(reached) };
    let pem = std::fs::read(path).map_err(|error| format!("the certificate {}: {error}", path.display()))?;
    match certificates(&pem) {
        Ok(0) => Err(format!("there is no certificate in {}; name a file in PEM", path.display())),
        Ok(count) => Ok(format!("{reached}; certificates that are trusted: {count}")),
        Err(error) => Err(format!("the certificate {}: {error}", path.display())),
    }
}

/// How many certificates these are that can be trusted.
fn certificates(pem: &[u8]) -> Result<usize, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots.len())
}

/// Whether a server accepts connections.
fn reach(address: Option<(String, u16)>) -> Result<String, String> {
    // What was accepted as an address has a host and a port.
    let Some((host, port)) = address else { return Err("there is no host in its address".to_owned()) };
    let place = format!("{host}:{port}");
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| format!("{place}: {error}"))?;
    let mut reason = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(format!("{place} accepts connections")),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(format!("{place}: {reason}"))
}

fn show(diagnosis: &Diagnosis, screen: &mut Screen) -> Result<(), CliError> {
    if !diagnosis.problems.is_empty() {
        screen.line(format_args!("The environment can't be used:"))?;
        for problem in &diagnosis.problems {
            screen.line(format_args!("  {}", clean(problem)))?;
        }
        return Ok(());
    }
    screen.line(format_args!("Service {}", clean(&diagnosis.service)))?;
    if diagnosis.disabled {
        screen.line(format_args!("Everything is off: OTEL_SDK_DISABLED=true"))?;
    }
    let mut table = Table::new(&["WHAT", "STATE", "<DETAIL"]);
    for Check { what, state, detail } in &diagnosis.checks {
        let (word, colour) = match state {
            State::Ok => ("ok", AnsiColor::Green),
            State::Failed => ("FAILED", AnsiColor::Red),
            State::Off => ("off", AnsiColor::Yellow),
        };
        table.row([Cell::from(*what), Cell::styled(word, colour.on_default()), Cell::from(detail)]);
    }
    if !diagnosis.disabled {
        screen.line("")?;
        screen.table(&table)?;
    }
    if !diagnosis.settings.is_empty() {
        screen.heading("Set")?;
    }
    for Setting { variable, set_by, value } in &diagnosis.settings {
        let by = if variable == set_by { String::new() } else { format!(" (by {set_by})") };
        screen.line(format_args!("  {variable} {}{by}", clean(value)))?;
    }
    for warning in &diagnosis.warnings {
        screen.line(format_args!("\nWarning: {}", clean(warning)))?;
    }
    Ok(())
}
