//! The feed on a real server.

mod address;
mod conformance;
mod faults;
mod missed;
mod runs;
mod server;
mod watch;
