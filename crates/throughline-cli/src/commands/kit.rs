//! `throughline dashboards`, `alerts`, `routing` and `probes`: what operators load into Grafana, Prometheus and Alertmanager.

use std::fs;
use std::path::Path;

use throughline_core::metrics::Profile;
use throughline_kit::{File, Kit, KitError};

use crate::args::{AlertsArgs, DashboardsArgs, KitArgs, MetricNames, ProbesArgs, RoutingArgs};
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean};

pub(super) fn dashboards(args: &DashboardsArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let mut kit = kit(&args.kit).funnel(&args.funnel);
    if let Some(address) = &args.viewer {
        kit = kit.viewer(address).prometheus(&args.prometheus);
    }
    let mut files = kit.dashboards()?;
    if args.viewer.is_some() {
        files.push(kit.datasource()?);
    }
    if args.slo {
        files.push(kit.slo_dashboard()?);
    }
    write(&args.kit.out, &files, screen)
}

pub(super) fn alerts(args: &AlertsArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let mut kit = kit(&args.kit).faster(args.faster);
    if let Some(address) = &args.runbooks {
        kit = kit.runbooks(address);
    }
    if let Some(address) = &args.grafana {
        kit = kit.grafana(address);
    }
    kit = kit.namespace(&args.namespace).monitoring(&args.monitoring).image(&args.image);
    let mut files = if args.kubernetes { kit.kubernetes()? } else { vec![kit.alerts()?] };
    if let Some(file) = &args.slo {
        let objectives = super::slo::objectives(file)?;
        let of_kubernetes = || kit.kubernetes_slo_rules(&objectives);
        files.push(if args.kubernetes { of_kubernetes()? } else { kit.slo_rules(&objectives)? });
    }
    write(&args.kit.out, &files, screen)
}

pub(super) fn probes(args: &ProbesArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let kit = Kit::new(Profile::standard()).job(&args.job).prober(&args.prober);
    let kit = args.targets.iter().fold(kit, Kit::target);
    write(&args.out, &kit.probes()?, screen)
}

pub(super) fn routing(args: &RoutingArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let mut kit = Kit::new(Profile::standard()).faster(args.faster);
    if let Some(address) = &args.webhook {
        kit = kit.webhook(address);
    }
    write(&args.out, &[kit.routing()?], screen)
}

fn kit(args: &KitArgs) -> Kit {
    let prefix = args.prefix.clone().unwrap_or_default();
    let profile = match args.profile {
        MetricNames::Standard => Profile::standard(),
        MetricNames::Aliases => Profile::aliases(prefix),
        MetricNames::Both => Profile::both(prefix),
    };
    Kit::new(profile).job(&args.job)
}

fn write(folder: &Path, files: &[File], screen: &mut Screen) -> Result<Answer, CliError> {
    let refused = |path: &Path, error| CliError::Write(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| refused(folder, error))?;
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.contents).map_err(|error| refused(&path, error))?;
        written.push(path.display().to_string());
    }
    if screen.wants_json() {
        screen.json(&serde_json::json!({ "files": written }))?;
    } else {
        for path in &written {
            screen.line(clean(path))?;
        }
    }
    Ok(Answer::Yes)
}

impl From<KitError> for CliError {
    fn from(error: KitError) -> Self {
        Self::Usage(error.to_string())
    }
}
