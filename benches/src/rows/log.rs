//! A line of a log as JSON, redacted, against `tracing-subscriber`'s own.

use std::io;
use std::time::Duration;

use anyhow::ensure;
use throughline_core::Throughline;
use throughline_log::{Format, Logs, Output};
use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::Bench;
use crate::duel::{by_turns, nanos_each};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "log";

const LINES: usize = 20_000;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let logs = Logs::builder("bench").output(Output::writer(io::sink())).format(Format::Json).build()?;
    let throughline = crate::ours::in_process()?;
    let ours = Dispatch::new(tracing_subscriber::registry().with(logs.layer(throughline.redactor())));
    let plain = tracing_subscriber::fmt::layer().json().with_writer(io::sink).with_filter(LevelFilter::INFO);
    let plain = Dispatch::new(tracing_subscriber::registry().with(plain));
    let runtime = &bench.single;
    let side = |dispatch: &Dispatch| {
        let _default = tracing::dispatcher::set_default(dispatch);
        nanos_each(LINES, || runtime.block_on(lines(&throughline)))
    };
    let [own, peer] = by_turns(NAME, 21, [Box::new(|| side(&ours)), Box::new(|| side(&plain))])?;
    let report = logs.flush(Duration::from_secs(10));
    ensure!(report.written == report.accepted, "not every line was written: {report:?}");
    Ok(vec![Line {
        what: "a line of JSON in a step, 3 fields, redacted".to_owned(),
        ours: time(own.median()),
        peer: format!("tracing-subscriber's JSON, unredacted: {}", time(peer.median())),
        value: own.ratio_to(&peer),
        target: Target::RatioAtMost(1.2),
    }])
}

/// Logs in a step, as handlers do.
async fn lines(throughline: &Throughline) -> anyhow::Result<()> {
    let run = throughline.workflow("loan-approval").key("loan-42").run_infallible(|ctx| async move {
        let step = ctx.trace_infallible("stage:score", async {
            for score in 0..LINES {
                tracing::info!(
                    score,
                    bureau = "experian",
                    granted = true,
                    "the bureau answered with a score"
                );
            }
        });
        step.await
    });
    run.await??;
    Ok(())
}
