//! What `slo` takes.

use std::path::PathBuf;

use clap::Args;

/// `slo`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE has an objective in each [[slo]], in the terms of OpenSLO:

  [[slo]]
  name = \"loans-are-approved\"      lower-case letters, digits and hyphens
  workflow = \"loan-approval\"       or a route, \"/loans/{id}\"; or a step, \"stage:score\"
  indicator = \"availability\"       what fails is bad; or \"latency\", with
  # threshold = \"500ms\"            what takes longer is bad
  target = 0.999                   which part has to be good
  time_window = \"30d\"              over how long

Of requests, a store has those in which something was recorded; Prometheus counts
all of them: `throughline alerts --slo FILE` writes its rules.

Examples:
  throughline slo slo.toml
  throughline slo slo.toml --json

Exit code 1: an objective is missed, since more was bad than it allows.")]
pub(crate) struct SloArgs {
    /// The objectives
    #[arg(value_name = "FILE", default_value = "slo.toml")]
    pub(crate) file: PathBuf,
}
