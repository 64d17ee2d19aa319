//! Prints how many allocations a traced step and a request cost on their own thread, for each side of the rows `step` and
//! `http`.

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

    #[cfg(feature = "http")]
    requests_with_each_layer(&runtime)?;
    Ok(())
}

#[cfg(feature = "http")]
fn requests_with_each_layer(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    use throughline_benches::peers::tower_stack;
    use throughline_benches::requests;

    let (with_layer, _throughline) = requests::ours()?;
    let (with_stack, _handle) = tower_stack::around(requests::bare())?;
    for (side, router) in
        [("http-bare", requests::bare()), ("http-ours", with_layer), ("http-stack", with_stack)]
    {
        let mut outcome = Ok(());
        print(side, || outcome = runtime.block_on(requests::serve(router.clone(), requests::PATH, STEPS)));
        outcome?;
    }
    Ok(())
}

/// The second time counts: what is set up once is not what a step or a request costs.
fn print(side: &str, mut run: impl FnMut()) {
    run();
    let counted = allocation_counter::measure(run);
    println!("{side} {:.2}", counted.count_total as f64 / STEPS as f64);
}
