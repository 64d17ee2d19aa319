//! [`Veil`]: readers that redact again what a store has, and hold back what somebody may not see.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use throughline_model::names;
use throughline_model::{
    Attrs, BoxFuture, Bucket, ChoiceOutcome, CurrentStep, ErrorInfo, FailureSummary, Filter, HotSpot,
    InstanceId, JobAttempt, JobKey, Liveness, OpenRun, OpenSummary, Page, Paged, Process, Rate, ReadError,
    Readers, RootSummary, RunSummary, Scope, Secret, SlowSpan, SpanId, StageTimes, Text, TraceAnalytics,
    TraceEvent, TraceId, TraceReader, TypeRate,
};
use throughline_redact::Redactor;

use crate::redaction::redact_event;

/// How much of what runs recorded somebody is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shown {
    /// Everything.
    All,
    /// Runs and their steps without what they worked on: no payloads, so no choices either; no messages of errors; of attributes
    /// and tags only those that say what a step is.
    WithoutPayloads,
}

/// Readers of a store to which others may have written, by other rules: what they answer is redacted once more, and only as much
/// of it is shown as somebody may see.
///
/// ```
/// use throughline_core::{MemoryStore, Redaction, Shown, Veil};
///
/// let store = MemoryStore::new();
/// let veil = Veil::new(Redaction::standard().build()?, Shown::WithoutPayloads);
/// let readers = veil.readers(store.readers());
/// # let _ = readers;
/// # Ok::<(), throughline_core::RedactionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Veil {
    redactor: Redactor,
    shown: Shown,
}

impl Veil {
    /// Redacts by these rules, and shows so much.
    pub fn new(redactor: Redactor, shown: Shown) -> Self {
        Self { redactor, shown }
    }

    /// The same readers behind the veil.
    pub fn readers(&self, readers: Readers) -> Readers {
        Readers { reader: self.reader(readers.reader), analytics: self.analytics(readers.analytics) }
    }

    /// The same reader behind the veil.
    pub fn reader(&self, reader: Arc<dyn TraceReader>) -> Arc<dyn TraceReader> {
        Arc::new(Reader { reader, veil: self.clone() })
    }

    /// The same analytics behind the veil. Those who see no choices are not told how they turned out.
    pub fn analytics(&self, analytics: Arc<dyn TraceAnalytics>) -> Arc<dyn TraceAnalytics> {
        Arc::new(Analytics { analytics, veil: self.clone() })
    }

    /// How a value that is looked for is stored. Without a key for pseudonyms all that is redacted is the same mark, which
    /// would find what is meant and all else: then it is looked for as it is.
    pub fn findable<'a>(&self, attribute: Option<&str>, value: &'a str) -> Cow<'a, str> {
        match self.redactor.can_pseudonymise() {
            true => self.redactor.findable(attribute, value),
            false => Cow::Borrowed(value),
        }
    }

    /// Leaves of an event what is shown.
    pub fn event(&self, event: &mut TraceEvent) {
        match self.shown {
            Shown::All => {}
            Shown::WithoutPayloads => {
                event.data = None;
                event.extra.clear();
                let is_naming = |key: &Text| names::OF_SPAN_ATTRS.contains(&key.as_str());
                event.attrs =
                    event.attrs.iter().filter(|(key, _)| is_naming(key)).cloned().collect::<Attrs>();
                event.tags.retain(|tag| names::tags::ALL.contains(&tag.as_str()));
            }
        }
        redact_event(&self.redactor, event);
        if let Some(error) = &mut event.error {
            self.hide_messages(error);
        }
    }

    fn run(&self, run: &mut RunSummary) {
        self.name(&mut run.service);
        run.workflow.iter_mut().for_each(|workflow| self.name(workflow));
        if let Some(key) = &mut run.correlation_id {
            replace(key, |key| self.redactor.findable(None, key));
        }
        if let Some(RootSummary { event_type, name, .. }) = &mut run.root {
            [event_type, name].into_iter().for_each(|name| self.name(name));
        }
        for FailureSummary { name, event_type, error, .. } in
            run.first_failure.iter_mut().chain(&mut run.cause)
        {
            [name, event_type].into_iter().for_each(|name| self.name(name));
            let Some(error) = error else { continue };
            self.name(&mut error.kind);
            std::iter::once(&mut error.message).chain(&mut error.chain).for_each(|text| self.message(text));
            self.hide_messages(error);
        }
    }

    /// Leaves of an error its type, and which errors say the same: why a run failed can't be told without.
    fn hide_messages(&self, error: &mut ErrorInfo) {
        /// What messages are told apart by: nobody can work out of it what one says.
        static SALT: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        if self.shown != Shown::WithoutPayloads {
            return;
        }
        for message in std::iter::once(&mut error.message).chain(&mut error.chain) {
            *message = format!("(not shown {:08x})", SALT.hash_one(message.as_str()) >> 32).into();
        }
    }

    fn name(&self, name: &mut Text) {
        replace(name, |name| self.redactor.name(name));
    }

    fn message(&self, message: &mut Text) {
        replace(message, |message| self.redactor.message(message));
    }
}

fn replace(text: &mut Text, redact: impl for<'t> FnOnce(&'t str) -> Cow<'t, str>) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted.into();
    }
}

struct Reader {
    reader: Arc<dyn TraceReader>,
    veil: Veil,
}

/// Leaves of each item of an answer what is shown.
fn each<T>(mut found: Paged<T>, show: impl FnMut(&mut T)) -> Paged<T> {
    found.items.iter_mut().for_each(show);
    found
}

impl TraceReader for Reader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let mut events = self.reader.trace(id).await?;
            events.iter_mut().for_each(|event| self.veil.event(event));
            Ok(events)
        })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(
            async move { Ok(each(self.reader.trace_page(id, page).await?, |event| self.veil.event(event))) },
        )
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let mut events = self.reader.span(id, span).await?;
            events.iter_mut().for_each(|event| self.veil.event(event));
            Ok(events)
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
        Box::pin(
            async move { Ok(each(self.reader.events(filter, page).await?, |event| self.veil.event(event))) },
        )
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move { Ok(each(self.reader.runs(filter, page).await?, |run| self.veil.run(run))) })
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            Ok(each(self.reader.runs_without_causes(filter, page).await?, |run| self.veil.run(run)))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move {
            let mut run = self.reader.run(id).await?;
            run.iter_mut().for_each(|run| self.veil.run(run));
            Ok(run)
        })
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(async move {
            Ok(each(self.reader.open_runs(page).await?, |OpenRun { summary, current, .. }| {
                self.veil.run(summary);
                if let Some(CurrentStep { name, event_type, .. }) = current {
                    [name, event_type].into_iter().for_each(|name| self.veil.name(name));
                }
            }))
        })
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async move {
            Ok(each(self.reader.open_summaries(page).await?, |open| self.veil.run(&mut open.summary)))
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
        match self.veil.shown {
            Shown::All => self.reader.secret(),
            // It would reveal which values the pseudonyms stand for.
            Shown::WithoutPayloads => Box::pin(std::future::ready(Ok(None))),
        }
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
    veil: Veil,
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
            rates.iter_mut().for_each(|rate| self.veil.name(&mut rate.event_type));
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
            stages.iter_mut().for_each(|stage| self.veil.name(&mut stage.event_type));
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
            spans.iter_mut().for_each(|span| self.veil.name(&mut span.event_type));
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
                std::iter::once(event_type).chain(error_type).for_each(|name| self.veil.name(name));
            }
            Ok(spots)
        })
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        Box::pin(async move {
            if self.veil.shown == Shown::WithoutPayloads {
                return Err(ReadError::Unsupported { question: "decision_outcomes" });
            }
            let mut outcomes = self.analytics.decision_outcomes(scope).await?;
            for ChoiceOutcome { decision, choice, .. } in &mut outcomes {
                self.veil.name(decision);
                self.veil.message(choice);
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

#[cfg(test)]
mod tests {
    use throughline_model::testing::run;
    use throughline_query::TraceQuery;
    use throughline_redact::Redaction;

    use super::*;

    fn veil(shown: Shown) -> Veil {
        Veil::new(Redaction::standard().build().unwrap(), shown)
    }

    fn covered(shown: Shown, mut events: Vec<TraceEvent>) -> Vec<TraceEvent> {
        events.iter_mut().for_each(|event| veil(shown).event(event));
        events
    }

    #[test]
    fn those_who_may_see_no_messages_are_told_the_same_cause() {
        let mut story = run("loan-approval");
        for (step, message) in
            [("stage:cache", "no cache"), ("stage:bank", "no bank"), ("stage:mail", "no mail")]
        {
            let span = story.begin(step);
            story.fail(span, "Timeout", message);
        }
        story.fail_run("Timeout", "no bank");
        let covered = covered(Shown::WithoutPayloads, story.events());
        assert!(!serde_json::to_string(&covered).unwrap().contains("no bank"));
        let cause = |events| TraceQuery::new(events).explain().cause.map(|cause| cause.span.name);
        assert_eq!(cause(covered), cause(story.events()));
        assert_eq!(cause(story.events()).as_deref(), Some("stage:bank"));
    }

    #[tokio::test]
    async fn those_who_may_not_see_everything_do_not_get_the_secret_of_pseudonyms() {
        use throughline_model::StoreConfig as _;
        let readers = crate::MemoryStore::new().open_readers().await.unwrap();
        let kept = readers.reader.secret().await.unwrap();
        assert!(kept.is_some());
        for (shown, is_told) in [(Shown::All, true), (Shown::WithoutPayloads, false)] {
            let veiled = veil(shown).readers(readers.clone());
            assert_eq!(veiled.reader.secret().await.unwrap(), kept.clone().filter(|_| is_told), "{shown:?}");
        }
    }

    #[test]
    fn of_tags_those_alone_are_left_that_say_what_a_step_is() {
        let mut story = run("loan-approval");
        let span = story.begin("stage:bank");
        story.succeed(span);
        let mut events = story.events();
        for event in &mut events {
            event.tags = vec!["of-acme".into(), "compensable".into(), "decision".into()];
        }
        for event in covered(Shown::WithoutPayloads, events.clone()) {
            assert_eq!(event.tags, ["compensable", "decision"]);
        }
        assert!(covered(Shown::All, events).iter().all(|event| event.tags.len() == 3));
    }
}
