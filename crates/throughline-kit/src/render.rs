//! [`Renderer`]: expressions as PromQL, under the names of a profile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use throughline_core::metrics::Profile;
use throughline_core::metrics::catalogue::{Alias, Kind};

use crate::KitError;
use crate::expr::{Expr, Matcher, Over, Part, Series, Window};

/// The labels that Prometheus gives to what it scrapes.
const OF_TARGETS: [&str; 2] = ["job", "instance"];

/// What a dashboard's variables choose, and the label of the catalogue that it is looked for in.
pub(crate) const VARIABLES: [&str; 2] = ["tenant", "workflow"];

/// Part of a name that stands for the value of a label.
const ANY: &str = "([a-zA-Z0-9_]+)";

/// Writes expressions for one place: a rule, or a panel.
#[derive(Debug)]
pub(crate) struct Renderer<'r> {
    pub(crate) profile: &'r Profile,
    pub(crate) job: &'r str,
    /// Whether the variables of a dashboard restrict what is looked at.
    pub(crate) variables: bool,
    /// By how much windows are shorter than they are defined.
    pub(crate) faster: u32,
    /// The labels of the catalogue that have another name in the answer.
    renamed: BTreeMap<&'static str, String>,
}

/// A metric under one of its names.
struct Named<'a> {
    name: String,
    /// The labels of the catalogue that this name contains instead of having them.
    in_name: Vec<&'static str>,
    alias: Option<&'a Alias>,
}

impl<'r> Renderer<'r> {
    pub(crate) fn new(profile: &'r Profile, job: &'r str, variables: bool, faster: u32) -> Self {
        Self { profile, job, variables, faster, renamed: BTreeMap::new() }
    }

    /// A text in which `before` and `after` surround labels, with their names in the answers to what was rendered.
    pub(crate) fn template(&self, text: &str, before: &str, after: &str) -> String {
        self.renamed.iter().fold(text.to_owned(), |text, (label, name)| {
            text.replace(&format!("{before}{label}{after}"), &format!("{before}{name}{after}"))
        })
    }

    pub(crate) fn expr(&mut self, expr: &Expr) -> Result<String, KitError> {
        Ok(match expr {
            Expr::Series(series) => self.series(series)?,
            Expr::Up => format!("up{{{}}}", self.of_job().join(", ")),
            Expr::Probed(name) => format!("{name}{{job={}}}", quoted(&probes_of(self.job))),
            Expr::Mean { of, over } => format!("avg_over_time({}[{}])", self.expr(of)?, self.window(*over)),
            Expr::Now => "time()".to_owned(),
            Expr::WasUp(ago) => {
                format!("sum by (job) (up{{{}}} offset {})", self.of_job().join(", "), self.window(*ago))
            }
            Expr::Number(number) => number.to_string(),
            Expr::Recorded(name) => format!("{name}{{{}}}", self.of_job().join(", ")),
            Expr::Call { function, parameter, of } => {
                let of = self.expr(of)?;
                let parameter = parameter.map(|number| format!("{number}, ")).unwrap_or_default();
                format!("{function}({parameter}{of})")
            }
            Expr::Binary { left, operator, right } => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                format!("{left} {operator} {right}")
            }
        })
    }

    /// The selector of the series that have a label, and the label's name.
    pub(crate) fn values(&self, series: &Series, label: &str) -> Result<(String, String), KitError> {
        let named = self.name(series)?;
        Ok((self.selector(series, &named, None), named.label(label)))
    }

    fn operand(&mut self, expr: &Expr) -> Result<String, KitError> {
        let text = self.expr(expr)?;
        Ok(if matches!(expr, Expr::Binary { .. }) { format!("({text})") } else { text })
    }

    fn series(&mut self, series: &Series) -> Result<String, KitError> {
        let named = self.name(series)?;
        let mut selector = self.selector(series, &named, None);
        // Functions drop names, and with them what differs; a label keeps it, which is given to instants only.
        let window = |window| if named.in_name.is_empty() { self.window(window) } else { self.steps(window) };
        let ago = series.ago.map(|ago| format!(" offset {}", self.window(ago))).unwrap_or_default();
        selector = match series.over {
            None => selector,
            Some(Over::Rate(over)) => format!("rate({selector}[{}]{ago})", window(over)),
            Some(Over::Increase(over)) => format!("increase({selector}[{}]{ago})", window(over)),
            Some(Over::Appeared(over)) => {
                let before = self.selector(series, &named, Some(over));
                format!("{selector} unless {before}")
            }
        };
        let mut by = if series.part == Part::Buckets { vec!["le".to_owned()] } else { Vec::new() };
        by.push("job".to_owned());
        for label in series.by {
            let name = named.label(label);
            if series.own_labels && name != *label {
                selector = format!(r#"label_replace({selector}, "{label}", "$1", "{name}", "(.*)")"#);
                by.push((*label).to_owned());
                continue;
            }
            if name != *label {
                self.renamed.insert(label, name.clone());
            }
            by.push(name);
        }
        Ok(format!("{} by ({}) ({selector})", series.aggregate, by.join(", ")))
    }

    /// The selector of single series; where the name has labels in it, with these as labels.
    fn selector(&self, series: &Series, named: &Named<'_>, before: Option<Window>) -> String {
        let mut matchers = self.of_job();
        let suffix = match (series.part, named.alias.map_or(series.metric.kind, |alias| alias.kind)) {
            (Part::Count, Kind::Histogram) => "_count",
            (Part::Sum, _) => "_sum",
            (Part::Buckets | Part::Within(_), _) => "_bucket",
            _ => "",
        };
        for Matcher { label, operator, value } in &series.matchers {
            if let Some((name, value)) = named.value(label, value) {
                matchers.push(format!("{name}{operator}{}", quoted(value)));
            }
        }
        if let Part::Within(bound) = series.part {
            // A whole number is written with a fraction in OpenMetrics, and without one in the format before.
            let bound = bound.as_secs_f64().to_string();
            matchers.push(format!("le=~{}", quoted(&format!("{}(\\.0)?", bound.replace('.', "\\.")))));
        }
        if self.variables {
            matchers.push(r#"instance=~"$instance""#.to_owned());
            for variable in VARIABLES.iter().filter(|variable| series.metric.labels.contains(variable)) {
                if named.has(variable) {
                    matchers.push(format!("{}=~\"${variable}\"", named.label(variable)));
                }
            }
        }
        let Named { name, in_name, .. } = named;
        let name = format!("{name}{suffix}");
        let offset = before.map(|window| format!(" offset {}", self.window(window))).unwrap_or_default();
        if in_name.is_empty() {
            return format!("{name}{{{}}}{offset}", matchers.join(", "));
        }
        matchers.insert(0, format!("__name__=~{}", quoted(&name)));
        let mut text = format!("{{{}}}{offset}", matchers.join(", "));
        for (place, label) in in_name.iter().enumerate() {
            let _ = write!(text, r#", "{label}", "${}", "__name__", {})"#, place + 1, quoted(&name));
            text.insert_str(0, "label_replace(");
        }
        text
    }

    /// The first name that answers what is asked.
    fn name<'a>(&self, series: &'a Series) -> Result<Named<'a>, KitError> {
        let metric = series.metric;
        if self.profile.keeps_name_of(metric) {
            let asked = series.by.iter().copied().chain(series.matchers.iter().map(|matcher| matcher.label));
            return match asked.into_iter().find(|label| !is_label(metric.labels, label)) {
                None => Ok(Named { name: metric.name.to_owned(), in_name: Vec::new(), alias: None }),
                Some(label) => Err(KitError::NoName { metric: metric.name, asked: label.to_owned() }),
            };
        }
        let prefix = self.profile.alias_prefix().unwrap_or_default();
        metric.aliases.iter().find_map(|alias| answers(alias, series, prefix)).ok_or_else(|| {
            KitError::NoName {
                metric: metric.name,
                asked: format!("{:?} by {:?} of {:?}", series.part, series.by, series.matchers),
            }
        })
    }

    fn of_job(&self) -> Vec<String> {
        vec![format!("job={}", quoted(self.job))]
    }

    fn window(&self, window: Window) -> String {
        match window {
            Window::Graph => "$__rate_interval".to_owned(),
            Window::Of(window) => duration(window / self.faster),
        }
    }

    /// A window of instants. Without a step it would be that of the rules, which can be as long as the window; a long step
    /// would not see what is young.
    fn steps(&self, window: Window) -> String {
        const LONGEST: Duration = Duration::from_secs(15);
        let step = match window {
            Window::Graph => LONGEST,
            Window::Of(window) => LONGEST.min(window / self.faster / 60),
        };
        format!("{}:{}", self.window(window), duration(step))
    }
}

impl Named<'_> {
    /// A label of the catalogue under the name that it has here.
    fn label(&self, label: &str) -> String {
        let alias = self.alias.and_then(|alias| alias.labels.iter().find(|own| own.of == label));
        alias.map_or(label, |alias| alias.name).to_owned()
    }

    fn has(&self, label: &str) -> bool {
        self.alias.is_none_or(|alias| alias.labels.iter().any(|own| own.of == label))
    }

    /// What a label has to be for its own name and value; nothing if the name implies it.
    fn value<'v>(&self, label: &str, value: &'v str) -> Option<(String, &'v str)> {
        let Some(alias) = self.alias else { return Some((label.to_owned(), value)) };
        let own = alias.labels.iter().find(|own| own.of == label);
        own.map(|own| (own.name.to_owned(), (own.map)(value)))
    }
}

fn is_label(labels: &[&str], label: &str) -> bool {
    labels.contains(&label) || OF_TARGETS.contains(&label)
}

/// An alias under which a question can be asked, if it can.
fn answers<'a>(alias: &'a Alias, series: &Series, prefix: &str) -> Option<Named<'a>> {
    let of_kind = match series.part {
        Part::Value => alias.kind == series.metric.kind,
        Part::Count => matches!(alias.kind, Kind::Counter | Kind::Histogram),
        Part::Sum | Part::Buckets | Part::Within(_) => alias.kind == Kind::Histogram,
    };
    let has = |label: &str| alias.labels.iter().any(|own| own.of == label) || OF_TARGETS.contains(&label);
    let is_in_name = |label: &str| alias.name.contains(&format!("{{{label}}}"));
    let implied = |matcher: &Matcher| {
        alias.only.is_some_and(|only| {
            let belongs = (only.belongs)(&matcher.value);
            only.label == matcher.label
                && match matcher.operator {
                    "=" => belongs,
                    "!=" => !belongs,
                    _ => false,
                }
        })
    };
    let filled = |matcher: &Matcher| matcher.operator == "=" && is_in_name(matcher.label);
    let restricted = alias.only.is_none_or(|_| series.matchers.iter().any(implied));
    let matched = series.matchers.iter().all(|matcher| {
        let own = alias.labels.iter().find(|own| own.of == matcher.label);
        let fits = own.is_some_and(|own| {
            // A pattern is for the values of the catalogue, so it fits only where they are not mapped.
            matches!(matcher.operator, "=" | "!=") || (own.map)("success") == "success"
        });
        fits || implied(matcher) || filled(matcher)
    });
    if !of_kind || !restricted || !matched || !series.by.iter().all(|label| has(label) || is_in_name(label)) {
        return None;
    }
    let (mut name, mut rest, mut in_name) = (String::new(), alias.name, Vec::new());
    while let Some((before, inside)) = rest.split_once('{') {
        let (placeholder, after) = inside.split_once('}')?;
        name.push_str(before);
        rest = after;
        let value = series.matchers.iter().find(|matcher| filled(matcher) && matcher.label == placeholder);
        match (placeholder, value) {
            ("prefix", _) if prefix.is_empty() => rest = after.trim_start_matches('_'),
            ("prefix", _) => name.push_str(prefix),
            (_, Some(matcher)) => name.push_str(&matcher.value),
            (label, None) => {
                name.push_str(ANY);
                in_name.push(*series.metric.labels.iter().find(|own| **own == label)?);
            }
        }
    }
    name.push_str(rest);
    Some(Named { name, in_name, alias: Some(alias) })
}

/// The job under which a service is looked at from outside: another one, or its prober would be taken for an instance of it.
pub(crate) fn probes_of(job: &str) -> String {
    format!("{job}-probe")
}

/// A text in the quotes of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A time as Prometheus and Alertmanager write it.
pub(crate) fn duration(time: Duration) -> String {
    const UNITS: [(&str, u128); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    // Nothing shorter than a millisecond can be said.
    let millis = time.as_millis().max(1);
    let unit = UNITS.iter().find(|(_, length)| millis.is_multiple_of(*length));
    unit.map_or_else(|| format!("{millis}ms"), |(name, length)| format!("{}{name}", millis / length))
}
