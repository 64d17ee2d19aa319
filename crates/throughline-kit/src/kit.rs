//! [`Kit`], which writes the files.

use throughline_core::metrics::Profile;

use crate::settings::Settings;
use crate::{
    File, KitError, Objectives, compose, dashboards, grafana, kubernetes, prober, routing, rules, slo, viewer,
};

/// Writes dashboards, alert rules and the routing of alerts for one service.
#[derive(Debug, Clone)]
#[must_use = "it writes nothing by itself"]
pub struct Kit(Settings);

impl Kit {
    /// A kit for a service whose metrics have the names of this profile. Where a service has both kinds of names, the standard
    /// ones are asked for.
    pub fn new(profile: Profile) -> Self {
        Self(Settings {
            profile,
            job: "throughline".to_owned(),
            runbooks: "docs/runbooks".to_owned(),
            grafana: String::new(),
            viewer: None,
            prometheus: "http://localhost:9090".to_owned(),
            service: "localhost:8080".to_owned(),
            alertmanager: "localhost:9093".to_owned(),
            webhook: None,
            faster: 1,
            funnel: Vec::new(),
            namespace: "default".to_owned(),
            monitoring: "monitoring".to_owned(),
            image: "loan-service:local".to_owned(),
            targets: Vec::new(),
            prober: "localhost:9115".to_owned(),
        })
    }

    /// The `job_name` under which Prometheus scrapes the service; `throughline` by default. Other jobs are not looked at.
    pub fn job(mut self, name: impl Into<String>) -> Self {
        self.0.job = name.into();
        self
    }

    /// Where the runbooks are: an address to which `/NAME.md` is appended.
    pub fn runbooks(mut self, address: impl Into<String>) -> Self {
        self.0.runbooks = address.into().trim_end_matches('/').to_owned();
        self
    }

    /// Where Grafana is; without it, links to dashboards are paths.
    pub fn grafana(mut self, address: impl Into<String>) -> Self {
        self.0.grafana = address.into().trim_end_matches('/').to_owned();
        self
    }

    /// Where the viewer is, such as `https://ops.example.org/throughline`: dashboards then lead to the runs behind their figures.
    pub fn viewer(mut self, address: impl Into<String>) -> Self {
        self.0.viewer = Some(address.into().trim_end_matches('/').to_owned());
        self
    }

    /// The types of events that are a funnel, from the first to the last, such as `order:placed`: the dashboard `business` then shows
    /// how often each happens for every time that the first does.
    pub fn funnel(mut self, steps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.funnel = steps.into_iter().map(Into::into).collect();
        self
    }

    /// Where Grafana reaches Prometheus; `http://localhost:9090` by default.
    pub fn prometheus(mut self, address: impl Into<String>) -> Self {
        self.0.prometheus = address.into();
        self
    }

    /// Tells everybody through a webhook instead of PagerDuty and Slack: an address to which the name of the receiver is appended.
    pub fn webhook(mut self, address: impl Into<String>) -> Self {
        self.0.webhook = Some(address.into().trim_end_matches('/').to_owned());
        self
    }

    /// Divides every time in rules and routes by a factor, for a drill: what takes five minutes takes five seconds with 60. What is
    /// counted in an hour is then counted in a minute.
    pub fn faster(mut self, factor: u32) -> Self {
        self.0.faster = factor.max(1);
        self
    }

    /// The alert rules, for Prometheus: `alerts.yaml`.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn alerts(&self) -> Result<File, KitError> {
        self.check()?;
        rules::file(&self.0)
    }

    /// The namespace that the service runs in on Kubernetes; `default` by default.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.0.namespace = name.into();
        self
    }

    /// The namespace of Prometheus on Kubernetes; `monitoring` by default.
    pub fn monitoring(mut self, name: impl Into<String>) -> Self {
        self.0.monitoring = name.into();
        self
    }

    /// The image of the service, with its tag.
    pub fn image(mut self, name: impl Into<String>) -> Self {
        self.0.image = name.into();
        self
    }

    /// Objects of Kubernetes. `monitoring.yaml` has, for the operator of Prometheus, the alert rules, what is scraped and who is
    /// told (`PrometheusRule`, `ServiceMonitor`, `AlertmanagerConfig`), and a `NetworkPolicy` by which only Prometheus reads the
    /// metrics. `deployment.yaml` has the service, with its probes and the volume of its store.
    ///
    /// A service has the label `app.kubernetes.io/name` with the name of the job, and ports called `http` and `metrics`. The
    /// secrets of the receivers are keys of a `Secret` called `JOB-alerting`.
    ///
    /// # Errors
    /// When the profile is invalid, Kubernetes does not allow the job or a namespace as a name, or the image has none.
    pub fn kubernetes(&self) -> Result<Vec<File>, KitError> {
        self.check()?;
        kubernetes::files(&self.0)
    }

    /// The [rules](Self::slo_rules) of objectives for the operator of Prometheus, a `PrometheusRule`: `slo.yaml`.
    ///
    /// # Errors
    /// When the profile is invalid, Kubernetes does not allow the job or a namespace as a name, or an objective can't be asked for.
    pub fn kubernetes_slo_rules(&self, objectives: &Objectives) -> Result<File, KitError> {
        self.check()?;
        kubernetes::slo_rules(&self.0, objectives)
    }

    /// The dashboards, for Grafana: a JSON file each.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn dashboards(&self) -> Result<Vec<File>, KitError> {
        self.check()?;
        dashboards::of(&self.0).iter().map(|dashboard| grafana::file(&self.0, dashboard)).collect()
    }

    /// Prometheus as a source of data, for Grafana: `datasource.yaml`. With it, a point of a graph that names a run leads to this run in
    /// the [viewer](Self::viewer).
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn datasource(&self) -> Result<File, KitError> {
        self.check()?;
        viewer::datasource(&self.0)
    }

    /// What is recorded of objectives, and the alerts when their budgets are spent too fast, for Prometheus: `slo.yaml`.
    ///
    /// # Errors
    /// When the profile or the job is invalid, the profile has no name for what an objective asks, or no bucket ends at the
    /// threshold of one.
    pub fn slo_rules(&self, objectives: &Objectives) -> Result<File, KitError> {
        self.check()?;
        slo::rules(&self.0, objectives)
    }

    /// The budgets of objectives, for Grafana: `slo.json`. It shows what the [rules](Self::slo_rules) record.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn slo_dashboard(&self) -> Result<File, KitError> {
        self.check()?;
        grafana::file(&self.0, &slo::dashboard())
    }

    /// Who is told of which alert, for Alertmanager: `alertmanager.yaml`. Its secrets are in files beside it.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn routing(&self) -> Result<File, KitError> {
        self.check()?;
        routing::file(&self.0)
    }

    /// Adds an address that is looked at from outside, such as `https://shop.example.org/livez`.
    pub fn target(mut self, address: impl Into<String>) -> Self {
        self.0.targets.push(address.into());
        self
    }

    /// Where Prometheus reaches the prober; `localhost:9115` by default.
    pub fn prober(mut self, address: impl Into<String>) -> Self {
        self.0.prober = address.into();
        self
    }

    /// Who looks at the [targets](Self::target) from outside: `blackbox.yaml` for the blackbox exporter of Prometheus, and
    /// `probes.yaml` for Prometheus itself, with the job `JOB-probe`.
    ///
    /// # Errors
    /// When the profile or the job is invalid, or a target is not an address.
    pub fn probes(&self) -> Result<Vec<File>, KitError> {
        self.check()?;
        prober::files(&self.0)
    }

    /// Where Prometheus reaches the page of metrics of the service; `localhost:8080` by default.
    pub fn service(mut self, address: impl Into<String>) -> Self {
        self.0.service = address.into();
        self
    }

    /// Where Prometheus reaches Alertmanager; `localhost:9093` by default.
    pub fn alertmanager(mut self, address: impl Into<String>) -> Self {
        self.0.alertmanager = address.into();
        self
    }

    /// What has Prometheus and Grafana use the other files, where both run as containers: `prometheus.yaml`, which scrapes the service
    /// and takes rules from `/etc/prometheus/rules` and [probes](Self::probes) from `/etc/prometheus/probes.yaml`, and `dashboards.yaml`,
    /// by which Grafana loads what is in `/var/lib/grafana/dashboards`.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn compose(&self) -> Result<Vec<File>, KitError> {
        self.check()?;
        compose::files(&self.0)
    }

    fn check(&self) -> Result<(), KitError> {
        self.0.profile.check()?;
        if self.0.job.is_empty() { Err(KitError::NoJob) } else { Ok(()) }
    }
}
