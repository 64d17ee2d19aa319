//! Prints how many allocations a traced step costs on its own thread, for each side of the row `step`.

use throughline_benches::ours;
use throughline_benches::peers::{fastrace, otel};

const STEPS: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let throughline = ours::in_process()?;
    fastrace::start();
    let stack = otel::Otel::start();

    let mut outcome = Ok(());
    print("ours", || outcome = runtime.block_on(ours::run_of(&throughline, STEPS)));
    outcome?;
    print("fastrace", || runtime.block_on(fastrace::run_of(STEPS)));
    stack.during(|| print("otel", || runtime.block_on(otel::run_of(STEPS))));
    Ok(())
}

/// The second time counts: what is set up once is not what a step costs.
fn print(side: &str, mut run: impl FnMut()) {
    run();
    let counted = allocation_counter::measure(run);
    println!("{side} {:.2}", counted.count_total as f64 / STEPS as f64);
}
