//! `throughline logs`: the log files of a service, followed from beside it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use throughline_sidecar::{Files, FoundLine, LogFilter, LogStyle, LogsError, Record};

use crate::args::LogsArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, is_unsafe};
use crate::store::Pseudonyms;

/// How often files are looked at. Notifications of the system would not come from volumes of other machines.
const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(args: &LogsArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let until = args.for_.map(|time| (Instant::now(), time));
    if args.tail.is_some() && args.paths.iter().any(|path| is_piped(path)) {
        return Err(CliError::Usage(
            "--tail is about files: what is piped in as `-` begins where it begins".into(),
        ));
    }
    let mut filter = filter(args)?;
    if filter.is_of_a_run() {
        // What the run is called may be said after its first lines. What is piped in can be read only once.
        let whole = args.paths.iter().filter(|path| !is_piped(path));
        files(whole, args.gzip).read(|line| {
            Record::read(line.bytes).into_iter().for_each(|record| filter.learn(&record));
            Ok(())
        })?;
    }
    let mut files = files(&args.paths, args.gzip);
    if let Some(lines) = args.tail {
        files = files.last(lines);
    }
    let mut lines = Lines { filter, shows_file: has_several(args), shown: 0, screen };
    let (mut is_first, mut unread) = (true, None);
    loop {
        let is_new = files.read(|line| lines.show(line))?;
        if args.no_follow {
            files.wait_for_streams(|line| lines.show(line))?;
        }
        let is_over =
            args.no_follow || files.is_over() || until.is_some_and(|(start, time)| start.elapsed() >= time);
        if is_over {
            files.end(|line| lines.show(line))?;
        }
        lines.screen.flush()?;
        for trouble in files.troubles() {
            lines.screen.complain(&trouble);
            // Of a file that is torn, what there is was shown.
            if !matches!(trouble, LogsError::Gzip { .. }) {
                unread.get_or_insert(trouble);
            }
        }
        if args.no_follow {
            if let Some(path) = files.missing().next() {
                let path = path.display();
                return Err(CliError::Input(format!(
                    "{path}: there is no such file; without --no-follow it is waited for"
                )));
            }
            if unread.is_some() {
                return Err(CliError::Input("not all that was named could be read".to_owned()));
            }
        }
        if is_over {
            return Ok(Answer::of(lines.shown > 0 || !args.no_follow));
        }
        if std::mem::take(&mut is_first) {
            files
                .missing()
                .for_each(|path| lines.screen.complain(&format_args!("waiting for {}", path.display())));
        }
        if !is_new {
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// What somebody named; `-` is what is piped in.
pub(super) fn files<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, has_rotated: bool) -> Files {
    let (piped, paths): (Vec<_>, Vec<_>) = paths.into_iter().cloned().partition(|path| is_piped(path));
    let mut files = Files::new(paths);
    if !piped.is_empty() {
        files = files.with_stream(io::stdin());
    }
    if has_rotated { files.with_rotated() } else { files }
}

fn is_piped(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn has_several(args: &LogsArgs) -> bool {
    args.paths.len() > 1 || args.paths.iter().any(|path| path.is_dir())
}

fn filter(args: &LogsArgs) -> Result<LogFilter, CliError> {
    let mut filter = LogFilter::new();
    if let Some(level) = args.level {
        filter = filter.level(level);
    }
    if let Some(text) = &args.grep {
        filter = filter.text(text);
    }
    if let Some(key) = &args.run {
        // Where the key is of the kind that is redacted, the service wrote its pseudonym.
        let pseudonym = Pseudonyms::of_environment()?.findable(None, key).into_owned();
        filter = filter.run([key.clone(), pseudonym]);
    }
    Ok(filter)
}

/// Shows lines.
struct Lines<'a> {
    filter: LogFilter,
    shows_file: bool,
    shown: u64,
    screen: &'a mut Screen,
}

impl Lines<'_> {
    fn show(&mut self, line: FoundLine<'_>) -> io::Result<()> {
        if line.bytes.is_empty() {
            return Ok(());
        }
        // What was cut is not JSON any more.
        let record = if line.cut == 0 { Record::read(line.bytes) } else { None };
        let text = String::from_utf8_lossy(line.bytes);
        if !self.filter.matches(&text, record.as_ref()) {
            return Ok(());
        }
        self.shown += 1;
        if self.screen.wants_json() {
            let json = json(line, &text, record.is_some());
            return self.screen.line(json);
        }
        let style = LogStyle { has_colour: self.screen.has_colour(), width: self.screen.width() };
        let file = self.shows_file.then(|| name(line.path));
        let shown = match &record {
            Some(record) => style.record(record, file.as_deref()),
            None => style.malformed(&text, line.cut, file.as_deref()),
        };
        self.screen.line(shown)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A line of JSON as the service wrote it, digit by digit, with escapes where a terminal might obey.
fn json(line: FoundLine<'_>, text: &str, is_json: bool) -> String {
    let file = quoted(&line.path.to_string_lossy());
    match is_json {
        true => format!("{{\"file\":{file},\"line\":{},\"malformed\":null}}", escaped(text.trim())),
        false => format!("{{\"file\":{file},\"line\":null,\"malformed\":{}}}", quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            // Between tokens; within a text they are escapes already.
            '\t' | '\r' => escaped.push(' '),
            _ if is_unsafe(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to memory does not fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            _ => escaped.push(char),
        }
    }
    escaped
}
