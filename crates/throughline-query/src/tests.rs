//! Tests of the questions and of how the answers read.

mod broken;
mod builder;
mod compare;
mod decisions;
mod diff;
mod doubt;
mod explain;
mod growth;
mod ledger;
mod linked;
mod loan;
mod properties;
mod resumed;
mod seed;
mod summary;
