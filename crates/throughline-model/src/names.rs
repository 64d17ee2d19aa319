//! The names that Throughline itself gives to events, tags, attributes and payload fields.
//!
//! Each is defined here once; stores, queries and docs refer to these constants. Your own events are free to
//! have any name; `area:what` reads best.

use std::borrow::Cow;

/// A run began: the start of its root span.
pub const WORKFLOW_STARTED: &str = "workflow:started";
/// A run succeeded.
pub const WORKFLOW_COMPLETED: &str = "workflow:completed";
/// A run ended with an error or a panic.
pub const WORKFLOW_FAILED: &str = "workflow:failed";
/// A run was dropped before it ended.
pub const WORKFLOW_CANCELLED: &str = "workflow:cancelled";
/// Another instance resumed the run.
pub const WORKFLOW_RESUMED: &str = "workflow:resumed";
/// A run that its process left open was closed for good: it will not be resumed. It counts as failed.
pub const WORKFLOW_ABANDONED: &str = "workflow:abandoned";

/// A saga began.
pub const SAGA_STARTED: &str = "saga:started";
/// All steps of a saga succeeded.
pub const SAGA_COMPLETED: &str = "saga:completed";
/// A step of a saga failed and the saga begins to undo the others. A point event, child of the saga's span.
pub const SAGA_COMPENSATING: &str = "saga:compensating";
/// A saga failed; whether all was undone is said by its compensations.
pub const SAGA_FAILED: &str = "saga:failed";
/// Another instance resumed the saga.
pub const SAGA_RESUMED: &str = "saga:resumed";
/// A saga was dropped before it ended.
pub const SAGA_CANCELLED: &str = "saga:cancelled";
/// The code that ran a saga was dropped, and its compensation continues without it: the saga is
/// [detached](tags::DETACHED) from now on.
pub const SAGA_DETACHED: &str = "saga:detached";
/// The code that ran a saga was dropped, and the saga was left open, to be resumed or undone.
pub const SAGA_LEFT_OPEN: &str = "saga:left_open";

/// What the event type of every compensation starts with; the step's own name follows:
/// `stage:reserve-funds` is undone by `compensate:reserve-funds`.
pub const COMPENSATE_PREFIX: &str = "compensate:";
/// What the event type of every call to a dependency starts with; its kind follows, as in `dependency:db`.
pub const DEPENDENCY_PREFIX: &str = "dependency:";

/// Something failed, and the code continues without it: a point event whose error is the one that was tolerated. See
/// [`tags::FALLBACK`].
pub const FALLBACK: &str = "fallback";
/// A run with a trace of its own was begun: a point event that links its root as `began`.
pub const CHILD_BEGAN: &str = "child:began";
/// What failed will be tried again: a point event that has the time of that in [`attrs::RETRY_AT`].
pub const RETRY_SCHEDULED: &str = "retry:scheduled";

/// What the event type of everything about authentication starts with, as in `auth:login`.
pub const AUTH_PREFIX: &str = "auth:";
/// What the event type of every transition of a state machine starts with; the machine and the state that is entered
/// follow, as in `state:session:running`.
pub const STATE_PREFIX: &str = "state:";
/// What the event type of every making of a resource starts with; its kind follows, as in `provision:sandbox`.
pub const PROVISION_PREFIX: &str = "provision:";

/// What the event type of every imported activity starts with; the activity's own name follows, as in
/// `activity:A_SUBMITTED`.
pub const ACTIVITY_PREFIX: &str = "activity:";
/// An imported activity that has no name.
pub const ACTIVITY_UNNAMED: &str = "activity";

/// Whether the span of an event of this type is a run of a workflow.
pub fn is_workflow(event_type: &str) -> bool {
    matches!(
        event_type,
        WORKFLOW_STARTED | WORKFLOW_COMPLETED | WORKFLOW_FAILED | WORKFLOW_CANCELLED | WORKFLOW_RESUMED
    )
}

/// Whether the span of an event of this type is a saga.
pub fn is_saga(event_type: &str) -> bool {
    matches!(
        event_type,
        SAGA_STARTED
            | SAGA_COMPLETED
            | SAGA_FAILED
            | SAGA_CANCELLED
            | SAGA_RESUMED
            | SAGA_DETACHED
            | SAGA_LEFT_OPEN
    )
}

/// The attributes that [`of_span`] looks at.
pub const OF_SPAN_ATTRS: [&str; 4] = [attrs::SAGA, attrs::HTTP_METHOD, attrs::HTTP_ROUTE, attrs::DEPENDENCY];

/// What to call a span of this event type: `workflow:loan-approval` or `saga:booking` if the workflow or the saga has a name,
/// `POST /loans/{id}` if it is a request that matched a route, `dependency:http carrier-api` if it is a call to a dependency
/// with a name, and its event type in all other cases.
pub fn of_span<'a>(
    event_type: &'a str,
    workflow: impl FnOnce() -> Option<&'a str>,
    attr: impl Fn(&str) -> Option<&'a str>,
) -> Cow<'a, str> {
    if is_workflow(event_type) {
        return workflow().map_or("workflow".into(), |workflow| format!("workflow:{workflow}").into());
    }
    if is_saga(event_type) {
        return attr(attrs::SAGA).map_or("saga".into(), |saga| format!("saga:{saga}").into());
    }
    if event_type == HTTP_REQUEST
        && let (Some(method), Some(route)) = (attr(attrs::HTTP_METHOD), attr(attrs::HTTP_ROUTE))
    {
        return format!("{method} {route}").into();
    }
    if event_type.starts_with(DEPENDENCY_PREFIX)
        && let Some(dependency) = attr(attrs::DEPENDENCY)
    {
        return format!("{event_type} {dependency}").into();
    }
    event_type.into()
}

/// What the event type of a step begins with that an executor runs and gives no other name; its id follows:
/// `step:credit-check`.
pub const STEP_PREFIX: &str = "step:";

/// What the event type of every attempt at a job begins with; what kind of job it is follows: `job:payout`.
pub const JOB_PREFIX: &str = "job:";

/// An HTTP request that a server answers: the root of what it causes.
pub const HTTP_REQUEST: &str = "http:request";
/// The life of a WebSocket, from the answer to its upgrade until it is closed.
pub const WEBSOCKET_SESSION: &str = "ws:session";

/// A click on a page that requests followed, when the last of them was answered.
pub const WEB_CLICK: &str = "web:click";
/// What failed in a page: a script, or the loading of something.
pub const WEB_ERROR: &str = "web:error";

/// Tags with a meaning.
pub mod tags {
    /// A step that has a compensation: if its saga fails, it must be undone.
    pub const COMPENSABLE: &str = "compensable";
    /// A compensable step that is undone even if it may have had no effect, because it failed or did not end.
    pub const COMPENSATE_WHEN_IN_DOUBT: &str = "compensate_when_in_doubt";
    /// A span that undoes another, which it links as `compensates`.
    pub const COMPENSATION: &str = "compensation";
    /// A decision with alternatives.
    pub const DECISION: &str = "decision";
    /// A call to a database, a queue or an outside service.
    pub const DEPENDENCY: &str = "dependency";
    /// A span that nobody waits for, such as a job that a request put into a queue, or a saga whose caller is gone: the run
    /// has not ended before it has, and failed if it failed. See [`RunSummary::of`](crate::RunSummary::of).
    pub const DETACHED: &str = "detached";
    /// A point event that says what the code did instead of what failed.
    pub const FALLBACK: &str = "fallback";
    /// A root whose parent span lives in another process.
    pub const REMOTE_PARENT: &str = "remote_parent";
    /// A root whose remote parent was not sampled, as its `traceparent` said. It is stored like any other; exporters may follow
    /// their callers and leave it out.
    pub const UNSAMPLED_PARENT: &str = "unsampled_parent";
    /// A root that an import made up, because its input has runs but no events for their start and end.
    pub const SYNTHESISED: &str = "synthesised";
    /// An imported event that came without a time and was given its neighbour's.
    pub const UNTIMED: &str = "untimed";
    /// All of these.
    pub const ALL: [&str; 11] = [
        COMPENSABLE,
        COMPENSATE_WHEN_IN_DOUBT,
        COMPENSATION,
        DECISION,
        DEPENDENCY,
        DETACHED,
        FALLBACK,
        REMOTE_PARENT,
        UNSAMPLED_PARENT,
        SYNTHESISED,
        UNTIMED,
    ];
}

/// Attributes with a meaning.
pub mod attrs {
    /// What a compensable step created and its compensation must remove: `funds-reservation r-17`.
    pub const RESOURCE: &str = "resource";
    /// The name of a saga.
    pub const SAGA: &str = "saga";
    /// The name of the dependency that was called, as in `postgres`.
    pub const DEPENDENCY: &str = "dependency";
    /// The state machine of a transition, as in `session`.
    pub const STATE_MACHINE: &str = "state.machine";
    /// Whose state a transition changes: an id of the service's own.
    pub const STATE_ENTITY: &str = "state.entity";
    /// The state that a transition leaves; an entity that is new has none.
    pub const STATE_FROM: &str = "state.from";
    /// The state that a transition enters.
    pub const STATE_TO: &str = "state.to";
    /// The name of a transition that has one, as in `auto_paused`.
    pub const STATE_TRIGGER: &str = "state.trigger";
    /// The tenant for whom a run is made.
    pub const TENANT: &str = "tenant";
    /// An executor's id of a run.
    pub const EXECUTION: &str = "execution";
    /// An executor's id of a step within its workflow.
    pub const STEP_ID: &str = "step_id";
    /// What kind of step an executor runs, in few different values: `http`, `script`…
    pub const STEP_TYPE: &str = "step_type";
    /// The run in which this one was started, if it has a trace of its own: that run's trace id.
    pub const CAUSED_BY: &str = "caused_by";
    /// What the caller in another process said of how it samples, in a root: the member `ot` of `tracestate`.
    pub const SAMPLING: &str = "tracestate.ot";
    /// When what failed will be tried again, as RFC 3339: see [`RETRY_SCHEDULED`](super::RETRY_SCHEDULED).
    pub const RETRY_AT: &str = "retry_at";
    /// The request that caused a run.
    pub const REQUEST_ID: &str = "request_id";
    /// The session in which something happens: an id of the service's own.
    pub const SESSION: &str = "session";
    /// The user for whom something happens: an id of the service's own.
    pub const USER: &str = "user";
    /// Who or what did an imported activity: the `org:resource` of the XES standard.
    pub const ORG_RESOURCE: &str = "org.resource";
    /// The method of an HTTP request, or `_OTHER`
    /// ([OTel semantic conventions](https://opentelemetry.io/docs/specs/semconv/http/http-spans/)).
    pub const HTTP_METHOD: &str = "http.request.method";
    /// The route that an HTTP request matched, as in `/loans/{id}`.
    pub const HTTP_ROUTE: &str = "http.route";
    /// The status code of an HTTP answer.
    pub const HTTP_STATUS: &str = "http.response.status_code";
    /// The host that was called
    /// ([OTel semantic conventions](https://opentelemetry.io/docs/specs/semconv/http/http-spans/)).
    pub const SERVER_ADDRESS: &str = "server.address";
    /// The port that was called.
    pub const SERVER_PORT: &str = "server.port";
    /// The function that was called, as in `process-data`.
    pub const FUNCTION: &str = "function";
    /// How it was called: `http`, `ipc` or `direct`.
    pub const TRANSPORT: &str = "transport";
    /// Where the time of a call went: what the attribute of each part, in microseconds, starts with. The part
    /// follows, and `_us`, as in `call.queue_us`.
    pub const CALL_PREFIX: &str = "call.";
    /// How large the request of a call was, in bytes.
    pub const CALL_REQUEST_SIZE: &str = "call.request_bytes";
    /// How large the answer to a call was, in bytes.
    pub const CALL_RESPONSE_SIZE: &str = "call.response_bytes";
    /// The queue that a job came from.
    pub const QUEUE: &str = "queue";
    /// The queue's id of a job, the same for all attempts at it.
    pub const JOB_ID: &str = "job_id";
}

/// Fields of `data` with a meaning.
pub mod data {
    /// What a step was given.
    pub const INPUT: &str = "input";
    /// How many microseconds a job waited before a worker took it, within [`INPUT`].
    pub const WAIT_US: &str = "wait_us";
    /// What a step gave back.
    pub const OUTPUT: &str = "output";
    /// What was done instead of what failed, in words.
    pub const MESSAGE: &str = "message";
    /// The business key of a run that was begun.
    pub const KEY: &str = "key";
    /// The workflow of a run that was begun.
    pub const WORKFLOW: &str = "workflow";
    /// What a decision chose: a text.
    pub const CHOICE: &str = "choice";
    /// What a decision weighed: a list of `{name, score?, reason?}`.
    pub const ALTERNATIVES: &str = "alternatives";
    /// Why it chose so: a text.
    pub const REASONING: &str = "reasoning";
    /// How sure it was: a number from 0 to 1.
    pub const CONFIDENCE: &str = "confidence";
    /// Who or what decided: a model's or a rule set's name.
    pub const DECIDER: &str = "decider";
    /// Where an imported activity stands in its life cycle, as its input has it: `START`, `complete`, `schedule`…
    pub const LIFECYCLE_TRANSITION: &str = "lifecycle:transition";

    /// How a value says that it was an XES attribute of a kind that JSON lacks: an object of these fields.
    pub mod xes {
        /// The kind: `date`, `id`, `list`, `container`… or `repeated` for several attributes under one key.
        pub const TYPE: &str = "xes:type";
        /// The value as text.
        pub const VALUE: &str = "xes:value";
        /// The contents of a list, a container or of attributes under one key.
        pub const VALUES: &str = "xes:values";
        /// The attributes of the attribute.
        pub const ATTRIBUTES: &str = "xes:attributes";
    }
}

/// Values of the labels of metrics that stand for what has no name of its own.
pub mod labels {
    /// The route of all requests that matched none: a path would be anything that a client sends.
    pub const UNMATCHED: &str = "_unmatched";
    /// What is not among the known values, such as a method that no standard has
    /// ([OTel](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/)).
    pub const OTHER: &str = "_OTHER";
}

/// Kinds of errors with a meaning.
pub mod errors {
    /// An error that is a text and nothing more.
    pub const ERROR: &str = "error";
    /// The step panicked.
    pub const PANIC: &str = "panic";
    /// The process died before it ended.
    pub const INTERRUPTED: &str = "interrupted";
    /// The run was closed for good.
    pub const ABANDONED: &str = "abandoned";

    // Who cancelled a span, where that is known.

    /// It took longer than it was allowed to.
    pub const DEADLINE: &str = "deadline";
    /// The client that it worked for went away.
    pub const CLIENT_GONE: &str = "client_gone";
    /// Another one failed that ran beside it for the same purpose.
    pub const SIBLING_FAILED: &str = "sibling_failed";
    /// The process is shutting down.
    pub const SHUTDOWN: &str = "shutdown";
    /// The task that it ran in was aborted.
    pub const ABORTED: &str = "aborted";
}

/// Environment variables: the façade builds an emitter from them, and the command line reads some of them too.
pub mod env {
    /// `true` turns everything off, whatever else is set
    /// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)).
    pub const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
    /// In which formats a context travels in the headers of requests
    /// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)).
    pub const OTEL_PROPAGATORS: &str = "OTEL_PROPAGATORS";
    /// The name of the service; wins over the name in the code
    /// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)).
    pub const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
    /// Where events are kept, as in `sqlite:traces.db`, `postgres://localhost/audit` or
    /// `cosmos:https://loans.documents.azure.com/audit`.
    pub const THROUGHLINE_STORE: &str = "THROUGHLINE_STORE";
    /// The key of the account of a store in Azure Cosmos DB.
    pub const THROUGHLINE_COSMOS_KEY: &str = "THROUGHLINE_COSMOS_KEY";
    /// The path of a file that has the key of such an account in it, if the key itself is not set.
    pub const THROUGHLINE_COSMOS_KEY_FILE: &str = "THROUGHLINE_COSMOS_KEY_FILE";
    /// The path of the file in which events wait while the store is away.
    pub const THROUGHLINE_OUTBOX: &str = "THROUGHLINE_OUTBOX";
    /// Where events are shown as they happen, as in `redis://127.0.0.1/`.
    pub const THROUGHLINE_FEED: &str = "THROUGHLINE_FEED";
    /// The secret that pseudonyms are made with, so that personal data in keys and attributes can still be found.
    pub const THROUGHLINE_PSEUDONYM_KEY: &str = "THROUGHLINE_PSEUDONYM_KEY";
    /// How often the store is asked for runs that have not ended and for what sagas left behind, in milliseconds.
    pub const THROUGHLINE_RUN_METRICS_INTERVAL: &str = "THROUGHLINE_RUN_METRICS_INTERVAL";
    /// `false` turns the page of metrics off; `true` turns it on even where no port is named.
    pub const METRICS_ENABLED: &str = "METRICS_ENABLED";
    /// The port on which metrics are served, if OTel's variable does not say.
    pub const METRICS_PORT: &str = "METRICS_PORT";
    /// The port on which metrics are served
    /// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#prometheus-exporter)).
    pub const OTEL_EXPORTER_PROMETHEUS_PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
    /// The host on which metrics are served
    /// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#prometheus-exporter)).
    pub const OTEL_EXPORTER_PROMETHEUS_HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";
    /// `false` sends nothing to Sentry, whatever else is set.
    pub const SENTRY_ENABLED: &str = "SENTRY_ENABLED";
    /// Where failures are reported: the DSN of a Sentry project
    /// ([Sentry](https://docs.sentry.io/concepts/key-terms/dsn-explainer/)).
    pub const SENTRY_DSN: &str = "SENTRY_DSN";
    /// The environment that failures are reported from, as in `production`.
    pub const SENTRY_ENVIRONMENT: &str = "SENTRY_ENVIRONMENT";
    /// The release that failures are reported of, as in `loan-service@1.4.0`.
    pub const SENTRY_RELEASE: &str = "SENTRY_RELEASE";
    /// Which share of the failures is reported, from 0 to 1.
    pub const SENTRY_SAMPLE_RATE: &str = "SENTRY_SAMPLE_RATE";
    /// Which share of the runs is reported with its timings, from 0 to 1.
    pub const SENTRY_TRACES_SAMPLE_RATE: &str = "SENTRY_TRACES_SAMPLE_RATE";
}
