//! [`PagedAnalytics`], for stores that keep no counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Bucket, ChoiceOutcome, HotSpot, Log, Rate, SlowSpan, StageTimes, TraceAnalytics, TypeRate};
use crate::{BoxFuture, Filter, InstanceId, Liveness, Page, ReadError, Scope, TraceEvent, TraceReader};

/// Answers every question across runs from what a reader gives page by page.
///
/// Each answer reads all that its scope covers: the events of the scope for questions about events, all events of the
/// runs that started in it for questions about runs. That suits stores whose scopes stay small, and it is right by
/// construction, so that a store with counts of its own can be compared with it.
#[derive(Clone)]
pub struct PagedAnalytics {
    reader: Arc<dyn TraceReader>,
}

impl PagedAnalytics {
    /// How much is asked for at a time.
    const PAGE: usize = 1000;

    /// Answers from what this reader gives.
    pub fn new(reader: Arc<dyn TraceReader>) -> Self {
        Self { reader }
    }

    /// The events in a scope.
    async fn events(&self, scope: &Scope) -> Result<Log<Arc<TraceEvent>>, ReadError> {
        let filter = Filter::new().scope(scope.clone());
        let (mut events, mut page) = (Vec::new(), Page::first(Self::PAGE));
        loop {
            let found = self.reader.events(&filter, &page).await?;
            let is_last = !page.turn(&found)?;
            events.extend(found.items.into_iter().map(Arc::new));
            if is_last {
                break;
            }
        }
        // How runs stand is not asked of events.
        Ok(Log::new(events, |_| Liveness::Imported))
    }

    /// The runs that started in a scope, with all their events.
    async fn runs(&self, scope: &Scope) -> Result<Log<Arc<TraceEvent>>, ReadError> {
        let filter = Filter::new().scope(scope.clone());
        let (mut events, mut page) = (Vec::new(), Page::first(Self::PAGE));
        loop {
            let found = self.reader.runs(&filter, &page).await?;
            let is_last = !page.turn(&found)?;
            for run in found.items {
                events.extend(self.reader.trace(run.trace_id).await?.into_iter().map(Arc::new));
            }
            if is_last {
                break;
            }
        }
        let mut instances: Vec<InstanceId> =
            events.iter().map(|event: &Arc<TraceEvent>| event.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        let liveness = self.reader.liveness(&instances).await?;
        let known: HashMap<_, _> = instances.into_iter().zip(liveness).collect();
        Ok(Log::new(events, |instance| known.get(&instance).copied().unwrap_or(Liveness::Unknown)))
    }
}

impl std::fmt::Debug for PagedAnalytics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagedAnalytics").finish_non_exhaustive()
    }
}

impl TraceAnalytics for PagedAnalytics {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        Box::pin(async move { Ok(self.runs(scope).await?.failure_rate(scope)) })
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        Box::pin(async move { Ok(self.events(scope).await?.failure_rate_by_type(scope)) })
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        Box::pin(async move { Ok(self.events(scope).await?.slowest_stages(scope, limit)) })
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        Box::pin(async move { Ok(self.events(scope).await?.slowest_spans(scope, limit)) })
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        Box::pin(async move { Ok(self.runs(scope).await?.compensation_rate(scope)) })
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        Box::pin(async move { Ok(self.runs(scope).await?.hot_spots(scope, limit)) })
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        Box::pin(async move { Ok(self.runs(scope).await?.decision_outcomes(scope)) })
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        Box::pin(async move { self.runs(scope).await?.over_time(scope, width) })
    }
}
