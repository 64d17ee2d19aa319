//! Readers that redact again what a store has: others may have written to it, by other rules.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::names::data;
use throughline_core::{
    BoxFuture, Bucket, ChoiceOutcome, CurrentStep, ErrorInfo, FailureSummary, Filter, HotSpot, InstanceId,
    JobAttempt, JobKey, Liveness, OpenRun, OpenSummary, Page, Paged, Process, Rate, ReadError, Readers,
    Redactor, RootSummary, RunSummary, Scope, Secret, SlowSpan, StageTimes, Text, TraceAnalytics, TraceEvent,
    TraceId, TraceReader, TypeRate, redact_event,
};

/// Of the payloads of events what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payloads {
    All,
    /// What was decided, and nothing that people or programs passed on or said.
    Choices,
}

/// The fields of a payload that say what was decided.
const CHOICES: [&str; 3] = [data::CHOICE, data::CONFIDENCE, data::DECIDER];

/// The same readers, whose answers are redacted.
pub(crate) fn again(readers: Readers, redactor: &Redactor, payloads: Payloads) -> Readers {
    Readers {
        reader: Arc::new(Reader { reader: readers.reader, redactor: redactor.clone(), payloads }),
        analytics: Arc::new(Analytics { analytics: readers.analytics, redactor: redactor.clone() }),
    }
}

struct Reader {
    reader: Arc<dyn TraceReader>,
    redactor: Redactor,
    payloads: Payloads,
}

impl Reader {
    fn events(&self, mut events: Vec<TraceEvent>) -> Vec<TraceEvent> {
        for event in &mut events {
            if self.payloads == Payloads::Choices {
                event
                    .data
                    .iter_mut()
                    .for_each(|data| data.retain(|field, _| CHOICES.contains(&field.as_str())));
                event.extra.clear();
            }
            redact_event(&self.redactor, event);
        }
        events
    }

    fn runs(&self, mut runs: Vec<RunSummary>) -> Vec<RunSummary> {
        runs.iter_mut().for_each(|run| redact_run(&self.redactor, run));
        runs
    }
}

impl TraceReader for Reader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move { Ok(self.events(self.reader.trace(id).await?)) })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let Paged { items, next } = self.reader.trace_page(id, page).await?;
            Ok(Paged { items: self.events(items), next })
        })
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        self.reader.last_attempt(id, job)
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let Paged { items, next } = self.reader.events(filter, page).await?;
            Ok(Paged { items: self.events(items), next })
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            let Paged { items, next } = self.reader.runs(filter, page).await?;
            Ok(Paged { items: self.runs(items), next })
        })
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            let Paged { items, next } = self.reader.runs_without_causes(filter, page).await?;
            Ok(Paged { items: self.runs(items), next })
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move {
            let mut run = self.reader.run(id).await?;
            run.iter_mut().for_each(|run| redact_run(&self.redactor, run));
            Ok(run)
        })
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(async move {
            let mut found = self.reader.open_runs(page).await?;
            for OpenRun { summary, current, .. } in &mut found.items {
                redact_run(&self.redactor, summary);
                if let Some(CurrentStep { name, .. }) = current {
                    redact_name(&self.redactor, name);
                }
            }
            Ok(found)
        })
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async move {
            let mut found = self.reader.open_summaries(page).await?;
            found.items.iter_mut().for_each(|open| redact_run(&self.redactor, &mut open.summary));
            Ok(found)
        })
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.reader.liveness(instances)
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        self.reader.processes(instances)
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        self.reader.secret()
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.reader.find_by_id_prefix(prefix, limit)
    }
}

struct Analytics {
    analytics: Arc<dyn TraceAnalytics>,
    redactor: Redactor,
}

impl TraceAnalytics for Analytics {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        self.analytics.failure_rate(scope)
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        Box::pin(async move {
            let mut rates = self.analytics.failure_rate_by_type(scope).await?;
            rates.iter_mut().for_each(|rate| redact_name(&self.redactor, &mut rate.event_type));
            Ok(rates)
        })
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        Box::pin(async move {
            let mut stages = self.analytics.slowest_stages(scope, limit).await?;
            stages.iter_mut().for_each(|stage| redact_name(&self.redactor, &mut stage.event_type));
            Ok(stages)
        })
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        Box::pin(async move {
            let mut spans = self.analytics.slowest_spans(scope, limit).await?;
            spans.iter_mut().for_each(|span| redact_name(&self.redactor, &mut span.event_type));
            Ok(spans)
        })
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        self.analytics.compensation_rate(scope)
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        Box::pin(async move {
            let mut spots = self.analytics.hot_spots(scope, limit).await?;
            for HotSpot { event_type, error_type, .. } in &mut spots {
                redact_name(&self.redactor, event_type);
                error_type.iter_mut().for_each(|kind| redact_name(&self.redactor, kind));
            }
            Ok(spots)
        })
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        Box::pin(async move {
            let mut outcomes = self.analytics.decision_outcomes(scope).await?;
            for ChoiceOutcome { decision, choice, .. } in &mut outcomes {
                redact_name(&self.redactor, decision);
                redact_message(&self.redactor, choice);
            }
            Ok(outcomes)
        })
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        self.analytics.over_time(scope, width)
    }
}

fn redact_run(redactor: &Redactor, run: &mut RunSummary) {
    redact_name(redactor, &mut run.service);
    run.workflow.iter_mut().for_each(|workflow| redact_name(redactor, workflow));
    if let Some(key) = &mut run.correlation_id {
        *key = redactor.findable(None, key).into_owned().into();
    }
    if let Some(RootSummary { event_type, name, .. }) = &mut run.root {
        [event_type, name].into_iter().for_each(|name| redact_name(redactor, name));
    }
    for FailureSummary { name, event_type, error, .. } in run.first_failure.iter_mut().chain(&mut run.cause) {
        [name, event_type].into_iter().for_each(|name| redact_name(redactor, name));
        if let Some(ErrorInfo { kind, message, chain }) = error {
            redact_name(redactor, kind);
            [message].into_iter().chain(chain).for_each(|text| redact_message(redactor, text));
        }
    }
}

fn redact_name(redactor: &Redactor, name: &mut Text) {
    *name = redactor.name(name).into_owned().into();
}

fn redact_message(redactor: &Redactor, message: &mut Text) {
    *message = redactor.message(message).into_owned().into();
}
