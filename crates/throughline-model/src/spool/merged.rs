//! [`MergedReader`], a store together with what still waits for it.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::SpoolReader;
use crate::fold::{Position, run_matches};
use crate::names::tags;
use crate::reader::page_of_run;
use crate::{
    BoxFuture, Cursor, Filter, InstanceId, JobAttempt, JobKey, Liveness, OpenRun, OpenSummary, Page, Paged,
    Process, ReadError, RunSummary, Secret, SpanId, Timestamp, TraceEvent, TraceId, TraceReader,
};

/// How many runs, or events, are read from the spool at a time.
const PAGE: usize = 512;

/// Reads a store together with what still waits for it in a spool, as if all of that were in the store already: so a run can be
/// explained while the store is away, and is resumed with everything that was acknowledged.
///
/// While the store does not respond, a run can be read if it began in the spool, for then all of it is there. Everything
/// else is the error of the store: an answer with parts missing would look like the whole. Lists take time in proportion to
/// what waits.
pub struct MergedReader {
    store: Arc<dyn TraceReader>,
    spool: Arc<dyn SpoolReader>,
    own: Option<InstanceId>,
}

/// The place of a run among all runs.
type Place = (Timestamp, TraceId);

impl MergedReader {
    /// Reads this store and this spool.
    pub fn new(store: Arc<dyn TraceReader>, spool: Arc<dyn SpoolReader>) -> Self {
        Self { store, spool, own: None }
    }

    /// The instance that fills the spool and asks: it is alive, whether or not the store responds.
    #[must_use]
    pub fn of_instance(mut self, instance: InstanceId) -> Self {
        self.own = Some(instance);
        self
    }

    /// All events of a run of which some wait.
    async fn merged(&self, id: TraceId) -> Result<Option<Vec<TraceEvent>>, ReadError> {
        let waiting = self.spool.trace(id).await?;
        if waiting.is_empty() {
            return Ok(None);
        }
        let stored = match self.store.trace(id).await {
            Err(error) if error.is_retryable() && has_its_beginning(&waiting) => Vec::new(),
            stored => stored?,
        };
        Ok(Some(union(stored, waiting)))
    }

    /// The events of a run of which some wait, or did a moment ago. The store is only asked for one that it knows of.
    async fn listed(&self, id: TraceId) -> Result<Vec<TraceEvent>, ReadError> {
        let waiting = self.spool.trace(id).await?;
        let stored = match has_its_beginning(&waiting) {
            true => Vec::new(),
            false => self.store.trace(id).await?,
        };
        Ok(union(stored, waiting))
    }

    async fn summary(
        &self,
        events: &[TraceEvent],
        known: &mut HashMap<InstanceId, Liveness>,
    ) -> Result<Option<RunSummary>, ReadError> {
        let mut unknown: Vec<InstanceId> = events.iter().map(|event| event.instance).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|instance| !known.contains_key(instance));
        if !unknown.is_empty() {
            known.extend(unknown.iter().copied().zip(TraceReader::liveness(self, &unknown).await?));
        }
        Ok(RunSummary::of(events, |instance| known.get(&instance).copied().unwrap_or(Liveness::Unknown)))
    }

    /// The runs of which events wait.
    async fn waiting_runs(&self) -> Result<HashSet<TraceId>, ReadError> {
        let mut all = HashSet::new();
        let mut after = None;
        loop {
            let found = self.spool.traces(after, PAGE).await?;
            after = found.last().copied();
            all.extend(&found);
            if found.len() < PAGE {
                return Ok(all);
            }
        }
    }

    /// A page of runs in this order. Of a run of which events wait the store knows a part at most: it counts as it is with
    /// what waits.
    async fn page_of_runs<'a, T, K: Ord>(
        &'a self,
        page: &'a Page,
        order: impl Fn(Place) -> K,
        place: impl Fn(&T) -> Place,
        item: impl Fn(RunSummary, &[TraceEvent]) -> Option<T>,
        of_the_store: impl Fn(Page) -> BoxFuture<'a, Result<Paged<T>, ReadError>>,
    ) -> Result<Paged<T>, ReadError> {
        let waiting = self.waiting_runs().await?;
        if waiting.is_empty() || page.limit == 0 {
            return of_the_store(page.clone()).await;
        }
        let after = page.after.as_ref().map(Cursor::run).transpose()?.map(&order);
        let mut own = First::of(page.limit, |item: &T| order(place(item)));
        let mut liveness = HashMap::new();
        for id in &waiting {
            let events = self.listed(*id).await?;
            let Some(summary) = self.summary(&events, &mut liveness).await? else { continue };
            let is_on_a_later_page =
                after.as_ref().is_none_or(|after| order((summary.started, summary.trace_id)) > *after);
            if let Some(item) = is_on_a_later_page.then(|| item(summary, &events)).flatten() {
                own.add(item);
            }
        }
        let key = |item: &T| order(place(item));
        let cursor = |item: &T| {
            let (started, id) = place(item);
            Cursor::at_run(started, id)
        };
        merge(page, own.items(), key, cursor, |item| !waiting.contains(&place(item).1), of_the_store).await
    }

    /// A page of the runs that match, the last started first.
    async fn matching_runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
        of_the_store: impl Fn(Page) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>>,
    ) -> Result<Paged<RunSummary>, ReadError> {
        self.page_of_runs(
            page,
            Reverse,
            |run: &RunSummary| (run.started, run.trace_id),
            |summary, events| run_matches(filter, &summary, events.iter()).then_some(summary),
            of_the_store,
        )
        .await
    }
}

impl TraceReader for MergedReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            match self.merged(id).await? {
                Some(events) => Ok(events),
                None => self.store.trace(id).await,
            }
        })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            match self.merged(id).await? {
                Some(events) => page_of_run(events, page),
                None => self.store.trace_page(id, page).await,
            }
        })
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            match self.merged(id).await? {
                Some(events) => Ok(events.into_iter().filter(|event| event.span_id == span).collect()),
                None => self.store.span(id, span).await,
            }
        })
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        Box::pin(async move {
            match self.merged(id).await? {
                Some(events) => Ok(job.last_attempt(&events)),
                None => self.store.last_attempt(id, job).await,
            }
        })
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let of_the_store = |page: Page| -> BoxFuture<'_, _> {
                Box::pin(async move { self.store.events(filter, &page).await })
            };
            let before = page.after.as_ref().map(Cursor::event).transpose()?;
            let key = |event: &TraceEvent| Reverse(Position::of(event));
            let mut own = First::of(page.limit, key);
            let mut after = None;
            loop {
                let waiting = self.spool.waiting(after, PAGE).await?;
                after = waiting.last().map(|spooled| spooled.position);
                let is_last = waiting.len() < PAGE;
                for spooled in waiting {
                    let event = &*spooled.event;
                    let is_on_a_later_page = before.is_none_or(|before| Position::of(event) < before);
                    if is_on_a_later_page && filter.matches(event) {
                        own.add(event.clone());
                    }
                }
                if is_last {
                    break;
                }
            }
            merge(page, own.items(), key, Cursor::of_event, |_| true, of_the_store).await
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(self.matching_runs(filter, page, move |page| {
            Box::pin(async move { self.store.runs(filter, &page).await })
        }))
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(self.matching_runs(filter, page, move |page| {
            Box::pin(async move { self.store.runs_without_causes(filter, &page).await })
        }))
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move {
            match self.merged(id).await? {
                Some(events) => self.summary(&events, &mut HashMap::new()).await,
                None => self.store.run(id).await,
            }
        })
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(self.page_of_runs(
            page,
            |place| place,
            |run: &OpenRun| (run.summary.started, run.summary.trace_id),
            |summary, events| summary.state.is_open().then(|| OpenRun::of(summary, events)),
            move |page| Box::pin(async move { self.store.open_runs(&page).await }),
        ))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(self.page_of_runs(
            page,
            |place| place,
            |run: &OpenSummary| (run.summary.started, run.summary.trace_id),
            |summary, events| {
                let last_event = events.iter().map(|event| event.timestamp).max()?;
                summary.state.is_open().then(|| OpenSummary::new(summary, last_event))
            },
            move |page| Box::pin(async move { self.store.open_summaries(&page).await }),
        ))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        Box::pin(async move {
            let mut answer = match self.store.liveness(instances).await {
                Err(error) if error.is_retryable() => vec![Liveness::Unknown; instances.len()],
                answer => answer?,
            };
            for (instance, liveness) in instances.iter().zip(&mut answer) {
                if Some(*instance) == self.own {
                    *liveness = Liveness::Alive;
                }
            }
            Ok(answer)
        })
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        self.store.processes(instances)
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        self.store.secret()
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        Box::pin(async move {
            let waiting = self.waiting_runs().await?;
            let mut found = self.store.find_by_id_prefix(prefix, limit).await?;
            found.extend(waiting.into_iter().filter(|id| id.to_string().starts_with(prefix)));
            found.sort_unstable();
            found.dedup();
            found.truncate(limit);
            Ok(found)
        })
    }
}

/// Whether the run began with one of these. Events of a run leave the spool in their order, so that all others are there, too.
fn has_its_beginning(waiting: &[TraceEvent]) -> bool {
    let begins_it = |event: &TraceEvent| {
        event.seq == 0 && event.is_root() && !event.is_detached() && !event.has_tag(tags::REMOTE_PARENT)
    };
    waiting.iter().any(begins_it)
}

/// The events of a run in their order. What is stored came first, where two events have the same identity.
fn union(stored: Vec<TraceEvent>, waiting: Vec<TraceEvent>) -> Vec<TraceEvent> {
    let mut events = stored;
    let mut known: HashSet<_> = events.iter().map(TraceEvent::id).collect();
    events.extend(waiting.into_iter().filter(|event| known.insert(event.id())));
    events.sort_by_key(Position::of);
    events
}

/// Of many items the first in an order, and one more, which says that these are not all.
struct First<T, F> {
    items: Vec<T>,
    limit: usize,
    key: F,
}

impl<T, K: Ord, F: Fn(&T) -> K> First<T, F> {
    fn of(limit: usize, key: F) -> Self {
        Self { items: Vec::new(), limit: limit.saturating_add(1), key }
    }

    fn add(&mut self, item: T) {
        self.items.push(item);
        if self.items.len() >= self.limit.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.items.sort_by_key(&self.key);
        self.items.truncate(self.limit);
    }

    fn items(mut self) -> Vec<T> {
        self.cut();
        self.items
    }
}

/// A page in the order of the keys: of what waits, and of what the store gives, as far as that counts.
async fn merge<'a, T, K: Ord>(
    page: &Page,
    mut own: Vec<T>,
    key: impl Fn(&T) -> K,
    cursor: impl Fn(&T) -> Cursor,
    counts: impl Fn(&T) -> bool,
    of_the_store: impl Fn(Page) -> BoxFuture<'a, Result<Paged<T>, ReadError>>,
) -> Result<Paged<T>, ReadError> {
    let mut turned = page.clone();
    let mut items = Vec::new();
    // Beyond that the store was not asked.
    let asked_to = loop {
        let found = of_the_store(turned.clone()).await?;
        let is_last = !turned.turn(&found)?;
        let last = found.items.last().filter(|_| !is_last).map(&key);
        items.extend(found.items.into_iter().filter(&counts));
        if is_last || items.len() >= page.limit {
            break last;
        }
    };
    own.retain(|item| asked_to.as_ref().is_none_or(|last| key(item) <= *last));
    items.append(&mut own);
    items.sort_by_key(&key);
    items.dedup_by(|a, b| key(a) == key(b));
    let is_all = asked_to.is_none() && items.len() <= page.limit;
    items.truncate(page.limit);
    let next = items.last().filter(|_| !is_all).map(cursor);
    Ok(Paged { items, next })
}
