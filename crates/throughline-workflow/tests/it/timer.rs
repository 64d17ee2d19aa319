//! What becomes of timers.

use throughline_workflow::Timers;

use crate::support::Bench;

#[test]
fn a_timer_is_counted_as_scheduled_and_then_as_fired_or_dropped_as_cancelled() {
    let bench = Bench::new();
    let timers = Timers::new(&bench.throughline, "auto_pause");
    let (first, second, third) = (timers.schedule(), timers.schedule(), timers.clone().schedule());
    first.fire();
    drop(second);
    insta::assert_snapshot!(bench.series("timers"), @"
    timers_total{timer=auto_pause, event=cancelled} 1
    timers_total{timer=auto_pause, event=fired} 1
    timers_total{timer=auto_pause, event=scheduled} 3
    ");
    drop(third);
    assert!(bench.series("timers").contains("event=cancelled} 1"));
}
