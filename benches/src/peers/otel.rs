//! `tracing` with `tracing-opentelemetry` and the SDK's batch processor.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use tracing::{Dispatch, Instrument, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

#[derive(Debug)]
struct Dropping;

impl SpanExporter for Dropping {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        std::hint::black_box(batch);
        Ok(())
    }
}

/// The stack, ready to be used alternately.
#[derive(Debug)]
pub struct Otel {
    provider: SdkTracerProvider,
}

impl Otel {
    /// Starts the batch processor in front of an exporter that drops what it is given.
    pub fn start() -> Self {
        Self::exporting_to(Dropping)
    }

    /// The same in front of another one, with a queue that is long enough for a turn.
    pub fn exporting_to(exporter: impl SpanExporter + 'static) -> Self {
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(1 << 17)
            .with_scheduled_delay(Duration::from_millis(100))
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { provider: SdkTracerProvider::builder().with_span_processor(processor).build() }
    }

    /// Does some work with the stack as its subscriber. Afterwards `tracing` is off again, as it would be for the
    /// other side of the comparison.
    pub fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(self.layer()));
        let result = tracing::dispatcher::with_default(&dispatch, work);
        drop(dispatch);
        tracing::callsite::rebuild_interest_cache();
        result
    }

    /// Its layer, for a subscriber of the caller's.
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("bench"))
    }

    /// Waits until everything so far is exported.
    ///
    /// # Errors
    /// If the processor does not answer.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.provider.force_flush()?)
    }
}

/// One root span with so many steps in it, each with two fields.
pub async fn run_of(steps: usize) {
    let run = async {
        for step in 0..steps {
            let span = tracing::info_span!("stage:x", tenant = "acme", execution = "e-1");
            std::hint::black_box(async move { std::hint::black_box(step) }.instrument(span).await);
        }
    };
    run.instrument(tracing::info_span!("bench")).await;
}
