//! The command as people and scripts see it: what it prints, and its exit codes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail a test too")]

mod abandon;
mod anomalies;
mod beside;
mod canary;
mod compose;
mod copy;
mod cosmos;
mod doctor;
mod doctor_rules;
mod errors;
mod feed;
mod formats;
mod funnel;
mod growth;
mod help;
mod import;
mod json_output;
mod keys;
mod kit;
mod live;
mod logs;
mod many_runs;
mod mcp;
mod one_run;
mod open_runs;
mod outbox;
mod postgres;
mod pseudonyms;
mod redact;
mod requests;
mod round_trip;
mod runbooks;
mod sandbox;
mod serve;
mod services;
mod sidecar_logs;
mod sidecar_report;
mod sidecar_scrape;
mod slo;
mod stories;
mod terminal;
mod top;
