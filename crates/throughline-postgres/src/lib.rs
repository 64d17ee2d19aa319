//! The durable store of Throughline on Postgres, for services on more than one machine.
//!
//! [`PostgresStore`] keeps events in the schema `throughline` of a database. An event is acknowledged when the transaction
//! that wrote it was committed and synced to the server's disk; events are written in groups, which makes that cheap. Any
//! number of processes may write, read ([`PostgresReader`]) and watch.
//!
//! # The schema
//!
//! The views `events`, `runs` and `failures` show ids as hex, times as such and events as JSON. The first process that opens
//! the database for writing makes the schema, and migrates an older one; any number of them may try at once. From then on a
//! role needs no right to create anything: partitions of the days to come are made by a function that runs with the rights
//! of the owner.
//!
//! # Connections
//!
//! A store that writes has up to three connections, a reader up to four. Two of the three write events, where there are enough for
//! two: the runs of a large group are divided among them. None depends on the state of a session, so they may go through a
//! pooler in transaction mode. They are opened when they are needed, and again when they were cut.

mod address;
mod append;
mod connect;
mod encryption;
mod error;
mod lease;
mod reader;
mod schema;
mod store;
mod text;
mod upkeep;

pub use reader::PostgresReader;
pub use store::PostgresStore;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
