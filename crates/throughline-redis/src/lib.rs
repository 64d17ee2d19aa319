//! The live feed of Throughline on Redis Streams: what one process emits, any other can watch as it happens.
//!
//! [`RedisFeed`] describes it. The emitter publishes groups of events in one round trip and never waits for it: what Redis
//! does not accept in time is dropped and counted. A watcher sees every event once and in order, from now on or after the
//! cursor of any event, across restarts of the server and of its connection; where events are missing it is told so.
//!
//! # What is in Redis
//!
//! | key | what it is |
//! |---|---|
//! | `{throughline}:all` | the stream of all events; about as many entries as the [capacity](RedisFeed::capacity) says |
//! | `{throughline}:run:<trace id>` | the stream of one run, removed an hour after its last event |
//! | `{throughline}:open` | the sorted set of roots that have begun and not ended |
//! | `{throughline}:feed` | the id of the feed, and how many events it had |
//!
//! An entry has the events that were published together, 64 at most: for each run a field, whose name says the number of the
//! first of them in the feed and which of them are the run's, and whose value has these as JSON, a line each. The entry of
//! a run has the id of the one in the stream of all, so that a cursor is good for both.
//!
//! Redis 7.0 or later is needed.

mod connection;
mod entries;
mod feed;
mod head;
mod keys;
mod place;
mod publish;
mod runs;
#[cfg(feature = "sentinel")]
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod watch;

pub use feed::RedisFeed;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
