//! A traced step with everything off.

use std::fmt;

use tracing::Instrument;

use super::Bench;
use crate::duel::{by_turns, nanos_each};
use crate::ours;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "off";

const STEPS: usize = 1_000_000;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (throughline, runtime) = (ours::off()?, &bench.single);
    let [ours, peer] = by_turns(
        NAME,
        21,
        [
            Box::new(|| nanos_each(STEPS, || runtime.block_on(ours::run_of(&throughline, STEPS)))),
            Box::new(|| nanos_each(STEPS, || runtime.block_on(disabled_spans(STEPS)))),
        ],
    )?;
    Ok(vec![Line {
        what: "a traced step, everything off".to_owned(),
        ours: time(ours.median()),
        peer: format!("disabled `tracing` span: {}", time(peer.median())),
        value: ours.ratio_to(&peer),
        target: Target::RatioAtMost(1.5),
    }])
}

async fn disabled_spans(steps: usize) -> anyhow::Result<()> {
    for step in 0..steps {
        let span = tracing::info_span!("stage:x", tenant = "acme", execution = "e-1");
        let step = async move { Ok::<_, fmt::Error>(std::hint::black_box(step)) };
        std::hint::black_box(step.instrument(span).await?);
    }
    Ok(())
}
