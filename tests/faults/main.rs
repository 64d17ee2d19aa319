//! What happens to emitters and to what was acknowledged when stores and feeds fail: real servers behind a proxy that does what
//! networks do, servers that are killed and stopped, and processes of our own that are killed. Each test is a row of the table
//! in `docs/reliability.md`, which `cargo xtask faults` writes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot continue says so best by failing at that place"
)]

mod cosmos;
mod killed;
mod load;
mod outage;
mod postgres;
mod proxy;
mod redis;
mod row;
mod sqlite;

#[path = "../../crates/throughline-postgres/tests/it/server.rs"]
mod postgres_server;

#[path = "../../crates/throughline-cosmos/tests/it/server.rs"]
#[expect(dead_code, reason = "the tests of the store use more of it")]
mod cosmos_server;

#[path = "../../crates/throughline-redis/tests/it/server.rs"]
#[expect(dead_code, reason = "the tests of the feed use more of it")]
mod redis_server;

use std::time::Duration;

use throughline::delivery::Retry;

/// How events are retried here: an attempt may take half a second, and after three the emitter is told.
fn retry() -> Retry {
    let millis = Duration::from_millis;
    Retry::attempts(3).delays(millis(20), millis(200)).attempt_timeout(millis(500))
}
