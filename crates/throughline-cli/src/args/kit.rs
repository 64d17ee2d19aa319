//! What the commands take that write files for operators.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whose metrics are asked for, and where the files go.
#[derive(Debug, Args)]
pub(crate) struct KitArgs {
    /// The names that the service has for its metrics, as in its `Profile`; of both, the standard ones are used
    #[arg(long, value_name = "NAMES", default_value = "standard")]
    pub(crate) profile: MetricNames,
    /// The prefix of the profiles aliases and both
    #[arg(long, value_name = "PREFIX", required_if_eq_any = [("profile", "aliases"), ("profile", "both")])]
    pub(crate) prefix: Option<String>,
    /// The job_name under which Prometheus scrapes the service; other jobs are not looked at
    #[arg(long, value_name = "NAME", default_value = "throughline")]
    pub(crate) job: String,
    /// The folder to write to; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// The profiles of a service's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricNames {
    Standard,
    Aliases,
    Both,
}

/// `dashboards`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each file is a dashboard of Grafana 11 or later. On it, choose the Prometheus to ask, and
the instances, tenants and workflows to look at.

Examples:
  throughline dashboards --job loan-service --out grafana
  throughline dashboards --profile aliases --prefix acme --out grafana
  throughline dashboards --funnel cart:opened,order:placed,order:paid --out grafana
  throughline dashboards --viewer https://ops.example.org/throughline --out grafana")]
pub(crate) struct DashboardsArgs {
    #[command(flatten)]
    pub(crate) kit: KitArgs,
    /// Write a dashboard of error budgets, too, which shows what the rules of `alerts --slo` record
    #[arg(long)]
    pub(crate) slo: bool,
    /// Where the viewer is: panels then lead to the runs behind their figures. datasource.yaml is written, too: with it as its
    /// data source, a point of a graph leads to the run that it names
    #[arg(long, value_name = "URL")]
    pub(crate) viewer: Option<String>,
    /// The types of events that are a funnel, from the first to the last: the dashboard `business` then shows how often each
    /// happens for every time that the first does
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    pub(crate) funnel: Vec<String>,
    /// Where Grafana reaches Prometheus
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", requires = "viewer")]
    pub(crate) prometheus: String,
}

/// `alerts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Write the rules for each job of its own; `promtool check rules` accepts them.

Examples:
  throughline alerts --job loan-service --out prometheus
  throughline alerts --runbooks https://wiki.example.org/runbooks --out prometheus
  throughline alerts --faster 60 --out drill   for a drill: what lasts minutes lasts seconds
  throughline alerts --kubernetes --job loan-service --namespace loans --out kubernetes")]
pub(crate) struct AlertsArgs {
    #[command(flatten)]
    pub(crate) kit: KitArgs,
    /// Write objects of Kubernetes instead: the rules, what is scraped and who is told, for the operator of Prometheus, and a
    /// deployment of the service with its probes, its volume and a network policy
    #[arg(long)]
    pub(crate) kubernetes: bool,
    /// The namespace that the service runs in
    #[arg(long, value_name = "NAME", default_value = "default", requires = "kubernetes")]
    pub(crate) namespace: String,
    /// The namespace of Prometheus, which alone may read the metrics
    #[arg(long, value_name = "NAME", default_value = "monitoring", requires = "kubernetes")]
    pub(crate) monitoring: String,
    /// The image of the service
    #[arg(long, value_name = "IMAGE", default_value = "loan-service:local", requires = "kubernetes")]
    pub(crate) image: String,
    /// Write the rules of these objectives, too: what is spent of their error budgets, and alerts when it is spent too fast.
    /// `throughline slo --help` says what is in such a file
    #[arg(long, value_name = "FILE")]
    pub(crate) slo: Option<PathBuf>,
    /// Where the runbooks are: an address to which /NAME.md is appended [default: docs/runbooks, a path]
    #[arg(long, value_name = "URL")]
    pub(crate) runbooks: Option<String>,
    /// Where Grafana is, for links to dashboards
    #[arg(long, value_name = "URL")]
    pub(crate) grafana: Option<String>,
    /// Divide all times by this
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) faster: u32,
}

/// `probes`.
#[derive(Debug, Args)]
#[command(after_help = "\
blackbox.yaml is the configuration of Prometheus' blackbox exporter, and probes.yaml has what
Prometheus scrapes of it, under the job of the service with `-probe` behind it. The rules of
`alerts` and the dashboard `uptime` ask for that job.

Examples:
  throughline probes --job loan-service --target https://loans.example.org/livez --out prometheus
  throughline probes --target https://a.example.org --target https://b.example.org --prober blackbox:9115 --out .")]
pub(crate) struct ProbesArgs {
    /// The job_name under which Prometheus scrapes the service itself
    #[arg(long, value_name = "NAME", default_value = "throughline")]
    pub(crate) job: String,
    /// An address to look at from outside; may be given several times
    #[arg(long = "target", value_name = "URL", required = true)]
    pub(crate) targets: Vec<String>,
    /// Where Prometheus reaches the exporter
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9115")]
    pub(crate) prober: String,
    /// The folder to write to; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `routing`.
#[derive(Debug, Args)]
#[command(after_help = "\
Critical alerts go to oncall-primary (PagerDuty) at any hour, warnings to
oncall-secondary in business hours (UTC), and all of them and the rest to slack-alerts.
The secrets are read from files in the folder `secrets` beside the configuration:
oncall-primary-key, oncall-secondary-key and slack-url.

Examples:
  throughline routing --out alertmanager
  throughline routing --webhook http://localhost:9000 --out drill")]
pub(crate) struct RoutingArgs {
    /// The folder to write to; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Tell everybody through this webhook instead, each at the address /RECEIVER
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Divide all times by this
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) faster: u32,
}
