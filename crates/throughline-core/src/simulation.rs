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

use operation::{operation, setting};
use tasks::Simulating;
pub(crate) use tasks::{is_on, start};
use world::World;

const SEQUENCES: u32 = 10_000;
const LONGEST: usize = 24;

#[test]
fn whatever_fails_what_was_acknowledged_is_there_once_and_in_order_and_nobody_waits_for_ever() {
    let sequences = std::env::var("THROUGHLINE_SEQUENCES").map_or(SEQUENCES, |count| count.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let config = Config {
        cases: sequences.div_ceil(u32::try_from(threads).unwrap_or(1)),
        source_file: Some(file!()),
        max_shrink_iters: 4096,
        ..Config::default()
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| play(config.clone()));
        }
    });
}

fn play(config: Config) {
    let sequences = (setting(), vec(operation(), 1..LONGEST));
    let result = TestRunner::new(config).run(&sequences, |(setting, operations)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        let _simulating = Simulating::begin();
        runtime.block_on(async {
            let mut world = World::new(setting);
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
