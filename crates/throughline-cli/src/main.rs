//! `throughline`.
mod args;
mod error;
mod input;
mod jsonl;
mod output;
mod resolve;
mod xes;
fn main() {}
