//! What `doctor` takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::moment::parse_duration;

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
It reads the variables of docs/configuration.md and changes nothing: a store that is
not there is not created. Secrets are not shown. Exits with 1 if something that is on
does not work, or if the environment can't be used.

With --production it goes through docs/production-checklist.md as well, and exits with
1 if a line of that fails. A line that needs one of the options below is not checked
without it, and says so; some lines are for people alone. Run it on the machine of the
service, as its user, with its environment.

Examples:
  throughline doctor
  env $(grep -v '^#' .env) throughline doctor --json
  throughline doctor --production --service http://127.0.0.1:8080 --keeps 90d \\
                     --rules prometheus/alerts.yaml --prometheus http://localhost:9090 \\
                     --routing alertmanager/alertmanager.yaml")]
pub(crate) struct DoctorArgs {
    /// Go through the production checklist as well
    #[arg(long)]
    pub(crate) production: bool,
    /// Where the service answers, such as http://127.0.0.1:8080, to ask how it is
    #[arg(long, value_name = "URL", requires = "production")]
    pub(crate) service: Option<String>,
    /// Its page of metrics [default: where the environment has it served]
    #[arg(long, value_name = "URL", requires = "production")]
    pub(crate) metrics: Option<String>,
    /// The alert rules that Prometheus has loaded
    #[arg(long, value_name = "FILE", requires = "production")]
    pub(crate) rules: Option<PathBuf>,
    /// Where Prometheus answers, such as http://localhost:9090, to ask whether it scrapes what the rules ask for
    #[arg(long, value_name = "URL", requires = "rules")]
    pub(crate) prometheus: Option<String>,
    /// The configuration of Alertmanager
    #[arg(long, value_name = "FILE", requires = "production")]
    pub(crate) routing: Option<PathBuf>,
    /// For how long the store keeps runs, as the service sets it: whether older ones are gone
    #[arg(long, value_name = "DURATION", requires = "production", value_parser = parse_duration)]
    pub(crate) keeps: Option<Duration>,
}
