//! `docs/json-output.md`: its examples are what the command prints, its tables are made from the types.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::outbox;
use crate::sandbox::Sandbox;

/// The commands that the page has an example of, each with what its answer is.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["list"],
        "`{runs, next}`: a page of [RunSummary](#runsummary), and the cursor that `--after` takes, or `null`.",
    ),
    (&["show", "order-7"], "The fields of a [Tree](#tree), and `related`: the [Related](#related) runs."),
    (
        &["show", "order-7", "--timeline"],
        "The fields of a [Timeline](#timeline), and `related`: the [Related](#related) runs.",
    ),
    (
        &["why", "order-7"],
        "The fields of an [Explanation](#explanation); `comparison`, a [Comparison](#comparison) or `null`; and `related`: the \
         [Related](#related) runs.",
    ),
    (
        &["compensations", "order-7"],
        "The fields of a [CompensationLedger](#compensationledger), and `related`: the [Related](#related) runs.",
    ),
    (&["decisions", "order-7"], "The [Decisions](#decisions) of one run."),
    (&["decisions"], "`{decisions}`: a [ChoiceOutcome](#choiceoutcome) for each choice of all runs."),
    (
        &["running"],
        "`{runs, next}`: a page of runs [at work](#atwork), each with `standing` and `in_doubt`, and the cursor that `--after` takes, or \
         `null`. `standing` is the number of steps that stand: they succeeded, are not undone, and no process works on the run. \
         `in_doubt` is the number of those of which nobody knows whether they had their effect.",
    ),
    (
        &["running", "--check"],
        "`safe_to_deploy`, `standing` and `in_doubt` (the numbers of such steps in interrupted runs; in the first of them, if \
         there are more than `--limit`) and the fields of a [DeployCheck](#deploycheck).",
    ),
    (
        &["stats"],
        "Rates, times and hot spots. `failures` and `compensations` are a [Rate](#rate) with its `ratio` and the 95 % Wilson \
         `interval`.",
    ),
    (&["slo"], "`{objectives}`: a [BudgetReport](#budgetreport) for each objective of the file."),
    (
        &["anomalies"],
        "`{since, until, series, left_out, anomalies}`: how many `series` were judged, how many events are of others because there are \
         too many, and each [Anomaly](#anomaly).",
    ),
    (
        &["funnel", "stage:*", "workflow:completed", "--since", "3650d"],
        "`{since, until, per, within_us, without, left_out, steps, groups}`: how many events were `without` such a key, session or user, \
         how many were `left_out` because too many began, each [Step](#step), and with `--by` the same for each `value`.",
    ),
    (
        &["recovery", "--since", "3650d"],
        "`{since, ended, saved, by_retries, resumed, compensations, lost_in}`: of the runs that `ended`, how many had a failure in them \
         and succeeded all the same, as a [Rate](#rate); in how many of these something was tried again; the same of runs that were \
         `resumed` and of `compensations`; and some of the runs that failed.",
    ),
    (&["diff", "order-7", "order-6"], "A [Diff](#diff)."),
    (
        &["doctor"],
        "`ok`, whether everything that is on works; the name of the `service`; whether it is `disabled`; the `settings`, each with its \
         `variable`, the name that it was `set_by`, and its `value` as far as that is shown; `warnings` of what is set in vain; \
         `problems` of the environment; and `checks`, each with a `state` of `ok`, `failed` or `off`.",
    ),
    (
        &["import", "saga.jsonl"],
        "What became of the input; of an event log also its counts (see the next example).",
    ),
    (&["import", "loans.xes"], "The same of an event log."),
    (
        &["logs", "app.log", "--no-follow"],
        "JSON lines: `{file, line, malformed}`, the path, the line as the service wrote it, or else, of a line that is no JSON object, \
         its text.",
    ),
    (
        &["scrape", "http://127.0.0.1:1/metrics", "--times", "1"],
        "JSON lines: a [Snapshot](#snapshot) for each scrape.",
    ),
    (
        &["report", "--logs", "app.log"],
        "Whether the service is `healthy` and the `problems` if it is not; and, each `null` if it was not asked for: the \
         [Health](#health) of the service, its `metrics` as a [Snapshot](#snapshot), its `logs` as a [LogSummary](#logsummary), the \
         `history` as a [Digest](#digest) for each target, and its `runs`: how many failed `since` and the last of them, each a \
         [RunSummary](#runsummary); how many are `running`; and the [OpenRun](#openrun)s that are `stuck` or `interrupted`.",
    ),
    (&["dashboards", "--out", "kit"], "`{files}`: the paths of the dashboards that were written."),
    (&["alerts", "--out", "kit"], "The same of the alert rules."),
    (&["routing", "--out", "kit"], "The same of the routing of alerts."),
    (
        &["probes", "--target", "https://loans.example.org/livez", "--out", "kit"],
        "The same of the configurations of probes.",
    ),
    (
        &["abandon", "loan-4", "--reason", "the customer withdrew"],
        "`{run, standing, in_doubt}`: the [RunSummary](#runsummary) as it is now, the number of steps that can still be undone, \
         and of those that are in doubt.",
    ),
    (
        &["export", "order-6"],
        "JSON lines: events as [event.schema.json](event.schema.json) describes them. `--json` changes nothing.",
    ),
    (
        &["watch", "order-6"],
        "JSON lines: `{event, cursor}`, the cursor being what `--after` takes (`null` of events from before the watch), or \
         `{missed}` for events that can't be shown any more: how many, or `null`.",
    ),
    (&["prune", "--older-than", "3650d"], "What was removed, and the size of the store."),
    (
        &["copy", "--from", "sqlite:traces.db", "--to", "sqlite:copy.db"],
        "The numbers of `runs`, of their `events`, of those that were `copied` because the store did not have them, and of the runs \
         that are `open`; and `differing`, the runs that are not the same on both sides, each with its `trace_id` and the `reason`.",
    ),
    (
        &["outbox", "spool.db"],
        "The fields of a [SpoolUsage](#spoolusage); `oldest`, when the event that has waited longest happened, or `null`; \
         `waiting_runs`, the number of runs that have events in it; `runs`, the first of them, each with a \
         [RunSummary](#runsummary) of the events that wait and their number; and `refused_events`, the latest \
         [Refused](#refused) first.",
    ),
];

/// The types that answers are made of, by the files that define them.
const TYPES: &[(&str, &str)] = &[
    ("BudgetReport", "throughline-cli/src/commands/slo.rs"),
    ("Spending", "throughline-cli/src/commands/slo.rs"),
    ("Anomaly", "throughline-cli/src/commands/anomalies.rs"),
    ("Dimension", "throughline-cli/src/commands/anomalies.rs"),
    ("Step", "throughline-cli/src/commands/funnel.rs"),
    ("RunSummary", "throughline-model/src/run.rs"),
    ("RootSummary", "throughline-model/src/run.rs"),
    ("RunState", "throughline-model/src/run.rs"),
    ("FailureSummary", "throughline-model/src/run.rs"),
    ("Related", "throughline-cli/src/related.rs"),
    ("LeftBehind", "throughline-cli/src/related.rs"),
    ("More", "throughline-cli/src/related.rs"),
    ("Elsewhere", "throughline-cli/src/related.rs"),
    ("OpenRun", "throughline-model/src/run.rs"),
    ("CurrentStep", "throughline-model/src/run.rs"),
    ("AtWork", "throughline-core/src/open.rs"),
    ("Deployment", "throughline-core/src/open.rs"),
    ("Holder", "throughline-core/src/open.rs"),
    ("UsualTime", "throughline-core/src/open.rs"),
    ("Liveness", "throughline-model/src/run.rs"),
    ("OpenSummary", "throughline-model/src/run.rs"),
    ("DeployCheck", "throughline-model/src/run.rs"),
    ("ErrorInfo", "throughline-model/src/event.rs"),
    ("SpoolUsage", "throughline-model/src/spool.rs"),
    ("Refused", "throughline-model/src/spool.rs"),
    ("Rate", "throughline-model/src/analytics.rs"),
    ("TypeRate", "throughline-model/src/analytics.rs"),
    ("StageTimes", "throughline-model/src/analytics.rs"),
    ("SlowSpan", "throughline-model/src/analytics.rs"),
    ("HotSpot", "throughline-model/src/analytics.rs"),
    ("ChoiceOutcome", "throughline-model/src/analytics.rs"),
    ("Bucket", "throughline-model/src/analytics.rs"),
    ("Snapshot", "throughline-sidecar/src/snapshot.rs"),
    ("Family", "throughline-sidecar/src/snapshot.rs"),
    ("Kind", "throughline-sidecar/src/page.rs"),
    ("Errors", "throughline-sidecar/src/snapshot.rs"),
    ("Percentiles", "throughline-sidecar/src/snapshot.rs"),
    ("Health", "throughline-sidecar/src/health.rs"),
    ("LogSummary", "throughline-sidecar/src/log_tally.rs"),
    ("LevelCount", "throughline-sidecar/src/log_tally.rs"),
    ("MessageCount", "throughline-sidecar/src/log_tally.rs"),
    ("LoggedError", "throughline-sidecar/src/log_tally.rs"),
    ("Digest", "throughline-sidecar/src/digest.rs"),
    ("SpanSummary", "throughline-query/src/span.rs"),
    ("Tree", "throughline-query/src/tree.rs"),
    ("TreeNode", "throughline-query/src/tree.rs"),
    ("Timeline", "throughline-query/src/tree.rs"),
    ("TimelineEntry", "throughline-query/src/tree.rs"),
    ("Explanation", "throughline-query/src/explain.rs"),
    ("Verdict", "throughline-query/src/explain.rs"),
    ("Cause", "throughline-query/src/explain.rs"),
    ("CauseKind", "throughline-query/src/explain.rs"),
    ("Recorded", "throughline-query/src/explain.rs"),
    ("Statement", "throughline-query/src/explain/statements.rs"),
    ("Says", "throughline-query/src/explain/statements.rs"),
    ("Certainty", "throughline-query/src/explain/statements.rs"),
    ("Comparison", "throughline-query/src/compare.rs"),
    ("Difference", "throughline-query/src/compare.rs"),
    ("DifferenceKind", "throughline-query/src/compare.rs"),
    ("Usual", "throughline-query/src/compare.rs"),
    ("PutUpWith", "throughline-query/src/compare/put_up_with.rs"),
    ("PathStep", "throughline-query/src/explain.rs"),
    ("UpstreamDecision", "throughline-query/src/explain.rs"),
    ("Cascade", "throughline-query/src/explain.rs"),
    ("CascadeKind", "throughline-query/src/explain.rs"),
    ("OtherFailure", "throughline-query/src/explain.rs"),
    ("FailureOutcome", "throughline-query/src/explain.rs"),
    ("CompensationLedger", "throughline-query/src/ledger.rs"),
    ("SagaCompensation", "throughline-query/src/ledger.rs"),
    ("CompensationEntry", "throughline-query/src/ledger.rs"),
    ("CompensationState", "throughline-query/src/ledger.rs"),
    ("OrphanedResource", "throughline-query/src/ledger.rs"),
    ("Decisions", "throughline-query/src/decisions.rs"),
    ("DecisionOutcome", "throughline-query/src/decisions.rs"),
    ("Decision", "throughline-query/src/decisions.rs"),
    ("Alternative", "throughline-query/src/decisions.rs"),
    ("Consequence", "throughline-query/src/decisions.rs"),
    ("Basis", "throughline-query/src/decisions.rs"),
    ("Diff", "throughline-query/src/diff.rs"),
    ("Divergence", "throughline-query/src/diff.rs"),
    ("DivergenceKind", "throughline-query/src/diff.rs"),
    ("InputChange", "throughline-query/src/diff.rs"),
    ("AttrChange", "throughline-query/src/diff.rs"),
    ("ChoiceChange", "throughline-query/src/diff.rs"),
    ("StateChange", "throughline-query/src/diff.rs"),
    ("UnmatchedSpan", "throughline-query/src/diff.rs"),
    ("SlowerSpan", "throughline-query/src/diff.rs"),
    ("Problem", "throughline-query/src/problem.rs"),
    ("ProblemKind", "throughline-query/src/problem.rs"),
];

const BEGIN: &str = "<!-- BEGIN: written by `UPDATE_DOCS=1 cargo test -p throughline-cli json_output` -->\n";
const END: &str = "<!-- END -->\n";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_page_about_json_shows_what_the_command_prints_and_what_the_types_say() {
    let path = workspace().join("docs/json-output.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let should_be = format!("\n## Commands\n{}\n## Types\n{}\n", examples(), tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, format!("{before}{BEGIN}{should_be}{END}{after}")).unwrap();
    }
    let differs = should_be.lines().zip(written.lines()).find(|(is, was)| is != was);
    assert!(
        written == should_be,
        "docs/json-output.md is not what the command and the types say ({differs:?}); write it again with\n\n    \
         UPDATE_DOCS=1 cargo test -p throughline-cli json_output\n"
    );
}

/// What each command prints.
fn examples() -> String {
    let sandbox = Sandbox::with_sagas();
    std::fs::copy(crate::sandbox::data_file("loans.xes"), sandbox.path("loans.xes")).unwrap();
    let logged =
        "{\"timestamp\":\"2026-03-01T09:30:00.000000Z\",\"level\":\"error\",\"message\":\"task 7 failed\"}\n";
    sandbox.write("app.log", format!("{logged}no JSON\n"));
    let objective =
        "[[slo]]\nname = \"orders\"\nworkflow = \"order\"\nindicator = \"availability\"\ntarget = 0.999\n";
    sandbox.write("slo.toml", objective);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(outbox::leave(&sandbox.path("spool.db"), &outbox::failed("loan-42")));
    let mut page = String::new();
    for (command, about) in COMMANDS {
        let said = sandbox.run(&[*command, &["--json"]].concat());
        assert!(said.code < 2, "{command:?}: {}", said.stderr);
        let command = command.join(" ");
        let _ = write!(page, "\n### `{command}`\n\n{about}\n\n```json\n");
        match serde_json::from_str::<Value>(&said.stdout) {
            Ok(mut answer) => {
                if command.starts_with("abandon") {
                    // It ended just now.
                    answer["run"]["ended"] = "2026-03-01T10:00:00.000000Z".into();
                    answer["run"]["duration_us"] = 454_730_400_000_000_u64.into();
                }
                if command == "anomalies" || command.starts_with("funnel") || command.starts_with("recovery")
                {
                    answer["since"] = "2026-02-28T10:00:00.000000Z".into();
                    if let Some(until) = answer.get_mut("until") {
                        *until = "2026-03-01T10:00:00.000000Z".into();
                    }
                }
                if command == "slo" {
                    answer["objectives"][0]["since"] = "2026-01-30T10:00:00.000000Z".into();
                }
                if command.starts_with("report") {
                    answer["at"] = "2026-03-01T10:00:00.000000Z".into();
                    answer["runs"]["since"] = "2026-02-28T10:00:00.000000Z".into();
                }
                if command.starts_with("scrape") {
                    answer["at"] = "2026-03-01T10:00:00.000Z".into();
                    answer["error"] = "io: Connection refused".into();
                    answer["took_ms"] = 1.into();
                }
                let _ = writeln!(page, "{:#}", shortened(&answer));
            }
            // JSON lines.
            Err(_) => {
                for line in said.stdout.lines().take(2) {
                    let line: Value = serde_json::from_str(line).unwrap();
                    let _ = writeln!(page, "{line}");
                }
            }
        }
        page.push_str("```\n");
    }
    page
}

/// An answer with one item of each list, and without figures that differ from machine to machine.
fn shortened(answer: &Value) -> Value {
    match answer {
        Value::Array(items) if items.iter().all(Value::is_number) => answer.clone(),
        Value::Array(items) => items.iter().take(1).map(shortened).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| match name.starts_with("bytes_") {
                    true => (name.clone(), 90_112.into()),
                    false => (name.clone(), shortened(value)),
                })
                .collect(),
        ),
        // One of the texts tries to clear the screen.
        Value::String(text) => text.replace("\u{1b}[2J", "").into(),
        plain => plain.clone(),
    }
}

/// What each type has, from the source that defines it.
fn tables() -> String {
    let known: BTreeSet<_> = TYPES.iter().map(|(name, _)| *name).collect();
    let mut page = String::new();
    for (name, file) in TYPES {
        let source = std::fs::read_to_string(workspace().join("crates").join(file)).unwrap();
        let definition = Definition::read(&source, name);
        let _ = write!(page, "\n### {name}\n\n{}\n\n", definition.about);
        match definition.is_enum {
            true => page.push_str("| value | meaning |\n|---|---|\n"),
            false => page.push_str("| field | type | meaning |\n|---|---|---|\n"),
        }
        for Part { name, kind, about } in definition.parts {
            let kind = kind.map(|kind| format!("{} |", json_type(&kind, &known)));
            let _ =
                writeln!(page, "| `{name}` | {}{about} |", kind.map_or_else(String::new, |kind| kind + " "));
        }
    }
    page
}

struct Definition {
    about: String,
    is_enum: bool,
    parts: Vec<Part>,
}

/// A field of a struct, or a value of an enum.
struct Part {
    name: String,
    kind: Option<String>,
    about: String,
}

impl Definition {
    fn read(source: &str, name: &str) -> Self {
        let at = [" {", "<"]
            .iter()
            .flat_map(|after| ["struct", "enum"].map(|kind| format!("{kind} {name}{after}")))
            .flat_map(|head| ["pub", "pub(crate)"].map(|visible| format!("\n{visible} {head}")))
            .find_map(|head| source.find(&head))
            .unwrap_or_else(|| panic!("no `{name}` in its file"));
        let (before, rest) = source.split_at(at + 1);
        let is_enum = rest.starts_with("pub enum");
        let snake_case = before.trim_end().lines().rev().take_while(|line| !line.is_empty());
        let snake_case = snake_case.clone().any(|line| line.contains("snake_case"));
        let (_, body) = rest.split_once("{\n").unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let mut parts = Vec::new();
        let (mut about, mut renamed, mut is_optional) = (Vec::new(), None, false);
        for line in body.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                about.push(text.trim().to_owned());
            } else if let Some(attribute) = line.strip_prefix("#[serde(") {
                is_optional |= attribute.contains("skip_serializing_if");
                renamed = attribute.split_once("rename = \"").and_then(|(_, name)| name.split('"').next());
            } else if !line.is_empty() && !line.starts_with("#[") {
                let part = line.trim_end_matches(',').trim_start_matches("pub ");
                let (name, kind) = match part.split_once(": ") {
                    Some((name, kind)) => (name.to_owned(), Some(kind)),
                    None => (if snake_case { in_snake_case(part) } else { part.to_lowercase() }, None),
                };
                // What is left out if there is nothing is never `null`.
                let kind = kind.map(|kind| match kind.strip_prefix("Option<").filter(|_| is_optional) {
                    Some(inner) => format!("{}?", inner.trim_end_matches('>')),
                    None if is_optional => format!("{kind}?"),
                    None => kind.to_owned(),
                });
                let name = renamed.map_or(name, str::to_owned);
                parts.push(Part { name, kind, about: plain(&about.join(" ")) });
                (about, renamed, is_optional) = (Vec::new(), None, false);
            }
        }
        let docs: Vec<_> = before.lines().rev().skip_while(|line| line.starts_with("#[")).collect();
        let docs = docs.iter().map_while(|line| line.strip_prefix("///")).map(str::trim);
        let mut docs: Vec<_> = docs.collect();
        docs.reverse();
        Self { about: plain(&docs.join(" ")), is_enum, parts }
    }
}

/// A doc comment without links to items, which lead nowhere here.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        let Some((label, after)) = link.split_once(']') else { break };
        let url = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = match url {
            Some((url, after)) if url.starts_with("https:") => {
                let _ = write!(plain, "[{label}]({url})");
                after
            }
            Some((_, after)) => {
                plain.push_str(label);
                after
            }
            None => {
                plain.push_str(label);
                after
            }
        };
    }
    (plain + rest).replace('|', "\\|").replace("`None`", "`null`")
}

fn in_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// A Rust type as JSON has it.
fn json_type(kind: &str, known: &BTreeSet<&str>) -> String {
    if let Some(kind) = kind.strip_suffix('?') {
        return format!("{}, if any", json_type(kind, known));
    }
    let inside = |outer: &str| kind.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = inside("Option<") {
        return format!("{} or `null`", json_type(inner, known));
    }
    if let Some(inner) = inside("Vec<") {
        return format!("list of {}", json_type(inner, known));
    }
    match kind {
        "bool" => "boolean".to_owned(),
        "u16" | "u32" | "u64" | "usize" | "f64" => "number".to_owned(),
        "Text" | "String" | "&'static str" => "text".to_owned(),
        "TraceId" => "32 hex digits".to_owned(),
        "SpanId" | "InstanceId" => "16 hex digits".to_owned(),
        "Timestamp" => "time".to_owned(),
        "Status" => "status of an event".to_owned(),
        "Value" => "any JSON".to_owned(),
        "Attrs" | "BTreeMap<String, String>" => "object of texts".to_owned(),
        "BTreeMap<String, f64>" => "object of numbers".to_owned(),
        "Arc<TraceEvent>" => "[an event](event.schema.json)".to_owned(),
        "Map<String, Value>" => "object".to_owned(),
        name if known.contains(name) => format!("[{name}](#{})", name.to_lowercase()),
        other => panic!("what is `{other}` in JSON?"),
    }
}
