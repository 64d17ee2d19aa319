//! Tests of the questions and of how the answers read.

mod broken;
mod builder;
mod decisions;
mod diff;
mod doubt;
mod explain;
mod ledger;
mod loan;
mod properties;
mod resumed;
mod seed;
mod summary;
