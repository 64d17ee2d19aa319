//! `throughline export`: runs as JSON lines or as an XES log.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use throughline_core::{Redactor, Text, TraceId, TraceReader};

use super::nothing_here;
use crate::args::{ExportArgs, ExportFormat};
use crate::error::{Answer, CliError};
use crate::output::{Screen, count};
use crate::resolve::resolve;
use crate::select;
use crate::store::Store;
use crate::xes::writer::XesWriter;

pub(super) async fn run(args: &ExportArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let redactor = store.redactor().await?;
    let runs = match &args.trace {
        Some(name) => {
            let run = resolve(store, &*reader, name).await?;
            vec![(run.trace_id, run.workflow)]
        }
        None => select::all(store, &*reader, &args.filter).await?,
    };
    if runs.is_empty() {
        return Err(match args.filter.is_any(store) {
            true => nothing_here(store),
            false => CliError::NotFound("no run matches, so nothing was written".into()),
        });
    }
    let Some(path) = args.output.as_deref().filter(|path| !is_stdout(path)) else {
        write(args.format, &*reader, &redactor, &runs, screen.writer()).await?;
        return Ok(Answer::Yes);
    };
    let refused = |error: io::Error| match error.kind() {
        // Nobody reads the other end of it any more.
        io::ErrorKind::BrokenPipe => CliError::Output(error),
        _ => CliError::Input(format!("{}: {error}", path.display())),
    };
    let mut file = BufWriter::new(File::create(path).map_err(refused)?);
    let events = match write(args.format, &*reader, &redactor, &runs, &mut file).await {
        Err(CliError::Output(error)) => return Err(refused(error)),
        written => written?,
    };
    file.into_inner().map_err(io::IntoInnerError::into_error).and_then(sync).map_err(refused)?;
    let (runs, events) = (count(runs.len() as u64, "run"), count(events, "event"));
    screen.line(format_args!("Wrote {runs}, {events}, to {}", path.display()))?;
    Ok(Answer::Yes)
}

/// Makes a file durable. A pipe or a device can't be, and refuses.
fn sync(file: File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
}

/// Whether a path is the standard output under another name, which is to be written as it stands: opened anew, a file
/// to which it is redirected would be truncated.
fn is_stdout(path: &Path) -> bool {
    path == Path::new("-") || is_open_as_stdout(path)
}

#[cfg(unix)]
fn is_open_as_stdout(path: &Path) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    let stdout = io::stdout().as_fd().try_clone_to_owned().and_then(|stdout| File::from(stdout).metadata());
    let there = path.metadata();
    stdout.is_ok_and(|stdout| {
        there.is_ok_and(|there| (there.dev(), there.ino()) == (stdout.dev(), stdout.ino()))
    })
}

#[cfg(not(unix))]
fn is_open_as_stdout(_: &Path) -> bool {
    false
}

/// Writes runs one after the other. Returns how many events were written.
async fn write(
    format: ExportFormat,
    reader: &dyn TraceReader,
    redactor: &Redactor,
    runs: &[(TraceId, Option<Text>)],
    mut output: &mut dyn Write,
) -> Result<u64, CliError> {
    let mut events = 0;
    match format {
        ExportFormat::Jsonl => {
            for (id, _) in runs {
                for event in reader.trace(*id).await? {
                    crate::output::write_json(&mut output, &event, false)?;
                    events += 1;
                }
            }
        }
        ExportFormat::Xes => {
            // An import gives the name of the log, or else that of each run, back to its workflow.
            let mut workflows = runs.iter().map(|(_, workflow)| workflow.as_deref());
            let name = workflows.next().flatten();
            let is_one = workflows.all(|workflow| workflow == name);
            let mut writer = XesWriter::begin(redactor.clone())?;
            for (id, _) in runs {
                events += writer.run(reader.trace(*id).await?, !is_one)?;
            }
            writer.finish(name.filter(|_| is_one), &mut output)?;
        }
    }
    Ok(events)
}
