//! [`Logs`]: the handle, and its builder.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::log::LogLineSink;
use throughline_core::metrics::{CollectorGuard, Meter, catalogue};
use throughline_core::{EventSink, Redactor, Text};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::layer::LogLayer;
use crate::levels::CurrentLevels;
use crate::limits::Limits;
use crate::output::{Opened, Output};
use crate::queue::Queue;
use crate::shared::{Export, Shared};
use crate::story::StorySink;
use crate::{Levels, LogDropReason, LogReport};

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// As text in a terminal, as JSON everywhere else.
    #[default]
    Auto,
    /// A JSON object a line.
    Json,
    /// Text for people. It has colours in a terminal, unless `NO_COLOR` is set.
    Text,
}

/// The logs of a service: one JSON object a line, redacted, with the ids of the run that each belongs to. Cheap to clone.
///
/// It installs nothing by itself: [`layer`](Self::layer) goes into the subscriber that the service installs, beside whatever
/// layers are there, and [`story`](Self::story) into the builder of the emitter, to have what happens in runs in the log as
/// well.
///
/// ```
/// use throughline_core::{Redaction, Throughline};
/// use throughline_log::{Logs, Output};
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let logs = Logs::builder("loan-service").output(Output::stderr()).build()?;
/// let throughline = Throughline::builder("loan-service").sink(logs.story()).build()?;
/// let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
/// tracing::subscriber::with_default(subscriber, || {
///     // {"timestamp":"…","level":"info","message":"an offer was sent","service":"loan-service",…,"metadata":{"amount":50000}}
///     tracing::info!(amount = 50_000, "an offer was sent");
/// });
/// let report = logs.flush(std::time::Duration::from_secs(5));
/// assert_eq!((report.accepted, report.written), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

impl Logs {
    /// A builder that says where and how the lines of a service are written.
    pub fn builder(service: impl Into<Text>) -> LogsBuilder {
        LogsBuilder {
            service: service.into(),
            output: Output::stdout(),
            format: Format::Auto,
            levels: Levels::default(),
            limits: Limits::default(),
            capacity: DEFAULT_CAPACITY,
            export: Export::default(),
        }
    }

    /// The layer that writes what is logged with `tracing`, by any crate, redacted by this redactor: that of the emitter,
    /// [`Throughline::redactor`](throughline_core::Throughline::redactor). It filters by its own [levels](Levels), and keeps
    /// nothing from other layers.
    pub fn layer<S>(&self, redactor: &Redactor) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        LogLayer::new(Arc::clone(&self.0), redactor.clone()).with_filter(self.0.levels.clone())
    }

    /// The sink that writes what happens in runs: failures once, where they happened, calls to dependencies, transitions of
    /// state machines, resources that are made, authentication, and what was done to recover. At the level `debug` of the
    /// target `throughline::story` it writes everything. Its lines are redacted by the emitter.
    pub fn story(&self) -> impl EventSink + use<> {
        StorySink::new(Arc::clone(&self.0))
    }

    /// Which lines are written today.
    pub fn levels(&self) -> Levels {
        (*self.0.levels.get()).clone()
    }

    /// Changes which lines are written, at once and for all threads.
    pub fn set_levels(&self, levels: Levels) {
        self.0.levels.set(levels);
    }

    /// Answers a request of an operator about the levels: `GET` says what they are, `PUT` sets them to those in the body. For an
    /// endpoint of any framework, which has to see to it that only operators reach it.
    ///
    /// ```
    /// # use throughline_log::{Logs, Output};
    /// let logs = Logs::builder("loan-service").output(Output::stderr()).build()?;
    /// assert_eq!(logs.answer("PUT", "debug,hyper=warn").status, 200);
    /// assert_eq!(logs.answer("GET", "").body, "debug,hyper=warn");
    /// # Ok::<(), throughline_log::LogsError>(())
    /// ```
    pub fn answer(&self, method: &str, body: &str) -> LevelsAnswer {
        let answer = |status, body| LevelsAnswer { status, body };
        match method {
            "GET" => answer(200, self.levels().to_string()),
            "PUT" => match body.trim().parse::<Levels>() {
                Ok(levels) => {
                    self.set_levels(levels);
                    answer(200, self.levels().to_string())
                }
                Err(error) => answer(400, error.to_string()),
            },
            _ => answer(405, "the levels can be read with GET and set with PUT".to_owned()),
        }
    }

    /// What became of the lines so far.
    pub fn report(&self) -> LogReport {
        let figures = self.0.queue.figures();
        let limits = &self.0.limits;
        let (rate_limited, sampled_out) = (limits.rate_limited(), limits.sampled_out());
        let dropped = [
            (LogDropReason::Full, figures.full),
            (LogDropReason::Failed, figures.failed),
            (LogDropReason::RateLimited, rate_limited),
            (LogDropReason::SampledOut, sampled_out),
        ];
        LogReport {
            accepted: figures.accepted + rate_limited + sampled_out,
            written: figures.written,
            pending: figures.pending,
            dropped: dropped.into_iter().filter(|(_, count)| *count > 0).collect(),
            failing: self.0.queue.last_failure(),
        }
    }

    /// Waits until everything that was logged before is written or dropped, but no longer than this, and says what became of
    /// it.
    pub fn flush(&self, timeout: Duration) -> LogReport {
        self.0.queue.wait(timeout);
        self.report()
    }

    /// Flushes when it is dropped: keep it in `main`, for what is logged last is written by another thread.
    pub fn flush_on_drop(&self, timeout: Duration) -> FlushOnDrop {
        FlushOnDrop { logs: self.clone(), timeout }
    }

    /// Measures what becomes of the lines, for as long as the guard lives.
    pub fn measure(&self, meter: &Meter) -> CollectorGuard {
        let accepted = meter.counter(&catalogue::LOG_LINES);
        let lost = meter.counter(&catalogue::LOG_LINES_DROPPED);
        // Not the logs themselves: measuring them does not keep them open.
        let shared = Arc::downgrade(&self.0);
        meter.on_collect(move || {
            let Some(logs) = shared.upgrade().map(Logs) else { return };
            let (service, report) = (&*logs.0.service, logs.report());
            accepted.with([service]).absolute(report.accepted);
            for (reason, count) in report.dropped {
                lost.with([service, reason.as_str()]).absolute(count);
            }
        })
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("levels", &self.levels())
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// What an operator is told about the levels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelsAnswer {
    /// The status code of HTTP.
    pub status: u16,
    /// The body, as plain text.
    pub body: String,
}

/// Flushes the logs when it is dropped. See [`Logs::flush_on_drop`].
#[derive(Debug)]
#[must_use = "dropped at once, it flushes at once"]
pub struct FlushOnDrop {
    logs: Logs,
    timeout: Duration,
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        self.logs.flush(self.timeout);
    }
}

const DEFAULT_CAPACITY: usize = 8 * 1024 * 1024;

/// Says where and how lines are written. See [`Logs::builder`].
#[derive(Debug)]
#[must_use]
pub struct LogsBuilder {
    service: Text,
    output: Output,
    format: Format,
    levels: Levels,
    limits: Limits,
    capacity: usize,
    export: Export,
}

impl LogsBuilder {
    /// Where lines go; [`Output::stdout`] by default.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// How lines are written; [`Format::Auto`] by default.
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Which lines are written; `info` by default. See [`Logs::set_levels`].
    pub fn levels(mut self, levels: Levels) -> Self {
        self.levels = levels;
        self
    }

    /// Writes at most so many lines in this time of targets that begin so, whatever their level. The others are counted.
    pub fn limit(mut self, target: impl Into<String>, lines: u32, per: Duration) -> Self {
        self.limits.limit(target.into(), lines, per);
        self
    }

    /// Writes one line in so many of targets that begin so; errors and warnings are all written. The others are counted.
    pub fn sample(mut self, target: impl Into<String>, one_in: u32) -> Self {
        self.limits.sample(target.into(), one_in);
        self
    }

    /// How many bytes of lines may wait for the output; 8 MiB by default. What finds no room is dropped and counted.
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Hands each line that is written to an exporter as well, such as that of OpenTelemetry.
    pub fn export(mut self, sink: impl LogLineSink) -> Self {
        self.export = Export(Some(Arc::new(sink)));
        self
    }

    /// Opens the output and starts the thread that writes to it.
    ///
    /// # Errors
    /// When the output can't be opened, or no thread can be started.
    pub fn build(self) -> Result<Logs, LogsError> {
        let what = self.output.describe();
        let opened = self.output.open().map_err(|source| LogsError::Open { output: what, source })?;
        let Opened { output, is_terminal } = opened;
        Ok(Logs(Arc::new(Shared {
            service: self.service,
            levels: CurrentLevels::new(self.levels),
            limits: self.limits,
            is_text: match self.format {
                Format::Auto => is_terminal,
                Format::Json => false,
                Format::Text => true,
            },
            has_colour: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
            queue: Queue::start(output, self.capacity).map_err(LogsError::Thread)?,
            export: self.export,
        })))
    }
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// The output can't be opened.
    #[error("logs can't be written to {output}: {source}; name a place where this process may write")]
    Open {
        /// What was to be opened.
        output: String,
        /// Why it can't be.
        source: io::Error,
    },
    /// There is no thread to write with.
    #[error("no thread can be started to write logs with: {0}")]
    Thread(#[source] io::Error),
}
