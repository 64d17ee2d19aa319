//! Delivery against a model of what must be true, under random sequences of what can go wrong.
//!
//! Everything runs on one thread with a paused clock, so that a sequence that breaks a rule breaks it again and shrinks to
//! a few readable [`Operation`]s: emitters, the delivery thread, the store, the spool and the feed. A process that dies is
//! a delivery task that is aborted at an await, with whatever its store and its spool had taken until then.
//!
//! `cargo test` plays 10,000 sequences, `cargo xtask test --sequences 1000000` a million; for these tests alone the variable
//! `THROUGHLINE_SEQUENCES` says how many.

mod client;
mod operation;
mod process;
mod recorded;
mod tasks;
mod world;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use operation::{Operation, Setting, operation, setting};
use tasks::Simulating;
pub(crate) use tasks::{is_on, start};
use world::World;

use crate::Durability;

const SEQUENCES: u32 = 10_000;
const LONGEST: usize = 24;

#[test]
fn whatever_fails_what_was_acknowledged_is_there_once_and_in_order_and_nobody_waits_for_ever() {
    play_all(2, |setting| setting);
}

#[test]
fn the_same_is_true_where_a_step_returns_before_its_end_is_recorded() {
    play_all(1, |setting| Setting { durability: Durability::Coalesced, ..setting });
}

/// Plays so many thirds of all sequences.
fn play_all(thirds: u32, adapt: fn(Setting) -> Setting) {
    let all = std::env::var("THROUGHLINE_SEQUENCES").map_or(SEQUENCES, |count| count.parse().unwrap());
    let sequences = (all / 3).saturating_mul(thirds).max(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let config = Config {
        cases: sequences.div_ceil(u32::try_from(threads).unwrap_or(1)),
        source_file: Some(file!()),
        max_shrink_iters: 4096,
        ..Config::default()
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| play(config.clone(), adapt));
        }
    });
}

#[test]
fn the_end_of_a_step_is_stored_with_the_start_of_the_next_where_the_step_does_not_wait_for_it() {
    let appends = |durability, steps| {
        let setting = Setting { by_trace: false, has_spool: false, capacity: 64, durability };
        simulated(|| async move {
            let mut world = World::new(setting);
            let run = Operation::Run { runs: 1, is_request: false, steps, millis: 0, panics: false };
            world.apply(run).await?;
            world.apply(Operation::Wait(100)).await?;
            Ok(world.appends())
        })
    };
    // The run starts, and ends together with what lingers. After each step comes an event.
    let of_steps = |durability| appends(durability, 3).unwrap() - appends(durability, 0).unwrap();
    assert_eq!(of_steps(Durability::Strict), 3 * 3);
    assert_eq!(of_steps(Durability::Coalesced), 3 * 2);
}

fn play(config: Config, adapt: fn(Setting) -> Setting) {
    let sequences = (setting(), vec(operation(), 1..LONGEST));
    let result = TestRunner::new(config).run(&sequences, |(setting, operations)| {
        simulated(|| async {
            let mut world = World::new(adapt(setting));
            for operation in &operations {
                world.apply(*operation).await?;
            }
            world.end().await
        })
    });
    if let Err(broken) = result {
        panic!("{broken}");
    }
}

/// On one thread with a paused clock.
fn simulated<T, F: Future<Output = Result<T, TestCaseError>>>(
    what: impl FnOnce() -> F,
) -> Result<T, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let _simulating = Simulating::begin();
    runtime.block_on(async { what().await })
}
