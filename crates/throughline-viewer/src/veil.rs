//! [`Veil`], a reader that shows what may be shown.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use throughline_core::{
    Attrs, BoxFuture, ErrorInfo, FailureSummary, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page,
    Paged, Process, ReadError, Redactor, RunSummary, Text, TraceEvent, TraceId, TraceReader, names,
    redact_event,
};

use crate::access::Access;
use crate::leisure::at_leisure;

/// A reader of which everything is redacted, and which holds back payloads from those who may not see them.
///
/// What is derived from events, such as an explanation, is derived from what comes out of here: there is no second way.
pub(crate) struct Veil {
    reader: Arc<dyn TraceReader>,
    cover: Cover,
}

/// How many events are covered on the thread that asks. More than these keep others waiting.
const AT_ONCE: usize = 1_000;

/// What is shown of events and runs.
#[derive(Clone)]
struct Cover {
    redactor: Redactor,
    access: Access,
}

impl Veil {
    pub(crate) fn new(reader: Arc<dyn TraceReader>, redactor: Redactor, access: Access) -> Self {
        Self { reader, cover: Cover { redactor, access } }
    }

    /// The name of a type or a choice, in an answer across runs.
    pub(crate) fn name(&self, name: &mut Text) {
        self.cover.name(name);
    }

    /// How a value that is looked for is stored.
    pub(crate) fn findable<'a>(&self, attribute: Option<&str>, value: &'a str) -> Cow<'a, str> {
        let redactor = &self.cover.redactor;
        match redactor.can_pseudonymise() {
            true => redactor.findable(attribute, value),
            // Without a key all that is redacted is the same mark, which would find what is meant and all else.
            false => Cow::Borrowed(value),
        }
    }
}

impl Cover {
    fn name(&self, name: &mut Text) {
        replace(name, |name| self.redactor.name(name));
    }

    fn shows_payloads(&self) -> bool {
        self.access == Access::All
    }

    fn event(&self, mut event: TraceEvent) -> TraceEvent {
        redact_event(&self.redactor, &mut event);
        if !self.shows_payloads() {
            event.data = None;
            event.extra.clear();
            let naming = |key: &Text| names::OF_SPAN_ATTRS.contains(&key.as_str());
            event.attrs = event.attrs.iter().filter(|(key, _)| naming(key)).cloned().collect::<Attrs>();
            if let Some(error) = &mut event.error {
                hide_messages(error);
            }
        }
        event
    }

    fn summary(&self, mut run: RunSummary) -> RunSummary {
        self.name(&mut run.service);
        run.workflow.iter_mut().for_each(|workflow| self.name(workflow));
        if let Some(key) = &mut run.correlation_id {
            replace(key, |key| self.redactor.findable(None, key));
        }
        if let Some(root) = &mut run.root {
            self.name(&mut root.event_type);
            self.name(&mut root.name);
        }
        run.first_failure.iter_mut().chain(&mut run.cause).for_each(|failure| self.failure(failure));
        run
    }

    fn failure(&self, failure: &mut FailureSummary) {
        self.name(&mut failure.name);
        self.name(&mut failure.event_type);
        let Some(error) = &mut failure.error else { return };
        self.name(&mut error.kind);
        for message in std::iter::once(&mut error.message).chain(&mut error.chain) {
            replace(message, |message| self.redactor.message(message));
        }
        if !self.shows_payloads() {
            hide_messages(error);
        }
    }

    fn open_run(&self, mut run: OpenRun) -> OpenRun {
        run.summary = self.summary(run.summary);
        if let Some(current) = &mut run.current {
            self.name(&mut current.name);
            self.name(&mut current.event_type);
        }
        run
    }

    fn open_summary(&self, mut run: OpenSummary) -> OpenSummary {
        run.summary = self.summary(run.summary);
        run
    }
}

/// What messages are told apart by where they are not shown: nobody can work out of it what one says.
static SALT: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Leaves of an error its type, and which errors say the same: why a run failed can't be told without.
fn hide_messages(error: &mut ErrorInfo) {
    for message in std::iter::once(&mut error.message).chain(&mut error.chain) {
        *message = format!("(not shown {:08x})", SALT.hash_one(message.as_str()) >> 32).into();
    }
}

fn replace(text: &mut Text, redact: impl for<'t> FnOnce(&'t str) -> Cow<'t, str>) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted.into();
    }
}

fn each<T>(found: Paged<T>, show: impl Fn(T) -> T) -> Paged<T> {
    let Paged { items, next } = found;
    Paged { items: items.into_iter().map(show).collect(), next }
}

impl TraceReader for Veil {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let events = self.reader.trace(id).await?;
            let (cover, is_short) = (self.cover.clone(), events.len() <= AT_ONCE);
            let covered = move || events.into_iter().map(|event| cover.event(event)).collect();
            if is_short { Ok(covered()) } else { at_leisure(covered).await }
        })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(
            async move { Ok(each(self.reader.trace_page(id, page).await?, |event| self.cover.event(event))) },
        )
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(
            async move { Ok(each(self.reader.events(filter, page).await?, |event| self.cover.event(event))) },
        )
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(
            async move { Ok(each(self.reader.runs(filter, page).await?, |run| self.cover.summary(run))) },
        )
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            Ok(each(self.reader.runs_without_causes(filter, page).await?, |run| self.cover.summary(run)))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move { Ok(self.reader.run(id).await?.map(|run| self.cover.summary(run))) })
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(async move { Ok(each(self.reader.open_runs(page).await?, |run| self.cover.open_run(run))) })
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async move {
            Ok(each(self.reader.open_summaries(page).await?, |run| self.cover.open_summary(run)))
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

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.reader.find_by_id_prefix(prefix, limit)
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::testing::run;
    use throughline_core::{Redaction, TraceQuery};

    use super::*;

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
        let cover =
            Cover { redactor: Redaction::standard().build().unwrap(), access: Access::WithoutPayloads };
        let covered: Vec<_> = story.events().into_iter().map(|event| cover.event(event)).collect();
        assert!(!serde_json::to_string(&covered).unwrap().contains("no bank"));
        let cause = |events| TraceQuery::new(events).explain().cause.map(|cause| cause.span.name);
        assert_eq!(cause(covered), cause(story.events()));
        assert_eq!(cause(story.events()).as_deref(), Some("stage:bank"));
    }
}
