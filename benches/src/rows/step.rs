//! A traced step with in-process sinks only.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail};

use super::Bench;
use crate::duel::{by_turns, nanos_each};
use crate::ours;
use crate::peers::{fastrace, otel};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "step";

const STEPS: usize = 100;
const RUNS: usize = 200;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (throughline, runtime) = (ours::in_process()?, &bench.single);
    fastrace::start();
    let stack = otel::Otel::start();
    let [ours, fastrace, otel] = by_turns(
        NAME,
        21,
        [
            Box::new(|| {
                nanos_each(STEPS * RUNS, || {
                    runtime.block_on(async {
                        for _ in 0..RUNS {
                            ours::run_of(&throughline, STEPS).await?;
                        }
                        Ok(())
                    })
                })
            }),
            Box::new(|| {
                let nanos = nanos_each(STEPS * RUNS, || {
                    runtime.block_on(async {
                        for _ in 0..RUNS {
                            fastrace::run_of(STEPS).await;
                        }
                        Ok(())
                    })
                });
                fastrace::flush();
                nanos
            }),
            Box::new(|| {
                let nanos = stack.during(|| {
                    nanos_each(STEPS * RUNS, || {
                        runtime.block_on(async {
                            for _ in 0..RUNS {
                                otel::run_of(STEPS).await;
                            }
                            Ok(())
                        })
                    })
                });
                stack.flush()?;
                nanos
            }),
        ],
    )?;
    let allocations = allocations()?;
    let allocated = |side: &str| allocations.get(side).copied().unwrap_or(f64::NAN);
    Ok(vec![
        Line {
            what: "a traced step, 2 attributes, in-process sink".to_owned(),
            ours: time(ours.median()),
            peer: format!("fastrace 0.7: {}", time(fastrace.median())),
            value: ours.ratio_to(&fastrace),
            target: Target::RatioAtMost(1.0),
        },
        Line {
            what: "the same".to_owned(),
            ours: time(ours.median()),
            peer: format!("tracing + tracing-opentelemetry 0.34, batch: {}", time(otel.median())),
            value: ours.ratio_to(&otel),
            target: Target::RatioAtMost(0.25),
        },
        Line {
            what: "its allocations".to_owned(),
            ours: format!("{:.2}", allocated("ours")),
            peer: format!("fastrace {:.2}, OpenTelemetry {:.2}", allocated("fastrace"), allocated("otel")),
            value: allocated("ours").into(),
            target: Target::CountAtMost(3.0),
        },
    ])
}

/// What the other binary counts.
pub(super) fn allocations() -> anyhow::Result<BTreeMap<String, f64>> {
    let binary = std::env::current_exe()?.with_file_name("throughline-allocations");
    let output = Command::new(&binary).output().with_context(|| {
        format!(
            "cannot run {}; build it with: cargo build --release -p throughline-benches",
            binary.display()
        )
    })?;
    if !output.status.success() {
        bail!("counting allocations failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| {
            let (side, count) = line.split_once(' ').context("a side and its count")?;
            Ok((side.to_owned(), count.parse()?))
        })
        .collect()
}
