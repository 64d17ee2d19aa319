//! `throughline export`: runs for other stores, other tools, and people who have neither.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use throughline_core::beside::last_good;
use throughline_core::{
    Liveness, Redactor, RunState, Text, TraceEvent, TraceId, TraceQuery, TraceReader, redact_event,
};

use super::nothing_here;
use crate::args::{ExportArgs, ExportFormat};
use crate::error::{Answer, CliError};
use crate::output::{Screen, count, group};
use crate::resolve::resolve;
use crate::select;
use crate::store::Store;
use crate::stories::anonymous::Anonymous;
use crate::stories::{Story, markdown, mermaid, page, perfetto};
use crate::xes::writer::XesWriter;

pub(super) async fn run(args: &ExportArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let source = Source::new(args, store, &*reader).await?;
    let mut runs = Vec::new();
    for name in &args.traces {
        let run = resolve(store, &*reader, name).await?;
        if !runs.iter().any(|(id, _)| *id == run.trace_id) {
            runs.push((run.trace_id, run.workflow));
        }
    }
    if args.traces.is_empty() {
        runs = select::all(store, &*reader, &args.filter).await?;
    }
    if args.format == ExportFormat::Mermaid && runs.len() > 1 {
        return Err(CliError::Usage(format!(
            "a flowchart is of one run, and {} match; name the run",
            group(runs.len() as u64)
        )));
    }
    let against = match &args.against {
        Some(_) if args.format != ExportFormat::Html => {
            return Err(CliError::Usage(
                "--against is for --format html; `throughline diff` compares two runs in a terminal".into(),
            ));
        }
        Some(name) => Some(resolve(store, &*reader, name).await?.trace_id),
        None => None,
    };
    if let (Some(against), [(run, _)]) = (against, &runs[..])
        && against == *run
    {
        return Err(CliError::Usage(format!("{run} is the run that --against names; name another one")));
    }
    if runs.is_empty() {
        return Err(match args.filter.is_any(store) {
            true => nothing_here(store),
            false => CliError::NotFound("no run matches, so nothing was written".into()),
        });
    }
    let Some(path) = args.output.as_deref().filter(|path| !is_stdout(path)) else {
        write(args.format, &source, &runs, against, screen.writer()).await?;
        return Ok(Answer::Yes);
    };
    let refused = |error: io::Error| match error.kind() {
        // Nobody reads the other end of it any more.
        io::ErrorKind::BrokenPipe => CliError::Output(error),
        _ => CliError::Input(format!("{}: {error}", path.display())),
    };
    let mut file = BufWriter::new(File::create(path).map_err(refused)?);
    let events = match write(args.format, &source, &runs, against, &mut file).await {
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

/// Where the events of runs come from, and what is taken out of them.
struct Source<'a> {
    reader: &'a dyn TraceReader,
    redactor: Redactor,
    redact_more: Option<Redactor>,
    anonymous: Option<Anonymous>,
}

impl<'a> Source<'a> {
    async fn new(args: &ExportArgs, store: &Store, reader: &'a dyn TraceReader) -> Result<Self, CliError> {
        let redactor = store.redactor().await?;
        let redact_more = match args.redact_more {
            true => Some(store.redactor_of_more().await?),
            false => None,
        };
        let anonymous = if args.anonymise { Some(Anonymous::new(redactor.clone())?) } else { None };
        Ok(Self { reader, redactor, redact_more, anonymous })
    }

    async fn events(&self, id: TraceId) -> Result<Vec<TraceEvent>, CliError> {
        let mut events = self.reader.trace(id).await?;
        if let Some(more) = &self.redact_more {
            events.iter_mut().for_each(|event| redact_event(more, event));
        }
        if let Some(anonymous) = &self.anonymous {
            anonymous.apply(&mut events);
        }
        Ok(events)
    }

    /// The stories of runs, of which none is without events.
    async fn stories(&self, runs: &[(TraceId, Option<Text>)]) -> Result<Vec<Story>, CliError> {
        let mut stories = Vec::with_capacity(runs.len());
        for (id, _) in runs {
            stories.extend(self.story(*id).await?);
        }
        Ok(stories)
    }

    async fn story(&self, id: TraceId) -> Result<Option<Story>, CliError> {
        let events = self.events(id).await?;
        let mut instances: Vec<_> = events.iter().map(|event| event.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        let liveness = self.reader.liveness(&instances).await?;
        let known: HashMap<_, _> = instances.into_iter().zip(liveness).collect();
        let query = TraceQuery::new(events)
            .with_liveness(|owner| known.get(&owner).copied().unwrap_or(Liveness::Dead));
        Ok(Story::of(query))
    }

    /// Adds to those that did not end well what they are compared with.
    async fn add_good_runs(&self, stories: &mut [Story]) -> Result<(), CliError> {
        for story in stories.iter_mut().filter(|story| story.run.state != RunState::Succeeded) {
            // As it is in the store: a story may have pseudonyms in the place of names.
            let Some(run) = self.reader.run(story.run.trace_id).await? else { continue };
            if let Some(good) = last_good(self.reader, &run).await? {
                story.good = self.story(good.trace_id).await?.map(Box::new);
            }
        }
        Ok(())
    }
}

/// Writes runs one after the other. Returns how many events were written.
async fn write(
    format: ExportFormat,
    source: &Source<'_>,
    runs: &[(TraceId, Option<Text>)],
    against: Option<TraceId>,
    mut output: &mut dyn Write,
) -> Result<u64, CliError> {
    let mut events = 0;
    let mut told = match format {
        ExportFormat::Jsonl => {
            for (id, _) in runs {
                for event in source.events(*id).await? {
                    crate::output::write_json(&mut output, &event, false)?;
                    events += 1;
                }
            }
            return Ok(events);
        }
        ExportFormat::Xes => {
            // An import gives the name of the log, or else that of each run, back to its workflow.
            let mut workflows = runs.iter().map(|(_, workflow)| workflow.as_deref());
            let name = workflows.next().flatten();
            let is_one = workflows.all(|workflow| workflow == name);
            let mut writer = XesWriter::begin(source.redactor.clone())?;
            for (id, _) in runs {
                events += writer.run(source.events(*id).await?, !is_one)?;
            }
            writer.finish(name.filter(|_| is_one), &mut output)?;
            return Ok(events);
        }
        ExportFormat::Markdown | ExportFormat::Mermaid | ExportFormat::Perfetto | ExportFormat::Html => {
            source.stories(runs).await?
        }
    };
    let chosen = match against {
        Some(against) => source.story(against).await?,
        None => None,
    };
    if format == ExportFormat::Html && chosen.is_none() {
        source.add_good_runs(&mut told).await?;
    }
    match format {
        ExportFormat::Perfetto => perfetto::write(&told, output)?,
        ExportFormat::Html => page::write(&told, chosen.as_ref(), output)?,
        ExportFormat::Mermaid => told.iter().try_for_each(|story| mermaid::write(story, output))?,
        _ => told.iter().try_for_each(|story| markdown::write(story, output))?,
    }
    let of_each =
        told.iter().map(|story| story.query.spans().map(|span| span.events().count() as u64).sum::<u64>());
    Ok(of_each.sum())
}
