//! What `funnel` and `recovery` take.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::moment::parse_duration;

/// `funnel`.
#[derive(Debug, Args)]
#[command(after_help = "\
A step is reached when an event of its type succeeds, in the order of the command line
and within the time after the first. Of several attempts the one counts that got
furthest. `stage:*` is any type that begins so.

Examples:
  throughline funnel loan:applied stage:credit-check loan:paid
  throughline funnel cart:opened order:placed order:paid --per session --within 30m
  throughline funnel loan:applied loan:paid --per key --by tenant --since 30d

Exit code 1: nothing reached the first step.")]
pub(crate) struct FunnelArgs {
    /// The types of events that are the steps, in their order
    #[arg(value_name = "STEP", num_args = 2..=10, required = true)]
    pub(crate) steps: Vec<String>,
    /// How long after the first step the last may be reached
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) within: Duration,
    /// Who gets from step to step: a run, all runs under a key, or what has the same session or user as an attribute
    #[arg(long, value_name = "WHO", default_value = "run")]
    pub(crate) per: Per,
    /// Show each value of this attribute by itself, such as tenant
    #[arg(long, value_name = "ATTRIBUTE")]
    pub(crate) by: Option<String>,
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_duration)]
    pub(crate) since: Duration,
}

/// Who gets through a funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Per {
    Run,
    Key,
    Session,
    User,
}

/// `recovery`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run is saved if something in it failed and it succeeded all the same. What was tried
again is looked up in the first thousand of these.

Examples:
  throughline recovery
  throughline recovery --since 30d --json

Exit code 1: no run has ended.")]
pub(crate) struct RecoveryArgs {
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_duration)]
    pub(crate) since: Duration,
}
