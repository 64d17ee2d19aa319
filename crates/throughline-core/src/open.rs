//! What is known of runs that have not ended besides what they say themselves: in which process each is, how long such runs and steps
//! usually take, and what a deployment would do to it. The command and the page that show what runs say the same of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use throughline_model::{
    InstanceId, Liveness, OpenRun, Process, ReadError, RunState, RunSummary, Scope, StageTimes, Text,
    Timestamp, TraceAnalytics, TraceReader, names,
};

/// For how long nothing happens in a run until it counts as stuck, where nobody says otherwise: 10 minutes.
pub const STUCK_AFTER: Duration = Duration::from_secs(600);

/// Of how long ago what is usual is taken.
const USUAL_OF: Duration = Duration::from_secs(30 * 86_400);
/// Of how many workflows at once it is asked, and how many types of spans each may have.
const WORKFLOWS: usize = 16;
const STAGES: usize = 1_000;
/// For how long that is kept, and of how many workflows.
const KEPT_FOR: Duration = Duration::from_secs(60);
const KEPT: usize = 256;

/// What a deployment, which ends the processes of a service, would do to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deployment {
    /// It would cut the run short, which the next process could resume.
    CutsShort,
    /// It would cut the run short for good: nothing resumes what is under way, such as an HTTP request.
    CutsShortForGood,
    /// The process of the run is gone already, and the run waits to be resumed.
    WaitsToBeResumed,
    /// The process of the run is gone already, and nothing resumes it: it can be abandoned.
    IsLeftOver,
    /// It is not known whether a process is at work on it, as of a run that was imported.
    Unknown,
}

impl Deployment {
    /// What it would do to this run.
    pub fn of(run: &RunSummary) -> Self {
        let is_resumable = run.root.as_ref().is_some_and(|root| root.is_resumable);
        match (run.state, is_resumable) {
            (RunState::Running, true) => Self::CutsShort,
            (RunState::Running, false) => Self::CutsShortForGood,
            (RunState::Interrupted, true) => Self::WaitsToBeResumed,
            (RunState::Interrupted, false) => Self::IsLeftOver,
            _ => Self::Unknown,
        }
    }

    /// The same in a few words, as in a column of a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CutsShort => "cut short, can be resumed",
            Self::CutsShortForGood => "cut short for good",
            Self::WaitsToBeResumed => "not affected, waits to be resumed",
            Self::IsLeftOver => "not affected, can't be resumed",
            Self::Unknown => "not known",
        }
    }
}

/// How long something usually takes, by what ended in the last 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UsualTime {
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 95th percentile, in microseconds.
    pub p95_us: u64,
    /// How many ended.
    pub count: u64,
}

/// How long the runs of workflows and their steps usually take. What a store counted for it is kept for a minute: counting
/// may cost much, and what is usual changes slowly.
#[derive(Debug, Default)]
pub struct UsualTimes(Mutex<HashMap<Option<Text>, Counted>>);

/// What a store counted of the spans of a workflow, and when.
#[derive(Debug, Clone)]
struct Counted {
    at: Instant,
    stages: Arc<[StageTimes]>,
}

impl UsualTimes {
    /// The spans of a workflow, or of all runs; none if the store does not count.
    async fn of(
        &self,
        analytics: &dyn TraceAnalytics,
        workflow: Option<&Text>,
    ) -> Result<Arc<[StageTimes]>, ReadError> {
        let workflow = workflow.cloned();
        if let Some(known) = self.kept().get(&workflow).filter(|known| known.at.elapsed() < KEPT_FOR) {
            return Ok(Arc::clone(&known.stages));
        }
        let mut scope = Scope::all().since(Timestamp::now().minus(USUAL_OF));
        scope.workflow.clone_from(&workflow);
        let stages: Arc<[StageTimes]> = match analytics.slowest_stages(&scope, STAGES).await {
            Ok(stages) => stages.into(),
            Err(ReadError::Unsupported { .. }) => Arc::default(),
            Err(error) => return Err(error),
        };
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(workflow, Counted { at: Instant::now(), stages: Arc::clone(&stages) });
        Ok(stages)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Option<Text>, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long spans take that begin as this type: runs and sagas end under another name than that under which they began.
fn usual(stages: &[StageTimes], begun: &str) -> Option<UsualTime> {
    let ended = match begun {
        names::WORKFLOW_STARTED => names::WORKFLOW_COMPLETED,
        names::SAGA_STARTED => names::SAGA_COMPLETED,
        other => other,
    };
    let found = stages.iter().find(|stage| stage.event_type == ended)?;
    Some(UsualTime { p50_us: found.p50_us, p95_us: found.p95_us, count: found.count })
}

/// In which process a run is, and whether that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// The instance that has the run in hand.
    pub instance: InstanceId,
    /// Whether it holds its lease.
    pub lease: Liveness,
    /// The service that it is one of.
    pub service: Option<Text>,
    /// The version of the service.
    pub version: Option<Text>,
    /// The name of the host.
    pub host: Option<Text>,
    /// The number of the process.
    pub pid: Option<u32>,
    /// When it took its lease.
    pub since: Option<Timestamp>,
    /// The last sign of life that the store has of it: the age of the lease counts from it.
    pub last_seen: Option<Timestamp>,
}

/// A run that has not ended, with what is known besides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AtWork {
    /// The run; its fields stand beside these.
    #[serde(flatten)]
    pub run: OpenRun,
    /// What a deployment would do to it.
    pub deployment: Deployment,
    /// The process that has it in hand, as far as the store knows one.
    pub holder: Option<Holder>,
    /// How long runs of its workflow take; `None` where the store does not count, or none has succeeded.
    pub usual: Option<UsualTime>,
    /// How long its current step takes in runs of its workflow.
    pub usual_of_step: Option<UsualTime>,
}

impl AtWork {
    /// When what failed is tried again, if that is still to come.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.run.next_retry.filter(|at| *at > now)
    }
}

/// Adds to open runs what is known besides; without analytics, nothing is usual.
///
/// # Errors
/// When the store can't be read.
pub async fn at_work(
    reader: &dyn TraceReader,
    analytics: Option<&dyn TraceAnalytics>,
    usual_times: &UsualTimes,
    runs: Vec<OpenRun>,
) -> Result<Vec<AtWork>, ReadError> {
    let mut instances: Vec<InstanceId> = runs.iter().filter_map(|run| run.instance).collect();
    instances.sort_unstable();
    instances.dedup();
    let leases = reader.liveness(&instances).await?;
    let processes = reader.processes(&instances).await?;
    let holders: HashMap<InstanceId, Holder> = { instances.into_iter().zip(leases).zip(processes) }
        .map(|((instance, lease), process)| (instance, holder(instance, lease, process)))
        .collect();
    let mut of_workflow: HashMap<Option<Text>, Arc<[StageTimes]>> = HashMap::new();
    for run in &runs {
        let workflow = &run.summary.workflow;
        if let Some(analytics) = analytics
            && of_workflow.len() < WORKFLOWS
            && !of_workflow.contains_key(workflow)
        {
            let stages = usual_times.of(analytics, workflow.as_ref()).await?;
            of_workflow.insert(workflow.clone(), stages);
        }
    }
    let at_work = runs.into_iter().map(|run| {
        let stages = of_workflow.get(&run.summary.workflow).map_or(&[][..], |stages| stages);
        let root = run.summary.root.as_ref();
        AtWork {
            deployment: Deployment::of(&run.summary),
            holder: run.instance.and_then(|instance| holders.get(&instance)).cloned(),
            usual: root.and_then(|root| usual(stages, &root.event_type)),
            usual_of_step: run.current.as_ref().and_then(|step| usual(stages, &step.event_type)),
            run,
        }
    });
    Ok(at_work.collect())
}

fn holder(instance: InstanceId, lease: Liveness, process: Option<Process>) -> Holder {
    let mut holder = Holder {
        instance,
        lease,
        service: None,
        version: None,
        host: None,
        pid: None,
        since: None,
        last_seen: None,
    };
    if let Some(process) = process {
        holder.service = Some(process.service);
        (holder.version, holder.host, holder.pid) = (process.version, process.host, process.pid);
        (holder.since, holder.last_seen) = (Some(process.started), Some(process.last_seen));
    }
    holder
}
