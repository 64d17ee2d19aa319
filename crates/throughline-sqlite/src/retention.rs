//! The thread of a store that applies its retention.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use throughline_model::{OpenError, Upkeep};

use crate::connection::Place;
use crate::error::STORE;
use crate::prune::{PrunePolicy, Pruner, Step};

/// Removes runs while the store is open, until it is dropped. What goes wrong is told in the account of the store's upkeep.
pub(crate) struct Retention {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// How often to look whether there is anything to remove.
    const INTERVAL: Duration = Duration::from_secs(1);

    pub(crate) fn start(place: &Place, policy: PrunePolicy, upkeep: Upkeep) -> Result<Self, OpenError> {
        let mut pruner = Pruner::open(place, policy)?;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("throughline-retention".to_owned())
            .spawn(move || {
                let (mut pause, mut in_vain) = (Duration::ZERO, 0);
                while !wait(&signal, pause) {
                    let began = Instant::now();
                    // A panic, which the panic hook has reported, is a failure like any other.
                    let stepped =
                        catch_unwind(AssertUnwindSafe(|| pruner.step().map_err(|error| error.to_string())));
                    pause = match stepped.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                        Ok(step) => pause_after(&step, began.elapsed(), &mut in_vain),
                        Err(reason) => {
                            upkeep.failed(format!("old runs were not removed: {reason}"));
                            Self::INTERVAL
                        }
                    };
                }
            })
            .map_err(|error| OpenError::Unavailable {
                store: STORE,
                reason: "the operating system can't start a thread for the retention".to_owned(),
                source: Some(error.into()),
            })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Waits that long, or until the end; returns whether the end has come.
fn wait(signal: &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let ended = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (ended, _) =
        signal.1.wait_timeout_while(ended, pause, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
    *ended
}

/// How long to wait after a step that took so long. As long as that while there is more to do, so that others have at least half
/// of the time. After a pass, a second for each step of it that was in vain: it is quick even where many runs have to stay, and
/// those don't cost much more than one step a second.
fn pause_after(step: &Step, took: Duration, in_vain: &mut u32) -> Duration {
    *in_vain += u32::from(!step.did_something);
    match step.is_last {
        true => Retention::INTERVAL * std::mem::take(in_vain).max(1),
        false => took,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_quick_and_rests_a_second_for_each_step_in_vain() {
        let took = Duration::from_millis(3);
        let step = |did_something, is_last| Step { did_something, is_last, ..Step::default() };
        let mut in_vain = 0;
        assert_eq!(pause_after(&step(true, false), took, &mut in_vain), took);
        assert_eq!(pause_after(&step(false, true), took, &mut in_vain), Retention::INTERVAL);
        for _ in 0..9 {
            assert_eq!(pause_after(&step(false, false), took, &mut in_vain), took);
        }
        assert_eq!(pause_after(&step(false, true), took, &mut in_vain), Retention::INTERVAL * 10);
        assert_eq!(pause_after(&step(false, true), took, &mut in_vain), Retention::INTERVAL);
    }
}
