//! What can happen, and to what.

use proptest::prelude::*;

use crate::Durability;

/// What a sequence is played on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Whether the store takes events of one trace at a time, a few of them in each of several calls at once.
    pub(super) by_trace: bool,
    pub(super) has_spool: bool,
    pub(super) capacity: usize,
    pub(super) durability: Durability,
}

/// How a call of a destination fails.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Unavailable,
    /// It says for how long it wants to be left alone.
    Throttled,
    Broken,
    /// The first event of the call is refused for good.
    Refused,
    LostAnswer,
    Hangs,
    Panics,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// So many runs or requests of so many steps begin, each of which takes so long; after each there is an event.
    Run {
        runs: u8,
        is_request: bool,
        steps: u8,
        millis: u16,
        panics: bool,
    },
    /// The future of one of the runs under way is dropped.
    Cancel(u8),
    /// The next appends fail so.
    Appends(Fault, u8),
    /// All appends fail so, until the store is healed.
    Outage(Fault),
    Heal,
    /// Each append takes so long from now on.
    Slow(u16),
    /// The next renewals of the lease fail so.
    Heartbeats(Fault, u8),
    /// Closing the store fails so.
    Closes(Fault),
    /// The next calls that fill the spool, look into it or remove from it fail so.
    Pushes(Fault, u8),
    Peeks(Fault, u8),
    Removals(Fault, u8),
    /// The next calls of the feed fail so.
    Publishes(Fault, u8),
    /// Time passes.
    Wait(u16),
    /// The process dies at once, and another one starts.
    Die,
    /// The process shuts down within this time, and another one starts.
    Restart {
        millis: u16,
    },
}

pub(super) fn setting() -> impl Strategy<Value = Setting> {
    let capacity = prop_oneof![1 => Just(1_usize), 2 => Just(3), 4 => Just(64)];
    (any::<bool>(), any::<bool>(), capacity, prop::bool::weighted(0.2)).prop_map(
        |(by_trace, has_spool, capacity, is_pipelined)| {
            let durability = if is_pipelined { Durability::Pipelined } else { Durability::Strict };
            Setting { by_trace, has_spool, capacity, durability }
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::*;
    prop_oneof![
        4 => Just(Unavailable),
        1 => Just(Throttled),
        1 => Just(Broken),
        1 => Just(Refused),
        3 => Just(LostAnswer),
        3 => Just(Hangs),
        3 => Just(Panics),
    ]
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    // Short enough to meet what is under way, or long enough for all retries to be over.
    let millis = || prop_oneof![0_u16..8, 0_u16..200, 0_u16..3000];
    let some = 1_u8..12;
    prop_oneof![
        8 => (
            prop_oneof![6 => Just(1_u8), 1 => 2_u8..24],
            prop::bool::weighted(0.3),
            0_u8..4,
            prop_oneof![Just(0_u16), 0_u16..50],
            prop::bool::weighted(0.1),
        )
            .prop_map(|(runs, is_request, steps, millis, panics)| Run { runs, is_request, steps, millis, panics }),
        3 => any::<u8>().prop_map(Cancel),
        3 => (fault(), some.clone()).prop_map(|(fault, calls)| Appends(fault, calls)),
        2 => fault().prop_map(Outage),
        3 => Just(Heal),
        1 => (0_u16..30).prop_map(Slow),
        1 => (fault(), some.clone()).prop_map(|(fault, calls)| Heartbeats(fault, calls)),
        1 => fault().prop_map(Closes),
        1 => (fault(), some.clone()).prop_map(|(fault, calls)| Pushes(fault, calls)),
        1 => (fault(), some.clone()).prop_map(|(fault, calls)| Peeks(fault, calls)),
        1 => (fault(), some.clone()).prop_map(|(fault, calls)| Removals(fault, calls)),
        1 => (fault(), some).prop_map(|(fault, calls)| Publishes(fault, calls)),
        6 => millis().prop_map(Wait),
        1 => Just(Die),
        1 => millis().prop_map(|millis| Restart { millis }),
    ]
}
