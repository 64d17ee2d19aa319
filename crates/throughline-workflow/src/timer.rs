//! [`Timers`]: how many were scheduled, fired and cancelled.

use std::sync::Arc;

use throughline_core::Throughline;
use throughline_core::metrics::{Counter, catalogue};

/// Counts what becomes of timers of one kind: alarms, deadlines, jobs that are due later. Cheap to clone.
///
/// It does not keep time. Whatever does holds the [`Timer`] of what it has scheduled:
///
/// ```
/// # use std::time::Duration;
/// use throughline_core::{Throughline, TraceContext};
/// use throughline_workflow::{Entity, Timers};
///
/// # async fn example(throughline: Throughline, ctx: TraceContext, session: Entity<&'static str>) {
/// let auto_pause = Timers::new(&throughline, "auto_pause");
///
/// let timer = auto_pause.schedule();
/// let alarm = tokio::spawn(async move {
///     tokio::time::sleep(Duration::from_secs(300)).await;
///     timer.fire();
///     session.trigger(&ctx, "auto_paused").await
/// });
///
/// alarm.abort(); // the user is back: the timer is dropped with the task, and counts as cancelled
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Timers(Arc<Series>);

#[derive(Debug)]
struct Series {
    scheduled: Counter,
    fired: Counter,
    cancelled: Counter,
}

impl Timers {
    /// Timers of one kind. `name` is a word such as `auto_pause`.
    pub fn new(throughline: &Throughline, name: &str) -> Self {
        let events = throughline.meter().counter(&catalogue::TIMERS);
        Self(Arc::new(Series {
            scheduled: events.with([name, "scheduled"]),
            fired: events.with([name, "fired"]),
            cancelled: events.with([name, "cancelled"]),
        }))
    }

    /// Counts a timer as scheduled.
    pub fn schedule(&self) -> Timer {
        self.0.scheduled.increment(1);
        Timer { series: Arc::clone(&self.0), fired: false }
    }
}

/// A timer that was scheduled. Dropped before it [fired](Self::fire) it was cancelled.
#[derive(Debug)]
#[must_use = "dropped, it counts as cancelled"]
pub struct Timer {
    series: Arc<Series>,
    fired: bool,
}

impl Timer {
    /// Counts it as fired: its time has come.
    pub fn fire(mut self) {
        self.fired = true;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let event = if self.fired { &self.series.fired } else { &self.series.cancelled };
        event.increment(1);
    }
}
