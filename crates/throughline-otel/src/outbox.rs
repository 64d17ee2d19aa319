//! Where the events of spans wait that the collector does not take.

use std::sync::Arc;

use throughline_model::{
    AppendError, Instance, OpenError, Spool, SpoolConfig, Spooled, Status, Timestamp, TraceEvent,
};

use crate::assemble::{Amounts, Assembler, Finished};

/// How many events are read at once: more than one span has.
const READ: usize = 1024;

/// An attribute of the last event of a group, where that does not say by itself what is to be sent; taken off when it is read.
const NOTE: &str = "throughline.otlp.outbox";
/// What it says where the span has been sent, and only the log record of its exception has not.
const RECORD_ALONE: &str = "record";

pub(crate) struct Outbox {
    spool: Arc<dyn Spool>,
    waiting: u64,
}

/// One of the spans that have waited longest.
pub(crate) struct First {
    pub(crate) span: Finished,
    /// Whether the span has been sent, and only the log record of its exception has not.
    pub(crate) is_record_alone: bool,
    pub(crate) through: Through,
}

/// The end of a span in the outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Through {
    position: u64,
    /// How many events there are up to here.
    events: u64,
}

impl Outbox {
    pub(crate) async fn open(config: &dyn SpoolConfig, instance: Instance) -> Result<Self, OpenError> {
        let spool = config.open(instance).await?;
        let usage = spool.usage().await.map_err(|error| OpenError::Unavailable {
            store: "the outbox of otlp",
            reason: error.to_string(),
            source: None,
        })?;
        Ok(Self { spool, waiting: usage.events })
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Takes the events of these spans, all or none; answers how many they are.
    pub(crate) async fn push(&mut self, spans: &[&Finished]) -> Result<u64, AppendError> {
        let events: Vec<_> = spans.iter().flat_map(|span| group(span)).collect();
        self.spool.push(&events).await?;
        self.waiting += events.len() as u64;
        Ok(events.len() as u64)
    }

    /// Takes the ends of spans that have been sent, but for the log records of their exceptions.
    pub(crate) async fn push_records(&mut self, ends: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        let events: Vec<_> = ends.iter().map(|end| noted(end, RECORD_ALONE.to_owned())).collect();
        self.spool.push(&events).await?;
        self.waiting += events.len() as u64;
        Ok(())
    }

    /// The spans that have waited longest.
    pub(crate) async fn first(&mut self) -> Result<Vec<First>, AppendError> {
        let spooled = self.spool.peek(READ).await?;
        if spooled.is_empty() {
            self.waiting = 0;
        }
        let mut assembler = Assembler::new(usize::MAX);
        let ended = |(events, spooled): (u64, &Spooled)| {
            let through = Through { position: spooled.position, events };
            let (event, note) = without_note(&spooled.event);
            let is_record_alone = note.as_deref() == Some(RECORD_ALONE);
            let interrupted_at = note.and_then(|note| note.parse().ok()).map(Timestamp::from_micros);
            match assembler.take(Arc::clone(&event)) {
                // A group has the end of its span last.
                Amounts::Ended(span) => Some(First { span, is_record_alone, through }),
                _ => {
                    let span =
                        if event.status == Status::Pending { event.span_id } else { event.parent_span_id? };
                    let span = assembler.interrupted(event.trace_id, span, interrupted_at?)?;
                    Some(First { span, is_record_alone, through })
                }
            }
        };
        Ok((1..).zip(&spooled).filter_map(ended).collect())
    }

    /// Removes the [first](Self::first) spans up to here.
    pub(crate) async fn remove(&mut self, through: Through) -> Result<(), AppendError> {
        self.spool.remove_through(through.position).await?;
        self.waiting = self.waiting.saturating_sub(through.events);
        Ok(())
    }

    pub(crate) async fn close(&self) {
        if let Err(error) = self.spool.close().await {
            tracing::warn!(target: "throughline", %error, "the outbox of otlp was not closed");
        }
    }
}

/// Those that began the span, those in it, and the end. Of one that was interrupted the last of them says when.
fn group(span: &Finished) -> Vec<Arc<TraceEvent>> {
    let (open, end): (Vec<_>, Vec<_>) =
        span.events.iter().cloned().partition(|event| event.status == Status::Pending);
    let mut group: Vec<_> = open.into_iter().chain(span.points.iter().cloned()).chain(end).collect();
    if let Some((at, last)) = span.interrupted_at.zip(group.last_mut()) {
        *last = noted(last, at.as_micros().to_string());
    }
    group
}

fn noted(event: &TraceEvent, note: String) -> Arc<TraceEvent> {
    let attrs = event.attrs.with(NOTE, note);
    Arc::new(TraceEvent { attrs, ..event.clone() })
}

/// The event as it was, and what was noted on it.
fn without_note(event: &Arc<TraceEvent>) -> (Arc<TraceEvent>, Option<String>) {
    let Some(note) = event.attrs.get(NOTE).map(str::to_owned) else { return (Arc::clone(event), None) };
    let attrs = event.attrs.iter().filter(|(name, _)| name != NOTE).cloned().collect();
    (Arc::new(TraceEvent { attrs, ..TraceEvent::clone(event) }), Some(note))
}
