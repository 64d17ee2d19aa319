//! What the variables are set to: read once, checked against the table, and never shown if it is a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use throughline_core::env;
use throughline_redact::{Redaction, Redactor};

use super::kind::{self, Kind};
use super::table::{Variable, variables};

/// The variable that names a file of declarative configuration.
pub(super) const CONFIG_FILE: &str = "OTEL_CONFIG_FILE";

/// Longer values are cut where they are shown.
const SHOWN: usize = 64;

/// What one variable is set to.
#[derive(Clone)]
pub(super) struct Setting {
    /// The name that it was set by.
    pub(super) by: &'static str,
    pub(super) value: String,
}

/// What is set, by the names of the table.
#[derive(Clone, Default)]
pub(super) struct Settings(BTreeMap<&'static str, Setting>);

/// What was found wrong, and what was ignored.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Reads all variables of the table. `lookup` answers `Err` for what is no text. What a file says goes first; if there is one, the
    /// standard's own variables count only as it names them, but for the one that turns everything off.
    pub(super) fn read(
        lookup: impl Fn(&'static str) -> Result<Option<String>, NotText>,
        file: Option<&BTreeMap<&'static str, String>>,
        findings: &mut Findings,
    ) -> Self {
        let mut settings = Self::default();
        for (_, variable) in variables() {
            let of_file = file.and_then(|file| file.get(variable.name));
            let mut set: Vec<Setting> = Vec::new();
            set.extend(of_file.map(|value| Setting { by: CONFIG_FILE, value: value.clone() }));
            for by in std::iter::once(variable.name).chain(variable.aliases.iter().copied()) {
                match lookup(by) {
                    // An empty one counts as not set.
                    Ok(value) => set.extend(
                        value
                            .map(|value| value.trim().to_owned())
                            .filter(|value| !value.is_empty())
                            .map(|value| Setting { by, value }),
                    ),
                    Err(NotText) => findings.problems.push(ConfigProblem {
                        variable: by.to_owned(),
                        shape: " is not valid Unicode".to_owned(),
                        expected: variable.kind.expected().into_owned(),
                    }),
                }
            }
            if file.is_some() {
                // To turn everything off at once, nobody has to touch a file.
                let is_off = |setting: &Setting| {
                    variable.name == "OTEL_SDK_DISABLED"
                        && setting.by != CONFIG_FILE
                        && setting.value.eq_ignore_ascii_case("true")
                };
                if set.iter().any(is_off) {
                    set.retain(is_off);
                }
                set.retain(|setting| {
                    let is_left_to_the_file =
                        setting.by.starts_with("OTEL_") && setting.by != CONFIG_FILE && !is_off(setting);
                    // One that the file repeats is what it says.
                    if is_left_to_the_file && of_file != Some(&setting.value) {
                        findings.warnings.push(format!(
                            "{}{} is ignored: the file of {CONFIG_FILE} takes precedence; unset one of them",
                            setting.by,
                            shape(variable, &setting.value),
                        ));
                    }
                    !is_left_to_the_file
                });
            }
            let mut set = set.into_iter();
            let Some(first) = set.next() else { continue };
            for other in set.filter(|other| other.value != first.value) {
                findings.warnings.push(format!(
                    "{}{} is ignored: {}{} takes precedence; unset one of them",
                    other.by,
                    shape(variable, &other.value),
                    first.by,
                    shape(variable, &first.value),
                ));
            }
            if variable.kind.accepts(&first.value) {
                settings.0.insert(variable.name, first);
            } else {
                findings.problems.push(ConfigProblem::of(variable, &first));
            }
        }
        settings
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|setting| setting.value.as_str())
    }

    /// The name that a variable was set by.
    pub(super) fn set_by(&self, name: &str) -> Option<&'static str> {
        self.0.get(name).map(|setting| setting.by)
    }

    /// Whether everything is off, whatever else is set.
    pub(super) fn is_disabled(&self) -> bool {
        self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// What a number or a word was parsed to; what is here was accepted by its kind.
    pub(super) fn parse<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        kind::switch(self.get(name)?)
    }

    /// How what was set can be shown, in the order of the table.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> {
        variables().filter_map(|(_, variable)| {
            let setting = self.0.get(variable.name)?;
            Some((variable.name, setting.by, shape(variable, &setting.value)))
        })
    }
}

/// A variable is set to something that is not text.
pub(super) struct NotText;

/// What a value looks like, as it follows the name of its variable. Of a secret, and of what can't be told from one, only its
/// length; of an address no path, and of pairs no values, for either may have a token in it.
pub(super) fn shape(variable: &Variable, value: &str) -> String {
    let length = value.chars().count();
    let shown = match variable.kind {
        _ if variable.is_secret || value.contains('@') => {
            return format!(" (a secret of {length} characters)");
        }
        Kind::Endpoint => env::place(value),
        Kind::Pairs | Kind::Headers => env::pairs(value).map(|pairs| {
            let names: Vec<_> = pairs.into_iter().map(|(name, _)| format!("{name}=…")).collect();
            names.join(",")
        }),
        _ => redacted(value),
    };
    let Some(shown) = shown else { return format!(" ({length} characters, which are not shown)") };
    let mut line = String::new();
    for c in shown.chars().take(SHOWN) {
        // What controls a terminal is written out.
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    format!("={line}{}", if shown.chars().count() > SHOWN { "…" } else { "" })
}

/// Without secrets that tell themselves, which anything may have been set to by mistake.
fn redacted(value: &str) -> Option<String> {
    static REDACTOR: LazyLock<Option<Redactor>> = LazyLock::new(|| Redaction::standard().build().ok());
    REDACTOR.as_ref().map(|redactor| redactor.text(value).into_owned())
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown().map(|(name, _, shape)| format!("{name}{shape}"));
        f.debug_set().entries(shown).finish()
    }
}

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// The variable.
    pub variable: String,
    /// What it is set to, as it follows the name: `=http`; of a secret only its length.
    pub shape: String,
    /// What it may be set to.
    pub expected: String,
}

impl ConfigProblem {
    fn of(variable: &Variable, setting: &Setting) -> Self {
        Self {
            variable: setting.by.to_owned(),
            shape: shape(variable, &setting.value),
            expected: variable.kind.expected().into_owned(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: expected {}", self.variable, self.shape, self.expected)
    }
}

/// Everything that is wrong with the environment, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong, in the order of the table.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => write!(f, "the environment can't be used: {only}"),
            problems => {
                write!(f, "the environment can't be used; {} variables are wrong:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
