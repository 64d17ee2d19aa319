//! What `top` takes.

use std::time::Duration;

use clap::Args;

use super::parse_duration;

/// `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q leaves, r reads again, space holds the screen still.

Examples:
  throughline top --store sqlite:traces.db
  throughline top --store postgres://app@db/traces --feed redis://127.0.0.1/
  throughline top --every 5s")]
pub(crate) struct TopArgs {
    /// How often the store is read if no events can be followed
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub(crate) every: Duration,
    /// The live feed to follow; without one, the store is followed if it supports that
    #[arg(long, env = throughline_core::names::env::THROUGHLINE_FEED, hide_env_values = true, value_name = "FEED")]
    pub(crate) feed: Option<String>,
}
