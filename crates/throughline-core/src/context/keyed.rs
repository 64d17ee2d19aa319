//! What is known of a run before it starts: the runs before it under the same key.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use hmac_sha256::Hash as Sha256;
use throughline_model::{
    Filter, Link, Page, ReadError, Relation, RunState, RunSummary, Scope, Text, TraceId, TraceReader,
};

use super::claim::{Claimed, NotClaimed};
use super::failure::NotRecorded;
use super::spec::RunSpec;
use super::{abandon, resume};
use crate::hub::Hub;

/// How long the start of a run waits at most to learn what ran before, and again to close that.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Of how many runs under a key it is known whether they are at work: an older one that is still at work
/// would have been passed by as many later ones.
const RUNS_OF_A_KEY: usize = 100;

/// Which other runs under its key keep a run from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Unique {
    /// None does.
    #[default]
    Any,
    /// One that is at work.
    WhileAtWork,
    /// One that is at work or succeeded.
    UntilSuccess,
}

/// What is held for as long as a run is at work.
pub(super) struct RunClaims {
    #[expect(dead_code, reason = "held for what its drop does")]
    run: Option<Claimed>,
    #[expect(dead_code, reason = "held for what its drop does")]
    key: Option<Claimed>,
}

impl RunSpec {
    /// Whether something is to be found out before the run starts.
    pub(super) fn is_to_be_prepared(&self) -> bool {
        self.key.is_some() || self.resumes.is_some() || self.unique != Unique::Any || self.or_resume
    }

    /// Finds out which runs there were under the key, and whether this one may start; or reads the run to resume.
    pub(super) async fn prepare(self: Box<Self>) -> Result<Box<Self>, NotRecorded> {
        if let Some(trace_id) = self.resumes {
            let claim = resume::claim(&self.hub, trace_id).await?;
            not_started_again(&self.hub, trace_id).await?;
            return resume::prepare(self, trace_id, claim, None).await;
        }
        let hub = Arc::clone(&self.hub);
        let key = self.key.as_ref().filter(|key| !key.trim().is_empty()).ok_or(NotRecorded::NoKey)?;
        let identity = Identity::new(&hub, self.workflow.as_deref().unwrap_or_default(), key);
        match self.unique == Unique::Any && !self.or_resume {
            true => self.prepare_any(identity).await,
            false => self.prepare_unique(identity).await,
        }
    }

    /// Work is not refused because nobody knows what ran before.
    async fn prepare_any(mut self: Box<Self>, identity: Identity) -> Result<Box<Self>, NotRecorded> {
        let hub = Arc::clone(&self.hub);
        if let Some(readers) = &hub.readers {
            match in_time(identity.latest(&*readers.reader, 1)).await {
                Ok(runs) => {
                    if let Some(before) = runs.first() {
                        // It may be resumed at this moment: then the two run side by side.
                        let _ = self.follow(before, None).await;
                    }
                }
                Err(error) => tracing::warn!(
                    target: "throughline",
                    %error,
                    "cannot look up the run before this one under the same key: it is not linked"
                ),
            }
        }
        self.correlation_id = Some(identity.key);
        Ok(self)
    }

    async fn prepare_unique(mut self: Box<Self>, identity: Identity) -> Result<Box<Self>, NotRecorded> {
        let hub = Arc::clone(&self.hub);
        let reader = &hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader;
        let latest = || async {
            let latest = in_time(identity.latest(&**reader, RUNS_OF_A_KEY)).await;
            latest.map_err(|error| NotRecorded::NotRead(Arc::new(error)))
        };
        let mut pauses = [0, 1, 5, 25, 125, 500, 1000].map(Duration::from_millis).into_iter();
        let key = loop {
            match Claimed::take(&hub, identity.lock()).await {
                Ok(key) => break key,
                Err(NotClaimed::Failed(error)) => return Err(error),
                Err(NotClaimed::By(_) | NotClaimed::ByUs) => {}
            }
            if let Some(run) = latest().await?.into_iter().find(is_at_work) {
                return Err(at_work(&**reader, run.trace_id).await?);
            }
            // The run that has the key has not started yet, or has just ended.
            let Some(pause) = pauses.next() else {
                return Err(NotRecorded::Store {
                    reason: "another run under the same key is about to start".into(),
                    retryable: true,
                });
            };
            Delay::new(pause).await;
        };
        let mut runs = latest().await?;
        loop {
            if let Some(run) = runs.iter().find(|run| is_at_work(run)) {
                return Err(at_work(&**reader, run.trace_id).await?);
            }
            if self.unique == Unique::UntilSuccess
                && let Some(trace_id) = identity.success(&**reader).await?
            {
                return Err(NotRecorded::HasSucceeded { trace_id });
            }
            let Some(before) = runs.first_mut() else { break };
            if !before.state.is_open() {
                self.follow(before, None).await?;
                break;
            }
            // The key does not keep it from being resumed by its id, which may have happened since it was looked at.
            let claim = Claimed::take(&hub, before.trace_id).await;
            let state = resume::summary(&**reader, before.trace_id).await?.state;
            if state != before.state {
                before.state = state;
                continue;
            }
            let claim = claim.map_err(|not_claimed| not_claimed.into_error(&hub, before.trace_id))?;
            if self.or_resume && before.can_be_resumed() {
                return resume::prepare(self, before.trace_id, claim, Some(key)).await;
            }
            self.follow(before, Some(claim)).await?;
            break;
        }
        self.correlation_id = Some(identity.key);
        self.claims = Some(RunClaims::new(None, Some(key)));
        Ok(self)
    }

    /// Says that this run tries again what the one before it, which may be claimed, did not do. An error says that another
    /// instance has that one in hand.
    async fn follow(&mut self, before: &RunSummary, claim: Option<Claimed>) -> Result<(), NotRecorded> {
        let tries_again = match before.state {
            RunState::Failed | RunState::Cancelled | RunState::Interrupted | RunState::Unfinished => true,
            RunState::Running | RunState::Succeeded => false,
        };
        let Some(root) = before.root.as_ref().filter(|_| tries_again) else { return Ok(()) };
        let attempt = root.attempt.unwrap_or(1).saturating_add(1);
        self.details.attempt = self.details.attempt.max(Some(attempt));
        self.details.links.push(Link {
            rel: Relation::RetryOf,
            trace_id: Some(before.trace_id),
            span_id: root.span_id,
        });
        if before.state == RunState::Interrupted {
            let own = *self.trace_id.get_or_insert_with(TraceId::random);
            let trace_id = before.trace_id;
            if let Some(instance) = abandon::superseded(&self.hub, trace_id, claim, own).await {
                return Err(NotRecorded::AtWork { trace_id, instance });
            }
        }
        Ok(())
    }
}

impl RunClaims {
    pub(super) fn new(run: Option<Claimed>, key: Option<Claimed>) -> Box<Self> {
        Box::new(Self { run, key })
    }
}

fn is_at_work(run: &RunSummary) -> bool {
    run.state == RunState::Running
}

/// A run whose work a later one under its key does again is not resumed.
async fn not_started_again(hub: &Hub, trace_id: TraceId) -> Result<(), NotRecorded> {
    let reader = &hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader;
    let run = resume::summary(&**reader, trace_id).await?;
    let (Some(key), Some(workflow)) = (run.correlation_id, run.workflow) else { return Ok(()) };
    let identity = Identity { service: run.service, workflow, key };
    let latest = in_time(identity.latest(&**reader, 1)).await;
    let latest = latest.map_err(|error| NotRecorded::NotRead(Arc::new(error)))?;
    match latest.first() {
        Some(latest) if latest.trace_id != trace_id && latest.started > run.started => {
            Err(NotRecorded::StartedAgain { trace_id, by: latest.trace_id })
        }
        _ => Ok(()),
    }
}

async fn at_work(reader: &dyn TraceReader, trace_id: TraceId) -> Result<NotRecorded, NotRecorded> {
    Ok(NotRecorded::AtWork { trace_id, instance: resume::owner(reader, trace_id).await? })
}

/// What runs under a key have in common. The same key of another service or another workflow is another one.
struct Identity {
    service: Text,
    workflow: Text,
    key: Text,
}

impl Identity {
    fn new(hub: &Hub, workflow: &str, key: &str) -> Self {
        Self {
            service: hub.service.clone(),
            workflow: hub.redactor.name(workflow).into(),
            key: hub.redactor.findable(None, key).into(),
        }
    }

    /// The runs under the key, the last started first.
    async fn latest(&self, reader: &dyn TraceReader, limit: usize) -> Result<Vec<RunSummary>, ReadError> {
        Ok(reader.runs_without_causes(&self.filter(), &Page::first(limit)).await?.items)
    }

    fn filter(&self) -> Filter {
        Filter::new()
            .scope(Scope::all().workflow(self.workflow.clone()))
            .correlation_id(self.key.clone())
            .service(self.service.clone())
    }

    /// The latest run under the key that succeeded, however long ago.
    async fn success(&self, reader: &dyn TraceReader) -> Result<Option<TraceId>, NotRecorded> {
        let mut page = Page::first(RUNS_OF_A_KEY);
        loop {
            let found = in_time(reader.runs_without_causes(&self.filter(), &page)).await;
            let found = found.map_err(|error| NotRecorded::NotRead(Arc::new(error)))?;
            if let Some(run) = found.items.iter().find(|run| run.state == RunState::Succeeded) {
                return Ok(Some(run.trace_id));
            }
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// What is claimed so that one run under the key is at work. It is the id of no run: those are random.
    fn lock(&self) -> TraceId {
        let mut hash = Sha256::new();
        for part in [&self.service, &self.workflow, &self.key] {
            // So that ("a", "bc") is not ("ab", "c").
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        TraceId::from_bytes(bytes).unwrap_or_else(|| TraceId::from_key(&self.key))
    }
}

/// Waits for an answer of the store, but not for long. It is not tokio's timer: runs may be on another runtime.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    match select(pin!(answer), Delay::new(PATIENCE)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(ReadError::Unavailable {
            reason: format!("no answer from the store within {PATIENCE:?}"),
            source: None,
        }),
    }
}
