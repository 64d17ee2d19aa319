//! [`Objectives`]: how much of a service may fail, in the terms of [OpenSLO](https://openslo.com/).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SpanRelativeTo;
use serde::Deserialize;

const DAY: Duration = Duration::from_secs(86_400);
/// Over how many days an objective may be kept: no history of Prometheus is expected to be longer.
const LONGEST: Duration = DAY.saturating_mul(90);
const THIRTY_DAYS: &str = "30d";

/// The objectives of a service, as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Objectives {
    /// Each of them, in the order of the file.
    pub all: Vec<Objective>,
}

/// Which part of what happens has to be good.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Objective {
    /// What it is called: lower-case letters, digits and hyphens.
    pub name: String,
    /// What happens.
    pub subject: Subject,
    /// What makes it good.
    pub indicator: Indicator,
    /// Which part of it has to be good, as 0.999.
    pub target: f64,
    /// Over how long a time: a window that moves.
    pub window: Duration,
}

/// What an objective is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Requests to a route, as `/loans/{id}`.
    Route(String),
    /// Runs of a workflow.
    Workflow(String),
    /// Steps of a type, as `stage:credit-check`.
    Step(String),
}

/// What makes something good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indicator {
    /// It did not fail.
    Availability,
    /// It took no longer than this, however it ended.
    Latency(Duration),
}

/// Why a file of objectives can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectivesError {
    /// It is not the TOML that is expected.
    #[error("{0}")]
    Syntax(String),
    /// There is none in it.
    #[error("there is no objective in it: begin with `[[slo]]`")]
    None,
    /// One of them is wrong.
    #[error("the objective `{name}`: {reason}")]
    Objective {
        /// Its name.
        name: String,
        /// What is wrong, and what is expected.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    slo: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    route: Option<String>,
    workflow: Option<String>,
    step: Option<String>,
    indicator: Kind,
    threshold: Option<String>,
    target: f64,
    time_window: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Availability,
    Latency,
}

impl Objectives {
    /// Reads the objectives of a file in TOML.
    ///
    /// # Errors
    /// If the file is not as expected; the error says where, and what is.
    pub fn parse(text: &str) -> Result<Self, ObjectivesError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ObjectivesError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for written in file.slo {
            let name = written.name.clone();
            let objective = match names.insert(name.clone()) {
                true => written.checked(),
                false => Err("there are two of this name; give each its own".to_owned()),
            };
            all.push(objective.map_err(|reason| ObjectivesError::Objective { name, reason })?);
        }
        if all.is_empty() { Err(ObjectivesError::None) } else { Ok(Self { all }) }
    }
}

impl Written {
    fn checked(self) -> Result<Objective, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Err("a name has lower-case letters, digits and hyphens alone".to_owned());
        }
        let subject = match (self.route, self.workflow, self.step) {
            (Some(route), None, None) => Subject::Route(route),
            (None, Some(workflow), None) => Subject::Workflow(workflow),
            (None, None, Some(step)) => Subject::Step(step),
            _ => return Err("say what it is about: one of `route`, `workflow` and `step`".to_owned()),
        };
        let indicator = match (self.indicator, self.threshold) {
            (Kind::Availability, None) => Indicator::Availability,
            (Kind::Availability, Some(_)) => {
                return Err("a `threshold` is for `indicator = \"latency\"`".to_owned());
            }
            (Kind::Latency, None) => {
                return Err("say how long it may take, as `threshold = \"500ms\"`".to_owned());
            }
            (Kind::Latency, Some(threshold)) => Indicator::Latency(time(&threshold)?),
        };
        if !(self.target > 0.0 && self.target < 1.0) {
            return Err("a `target` is between 0 and 1, as 0.999: at 1, nothing may ever fail".to_owned());
        }
        let window = time(self.time_window.as_deref().unwrap_or(THIRTY_DAYS))?;
        if !(DAY..=LONGEST).contains(&window) {
            return Err("a `time_window` is from 1d to 90d".to_owned());
        }
        Ok(Objective { name: self.name, subject, indicator, target: self.target, window })
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let span =
        text.parse::<jiff::Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let time = span.ok().and_then(|time| Duration::try_from(time).ok()).filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("`{text}` is no duration, as 500ms, 2s or 30d"))
}

impl Subject {
    /// `route`, `workflow` or `step`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Route(_) => "route",
            Self::Workflow(_) => "workflow",
            Self::Step(_) => "step",
        }
    }

    /// Which of them it is.
    pub fn name(&self) -> &str {
        let (Self::Route(name) | Self::Workflow(name) | Self::Step(name)) = self;
        name
    }
}

impl Indicator {
    /// `availability` or `latency`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Latency(_) => "latency",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_as_they_are_written() {
        let file = "
[[slo]]
name = \"loans-are-answered\"
route = \"/loans/{id}\"
indicator = \"availability\"
target = 0.999

[[slo]]
name = \"scores-are-quick\"
step = \"stage:score\"
indicator = \"latency\"
threshold = \"500ms\"
target = 0.95
time_window = \"7d\"
";
        let expected = [
            Objective {
                name: "loans-are-answered".to_owned(),
                subject: Subject::Route("/loans/{id}".to_owned()),
                indicator: Indicator::Availability,
                target: 0.999,
                window: DAY * 30,
            },
            Objective {
                name: "scores-are-quick".to_owned(),
                subject: Subject::Step("stage:score".to_owned()),
                indicator: Indicator::Latency(Duration::from_millis(500)),
                target: 0.95,
                window: DAY * 7,
            },
        ];
        assert_eq!(Objectives::parse(file).unwrap().all, expected);
    }

    #[test]
    fn what_is_wrong_with_an_objective_is_said_with_what_is_expected() {
        let slo = |more: &str| format!("[[slo]]\nname = \"a\"\n{more}\n");
        let files = [
            String::new(),
            "slo = 1".to_owned(),
            slo("route = \"/a\"\nindicator = \"speed\"\ntarget = 0.9"),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = 0.9\ngoal = 1"),
            slo("indicator = \"availability\"\ntarget = 0.9"),
            slo("route = \"/a\"\nstep = \"b\"\nindicator = \"availability\"\ntarget = 0.9"),
            slo("route = \"/a\"\nindicator = \"availability\"\nthreshold = \"1s\"\ntarget = 0.9"),
            slo("route = \"/a\"\nindicator = \"latency\"\ntarget = 0.9"),
            slo("route = \"/a\"\nindicator = \"latency\"\nthreshold = \"fast\"\ntarget = 0.9"),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = 99.9"),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = nan"),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = 0.9\ntime_window = \"1h\""),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = 0.9").repeat(2),
            slo("route = \"/a\"\nindicator = \"availability\"\ntarget = 0.9").replace("\"a\"", "\"A b\""),
        ];
        let said = files.map(|file| Objectives::parse(&file).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n---\n"));
    }
}
