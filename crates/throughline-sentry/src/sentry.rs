//! [`Sentry`]: the sink that reports failures.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use sentry::protocol::Event;
use sentry::types::Dsn;
use sentry::{Client, ClientInitGuard, ClientOptions, Hub, TransportFactory};
use throughline_core::env::{EnvError, variable};
use throughline_core::{
    BoxFuture, DropReason, ErrorInfo, EventSink, InstanceId, PanicId, Redactor, SinkAccount, Status,
    StepError, TraceContext, TraceEvent, catch_recorded, describe_panic,
};

use crate::builder::{SentryBuilder, SentryError};
use crate::hook::{Reporter, Unrecorded};
use crate::limit::Limits;
use crate::outbox::Outbox;
use crate::recent::Recent;
use crate::report::{Failure, Place};
use crate::transport::Factory;
use crate::{hook, redact, timings};

/// Reports failed steps and panics to Sentry, each once, with its trace and what led to it: a sink of
/// [`Throughline`](throughline_core::Throughline), and a handle to report errors with. To clone it is cheap.
#[derive(Clone)]
pub struct Sentry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    settings: SentryBuilder,
    dsn: Option<Dsn>,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) recent: Recent,
    limits: Limits,
    outbox: Outbox,
    factory: Arc<dyn TransportFactory>,
    /// The client that `init` made.
    client: OnceLock<Arc<Client>>,
    /// What a transport of the application's own was given and has not said to be through with.
    handed_over: AtomicU64,
}

/// Flushes and closes the client when it is dropped, within the [timeout](SentryBuilder::shutdown_timeout).
#[must_use = "when it is dropped nothing is sent any more"]
pub struct SentryGuard {
    client: Option<ClientInitGuard>,
}

impl SentryGuard {
    /// What a drop does, within another time limit.
    pub fn close(mut self, timeout: Duration) {
        if let Some(client) = self.client.take() {
            // The drop that follows finds it closed.
            client.close(Some(timeout));
        }
    }
}

impl fmt::Debug for SentryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentryGuard").field("is_enabled", &self.client.is_some()).finish()
    }
}

impl Sentry {
    /// Configures what is reported, and reads no environment variable.
    pub fn builder() -> SentryBuilder {
        SentryBuilder::default()
    }

    /// The same with what the environment says: `SENTRY_DSN`, `SENTRY_ENVIRONMENT`, `SENTRY_RELEASE`, `SENTRY_SAMPLE_RATE`,
    /// `SENTRY_TRACES_SAMPLE_RATE`, `SENTRY_ENABLED`, which turns everything off if it is `false`, and
    /// `THROUGHLINE_PSEUDONYM_KEY`, with which pseudonyms are those of the store.
    ///
    /// # Errors
    /// When a variable has an invalid value.
    pub fn from_env() -> Result<SentryBuilder, EnvError> {
        SentryBuilder::from_lookup(variable)
    }
}

impl SentryBuilder {
    /// Checks the configuration, and installs the panic hook if that was [asked for](Self::report_panics).
    ///
    /// # Errors
    /// When the DSN or a rate is invalid, or a redaction pattern is.
    pub fn build(self) -> Result<Sentry, SentryError> {
        let (dsn, redactor) = (self.checked_dsn()?, self.redaction.build()?);
        Ok(Sentry::new(self, dsn, redactor))
    }
}

impl Sentry {
    fn new(settings: SentryBuilder, dsn: Option<Dsn>, redactor: Redactor) -> Self {
        let (outbox, redactor) = (Outbox::default(), Arc::new(redactor));
        let factory = Factory { outbox: outbox.clone(), redactor: Arc::clone(&redactor) };
        let report_panics = settings.report_panics && settings.enabled;
        let sentry = Self(Arc::new(Inner {
            limits: Limits::new(settings.most, settings.within),
            settings,
            dsn,
            redactor,
            recent: Recent::default(),
            outbox,
            factory: Arc::new(factory),
            client: OnceLock::new(),
            handed_over: AtomicU64::new(0),
        }));
        if report_panics {
            let reporter: Weak<dyn Reporter> = Arc::<Inner>::downgrade(&sentry.0);
            hook::install(reporter);
        }
        sentry
    }

    /// Whether there is a DSN, and reporting is not turned off.
    pub fn is_enabled(&self) -> bool {
        self.0.settings.enabled && self.0.dsn.is_some()
    }

    /// Makes the client of the process, as `sentry::init` does, which must be called once. Without a DSN it does nothing.
    /// Applications that call `sentry::init` by themselves give it [`client_options`](Self::client_options).
    pub fn init(&self) -> SentryGuard {
        if !self.is_enabled() {
            return SentryGuard { client: None };
        }
        // The integrations of the SDK would report panics a second time.
        let options = self.client_options(ClientOptions::new().default_integrations(false));
        let guard = sentry::init(options);
        if let Some(client) = Hub::current().client() {
            let _ = self.0.client.set(client);
        }
        SentryGuard { client: Some(guard) }
    }

    /// The options for an application's own `sentry::init`: what is configured here and not in them, and a transport that
    /// redacts whatever is captured, counts it, and never makes anybody wait. The delivery report knows what that sent.
    ///
    /// Turn the SDK's own panic integration off, which would report panics a second time.
    pub fn client_options(&self, mut options: ClientOptions) -> ClientOptions {
        let SentryBuilder { environment, release, server_name, sample_rate, shutdown_timeout, .. } =
            &self.0.settings;
        let missing = |option: &mut Option<Cow<'static, str>>, ours: &Option<String>| {
            if option.is_none() {
                *option = ours.clone().map(Cow::Owned);
            }
        };
        missing(&mut options.environment, environment);
        missing(&mut options.release, release);
        missing(&mut options.server_name, server_name);
        if options.dsn.is_none() {
            options.dsn.clone_from(&self.0.dsn);
        }
        if *sample_rate < 1.0 {
            options = options.sample_rate(*sample_rate);
        }
        options.shutdown_timeout = *shutdown_timeout;
        options.transport = Some(Arc::clone(&self.0.factory));
        options
    }

    /// Reports an error that code handles and that ends no step. If the step that runs here fails with the same error later,
    /// that is not reported again.
    pub fn capture_error<E: StepError<K>, K>(&self, error: &E) {
        self.0.capture(error.describe(), true);
    }

    /// Runs a closure; a panic is caught, reported, and given back.
    ///
    /// # Errors
    /// The payload of the panic.
    pub fn recover_and_report<T>(&self, code: impl FnOnce() -> T) -> std::thread::Result<T> {
        let since = Instant::now();
        catch_recorded(code).inspect_err(|panic| self.0.recovered(&**panic, since))
    }

    /// The same for a future.
    ///
    /// # Errors
    /// The payload of the panic.
    pub async fn recover_and_report_async<F: Future>(
        &self,
        future: F,
    ) -> Result<F::Output, Box<dyn Any + Send>> {
        let since = Instant::now();
        let mut future = std::pin::pin!(future);
        let outcome = std::future::poll_fn(|cx| match catch_recorded(|| future.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        });
        outcome.await.inspect_err(|panic| self.0.recovered(&**panic, since))
    }

    /// Whether anything is to be kept for a report.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.settings.enabled
    }

    /// Waits until everything is sent, or this time is over, and answers whether everything is. It blocks the thread; sinks
    /// are flushed with their [`Throughline`](throughline_core::Throughline), which does not.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.0.flush(timeout)
    }
}

impl Inner {
    fn client(&self) -> Option<Arc<Client>> {
        let own = self.client.get().cloned();
        let client = own.or_else(|| Hub::current().client()).or_else(|| Hub::main().client())?;
        (self.settings.enabled && client.is_enabled()).then_some(client)
    }

    fn uses_our_transport(&self, client: &Client) -> bool {
        let transport = client.options().transport.as_ref();
        transport
            .is_some_and(|transport| std::ptr::addr_eq(Arc::as_ptr(transport), Arc::as_ptr(&self.factory)))
    }

    fn failed(&self, event: &Arc<TraceEvent>) {
        if self.recent.is_told(event, |error| self.redacted(error)) {
            return;
        }
        let unknown =
            || ErrorInfo { kind: "failed".into(), message: "without a reason".into(), chain: Vec::new() };
        let error = event.error.as_deref().cloned().unwrap_or_else(unknown);
        let story = self.recent.story(event.trace_id, event.span_id, Some(event));
        self.send(Failure::of_span(event, error, story));
    }

    /// An error as the events of a run have it.
    fn redacted(&self, mut error: ErrorInfo) -> ErrorInfo {
        for text in std::iter::once(&mut error.message).chain(&mut error.chain) {
            *text = self.redactor.message(text).into_owned().into();
        }
        error
    }

    /// Reports an error of the code that runs here.
    fn capture(&self, error: ErrorInfo, is_handled: bool) {
        let context = TraceContext::current().filter(TraceContext::is_recorded);
        let error = self.redacted(error);
        if let Some(context) = &context {
            self.recent.report(context.trace_id(), context.span_id(), error.clone());
        }
        self.send_in(context, SystemTime::now(), error, is_handled, None);
    }

    /// Reports a log line of the level `error`.
    pub(crate) fn report_line(&self, context: Option<TraceContext>, error: ErrorInfo) {
        self.send_in(context, SystemTime::now(), error, true, None);
    }

    fn recovered(&self, panic: &(dyn Any + Send), since: Instant) {
        if !self.recent.is_panic_told(PanicId::of(panic), since) {
            self.capture(describe_panic(panic), true);
        }
    }

    fn send_in(
        &self,
        context: Option<TraceContext>,
        at: SystemTime,
        error: ErrorInfo,
        is_handled: bool,
        thread: Option<String>,
    ) {
        let trace = context.as_ref().map(|context| (context.trace_id(), context.span_id()));
        let story = trace.map(|(trace, span)| self.recent.story(trace, span, None)).unwrap_or_default();
        let around = story.path.last();
        let place = Place {
            trace,
            parent_span_id: around.and_then(|event| event.parent_span_id),
            service: around.map(|event| event.service.to_string()),
            workflow: context.as_ref().and_then(|context| context.workflow_name().map(str::to_owned)),
            step: around.map(|event| event.span_name().into_owned()),
            attrs: context
                .iter()
                .flat_map(|context| context.attrs().iter())
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .chain(thread.map(|name| ("thread".to_owned(), name)))
                .collect(),
        };
        self.send(Failure { at, error, place, story, is_handled });
    }

    fn send(&self, failure: Failure) {
        let Some(client) = self.client() else { return self.lose_without_client() };
        if !self.limits.allow(&failure.fingerprint(), Instant::now()) {
            return self.outbox.lose(DropReason::RateLimited);
        }
        self.capture_event(&client, failure.into_event(self.settings.story_url.as_deref()));
    }

    /// Nothing is meant for Sentry without a DSN; what is meant for it and has no client is lost.
    fn lose_without_client(&self) {
        if self.settings.enabled && self.dsn.is_some() {
            let was_closed = self.client.get().is_some();
            self.outbox.lose(if was_closed { DropReason::Shutdown } else { DropReason::Unavailable });
        }
    }

    /// Hands an event to the client. What the application has put into its scope belongs to it, except for what we know better.
    pub(crate) fn capture_event(&self, client: &Client, mut event: Event<'static>) {
        redact::event(&self.redactor, &mut event);
        let is_ours = self.uses_our_transport(client);
        // Only our transport redacts what a scope has.
        if is_ours {
            let own = event.clone();
            let scope = Hub::current().configure_scope(|scope| scope.clone());
            let Some(mut whole) = scope.apply_to_event(event) else {
                return self.outbox.lose(DropReason::Sampled);
            };
            whole.tags.extend(own.tags);
            whole.contexts.extend(own.contexts);
            whole.breadcrumbs.values.sort_by_key(|crumb| crumb.timestamp);
            event = whole;
        }
        let taken = !client.capture_event(event, None).is_nil();
        match (taken, is_ours) {
            (false, _) => self.outbox.lose(DropReason::Sampled),
            (true, true) => {}
            (true, false) => {
                self.outbox.accept_elsewhere();
                self.handed_over.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let is_done = self.outbox.wait(timeout);
        let Some(client) = self.client().filter(|client| !self.uses_our_transport(client)) else {
            return is_done;
        };
        let handed_over = self.handed_over.load(Ordering::Acquire);
        let is_through = client.flush(Some(timeout.saturating_sub(started.elapsed())));
        if is_through {
            self.handed_over.fetch_sub(handed_over, Ordering::AcqRel);
            self.outbox.delivered_elsewhere(handed_over);
        }
        is_done && is_through
    }
}

impl Reporter for Inner {
    fn report_unrecorded(self: Arc<Self>, panic: Unrecorded) {
        let Unrecorded { at, error, context, thread } = panic;
        if let Some(context) = &context {
            self.recent.report(context.trace_id(), context.span_id(), error.clone());
        }
        let reporter = Arc::clone(&self);
        self.outbox.report_later(move || reporter.send_in(context, at, error, false, thread));
    }
}

impl EventSink for Sentry {
    fn name(&self) -> &str {
        "sentry"
    }

    fn on_event(&self, event: &Arc<TraceEvent>) {
        let inner = &*self.0;
        if !inner.settings.enabled || event.instance == InstanceId::IMPORTED {
            return;
        }
        inner.recent.add(event);
        let has_ended = event.seq > 0 || event.duration_us.is_some();
        if event.status == Status::Failed && has_ended {
            inner.failed(event);
        }
        if has_ended && event.status != Status::Pending && event.is_root() {
            self.report_timings(event);
        }
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        let (done, waits) = tokio::sync::oneshot::channel();
        let sentry = self.clone();
        // Whatever runtime this is polled on has other things to do.
        let thread = std::thread::Builder::new().name("throughline-sentry-flush".to_owned());
        let thread = thread.spawn(move || {
            let _ = done.send(sentry.0.flush(timeout));
        });
        waits.map(move |_| drop(thread)).boxed()
    }

    fn account(&self) -> Option<SinkAccount> {
        Some(self.0.outbox.account())
    }
}

impl Sentry {
    fn report_timings(&self, root: &Arc<TraceEvent>) {
        let inner = &*self.0;
        if !timings::is_chosen(root.trace_id, inner.settings.traces_sample_rate) {
            return;
        }
        let Some(client) = inner.client() else { return };
        let story = inner.recent.story(root.trace_id, root.span_id, Some(root));
        let mut transaction = timings::transaction(root, &story);
        redact::transaction(&inner.redactor, &mut transaction);
        let options = client.options();
        transaction.release.clone_from(&options.release);
        transaction.environment.clone_from(&options.environment);
        client.send_envelope(transaction.into());
        if !inner.uses_our_transport(&client) {
            inner.outbox.accept_elsewhere();
            inner.handed_over.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Sentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentry").field("is_enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}
