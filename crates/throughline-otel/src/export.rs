//! The exporter: what runs on its thread, from events to answers of the collector.

mod batch;

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{
    BoxError, DropReason, Instance, OpenError, Readers, SpanId, SpoolConfig, TraceEvent, TraceId,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::assemble::{Amounts, Assembler, Finished};
use crate::backlog::Backlog;
use crate::config::{Batching, OpenSpans, Otlp};
use crate::deadline::{Deadline, at};
use crate::intake::{Flush, Intake, Seen};
use crate::ledger::Ledger;
use crate::lookup::{Answered, Lookups, Question};
use crate::outbox::{First, Outbox};
use crate::resource;
use crate::translate::{self, Style};
use crate::transport::{Answer, Settings, Transport};
use batch::{Record, Sent, Services};

/// How long what there is may take if nobody waits for it.
const AT_LEISURE: Duration = Duration::from_secs(10);

/// What an exporter is made of, before it has a runtime.
pub(crate) struct Plan {
    settings: Settings,
    batching: Batching,
    style: Style,
    open_spans: OpenSpans,
    instance: Instance,
    lookups: Lookups,
    services: Services,
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    outbox: Option<Arc<dyn SpoolConfig>>,
}

pub(crate) struct Exporter {
    style: Style,
    open_spans: OpenSpans,
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    assembler: Assembler,
    lookups: Lookups,
    spans: Backlog<Sent>,
    records: Backlog<Record>,
    outbox: Option<Outbox>,
    services: Services,
    transport: Transport,
    deadline: Deadline,
}

impl Exporter {
    pub(crate) fn plan(
        otlp: &Otlp,
        instance: &Instance,
        readers: Option<&Readers>,
        intake: &Arc<Intake>,
        ledger: &Arc<Ledger>,
    ) -> Plan {
        let reader = readers.map(|readers| Arc::clone(&readers.reader));
        Plan {
            settings: Settings::of(otlp),
            batching: otlp.batching,
            style: Style { value_limit: otlp.value_limit, exceptions: otlp.exceptions },
            open_spans: otlp.open_spans,
            lookups: Lookups::new(reader),
            services: Services::new(
                instance.service.clone(),
                resource::of_this_process(instance, &otlp.resource),
            ),
            instance: instance.clone(),
            intake: Arc::clone(intake),
            ledger: Arc::clone(ledger),
            outbox: otlp.outbox.clone(),
        }
    }
}

impl Plan {
    pub(crate) async fn open(self, deadline: Deadline) -> Result<Exporter, OpenError> {
        let unusable = |source: BoxError| OpenError::Unusable {
            store: "otlp",
            reason: source.to_string(),
            source: Some(source),
        };
        let transport = Transport::new(&self.settings).map_err(unusable)?;
        let outbox = match &self.outbox {
            Some(config) => Some(Outbox::open(&**config, self.instance).await?),
            None => None,
        };
        // What an earlier process left is delivered by this one.
        self.ledger.accept(outbox.as_ref().map_or(0, Outbox::waiting));
        Ok(Exporter {
            style: self.style,
            open_spans: self.open_spans,
            intake: self.intake,
            ledger: self.ledger,
            assembler: Assembler::new(self.batching.capacity),
            lookups: self.lookups,
            spans: Backlog::new("spans", self.batching),
            records: Backlog::new("log records", self.batching),
            outbox,
            services: self.services,
            transport,
            deadline,
        })
    }
}

impl Exporter {
    /// Exports until it is closed or nobody can emit any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Flush>) {
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
                () = at(due) => {}
            }
            self.look_at(self.intake.take());
            self.look_up().await;
            self.send_what_is_due().await;
        }
    }

    /// When something is to be done without anything happening.
    fn due(&self) -> Option<Instant> {
        [self.spans_due(), self.records.due()].into_iter().flatten().min()
    }

    /// The same for what events are accounted for by.
    fn spans_due(&self) -> Option<Instant> {
        let spooled = self.outbox.as_ref().filter(|outbox| outbox.waiting() > 0);
        let spooled = spooled.map(|_| self.spans.not_before());
        [self.spans.due(), self.lookups.due(), spooled].into_iter().flatten().min()
    }

    fn look_at(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            let event = match seen {
                Seen::Event(event) => event,
                Seen::Failed(end) => {
                    self.lookups.ask(Question::Whole(end));
                    continue;
                }
            };
            match self.assembler.take(event) {
                Amounts::Began(start) => self.show(&start),
                Amounts::Ended(span) if span.is_fragment() && self.lookups.can_answer() => {
                    self.lookups.ask(Question::Beginning(span));
                }
                Amounts::Ended(span) => self.add(span),
                Amounts::Waits => {}
                Amounts::NoRoom => self.ledger.lose(DropReason::QueueFull, 1),
            }
        }
    }

    /// Shows the start of a span to others while it is open.
    fn show(&mut self, start: &TraceEvent) {
        let of = Some((start.trace_id, start.span_id));
        match self.open_spans {
            OpenSpans::Hidden => {}
            OpenSpans::LogRecord => {
                let record = translate::start_record(start, self.style);
                let _ = self.records.push(Record::new(record, start.service.clone(), of));
                self.records.hurry();
            }
            OpenSpans::PendingSpan => {
                let span = translate::start_span(start, self.style);
                let _ = self.spans.push(Sent::of_start(span, start.service.clone(), of));
                self.spans.hurry();
            }
        }
    }

    /// A span that is to be sent.
    fn add(&mut self, finished: Finished) {
        let Some((span, last)) = translate::span(&finished, self.style).zip(finished.events.last()) else {
            return;
        };
        let service = last.service.clone();
        if let Some(record) = translate::exception_record(&finished, self.style) {
            // The span has the error's type and message: no event is lost with the record.
            let _ = self.records.push(Record::new(record, service.clone(), None));
        }
        let owed = finished.owed;
        let finished = self.outbox.is_some().then_some(finished);
        if self.spans.push(Sent::new(span, service, owed, finished)).is_err() {
            self.ledger.lose(DropReason::QueueFull, owed);
        }
    }

    async fn look_up(&mut self) {
        while !self.is_late()
            && let Some(answered) = self.lookups.answer(&self.assembler, &mut self.deadline).await
        {
            match answered {
                Answered::Spans(spans) => spans.into_iter().for_each(|span| self.add(span)),
                Answered::Whole(spans) => {
                    self.ledger.accept(spans.iter().map(|span| span.owed).sum());
                    spans.into_iter().for_each(|span| self.add(span));
                }
                Answered::NotYet => {}
            }
        }
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
            self.look_up().await;
            self.spans.hurry();
            self.records.hurry();
            self.send_what_is_due().await;
            let next = self.spans_due().filter(|next| *next < until && Instant::now() < until);
            // Somebody else may wait for less long, and is served by what is left to be done.
            let Some(next) = next.filter(|_| !self.is_late()) else { return };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Sends all that there is for the last time; what is left then waits in the outbox or is counted as dropped.
    async fn close(mut self, until: Instant) {
        self.flush(until).await;
        let last = self.intake.close();
        self.look_at(last);
        let unanswered: Vec<_> = self.lookups.give_up().collect();
        unanswered.into_iter().for_each(|span| self.add(span));
        let left = self.spans.take(self.spans.len());
        self.keep_or_lose(left, DropReason::Shutdown).await;
        self.ledger.lose(DropReason::Shutdown, self.assembler.abandon());
        if let Some(outbox) = &self.outbox {
            outbox.close().await;
        }
    }

    /// Puts what the collector did not take into the outbox, or counts it as lost.
    async fn keep_or_lose(&mut self, spans: Vec<Sent>, why: DropReason) {
        for span in spans {
            let kept = match (&mut self.outbox, &span.finished) {
                (Some(outbox), Some(finished)) if span.owed > 0 => outbox.push(finished).await,
                _ => {
                    self.ledger.lose(why, span.owed);
                    continue;
                }
            };
            match kept {
                // Those that another process saw are accepted with the span that they complete.
                Ok(events) => self.ledger.accept(events.saturating_sub(span.owed)),
                Err(error) => {
                    tracing::warn!(target: "throughline", %error, "the outbox of otlp did not take a span");
                    self.ledger.lose(why, span.owed);
                }
            }
        }
    }

    async fn send_spans(&mut self) {
        if self.outbox.as_ref().is_some_and(|outbox| outbox.waiting() > 0) {
            // Behind those that wait.
            let all = self.spans.take(self.spans.len());
            return self.keep_or_lose(all, DropReason::Unavailable).await;
        }
        let count = self.spans.batch();
        let request = self.services.traces(self.spans.first(count));
        let sending = self.transport.traces(request);
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
        let request = self.services.logs(self.records.first(count));
        let sending = self.transport.logs(request);
        match self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late) {
            Answer::Taken { rejected, .. } => {
                let batch = self.records.take(count);
                self.records.went_well();
                let taken = batch.len() - usize::try_from(rejected).unwrap_or(usize::MAX).min(batch.len());
                batch.iter().take(taken).for_each(|record| self.start_arrived(record.start_of));
            }
            Answer::TooLarge { .. } if self.records.halve(count) => {}
            Answer::TooLarge { reason } | Answer::Rejected { reason } => {
                self.records.trouble(&reason);
                self.records.take(count);
                self.records.may_grow();
            }
            Answer::Later { after, reason } => {
                self.records.trouble(&reason);
                self.records.put_off(after);
                self.records.take_overdue();
            }
        }
    }

    async fn send_from_the_outbox(&mut self) {
        let Some(outbox) = &mut self.outbox else { return };
        let first = match outbox.first().await {
            Ok(first) if first.is_empty() => return self.spans.put_off(None),
            Ok(first) => first,
            Err(error) => {
                self.spans.trouble(&error.to_string());
                return self.spans.put_off(None);
            }
        };
        let sent = first.into_iter().filter_map(|First { span, through }| {
            let service = span.events.last()?.service.clone();
            Some((Sent::new(translate::span(&span, self.style)?, service, span.owed, None), through))
        });
        let (mut sent, through): (Vec<_>, Vec<_>) = sent.unzip();
        let count = self.spans.fitting(sent.iter());
        sent.truncate(count);
        let Some(&through) = through.get(count - 1) else { return };
        let sending = self.transport.traces(self.services.traces(sent.iter()));
        let (rejected, message) = match self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late) {
            Answer::Taken { rejected, message } => {
                self.spans.went_well();
                (rejected, message)
            }
            Answer::TooLarge { .. } if self.spans.halve(count) => return,
            Answer::TooLarge { reason } | Answer::Rejected { reason } => {
                self.spans.may_grow();
                (u64::MAX, reason)
            }
            Answer::Later { after, reason } => {
                self.spans.trouble(&reason);
                return self.spans.put_off(after);
            }
        };
        // Counted once it can't be sent again.
        match outbox.remove(through).await {
            Ok(()) => self.taken(&sent, rejected, &message),
            Err(error) => {
                self.spans.trouble(&error.to_string());
                self.spans.put_off(None);
            }
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.has_passed()
    }
}
