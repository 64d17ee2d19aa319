//! A report as people read it.

use throughline_core::query::human_duration;
use throughline_core::{OpenRun, Timestamp};
use throughline_sidecar::{
    Block, Digest, Document, Family, Health, LogSummary, Section, Snapshot, Tone, family_rank, shown_value,
};

use super::Report;
use super::runs::{Runs, listed};
use crate::output::{ago, count, failure_of, group, kind_of, moment, name_of, short_id};

/// How many metrics are listed.
const METRICS: usize = 15;

pub(super) fn of(report: &Report) -> Document {
    let sections = [
        Some(summary(report)),
        report.health.as_ref().map(health),
        report.metrics.as_ref().map(metrics),
        report.logs.as_ref().map(logs),
        report.history.as_deref().map(history),
        report.runs.as_ref().map(|runs| of_runs(runs, report.at)),
    ];
    Document {
        title: "Inspection report".to_owned(),
        subtitle: format!("{} UTC", moment(report.at)),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn section(title: &str, blocks: Vec<Block>) -> Section {
    Section { title: title.to_owned(), blocks }
}

fn plain(text: impl Into<String>) -> Block {
    Block::Line(text.into(), Tone::Plain)
}

fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn summary(report: &Report) -> Section {
    if report.healthy {
        return section("Summary", vec![Block::Line("no problems found".to_owned(), Tone::Good)]);
    }
    let lines = report.problems.iter().map(|problem| Block::Line(problem.clone(), Tone::Bad));
    section("Summary", lines.collect())
}

fn health(health: &Health) -> Section {
    let mut facts = vec![fact("Asked", &*health.url)];
    match (health.status, &health.error) {
        (Some(status), _) => {
            facts.push(fact("Answer", format!("status {status} after {} ms", health.took_ms)));
        }
        (None, error) => {
            facts.push(fact("Answer", format!("none: {}", error.as_deref().unwrap_or("no reason"))));
        }
    }
    facts.extend(health.facts.iter().map(|(name, value)| (name.clone(), value.clone())));
    section("App health (by network)", vec![Block::Facts(facts)])
}

fn metrics(snapshot: &Snapshot) -> Section {
    let title = "Live metrics (by network)";
    if let Some(error) = &snapshot.error {
        let line = format!("{} can't be scraped: {error}", snapshot.target);
        return section(title, vec![Block::Line(line, Tone::Bad)]);
    }
    let mut facts = vec![fact("Scraped", &*snapshot.target)];
    if let Some(uptime) = snapshot.uptime_seconds {
        facts.push(fact("Uptime", shown_value("uptime_seconds", uptime)));
    }
    facts.push(fact("Series", group(snapshot.series)));
    let mut families: Vec<_> = snapshot.families.iter().collect();
    families.sort_by_key(|family| (family_rank(family), &family.name));
    let rows = families.iter().take(METRICS).map(|family| row(family)).collect();
    let mut blocks = vec![
        Block::Facts(facts),
        Block::Table(vec!["METRIC", ">TOTAL", ">ERRORS", ">p50", ">p95", ">p99"], rows),
    ];
    if families.len() > METRICS {
        blocks.push(plain(format!("… and {} more", families.len() - METRICS)));
    }
    section(title, blocks)
}

fn row(family: &Family) -> Vec<String> {
    let errors = family.errors.map_or_else(String::new, |errors| format!("{:.1}%", errors.share * 100.0));
    let value = |value: f64| shown_value(&family.name, value);
    let (total, percentiles) = match family.percentiles {
        Some(all) => (shown_value("", family.value), [all.p50, all.p95, all.p99].map(value)),
        None => (value(family.value), Default::default()),
    };
    [family.name.clone(), total, errors].into_iter().chain(percentiles).collect()
}

fn logs(logs: &LogSummary) -> Section {
    let mut facts = vec![fact("Lines", group(logs.lines))];
    if let (Some(first), Some(last)) = (&logs.first, &logs.last) {
        facts.push(fact("From", &**first));
        facts.push(fact("To", &**last));
    }
    facts.extend(logs.levels.iter().map(|level| fact(&level.level.to_uppercase(), group(level.count))));
    if logs.malformed > 0 {
        facts.push(fact("No JSON", group(logs.malformed)));
    }
    let messages = logs.messages.iter().map(|message| {
        vec![group(message.count), message.level.unwrap_or_default().to_owned(), message.message.clone()]
    });
    let mut blocks = vec![
        Block::Facts(facts),
        plain("Top messages:"),
        Block::Table(vec![">COUNT", "LEVEL", "MESSAGE"], messages.collect()),
    ];
    if logs.others > 0 {
        blocks.push(plain(format!("and {} with other messages", count(logs.others, "line"))));
    }
    if !logs.errors.is_empty() {
        blocks.push(plain(format!("Last {}:", count(logs.errors.len() as u64, "error"))));
        let rows = logs.errors.iter().map(|error| {
            let [at, reason, run] =
                [&error.at, &error.error, &error.run].map(|text| text.clone().unwrap_or_default());
            let message = if reason.is_empty() {
                error.message.clone()
            } else {
                format!("{}: {reason}", error.message)
            };
            vec![at, message, run]
        });
        blocks.push(Block::Table(vec!["AT", "MESSAGE", "RUN"], rows.collect()));
    }
    section("Log analysis (by files)", blocks)
}

fn history(digests: &[Digest]) -> Section {
    let mut blocks = Vec::new();
    if digests.is_empty() {
        blocks.push(plain("nothing was scraped yet"));
    }
    for digest in digests {
        let mut facts = vec![
            fact("Target", &*digest.target),
            fact("Scrapes", group(digest.scrapes)),
            fact("First", &*digest.first),
            fact("Last", &*digest.last),
        ];
        if !digest.current {
            facts.push(fact("Now", "not known: nobody has scraped it since"));
        }
        if digest.away > 0 {
            facts.push(fact("Away", count(digest.away, "scrape")));
        }
        if digest.restarts > 0 {
            facts.push(fact("Restarts", group(digest.restarts)));
        }
        blocks.push(Block::Facts(facts));
        let mut grown: Vec<_> = digest.increases.iter().filter(|(_, increase)| **increase > 0.0).collect();
        grown.sort_by_key(|(name, _)| (!name.contains("request"), name.as_str()));
        let rows = grown
            .iter()
            .take(METRICS)
            .map(|(name, increase)| vec![(*name).clone(), format!("+{}", shown_value("", **increase))]);
        blocks.push(Block::Table(vec!["METRIC", ">NEW"], rows.collect()));
    }
    section("Metrics history (by files)", blocks)
}

fn of_runs(runs: &Runs, now: Timestamp) -> Section {
    let since = human_duration(now.since(runs.since));
    let facts = vec![
        fact("Running", group(runs.running as u64)),
        fact("Failed", format!("{} in the last {since}", group(runs.failed_count as u64))),
        fact(
            "Stuck",
            format!(
                "{} (quiet for more than {})",
                group(runs.stuck.len() as u64),
                human_duration(runs.stuck_after)
            ),
        ),
        fact("Interrupted", group(runs.interrupted.len() as u64)),
    ];
    let mut blocks = vec![Block::Facts(facts)];
    if !runs.failed.is_empty() {
        blocks.push(plain("The last failures:"));
        let rows = runs.failed.iter().map(|run| {
            let cause = run.cause.as_ref().or(run.first_failure.as_ref());
            vec![
                short_id(run.trace_id),
                name_of(run),
                kind_of(run).to_owned(),
                moment(run.started),
                cause.map_or_else(String::new, failure_of),
            ]
        });
        blocks.push(Block::Table(vec!["ID", "KEY", "WORKFLOW", "STARTED", "CAUSE"], rows.collect()));
    }
    for (title, open) in [("Stuck:", &runs.stuck), ("Interrupted:", &runs.interrupted)] {
        if !open.is_empty() {
            blocks.push(plain(title));
            let rows = listed(open).iter().map(|run| open_row(run, now)).collect();
            blocks.push(Block::Table(vec!["ID", "KEY", "WORKFLOW", "CURRENT STEP", ">QUIET FOR"], rows));
        }
    }
    section("Runs (by the store)", blocks)
}

fn open_row(run: &OpenRun, now: Timestamp) -> Vec<String> {
    let step = run.current.as_ref().map_or("", |step| step.name.as_str());
    vec![
        short_id(run.summary.trace_id),
        name_of(&run.summary),
        kind_of(&run.summary).to_owned(),
        step.to_owned(),
        ago(now, run.last_event),
    ]
}
