//! What each runbook says to do first, done: a service gets into the trouble that the alert is about, and the commands of the page are
//! run as they are written there. What they say is a snapshot for each kind of trouble.

mod around;
mod troubles;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::Sandbox;

/// A service in trouble.
struct Trouble {
    sandbox: Sandbox,
    /// Where it keeps its runs; secrets and ports are not shown.
    store: String,
    /// A run that is about it, for pages that do not list one first.
    run: String,
    /// The workflow that is in trouble.
    workflow: &'static str,
    /// Where the service is that is in trouble: its page of metrics, or what speaks TLS.
    url: String,
    /// What has to be there while the commands look on, such as the service itself.
    _alive: Box<dyn Send>,
}

/// The alerts that each kind of trouble is about.
const ABOUT: &[(&str, &[&str])] = &[
    (
        "requests fail",
        &[
            "APIDown",
            "HighErrorRate",
            "ElevatedErrors",
            "HighHTTPErrorRate",
            "ErrorBudgetBurnsFast",
            "ErrorBudgetBurns",
            "ErrorBudgetBurnsSlowly",
        ],
    ),
    ("requests are slow", &["HighLatency", "ElevatedLatency", "HighHTTPLatency", "SlowWorkflowExecutions"]),
    (
        "workflows fail",
        &[
            "CriticalWorkflowFailureRate",
            "HighWorkflowFailureRate",
            "HighStepFailureRate",
            "HTTPActionFailures",
        ],
    ),
    ("compensations fail", &["CompensationsFail", "ResourcesOrphaned"]),
    ("runs were interrupted", &["RunsInterrupted"]),
    ("a dependency is away", &["DatabaseUnavailable", "RedisConnectionFailure"]),
    ("the store is away", &["DatabaseConnectionFailure", "OutboxFills"]),
    ("the file of the store is gone", &["DestinationBroken"]),
    ("runs hang", &["WorkflowExecutionStalled", "RunsStuck"]),
    ("a queue is full", &["QueueBacklog", "QueueBacklogCritical", "NoActiveWorkers"]),
    ("calls of functions fail", &["SidecarHighErrorRate", "SidecarHighLatency"]),
    ("resources are not created", &["AllSandboxCreationFailing", "SandboxBootSlow", "LowSessions"]),
    ("events are dropped", &["EventsDropped", "LedgerDoesNotBalance"]),
    ("the service is gone", &["SidecarTransportFailure"]),
    ("the way to the service is broken", &["ProbeFails", "ProbeSlow", "ProberDown"]),
    ("one worker is left", &["LowWorkerCount"]),
    ("memory is used up", &["HighMemoryUsage"]),
    ("a certificate expires", &["CertificateExpires", "CertificateExpiresSoon"]),
    ("something is unusual", &["UnusualFailures", "UnusualDuration"]),
    ("the store grows", &["StoreUpkeepFails"]),
];

fn runbooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks")
}

/// The commands that the page of an alert begins with.
fn commands(alert: &str) -> Vec<String> {
    let page = std::fs::read_to_string(runbooks().join(format!("{alert}.md"))).unwrap();
    let (_, first) = page.split_once("\n## First\n").unwrap();
    let (first, _) = first.split_once("\n## ").unwrap();
    let blocks = first.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

impl Trouble {
    /// What somebody sees who follows the pages of these alerts: each command, and what it says.
    fn follow(&self, alerts: &[&str]) -> String {
        let (mut seen, mut known) = (String::new(), BTreeSet::new());
        for alert in alerts {
            // Pages speak of a run that the command before has listed.
            let mut run = self.run.clone();
            for command in commands(alert) {
                let said = self.run(&command, &run);
                // Of what is listed, people look at what failed.
                let failed = said.lines().filter(|line| line.contains("fail"));
                let listed = failed.chain(said.lines()).flat_map(str::split_whitespace);
                if let Some(listed) = listed.into_iter().find(|word| is_short_id(word)) {
                    run = listed.to_owned();
                }
                if known.insert(command.clone()) {
                    let _ = writeln!(seen, "$ {command}\n{}\n", said.trim_end());
                }
            }
        }
        seen
    }

    /// Runs a command of a page: one of ours as it is, and what others have in a shell.
    fn run(&self, command: &str, run: &str) -> String {
        let said = if command.starts_with("openssl ") {
            let command = command.replace("HOST:443", &self.url);
            Command::new("sh").args(["-c", &command]).output().unwrap()
        } else {
            let words = self.words(command, run);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            self.sandbox.command(&words).env("THROUGHLINE_STORE", &self.store).output().unwrap()
        };
        let text = [said.stdout, said.stderr].concat();
        let mut text = String::from_utf8(text).unwrap();
        if !said.status.success() {
            let _ = write!(text, "[exit code {}]", said.status.code().unwrap());
        }
        text.replace(&self.sandbox.path("").display().to_string(), "")
    }

    /// The arguments of a command as a shell takes them, with what stands for something else in them.
    fn words(&self, command: &str, run: &str) -> Vec<String> {
        let words = command
            .strip_prefix("throughline ")
            .unwrap_or_else(|| panic!("`{command}` is none of ours"))
            .split_whitespace();
        let word = |word: &str| match word.trim_matches('\'') {
            "RUN" => run.to_owned(),
            "NAME" => self.workflow.to_owned(),
            "FILE" => "outbox.db".to_owned(),
            "URL" => self.url.clone(),
            word => word.to_owned(),
        };
        words.map(word).collect()
    }
}

fn is_short_id(word: &str) -> bool {
    word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit())
}

/// The same whichever of two steps that take a moment was the slower one, and whenever a minute ends.
fn settled(seen: &str) -> String {
    let mut settled = String::new();
    for section in seen.split("\n\n") {
        let mut lines: Vec<_> = section.lines().collect();
        match lines.first().copied() {
            Some("Much slower" | "What may have led to it") => continue,
            Some("Slowest stages") => lines[2..].sort_unstable(),
            // A column in which nothing would stand is left out, and a minute may end between two runs.
            Some("Slowest spans" | "Failures over time") => lines.truncate(1),
            _ => {}
        }
        let _ = write!(settled, "{}\n\n", lines.join("\n"));
    }
    settled
}

/// Follows the pages about a kind of trouble, and compares what they show.
fn assert_shown(kind: &str, trouble: &Trouble) {
    let (_, alerts) = ABOUT.iter().find(|(about, _)| *about == kind).unwrap();
    let seen = settled(&trouble.follow(alerts));
    let name = kind.replace(' ', "_");
    insta::with_settings!({
        description => format!("{kind}: {}", alerts.join(", ")),
        filters => vec![
            // What a runtime and a store do by the way.
            (r"(?m)^ +(tokio_runtime|throughline_(events|destination|store))_.*\n", ""),
            (r"(?m)^ +process_(cpu|max|open|start|threads|virtual)_?.*\n", ""),
            // Where its lines break depends on how long numbers are.
            (r"(?s)  call\.callee_us.*?transport\s+direct\n", "  [sizes and times of the call]\n"),
            (r"Series +\d+", "Series [count]"),
            (r"\b[0-9a-f]{32}\b", "[trace id]"),
            (r"\b[0-9a-f]{16}\b", "[trace]"),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[request id]"),
            (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT", "[moment]"),
            (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?Z?)?)?", "[moment]"),
            (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "[moment]"),
            (r"\b\d+(\.\d+)? (ns|µs|ms|s|min|h|d)( \d+ (s|min|h))?\b", "[time]"),
            (r"\[time\] to \[time\]", "[time]"),
            (r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "[size]"),
            (r"127\.0\.0\.1:\d+", "[address]"),
            (r"\S+ pid \d+", "[process]"),
            (r"\btenant (acme|globex|initech)\b", "tenant [tenant]"),
            (r"\d+(\.\d+)? % (fail|of them|of others)", "[share] $2"),
            (r" {2,}", "  "),
        ],
    }, {
        insta::assert_snapshot!(name, seen);
    });
}

#[test]
fn every_runbook_is_followed_in_one_kind_of_trouble() {
    let followed: Vec<_> =
        ABOUT.iter().flat_map(|(_, alerts)| *alerts).map(|alert| (*alert).to_owned()).collect();
    let once: BTreeSet<_> = followed.iter().cloned().collect();
    assert_eq!(once.len(), followed.len(), "one is followed twice");
    let pages: BTreeSet<_> = std::fs::read_dir(runbooks())
        .unwrap()
        .map(|page| page.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(once, pages);
}
