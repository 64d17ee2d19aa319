//! The production checklist: what has to be so before a service is left to itself. `docs/production-checklist.md` is made of it.

use anstyle::AnsiColor;
use serde::Serialize;

use super::seen::Seen;
use super::{checks, rules};
use crate::error::CliError;
use crate::output::{Screen, clean};

/// What has to be so.
pub(super) struct Line {
    section: &'static str,
    /// What it is called in JSON.
    name: &'static str,
    what: &'static str,
    /// How to see to it.
    fix: &'static str,
    /// How it is checked; `None` if only people can.
    check: Option<fn(&Seen) -> Finding>,
}

/// What was found of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is so.
    Ok(String),
    /// It is not.
    Failed(String),
    /// It can't be told, or does not matter here.
    NotChecked(String),
}

/// A line of the checklist in the JSON of `doctor`.
#[derive(Serialize)]
pub(crate) struct ChecklistLine {
    /// The part of the checklist.
    section: &'static str,
    /// What the line is called.
    name: &'static str,
    /// What has to be so.
    what: &'static str,
    /// Whether it is: `ok`, `failed`, `not_checked`, or `by_hand` where no command can check it.
    state: &'static str,
    /// What was seen.
    seen: String,
    /// How to see to it.
    fix: &'static str,
}

const CONFIGURATION: &str = "Configuration";
const STORE: &str = "Store";
const ALERTS: &str = "Metrics and alerts";
const HEALTH: &str = "Health, start and end";
const MACHINE: &str = "Machine";
const PEOPLE: &str = "People";

/// A line that the command checks.
const fn checked(
    section: &'static str,
    name: &'static str,
    what: &'static str,
    fix: &'static str,
    check: fn(&Seen) -> Finding,
) -> Line {
    Line { section, name, what, fix, check: Some(check) }
}

/// A line that only people can check.
const fn by_hand(section: &'static str, name: &'static str, what: &'static str, fix: &'static str) -> Line {
    Line { section, name, what, fix, check: None }
}

pub(super) const LINES: &[Line] = &[
    checked(
        CONFIGURATION,
        "environment",
        "The environment is valid, and nothing is set in vain.",
        "Change the variables that are named; [configuration.md](configuration.md) has them all.",
        checks::environment,
    ),
    checked(
        CONFIGURATION,
        "service_name",
        "The service has a name of its own.",
        "Set `OTEL_SERVICE_NAME`.",
        checks::service_name,
    ),
    checked(
        CONFIGURATION,
        "destinations",
        "Everything that is switched on answers: store, outbox, feed, collectors, Sentry.",
        "`throughline doctor` says of each what is wrong.",
        checks::destinations,
    ),
    checked(
        CONFIGURATION,
        "encryption",
        "What leaves the machine is encrypted.",
        "Postgres: add `sslmode=verify-full` to its address; Redis: `rediss://`; collectors and Cosmos DB: `https://`.",
        checks::encryption,
    ),
    checked(
        CONFIGURATION,
        "logs",
        "Logs are written, as JSON, and without the levels `debug` and `trace` for everything.",
        "Set `THROUGHLINE_LOG_FORMAT=json`, and `RUST_LOG` to `info` and exceptions from it: [logging.md](logging.md).",
        checks::logs,
    ),
    checked(
        CONFIGURATION,
        "sampling",
        "If traces are exported, some are. The store keeps every run in any case.",
        "Set `OTEL_TRACES_SAMPLER_ARG` to the part that the collector can take, or turn the export off with `OTEL_TRACES_EXPORTER=none`.",
        checks::sampling,
    ),
    checked(
        STORE,
        "durable",
        "Events are kept in a store that outlives the process.",
        "Set `THROUGHLINE_STORE`: [choosing a store](guide/choosing-a-store.md).",
        checks::durable,
    ),
    checked(
        STORE,
        "local_disk",
        "A store in a file is on a local disk: SQLite's locks do not hold on a network, and memory is no disk.",
        "Move the file to a local disk, or use Postgres or Cosmos DB.",
        checks::local_disk,
    ),
    checked(
        STORE,
        "disk_space",
        "The disk of the store has room: 1 GiB, and a tenth of it.",
        "Make room, or keep runs for a shorter time (`retention_age`, `retention_bytes`).",
        checks::disk_space,
    ),
    checked(
        STORE,
        "writable",
        "The folder of the store can be written to by this user.",
        "Give the folder to the user of the service; SQLite makes files beside its own.",
        checks::writable,
    ),
    checked(
        STORE,
        "private",
        "Nobody but the user of the service can read the file of the store.",
        "`chmod 600` the file, or start the service with the umask 077.",
        checks::private,
    ),
    checked(
        STORE,
        "pseudonyms",
        "There is a secret for pseudonyms, so that personal data in keys can still be found.",
        "Set `THROUGHLINE_PSEUDONYM_KEY`, the same for all services that share a store, or let the store keep one.",
        checks::pseudonyms,
    ),
    checked(
        STORE,
        "outbox",
        "If the store is behind a network, events can wait for it.",
        "Set `THROUGHLINE_OUTBOX` to a file on a local disk, or accept that workflows wait while the store is away: \
         [reliability.md](reliability.md).",
        checks::outbox,
    ),
    checked(
        STORE,
        "retention",
        "Old runs are removed.",
        "Set `retention_age` on the store, or run `throughline prune --older-than 90d` on a schedule.",
        checks::retention,
    ),
    checked(
        STORE,
        "redaction",
        "The latest events are redacted.",
        "Leave `Redaction::off` to tests; [redaction.md](redaction.md) says what is hidden, and how to add to it.",
        checks::redaction,
    ),
    by_hand(
        STORE,
        "backup",
        "The store is backed up, and somebody has restored it once.",
        "SQLite: `VACUUM INTO`, or copy the file while no service writes. `throughline copy` compares two stores.",
    ),
    checked(
        ALERTS,
        "metrics_page",
        "The service has a page of metrics, and it can be scraped.",
        "Set `OTEL_EXPORTER_PROMETHEUS_PORT`, or name the page with `--metrics URL`.",
        checks::metrics_page,
    ),
    checked(
        ALERTS,
        "ledger",
        "No destination is broken, and no event was dropped.",
        "Follow the runbooks [DestinationBroken](runbooks/DestinationBroken.md) and [EventsDropped](runbooks/EventsDropped.md).",
        checks::ledger,
    ),
    checked(
        ALERTS,
        "alert_rules",
        "Prometheus has alert rules that `promtool` accepts.",
        "`throughline alerts --job NAME --out prometheus` writes them.",
        checks::alert_rules,
    ),
    checked(
        ALERTS,
        "routing",
        "Alertmanager has a configuration that `amtool` accepts, and the files of its secrets.",
        "`throughline routing --out alertmanager` writes it; put the secrets into the folder `secrets` beside it.",
        checks::routing,
    ),
    checked(
        ALERTS,
        "job",
        "The rules ask for the `job_name` under which Prometheus scrapes the service, and it reaches each instance.",
        "`throughline alerts --job NAME`, with the name that the scrape configuration has.",
        rules::is_scraped,
    ),
    by_hand(
        ALERTS,
        "drill",
        "Somebody was told of an alert in a drill, day and night.",
        "Load the rules of `--faster 60`, and stop a dependency of a service that is not in use: [operations.md](operations.md#who-is-told).",
    ),
    checked(
        ALERTS,
        "links",
        "The links of an alert lead to its runbook and its dashboard.",
        "`throughline alerts --runbooks URL --grafana URL`.",
        rules::links,
    ),
    checked(
        HEALTH,
        "liveness",
        "`/health/live` answers.",
        "Add a `Health` to the service, and name its address with `--service URL`.",
        checks::liveness,
    ),
    checked(
        HEALTH,
        "readiness",
        "`/health/ready` answers: the checks of what the service depends on pass.",
        "Its answer names the check that fails.",
        checks::readiness,
    ),
    checked(
        HEALTH,
        "startup",
        "`/health/startup` answers: the service has started up.",
        "Its answer names the check of `Gate::Startup` that has not passed yet.",
        checks::startup,
    ),
    by_hand(
        HEALTH,
        "resumption",
        "Runs that a process left open are resumed or undone when the next one starts.",
        "[Starting up after a crash](guide/starting-up-after-a-crash.md).",
    ),
    by_hand(
        HEALTH,
        "shutdown",
        "The platform waits longer for the service to end than the service takes: for requests under way, and the deadline of \
         `shutdown`.",
        "Kubernetes: `terminationGracePeriodSeconds`; systemd: `TimeoutStopSec`.",
    ),
    checked(
        MACHINE,
        "clock",
        "The clock of the machine is kept right.",
        "Start `systemd-timesyncd` or `chronyd`.",
        checks::clock,
    ),
    checked(
        MACHINE,
        "file_descriptors",
        "The service may open 4,096 files at least, and uses less than 8 in 10 of them.",
        "Raise `LimitNOFILE` (systemd) or `ulimit -n`.",
        checks::file_descriptors,
    ),
    by_hand(
        MACHINE,
        "memory",
        "The alert [HighMemoryUsage](runbooks/HighMemoryUsage.md) has the limit that the service runs with.",
        "Set its bound to 80 % of the limit.",
    ),
    by_hand(
        PEOPLE,
        "runbooks",
        "Those on call have read the runbooks of critical alerts, and can run `throughline` against the store.",
        "[operations.md](operations.md#alerts) lists them.",
    ),
    by_hand(
        PEOPLE,
        "access",
        "Who may look at runs is decided: payloads are redacted, and still say what customers do.",
        "[Looking at runs](guide/looking-at-runs.md) says how the viewer lets people in.",
    ),
];

/// What is found of every line.
pub(super) fn go_through(seen: &Seen) -> Vec<ChecklistLine> {
    let line = |line: &Line| {
        let Line { section, name, what, fix, check } = *line;
        let (state, seen) = match check.map(|check| check(seen)) {
            None => ("by_hand", String::new()),
            Some(Finding::Ok(seen)) => ("ok", seen),
            Some(Finding::Failed(seen)) => ("failed", seen),
            Some(Finding::NotChecked(seen)) => ("not_checked", seen),
        };
        ChecklistLine { section, name, what, state, seen, fix }
    };
    LINES.iter().map(line).collect()
}

impl ChecklistLine {
    pub(super) fn has_failed(&self) -> bool {
        self.state == "failed"
    }
}

/// Shows the lines by section, and how to see to those that fail.
pub(super) fn show(lines: &[ChecklistLine], screen: &mut Screen) -> Result<(), CliError> {
    let mut section = "";
    for line in lines {
        if line.section != section {
            section = line.section;
            screen.heading(section)?;
        }
        let (word, colour) = match line.state {
            "ok" => ("ok         ", AnsiColor::Green),
            "failed" => ("FAILED     ", AnsiColor::Red),
            "by_hand" => ("by hand    ", AnsiColor::Cyan),
            _ => ("not checked", AnsiColor::Yellow),
        };
        let word = screen.paint(word, colour.on_default());
        screen.line(format_args!("  {word}  {}", line.what))?;
        if !line.seen.is_empty() {
            screen.line(format_args!("               {}", clean(&line.seen)))?;
        }
        if line.has_failed() || line.state == "by_hand" {
            screen.line(format_args!("               → {}", without_links(line.fix)))?;
        }
    }
    let count = |state| lines.iter().filter(|line| line.state == state).count();
    screen.line(format_args!(
        "\n{} ok, {} failed, {} not checked, {} by hand",
        count("ok"),
        count("failed"),
        count("not_checked"),
        count("by_hand"),
    ))?;
    Ok(())
}

/// A text of the page for a terminal: of a link to a page of the documentation, its path.
fn without_links(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((title, (target, after))) =
            link.split_once("](").and_then(|(title, rest)| Some((title, rest.split_once(')')?)))
        else {
            break;
        };
        shown.push_str(before);
        let path = format!("docs/{}", target.split('#').next().unwrap_or(target));
        match path.ends_with(&format!("/{title}")) {
            true => shown.push_str(&path),
            false => shown.push_str(&format!("{title} ({path})")),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown.replace('`', "")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    /// The checklist as a page.
    fn page() -> String {
        let mut page = "# Production checklist\n\nWhat has to be so before a service is left to itself. `throughline doctor --production` \
             goes through it: it says what it saw, how to\nsee to what is not so, and exits with 1 if a line fails. Run it on the \
             machine of the service, as its user, with its environment:\n\n```sh\nthroughline doctor --production --service \
             http://127.0.0.1:8080 --keeps 90d --rules prometheus/alerts.yaml --prometheus http://localhost:9090 --routing \
             alertmanager/alertmanager.yaml\n```\n\nWithout one of these options, what needs it is not checked. What is marked with ✋ no \
             command can check. This page is made of the\ntable that the command goes through, by `UPDATE_DOCS=1 cargo test -p \
             throughline-cli checklist`.\n"
            .to_owned();
        let mut section = "";
        for line in LINES {
            if line.section != section {
                section = line.section;
                let _ = write!(page, "\n## {section}\n\n| | | how to see to it |\n|---|---|---|\n");
            }
            let mark = if line.check.is_some() { format!("`{}`", line.name) } else { "✋".to_owned() };
            let _ = writeln!(page, "| {mark} | {} | {} |", line.what, line.fix);
        }
        page
    }

    #[test]
    fn the_page_with_the_checklist_is_made_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/production-checklist.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let page_there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page_there == page(), "write it anew: UPDATE_DOCS=1 cargo test -p throughline-cli checklist");
    }

    #[test]
    fn pages_that_the_checklist_leads_to_are_there() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let page = page();
        let links: Vec<_> =
            page.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()).collect();
        assert!(links.len() > 10, "{links:?}");
        for link in links {
            assert!(docs.join(link).exists(), "{link}");
        }
    }

    #[test]
    fn every_line_has_a_name_of_its_own_and_links_are_paths_on_a_terminal() {
        let mut names: Vec<_> = LINES.iter().map(|line| line.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LINES.len());
        assert_eq!(
            without_links("See [logging.md](logging.md), [a run](guide/a-run.md#keys) and `this`."),
            "See docs/logging.md, a run (docs/guide/a-run.md) and this."
        );
    }
}
