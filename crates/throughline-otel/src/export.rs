//! The exporter: what runs on its thread, from events to answers of the collector.

mod batch;
mod kept;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use throughline_model::{
    BoxError, DropReason, Instance, OpenError, Readers, SpanId, SpoolConfig, TraceEvent, TraceId,
};
use tokio::time::Instant;

use crate::assemble::{Amounts, Assembler, Finished};
use crate::backlog::Backlog;
use crate::config::{Batching, OpenSpans, Otlp, Signal};
use crate::deadline::{Deadline, at};
use crate::intake::{Intake, Seen};
use crate::ledger::Ledger;
use crate::lookup::{Answered, Lookups, Question};
use crate::outbox::Outbox;
use crate::sampler::Sampling;
use crate::translate::{self, Style};
use crate::transport::{Answer, Transport};
use crate::worker::{AT_LEISURE, Commands, Flush};
use batch::{Processes, Record, Sent};

/// What an exporter is made of, before it has a runtime.
pub(crate) struct Plan {
    traces: Signal,
    logs: Signal,
    batching: Batching,
    style: Style,
    open_spans: OpenSpans,
    instance: Instance,
    lookups: Lookups,
    processes: Processes,
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    sampling: Arc<Sampling>,
    outbox: Option<Arc<dyn SpoolConfig>>,
}

pub(crate) struct Exporter {
    style: Style,
    open_spans: OpenSpans,
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    sampling: Arc<Sampling>,
    assembler: Assembler,
    lookups: Lookups,
    spans: Backlog<Sent>,
    records: Backlog<Record>,
    outbox: Option<Outbox>,
    processes: Processes,
    transport: Transport,
    transport_of_records: Transport,
    deadline: Deadline,
}

impl Exporter {
    pub(crate) fn plan(
        otlp: &Otlp,
        instance: &Instance,
        readers: Option<&Readers>,
        intake: &Arc<Intake>,
        ledger: &Arc<Ledger>,
        sampling: &Arc<Sampling>,
    ) -> Plan {
        let reader = readers.map(|readers| Arc::clone(&readers.reader));
        Plan {
            traces: otlp.traces.clone(),
            logs: otlp.logs.clone(),
            batching: otlp.batching,
            style: Style {
                value_limit: otlp.value_limit,
                exceptions: otlp.exceptions,
                log_records: otlp.log_records,
            },
            open_spans: match otlp.open_spans {
                OpenSpans::LogRecord if !otlp.log_records => OpenSpans::Hidden,
                open_spans => open_spans,
            },
            lookups: Lookups::new(reader),
            processes: Processes::new(instance, otlp.resource.clone()),
            instance: instance.clone(),
            intake: Arc::clone(intake),
            ledger: Arc::clone(ledger),
            sampling: Arc::clone(sampling),
            outbox: otlp.outbox.clone(),
        }
    }
}

impl Plan {
    pub(crate) async fn open(mut self, deadline: Deadline) -> Result<Exporter, OpenError> {
        let unusable = |source: BoxError| OpenError::Unusable {
            store: "otlp",
            reason: source.to_string(),
            source: Some(source),
        };
        let transport = Transport::new(&self.traces).map_err(unusable)?;
        let transport_of_records = Transport::new(&self.logs).map_err(unusable)?;
        let outbox = match &self.outbox {
            Some(config) => {
                // What can't be delivered now waits.
                self.batching.patience = Duration::MAX;
                Some(Outbox::open(&**config, self.instance).await?)
            }
            None => None,
        };
        // What an earlier process left is delivered by this one.
        self.ledger.accept(outbox.as_ref().map_or(0, Outbox::waiting));
        Ok(Exporter {
            style: self.style,
            open_spans: self.open_spans,
            intake: self.intake,
            ledger: self.ledger,
            sampling: self.sampling,
            assembler: Assembler::new(self.batching.capacity),
            lookups: self.lookups,
            spans: Backlog::new("spans", self.batching),
            records: Backlog::new("log records", self.batching),
            outbox,
            processes: self.processes,
            transport,
            transport_of_records,
            deadline,
        })
    }
}

impl Exporter {
    /// Exports until it is closed or nobody can emit any more.
    pub(crate) async fn run(mut self, mut commands: Commands) {
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(Flush { until, closes, done }) = command else {
                        self.close(Instant::now() + AT_LEISURE).await;
                        return;
                    };
                    let until = Instant::from_std(until);
                    if closes {
                        self.close(until).await;
                        let _ = done.send(());
                        return;
                    }
                    self.flush(until).await;
                    let _ = done.send(());
                }
                () = self.intake.arrival() => {}
                answered = self.lookups.answer(&self.assembler) => self.answered(answered),
                () = at(due) => {}
            }
            self.look_at(self.intake.take());
            self.lookups.ask_next();
            self.send_what_is_due().await;
        }
    }

    /// When something is to be done without anything happening.
    fn due(&self) -> Option<Instant> {
        [self.spans_due(), self.records.due()].into_iter().flatten().min()
    }

    /// When something is to be done that somebody waits for who flushes: what events are accounted for by, and with an outbox
    /// all that there is.
    fn owed_due(&self) -> Option<Instant> {
        let records = self.outbox.as_ref().and_then(|_| self.records.due());
        [self.spans_due(), records].into_iter().flatten().min()
    }

    /// The same for spans.
    fn spans_due(&self) -> Option<Instant> {
        let spooled = self.outbox.as_ref().filter(|outbox| outbox.waiting() > 0);
        let spooled = spooled.map(|_| self.spans.not_before());
        [self.spans.due(), self.lookups.due(), spooled].into_iter().flatten().min()
    }

    fn look_at(&mut self, seen: Vec<Seen>) {
        let mut began = Vec::new();
        for seen in seen {
            let event = match seen {
                Seen::Event(event) => event,
                Seen::Failed(end) => {
                    self.lookups.ask(Question::Whole(end));
                    continue;
                }
            };
            match self.assembler.take(event) {
                Amounts::Began(start) => began.push(start),
                Amounts::Ended(span) if span.is_fragment() && self.lookups.can_answer() => {
                    self.lookups.ask(Question::Beginning(span));
                }
                Amounts::Ended(span) => self.add(span),
                Amounts::Waits => {}
                Amounts::NoRoom => self.ledger.lose(DropReason::QueueFull, 1),
            }
        }
        // Most have ended by now, and are shown as spans.
        for start in began {
            if self.assembler.has(start.trace_id, start.span_id) {
                self.show(&start);
            }
        }
    }

    /// Shows the start of a span to others while it is open.
    fn show(&mut self, start: &TraceEvent) {
        match self.open_spans {
            OpenSpans::Hidden => {}
            OpenSpans::LogRecord => {
                let record = translate::start_record(start, self.style);
                let _ = self.records.push(Record::of_start(&record, start));
                self.records.hurry();
            }
            OpenSpans::PendingSpan => {
                let state = self.sampling.trace_state(start.trace_id);
                let span = Span { trace_state: state, ..translate::start_span(start, self.style) };
                let _ = self.spans.push(Sent::of_start(&span, start));
                self.spans.hurry();
            }
        }
    }

    /// A span that is to be sent.
    fn add(&mut self, finished: Finished) {
        let Some((span, last)) =
            translated(&finished, self.style, &self.sampling).zip(finished.events.last().cloned())
        else {
            return;
        };
        let owed = finished.owed;
        let finished = self.outbox.is_some().then_some(finished);
        if finished.is_none() {
            self.tell_exception(&last);
        }
        if self.spans.push(Sent::new(&span, &last, owed, finished)).is_err() {
            self.ledger.lose(DropReason::QueueFull, owed);
        }
    }

    /// The log record of the exception that a span ended with, if there is one. With an outbox it follows its span, with which it
    /// waits otherwise; the span has the error's type and message in any case, so that no event is lost with the record.
    fn tell_exception(&mut self, end: &Arc<TraceEvent>) {
        if let Some(record) = translate::exception_record(end, self.style) {
            let _ = self.records.push(Record::of_exception(&record, end, self.outbox.is_some()));
        }
    }

    fn answered(&mut self, answered: Answered) {
        self.processes.learn(answered.processes);
        self.ledger.accept(answered.whole.iter().map(|span| span.owed).sum());
        answered.spans.into_iter().chain(answered.whole).for_each(|span| self.add(span));
    }

    async fn send_what_is_due(&mut self) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        while !self.is_late() && is_due(self.spans.due()) {
            self.send_spans().await;
        }
        let is_in_use = |outbox: &Outbox| outbox.waiting() > 0;
        while !self.is_late()
            && self.outbox.as_ref().is_some_and(is_in_use)
            && is_due(Some(self.spans.not_before()))
        {
            self.send_from_the_outbox().await;
        }
        // Last: no event is lost with a record, and a collector may take no logs.
        while !self.is_late() && is_due(self.records.due()) {
            self.send_records().await;
        }
    }

    /// Sends all that there is, until that is done or it is too late.
    async fn flush(&mut self, until: Instant) {
        loop {
            self.look_at(self.intake.take());
            self.lookups.ask_next();
            self.spans.hurry();
            self.records.hurry();
            self.send_what_is_due().await;
            let next = self.owed_due().filter(|next| *next < until);
            let is_done = next.is_none() && !self.lookups.are_waiting();
            // Somebody else may wait for less long, and is served by what is left to be done.
            if is_done || Instant::now() >= until || self.is_late() {
                return;
            }
            let waiting = async {
                tokio::select! {
                    answered = self.lookups.answer(&self.assembler) => Some(answered),
                    () = at(Some(next.unwrap_or(until))) => None,
                }
            };
            if let Some(Some(answered)) = self.deadline.limit(waiting).await {
                self.answered(answered);
            }
        }
    }

    /// Sends all that there is for the last time; what is left then waits in the outbox or is counted as dropped.
    async fn close(mut self, until: Instant) {
        self.flush(until).await;
        let last = self.intake.close();
        self.look_at(last);
        self.lookups.give_up().into_iter().for_each(|span| self.add(span));
        let left = self.spans.take(self.spans.len());
        self.keep_or_lose(left, DropReason::Shutdown).await;
        self.ledger.lose(DropReason::Shutdown, self.assembler.abandon());
        let records = self.records.take(self.records.len());
        if let Some(outbox) = &mut self.outbox {
            let ends: Vec<_> = records.into_iter().filter_map(|record| record.exception_of).collect();
            if !ends.is_empty()
                && let Err(error) = outbox.push_records(&ends).await
            {
                tracing::warn!(target: "throughline", %error, "the outbox of otlp did not take log records");
            }
            outbox.close().await;
        }
    }

    async fn send_spans(&mut self) {
        if self.outbox.as_ref().is_some_and(|outbox| outbox.waiting() > 0) {
            // Behind those that wait.
            let all = self.spans.take(self.spans.len());
            return self.keep_or_lose(all, DropReason::Unavailable).await;
        }
        let count = self.spans.batch();
        let request = self.processes.request(self.spans.first(count).map(|sent| &sent.span));
        let sending = self.transport.send(request);
        match self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late) {
            Answer::Taken { rejected, message } => {
                let batch = self.spans.take(count);
                self.spans.went_well();
                self.taken(&batch, rejected, &message);
            }
            Answer::TooLarge { reason } => {
                if !self.spans.halve(count) {
                    self.rejected(count, &reason);
                }
            }
            Answer::Rejected { reason } => self.rejected(count, &reason),
            Answer::Later { after, reason } => {
                self.spans.trouble(&reason);
                self.spans.put_off(after);
                if self.outbox.is_some() {
                    let all = self.spans.take(self.spans.len());
                    self.keep_or_lose(all, DropReason::Unavailable).await;
                } else {
                    let overdue = self.spans.take_overdue();
                    self.keep_or_lose(overdue, DropReason::Unavailable).await;
                }
            }
        }
    }

    fn taken(&mut self, batch: &[Sent], rejected: u64, message: &str) {
        if rejected > 0 || !message.is_empty() {
            tracing::warn!(target: "throughline", rejected, message, "the collector did not take all spans of a batch");
        }
        // It does not say which ones it rejects.
        let taken = batch.len() - usize::try_from(rejected).unwrap_or(usize::MAX).min(batch.len());
        for (at, span) in batch.iter().enumerate() {
            if at >= taken {
                self.ledger.lose(DropReason::Rejected, span.owed);
                continue;
            }
            self.ledger.deliver(span.owed);
            self.start_arrived(span.start_of);
            if let Some(end) = span.finished.as_ref().and_then(|finished| finished.events.last()) {
                self.tell_exception(end);
            }
        }
    }

    /// An open span's start counts as delivered, unless it is to wait for the end in the outbox.
    fn start_arrived(&mut self, start_of: Option<(TraceId, SpanId)>) {
        if let Some((trace, span)) = start_of.filter(|_| self.outbox.is_none())
            && self.assembler.start_arrived(trace, span)
        {
            self.ledger.deliver(1);
        }
    }

    fn rejected(&mut self, count: usize, reason: &str) {
        self.spans.trouble(reason);
        let owed = self.spans.take(count).iter().map(|span| span.owed).sum();
        self.ledger.lose(DropReason::Rejected, owed);
        self.spans.may_grow();
    }

    async fn send_records(&mut self) {
        let count = self.records.batch();
        let request = self.processes.request(self.records.first(count).map(|sent| &sent.record));
        let sending = self.transport_of_records.send(request);
        match self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late) {
            Answer::Taken { rejected, .. } => {
                let batch = self.records.take(count);
                self.records.went_well();
                let taken = batch.len() - usize::try_from(rejected).unwrap_or(usize::MAX).min(batch.len());
                batch.iter().take(taken).for_each(|record| self.start_arrived(record.start_of));
            }
            Answer::TooLarge { .. } if self.records.halve(count) => {}
            Answer::TooLarge { reason } => {
                self.records.trouble(&reason);
                self.records.take(count);
                self.records.may_grow();
            }
            // It may take no log records at all.
            Answer::Rejected { reason } => {
                self.records.trouble(&reason);
                self.records.refused();
            }
            Answer::Later { after, reason } => {
                self.records.trouble(&reason);
                self.records.put_off(after);
                self.records.take_overdue();
            }
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.has_passed()
    }
}

fn translated(finished: &Finished, style: Style, sampling: &Sampling) -> Option<Span> {
    let trace = finished.events.first()?.trace_id;
    Some(Span { trace_state: sampling.trace_state(trace), ..translate::span(finished, style)? })
}

#[cfg(test)]
mod tests {
    use throughline_model::{InstanceId, Status, Timestamp};
    use tokio::sync::watch;

    use super::*;
    use crate::sampler::Sampler;

    #[tokio::test]
    async fn the_start_of_a_span_is_shown_if_that_is_still_open_when_it_is_looked_at() {
        let instance = Instance::new(InstanceId::random(), "loans");
        let (intake, ledger) = (Arc::new(Intake::new(8)), Arc::<Ledger>::default());
        let sampling = Arc::new(Sampling::new(Sampler::default()));
        let plan = Exporter::plan(&Otlp::new(), &instance, None, &intake, &ledger, &sampling);
        let (_open, deadline) = watch::channel(None);
        let mut exporter = plan.open(Deadline::new(deadline)).await.unwrap();
        let span = |seq, status| {
            let (trace, at) = (TraceId::from_key("loan-42"), Timestamp::from_micros(i64::from(seq)));
            let mut event = TraceEvent::new(trace, SpanId::from_u64(7).unwrap(), "stage:one", at, "loans");
            (event.seq, event.status) = (seq, status);
            Seen::Event(Arc::new(event))
        };
        exporter.look_at(vec![span(0, Status::Pending), span(1, Status::Success)]);
        assert_eq!((exporter.records.len(), exporter.spans.len()), (0, 1));
        exporter.look_at(vec![span(0, Status::Pending)]);
        assert_eq!((exporter.records.len(), exporter.spans.len()), (1, 1));
        exporter.look_at(vec![span(1, Status::Success)]);
        assert_eq!((exporter.records.len(), exporter.spans.len()), (1, 2));
    }
}
