//! Where the events of spans wait that the collector does not take.

use std::sync::Arc;

use throughline_model::{AppendError, Instance, OpenError, Spool, SpoolConfig, Spooled, Status, TraceEvent};

use crate::assemble::{Amounts, Assembler, Finished};

/// How many events are read at once: more than one span has.
const READ: usize = 1024;

pub(crate) struct Outbox {
    spool: Arc<dyn Spool>,
    waiting: u64,
}

/// One of the spans that have waited longest.
pub(crate) struct First {
    pub(crate) span: Finished,
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

    /// Takes the events of a span as one group; answers how many they are.
    pub(crate) async fn push(&mut self, span: &Finished) -> Result<u64, AppendError> {
        let events = in_order(span);
        self.spool.push(&events).await?;
        self.waiting += events.len() as u64;
        Ok(events.len() as u64)
    }

    /// The spans that have waited longest.
    pub(crate) async fn first(&mut self) -> Result<Vec<First>, AppendError> {
        let spooled = self.spool.peek(READ).await?;
        if spooled.is_empty() {
            self.waiting = 0;
        }
        let mut assembler = Assembler::new(usize::MAX);
        let ended = |(events, spooled): (u64, &Spooled)| match assembler.take(Arc::clone(&spooled.event)) {
            // A group has the end of its span last.
            Amounts::Ended(span) => {
                Some(First { span, through: Through { position: spooled.position, events } })
            }
            _ => None,
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

/// Those that began the span, those in it, and the end.
fn in_order(span: &Finished) -> Vec<Arc<TraceEvent>> {
    let (open, end): (Vec<_>, Vec<_>) =
        span.events.iter().cloned().partition(|event| event.status == Status::Pending);
    open.into_iter().chain(span.points.iter().cloned()).chain(end).collect()
}
