//! What is measured of a machine: every series of it is known when it is declared.

use throughline_core::metrics::{Counter, CounterFamily, Gauge, Histogram, Meter, catalogue};

use super::declaration::Declaration;

/// The series of a machine, by the places in its declaration.
pub(super) struct Series {
    /// How often an entity was new.
    pub(super) entered: Counter,
    /// For each transition, how often it was made, and how often its name was used.
    pub(super) transitions: Vec<(Counter, Option<Counter>)>,
    pub(super) states: Vec<StateSeries>,
    /// How long entities lived.
    pub(super) lifetime: Histogram,
    pub(super) illegal: CounterFamily<3>,
}

/// The series of a state.
pub(super) struct StateSeries {
    /// How many entities are in it.
    pub(super) entities: Gauge,
    /// How long they were.
    pub(super) duration: Histogram,
    /// Whether no transition leads away from it.
    pub(super) is_final: bool,
}

impl Series {
    pub(super) fn new<S>(meter: &Meter, declared: &Declaration<S>) -> Self {
        let machine = declared.name.as_str();
        let name = |place: usize| declared.states[place].name.as_str();
        let transitions = meter.counter(&catalogue::STATE_TRANSITIONS);
        let triggers = meter.counter(&catalogue::STATE_TRIGGERS);
        let entities = meter.gauge(&catalogue::STATE_ENTITIES);
        let durations = meter.histogram(&catalogue::STATE_DURATION);
        let series = Self {
            entered: transitions.with([machine, "", name(0)]),
            transitions: declared
                .edges
                .iter()
                .map(|edge| {
                    let trigger = edge.trigger.as_deref().map(|trigger| triggers.with([machine, trigger]));
                    (transitions.with([machine, name(edge.from), name(edge.to)]), trigger)
                })
                .collect(),
            states: (0..declared.states.len())
                .map(|place| StateSeries {
                    entities: entities.with([machine, name(place)]),
                    duration: durations.with([machine, name(place)]),
                    is_final: declared.from(place).next().is_none(),
                })
                .collect(),
            lifetime: meter.histogram(&catalogue::STATE_LIFETIME).with([machine]),
            illegal: meter.counter(&catalogue::STATE_ILLEGAL_TRANSITIONS),
        };
        // A dashboard shows a state that nobody is in as 0, not as missing.
        series.states.iter().for_each(|state| state.entities.increment(0.0));
        series
    }
}
