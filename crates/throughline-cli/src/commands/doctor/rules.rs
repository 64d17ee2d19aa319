//! Whether the alert rules are about this service, and lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use throughline_sidecar::{Health, Prometheus};

use super::PATIENCE;
use super::production::Finding::{self, Failed, NotChecked, Ok as Fine};
use super::seen::Seen;

/// What the links of an alert are called.
const LINKS: [&str; 2] = ["runbook_url", "dashboard_url"];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Judges the rules, if there is a file of them.
fn in_rules(seen: &Seen, judge: impl FnOnce(&[Rule]) -> Finding) -> Finding {
    let Some(path) = &seen.rules else { return NotChecked("name the file: --rules FILE".into()) };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Failed(format!("{}: {error}", path.display())),
    };
    match serde_saphyr::from_str::<File>(&text) {
        Ok(file) => judge(&file.groups.into_iter().flat_map(|group| group.rules).collect::<Vec<_>>()),
        Err(_) => Failed(format!("{} is no file of rules", path.display())),
    }
}

/// The job that most rules ask for.
fn job(rules: &[Rule]) -> Option<String> {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in rules {
        let named = rule.expr.split("job=\"").skip(1).filter_map(|rest| rest.split('"').next());
        named.collect::<BTreeSet<_>>().into_iter().for_each(|job| *asked.entry(job).or_default() += 1);
    }
    asked.into_iter().max_by_key(|(_, rules)| *rules).map(|(job, _)| job.to_owned())
}

pub(super) fn is_scraped(seen: &Seen) -> Finding {
    let Some(url) = &seen.prometheus else {
        return NotChecked("say where Prometheus answers: --prometheus URL".into());
    };
    in_rules(seen, |rules| {
        let Some(job) = job(rules) else { return Failed("no rule asks for a job".into()) };
        match Prometheus::new(url, PATIENCE).query(&format!("up{{job=\"{job}\"}}")) {
            Err(reason) => Failed(reason),
            Ok(instances) if instances.is_empty() => {
                Failed(format!("the rules ask for the job `{job}`, and Prometheus scrapes none of that name"))
            }
            Ok(instances) => {
                let down = instances.iter().filter(|instance| instance.value != 1.0);
                let down: Vec<_> =
                    down.filter_map(|instance| instance.labels.get("instance")).map(String::as_str).collect();
                match down.is_empty() {
                    true => Fine(format!("`{job}`: {} scraped", instances.len())),
                    false => Failed(format!("`{job}`: not reached: {}", down.join(", "))),
                }
            }
        }
    })
}

pub(super) fn links(seen: &Seen) -> Finding {
    in_rules(seen, |rules| {
        let mut targets = BTreeSet::new();
        for rule in rules {
            let Some(alert) = &rule.alert else { continue };
            for link in LINKS {
                match rule.annotations.get(link) {
                    None => return Failed(format!("{alert} has no `{link}`")),
                    Some(target) if !target.starts_with("http://") && !target.starts_with("https://") => {
                        return Failed(format!("the `{link}` of {alert} is no address: {target}"));
                    }
                    Some(target) => targets.insert(target),
                };
            }
        }
        let dead = |target: &&String| -> Option<String> {
            let answer = Health::ask(target);
            match (answer.status, answer.error) {
                // Some pages want to know first who is asking.
                (Some(100..=399 | 401 | 403), _) => None,
                (Some(status), _) => Some(format!("{} answers with {status}", answer.url)),
                (None, error) => {
                    Some(format!("{}: {}", answer.url, error.unwrap_or_else(|| "no answer".to_owned())))
                }
            }
        };
        match targets.iter().find_map(dead) {
            Some(reason) => Failed(reason),
            None => Fine(format!("{} pages are there", targets.len())),
        }
    })
}
