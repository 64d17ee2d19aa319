//! What `anomalies` takes.

use std::time::Duration;

use clap::Args;

use super::moment::parse_duration;

/// `anomalies`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every minute is judged with the nine before it: whether more runs of a workflow, steps
of a type or requests to a route failed than usual, or whether their 95th percentile is
longer. What is usual is what the store has of the same hour of other weeks; where that
is too little, of other days; else of all that was before. Of little data nothing is
said. docs/operations.md has the methods and their sources.

Examples:
  throughline anomalies
  throughline anomalies --since 7d --history 60d
  throughline anomalies --json

Exit code 1: something is unusual.")]
pub(crate) struct AnomaliesArgs {
    /// How far back to judge
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) since: Duration,
    /// How much before that is read to know what is usual
    #[arg(long, value_name = "DURATION", default_value = "28d", value_parser = parse_duration)]
    pub(crate) history: Duration,
}
