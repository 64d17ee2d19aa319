//! The command as people and scripts see it: what it prints, and its exit codes.

mod answers;
mod errors;
mod formats;
mod help;
mod live;
mod sandbox;
