//! The work that each side is given, and how it is measured: workflows of ten empty steps, so many at a time.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many steps a workflow has.
pub(crate) const STEPS: usize = 10;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);

/// How long each step took, from the call to the answer.
#[derive(Default)]
pub(crate) struct Steps(Mutex<Vec<Duration>>);

impl Steps {
    /// Measures a step.
    pub(crate) async fn measure<T>(&self, step: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let outcome = step.await;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed());
        outcome
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets so many workflows run at a time, one after the other, and prints steps a second, and the p50 and p99 of a step in
/// microseconds.
///
/// # Errors
/// The first error of a workflow.
pub(crate) async fn drive<W, F>(at_once: usize, workflow: W) -> anyhow::Result<()>
where
    W: Fn(Arc<Steps>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let (steps, is_over) = (Arc::<Steps>::default(), Arc::<AtomicBool>::default());
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (steps, is_over, workflow) = (Arc::clone(&steps), Arc::clone(&is_over), workflow.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    workflow(Arc::clone(&steps)).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    // A thread of its own waits: neither side's runtime needs a timer for this.
    let timed = Arc::clone(&steps);
    let timing = std::thread::spawn(move || {
        std::thread::sleep(WARM_UP);
        timed.take();
        let began = Instant::now();
        std::thread::sleep(MEASURED);
        (timed.take(), began.elapsed())
    });
    let measured = tokio::task::spawn_blocking(move || timing.join()).await?;
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let (mut took, elapsed) = measured.map_err(|_| anyhow::anyhow!("the thread that waits has panicked"))?;
    anyhow::ensure!(!took.is_empty(), "no step was done in {MEASURED:?}");
    took.sort_unstable();
    let micros = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e6;
    println!("{:.0} {:.0} {:.0}", took.len() as f64 / elapsed.as_secs_f64(), micros(50), micros(99));
    Ok(())
}
