//! [`WorkflowLayer`]: each call of a service is a run.

use std::fmt;
use std::sync::Arc;

use throughline_core::metrics::{GaugeFamily, catalogue};
use throughline_core::names::attrs;
use throughline_core::{BoxError, Throughline, TraceContext, Workflow};
use tower_layer::Layer;

use crate::failure::{Failure, passed_on};
use crate::service::{Inner, Record, Recorded, RecordedService};

type Describe<R> = Arc<dyn Fn(&Throughline, &R) -> Workflow + Send + Sync>;

/// The layer around a service that runs workflows: each call is a run, with `workflow:started` before the service is
/// called and `workflow:completed`, `workflow:failed` or `workflow:cancelled` after it.
///
/// A closure says which workflow each request runs, for whom, and under which execution id. Inside, the service finds
/// its context as [`TraceContext::current`](throughline_core::TraceContext::current).
///
/// An executor without tower calls [`run`](Self::run), which does the same.
///
/// **Errors** are boxed, as in tower's own layers, because the layer has one of its own: if the start of the run could
/// not be recorded, the service is not called and the error is a [`NotRecorded`](throughline_core::NotRecorded), which
/// `error.downcast_ref::<NotRecorded>()` distinguishes from the service's own. Those keep their type inside the box.
///
/// ```
/// use throughline_core::{BoxError, MemoryStore, NotRecorded, Throughline};
/// use throughline_workflow::WorkflowLayer;
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
///
/// struct Execution {
///     id: String,
///     tenant: String,
///     workflow: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let throughline = Throughline::builder("executor").store(MemoryStore::new()).build()?;
/// let executor = ServiceBuilder::new()
///     .layer(WorkflowLayer::new(&throughline, |throughline, request: &Execution| {
///         throughline.workflow(request.workflow.clone()).tenant(request.tenant.clone()).execution(request.id.clone())
///     }))
///     .service(service_fn(|request: Execution| async move { Ok::<_, std::io::Error>(request.id.len()) }));
///
/// let request = Execution { id: "e-17".into(), tenant: "acme".into(), workflow: "onboarding".into() };
/// match executor.oneshot(request).await {
///     Ok(length) => assert_eq!(length, 4),
///     Err(error) if error.is::<NotRecorded>() => eprintln!("try again later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub struct WorkflowLayer<R> {
    throughline: Throughline,
    describe: Describe<R>,
    active: GaugeFamily<2>,
    resumes: bool,
}

impl<R> WorkflowLayer<R> {
    /// The layer for services that take requests of this type.
    pub fn new(
        throughline: &Throughline,
        describe: impl Fn(&Throughline, &R) -> Workflow + Send + Sync + 'static,
    ) -> Self {
        Self {
            throughline: throughline.clone(),
            describe: Arc::new(describe),
            active: throughline.meter().gauge(&catalogue::WORKFLOWS_ACTIVE),
            resumes: false,
        }
    }

    /// Resumes an execution that a dead process left unfinished in its own run, as
    /// [`run_or_resume`](Workflow::run_or_resume) does, instead of starting another one. If the execution is at work already,
    /// or the store can't be read, the service is not called.
    pub fn resume_interrupted(self) -> Self {
        Self { resumes: true, ..self }
    }

    /// Runs one workflow, for executors without tower: all that the [service](RecordedService) does.
    ///
    /// ```
    /// # use throughline_core::BoxError;
    /// # use throughline_workflow::WorkflowLayer;
    /// # struct Execution { id: String }
    /// # async fn execute(execution: Execution) -> Result<usize, std::io::Error> { Ok(execution.id.len()) }
    /// async fn executor(
    ///     executions: Vec<Execution>,
    ///     workflows: WorkflowLayer<Execution>,
    /// ) -> Result<(), BoxError> {
    ///     for execution in executions {
    ///         workflows.run(execution, |execution| execute(execution)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The closure's own, boxed; or a [`NotRecorded`](throughline_core::NotRecorded) if the start of the run could not be
    /// recorded and the closure was not called.
    pub fn run<C, F, T, E>(
        &self,
        request: R,
        execute: C,
    ) -> impl Future<Output = Result<T, BoxError>> + use<R, C, F, T, E>
    where
        C: FnOnce(R) -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        let workflow = (self.describe)(&self.throughline, &request);
        let (active, resumes) = (self.active.clone(), self.resumes);
        async move {
            let run = move |context: TraceContext| {
                let tenant = context.attrs().get(attrs::TENANT).unwrap_or_default();
                let active = active.with([tenant, context.workflow_name().unwrap_or_default()]).hold();
                let running = execute(request);
                async move {
                    let _active = active;
                    running.await.map_err(Failure::of)
                }
            };
            passed_on(match resumes {
                true => workflow.run_or_resume(run).await,
                false => workflow.run(run).await,
            })
        }
    }
}

impl<R> Clone for WorkflowLayer<R> {
    fn clone(&self) -> Self {
        Self {
            throughline: self.throughline.clone(),
            describe: Arc::clone(&self.describe),
            active: self.active.clone(),
            resumes: self.resumes,
        }
    }
}

impl<R> fmt::Debug for WorkflowLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowLayer").field("throughline", &self.throughline).finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for WorkflowLayer<R> {
    type Service = RecordedService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordedService::new(inner, self.clone())
    }
}

impl<R: Send + 'static> Record<R> for WorkflowLayer<R> {
    fn record<S: Inner<R>>(&self, request: R, mut service: S) -> Recorded<S, R> {
        Box::pin(self.run(request, move |request| service.call(request)))
    }
}
