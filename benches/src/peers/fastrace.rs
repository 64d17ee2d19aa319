//! fastrace with a reporter that drops what it is given.

use std::time::Duration;

use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::future::FutureExt;
use fastrace::prelude::{Span, SpanContext};

struct Dropping;

impl Reporter for Dropping {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        std::hint::black_box(spans);
    }
}

/// Starts fastrace for the whole process; may be called again.
pub fn start() {
    fastrace::set_reporter(Dropping, Config::default().report_interval(Duration::from_millis(100)));
}

/// Waits until everything so far is reported.
pub fn flush() {
    fastrace::flush();
}

/// One root span with so many steps in it, each with two properties.
pub async fn run_of(steps: usize) {
    let root = Span::root("bench", SpanContext::random());
    let run = async {
        for step in 0..steps {
            let span = Span::enter_with_local_parent("stage:x")
                .with_properties(|| [("tenant", "acme"), ("execution", "e-1")]);
            std::hint::black_box(async move { std::hint::black_box(step) }.in_span(span).await);
        }
    };
    run.in_span(root).await;
}
