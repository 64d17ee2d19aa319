//! [`JobLayer`]: each call of a service is an attempt at a job.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use throughline_core::metrics::{CounterFamily, GaugeFamily, GaugeGuard, HistogramFamily, catalogue};
use throughline_core::names::{JOB_PREFIX, attrs, data};
use throughline_core::{
    BoxError, JobAttempt, JobKey, Status, Text, Throughline, Timestamp, TraceContext, TraceId,
};
use tower_layer::Layer;

use crate::Carrier;
use crate::failure::{Failure, passed_on};
use crate::previous::last_attempt;
use crate::service::{Inner, Record, Recorded, RecordedService};

/// What a worker knows of a job. Leave out what your queue does not know.
///
/// ```
/// use throughline_core::Text;
/// use throughline_workflow::{Carrier, Job};
///
/// struct Payout {
///     id: u64,
///     tries: u32,
///     context: Carrier,
/// }
///
/// impl Job for Payout {
///     fn job_type(&self) -> Text {
///         "payout".into()
///     }
///     fn job_id(&self) -> Option<Text> {
///         Some(self.id.to_string().into())
///     }
///     fn attempt(&self) -> u32 {
///         self.tries + 1
///     }
///     fn carrier(&self) -> Carrier {
///         self.context.clone()
///     }
/// }
/// ```
pub trait Job {
    /// What kind of job it is, in few different values: its events are called `job:` and this.
    fn job_type(&self) -> Text;

    /// The queue's id of the job, the same for all attempts at it: by it an attempt finds the one before.
    fn job_id(&self) -> Option<Text> {
        None
    }

    /// Which attempt this is, as the queue counts, from 1. Queues that do not count an attempt in which the worker
    /// died are corrected by what the store knows.
    fn attempt(&self) -> u32 {
        1
    }

    /// The context that came with the job.
    fn carrier(&self) -> Carrier {
        Carrier::default()
    }

    /// When the job could have been taken, if it is later than when it was put into the queue.
    fn due_at(&self) -> Option<Timestamp> {
        None
    }

    /// Whether a worker may have had the job before. If so, the store is asked for that attempt; `false` is for queues that know that this is the first time. An [attempt](Self::attempt) of 1 does
    /// not prove it: few queues count an attempt in which the worker died.
    fn may_be_retry(&self) -> bool {
        true
    }

    /// Receives the context of the attempt, so that the job can pass it to its handler.
    fn set_context(&mut self, context: &TraceContext) {
        let _ = context;
    }
}

/// The layer around the service that works on the jobs of one queue. Each call is an attempt: a span `job:` and the
/// kind of job in the producer's trace, with the queue, the job's id, the attempt and how long the job waited.
///
/// - The context comes from the job's [`Carrier`]. For a job without a (sound) one each attempt is a run of its own, under
///   the queue and the job's id as its [key](throughline_core::Workflow::key): the job stands as its last attempt does.
/// - An attempt **links the one before** as `retry_of`, be that a failed one or one in which the worker's process died.
///   It is found in the store, by the queue, the kind of job and the job's id. A store that does not answer is asked
///   three times, for two seconds in all; then the attempt starts without the link, and the log says so. Nothing says
///   then that the failure before has been made up for, so it still counts: if that attempt failed, the run stays failed
///   however this one ends.
/// - A job is [detached](throughline_core::names::tags::DETACHED): the run has not ended before its jobs have, and it
///   failed if the last attempt at one of them did.
/// - Errors, panics and dropped futures are recorded, and then passed on to the caller of the worker. Errors are boxed;
///   if the attempt could not be recorded the service is not called, and the error is a
///   [`NotRecorded`](throughline_core::NotRecorded): the queue will try again.
/// - Metrics: workers that are up (as long as a service made by this layer lives), jobs in flight, how long jobs waited
///   before their first attempt, how long attempts took and how they ended.
///
/// Put it inside whatever retries, so that it sees each attempt: with apalis, after `.retry(..)`.
#[derive(Debug, Clone)]
pub struct JobLayer(Arc<Shared>);

#[derive(Debug, Clone)]
struct Shared {
    throughline: Throughline,
    queue: Text,
    job_type: Option<Text>,
    workers: GaugeFamily<1>,
    in_flight: GaugeFamily<2>,
    wait: HistogramFamily<2>,
    duration: HistogramFamily<3>,
    attempts: CounterFamily<3>,
}

impl JobLayer {
    /// The layer for workers of this queue.
    pub fn new(throughline: &Throughline, queue: impl Into<Text>) -> Self {
        let meter = throughline.meter();
        Self(Arc::new(Shared {
            throughline: throughline.clone(),
            queue: queue.into(),
            job_type: None,
            workers: meter.gauge(&catalogue::WORKERS_ACTIVE),
            in_flight: meter.gauge(&catalogue::JOBS_IN_FLIGHT),
            wait: meter.histogram(&catalogue::JOB_WAIT),
            duration: meter.histogram(&catalogue::JOB_DURATION),
            attempts: meter.counter(&catalogue::JOB_ATTEMPTS),
        }))
    }

    /// The kind of all jobs of this queue, whatever they say themselves.
    pub fn job_type(self, job_type: impl Into<Text>) -> Self {
        let shared = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Shared { job_type: Some(job_type.into()), ..shared }))
    }
}

impl JobLayer {
    /// Counts a worker without tower as up until it is dropped; a [service](RecordedService) counts itself.
    pub fn worker(&self) -> JobWorker {
        JobWorker { layer: self.clone(), _up: Arc::new(self.0.workers.with([&self.0.queue]).hold()) }
    }

    /// Works on one job, for workers without tower: all that the [service](RecordedService) does, except for counting
    /// the [worker](Self::worker).
    ///
    /// ```
    /// # use throughline_core::BoxError;
    /// # use throughline_workflow::{Job, JobLayer};
    /// # async fn pay<J>(_: J) -> Result<(), std::io::Error> { Ok(()) }
    /// async fn worker<J: Job>(jobs: impl IntoIterator<Item = J>, payouts: JobLayer) -> Result<(), BoxError> {
    ///     let _up = payouts.worker();
    ///     for job in jobs {
    ///         payouts.run(job, |job| pay(job)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The handler's own, boxed; or a [`NotRecorded`](throughline_core::NotRecorded) if the attempt could not be
    /// recorded and the handler was not called.
    pub fn run<J, C, F, T, E>(
        &self,
        job: J,
        handle: C,
    ) -> impl Future<Output = Result<T, BoxError>> + use<J, C, F, T, E>
    where
        J: Job,
        C: FnOnce(J) -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        Attempt::new(&self.0, &job).work(job, handle)
    }
}

impl<S> Layer<S> for JobLayer {
    type Service = RecordedService<S, JobWorker>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordedService::new(inner, self.worker())
    }
}

/// A worker of a queue: returned by [`JobLayer::worker`]. It and its clones count as one worker that is up, until the last
/// of them is dropped.
#[derive(Debug, Clone)]
#[must_use = "dropped, the worker does not count as up any more"]
pub struct JobWorker {
    layer: JobLayer,
    _up: Arc<GaugeGuard>,
}

impl<J: Job + Send + 'static> Record<J> for JobWorker {
    fn record<S: Inner<J>>(&self, job: J, mut service: S) -> Recorded<S, J> {
        Box::pin(self.layer.run(job, move |job| service.call(job)))
    }
}

/// By how much the clocks of two machines may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// No job waits longer: such a time is a zero or some other invalid value.
const LONGEST_WAIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How long a job waited that was due then; `None` if that is impossible.
fn waited_since(due: Timestamp) -> Option<Duration> {
    let now = Timestamp::now();
    let waited = now.since(due);
    (due.since(now) <= CLOCK_SKEW && waited <= LONGEST_WAIT).then_some(waited)
}

/// An attempt at a job, as the queue describes it.
struct Attempt {
    shared: Arc<Shared>,
    job_type: Text,
    job_id: Option<Text>,
    /// As the queue counts.
    number: u32,
    may_be_retry: bool,
    carrier: Carrier,
    waited: Option<Duration>,
    in_flight: GaugeGuard,
}

impl Attempt {
    fn new(shared: &Arc<Shared>, job: &impl Job) -> Self {
        let job_type = shared.job_type.clone().unwrap_or_else(|| job.job_type());
        let carrier = job.carrier();
        let waited = carrier.enqueued_at().max(job.due_at()).and_then(waited_since);
        Self {
            shared: Arc::clone(shared),
            in_flight: shared.in_flight.with([&shared.queue, &job_type]).hold(),
            job_type,
            job_id: job.job_id(),
            number: job.attempt().max(1),
            may_be_retry: job.attempt() > 1 || job.may_be_retry(),
            carrier,
            waited,
        }
    }

    async fn work<J, C, F, T, E>(self, mut job: J, handle: C) -> Result<T, BoxError>
    where
        J: Job,
        C: FnOnce(J) -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        let Self { shared, job_type, job_id, number, may_be_retry, carrier, waited, in_flight: _in_flight } =
            self;
        let throughline = &shared.throughline;
        let propagation = carrier.propagation();
        let key = job_id.as_ref().filter(|_| propagation.traceparent.is_none());
        let key = key.map(|id| Text::from(format!("{}:{id}", shared.queue)));
        let event_type = Text::from(format!("{JOB_PREFIX}{job_type}"));
        let before = match (&propagation.traceparent, &job_id) {
            (Some(parent), Some(job_id)) if may_be_retry => {
                shared.attempt_before(parent.trace_id, &event_type, job_id).await
            }
            _ => None,
        };
        let number = before.map_or(number, |before| number.max(before.number.saturating_add(1)));
        // When a later attempt became due, nobody knows.
        let waited = waited.filter(|_| number == 1);

        let mut run = throughline
            .workflow(job_type.clone())
            .event_type(event_type)
            .detached()
            .attempt(number)
            .attr(Text::literal(attrs::QUEUE), shared.queue.clone())
            .continue_from(propagation);
        if let Some(job_id) = job_id {
            run = run.attr(Text::literal(attrs::JOB_ID), job_id);
        }
        if let Some(key) = key {
            run = run.key(key);
        }
        if let Some(before) = before {
            run = run.retry_of(before.span_id);
        }
        if let Some(waited) = waited {
            let wait_us = Value::from(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
            run = run.input(&Map::from_iter([(data::WAIT_US.to_owned(), wait_us)]));
        }

        let measured = Arc::clone(&shared);
        let mut was_begun = false;
        let tried = run.run(|context| {
            was_begun = true;
            if let Some(waited) = waited.filter(|_| context.attempt().is_none_or(|attempt| attempt == 1)) {
                measured.wait.with([&measured.queue, &job_type]).record_duration(waited);
            }
            let outcome =
                Outcome { shared: measured, job_type: job_type.clone(), began: Instant::now(), done: None };
            job.set_context(&context);
            let working = handle(job);
            async move {
                let done = working.await;
                outcome.is(done.is_ok());
                done.map_err(Failure::of)
            }
        });
        let tried = tried.await;
        // With pipelined durability the job may have run anyway, and is counted then.
        if tried.is_err() && !was_begun {
            shared.attempts.with([&shared.queue, &job_type, "not_started"]).increment(1);
        }
        passed_on(tried)
    }
}

impl Shared {
    /// The last attempt at a job that was started, and its number.
    async fn attempt_before(&self, trace_id: TraceId, event_type: &str, job_id: &str) -> Option<JobAttempt> {
        // As they are stored.
        let redactor = self.throughline.redactor();
        let job = JobKey::new(
            redactor.name(event_type),
            redactor.findable(Some(attrs::QUEUE), &self.queue),
            redactor.findable(Some(attrs::JOB_ID), job_id),
        );
        last_attempt(&self.throughline, trace_id, job).await
    }
}

/// Measures an attempt when it is over, however that comes about.
struct Outcome {
    shared: Arc<Shared>,
    job_type: Text,
    began: Instant,
    /// Whether it succeeded; `None` if it panicked or was dropped.
    done: Option<bool>,
}

impl Outcome {
    fn is(mut self, well: bool) {
        self.done = Some(well);
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let (status, outcome) = match self.done {
            Some(true) => (Status::Success, Status::Success.as_str()),
            Some(false) => (Status::Failed, Status::Failed.as_str()),
            None if std::thread::panicking() => (Status::Failed, "panicked"),
            None => (Status::Cancelled, Status::Cancelled.as_str()),
        };
        let Shared { queue, duration, attempts, .. } = &*self.shared;
        duration.with([queue, &self.job_type, status.as_str()]).record_duration(self.began.elapsed());
        attempts.with([queue, &self.job_type, outcome]).increment(1);
    }
}
