//! The thread of a store that applies its retention.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use throughline_model::{OpenError, Upkeep};

use crate::connection::Place;
use crate::periodic::Periodic;
use crate::prune::{PrunePolicy, Pruner, Step};

/// Removes runs while the store is open, until it is dropped. What goes wrong is told in the account of the store's upkeep.
pub(crate) struct Retention {
    #[expect(dead_code, reason = "held for what its drop does")]
    thread: Periodic,
}

impl Retention {
    /// How often to look whether there is anything to remove.
    const INTERVAL: Duration = Duration::from_secs(1);

    pub(crate) fn start(place: &Place, policy: PrunePolicy, upkeep: Upkeep) -> Result<Self, OpenError> {
        let mut pruner = Pruner::open(place, policy)?;
        let mut in_vain = 0;
        let thread = Periodic::start("throughline-retention", Self::INTERVAL, move || {
            let began = Instant::now();
            // A panic, which the panic hook has reported, is a failure like any other.
            let stepped = catch_unwind(AssertUnwindSafe(|| pruner.step().map_err(|error| error.to_string())));
            match stepped.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                Ok(step) => pause_after(&step, began.elapsed(), &mut in_vain),
                Err(reason) => {
                    upkeep.failed(format!("old runs were not removed: {reason}"));
                    Self::INTERVAL
                }
            }
        })?;
        Ok(Self { thread })
    }
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
