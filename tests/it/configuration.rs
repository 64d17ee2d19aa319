//! `docs/configuration.md` and `.env.example` are made from the table of the variables.

use std::fmt::Write as _;
use std::path::Path;

use throughline::config::variables;
use throughline_core::env::otlp::{self, Batches, Collector, Signal};

const BEGIN: &str = "<!-- BEGIN: made from the table by `UPDATE_DOCS=1 cargo test -p throughline-workspace configuration` -->\n";
const END: &str = "<!-- END -->\n";

fn table() -> String {
    let mut text = String::new();
    let mut last = "";
    for (area, variable) in variables() {
        if area != last {
            let _ = write!(text, "\n### {area}\n\n| variable | value | default | |\n|---|---|---|---|\n");
            last = area;
        }
        let aliases: String = variable.aliases.iter().map(|alias| format!(", `{alias}`")).collect();
        let default = match variable.default {
            "" => String::new(),
            words if words.contains('`') => words.to_owned(),
            value => format!("`{value}`"),
        };
        let secret = if variable.is_secret { " **Secret.**" } else { "" };
        let _ = writeln!(
            text,
            "| `{}`{aliases} | {} | {default} | {}{secret} |",
            variable.name,
            variable.kind.expected(),
            variable.about,
        );
    }
    text.push('\n');
    text
}

fn example() -> String {
    let mut text = String::from(
        "# What the observability of a service can be told by its environment. Copy to .env and remove the # of what you set.\n\
         # docs/configuration.md says more.\n",
    );
    let mut last = "";
    for (area, variable) in variables() {
        if area != last {
            let _ = write!(text, "\n# {area}\n");
            last = area;
        }
        let default = if variable.default.contains('`') { "" } else { variable.default };
        let _ = write!(
            text,
            "\n# {}\n# {}\n#{}={default}\n",
            variable.about,
            expected(variable.kind),
            variable.name
        );
    }
    text
}

fn expected(kind: throughline::config::Kind) -> String {
    let expected = kind.expected();
    let mut letters = expected.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect::<String>() + ".")
        .unwrap_or_default()
}

fn compare(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, wanted).unwrap();
    }
    let is = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        is == wanted,
        "{file} is not what the table says; write it again with\n\n    UPDATE_DOCS=1 cargo test -p \
         throughline-workspace configuration\n"
    );
}

#[test]
fn the_page_and_the_example_say_what_the_table_says() {
    let page = include_str!("../../docs/configuration.md");
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where the table ends");
    compare("docs/configuration.md", &format!("{before}{BEGIN}{}{END}{after}", table()));
    compare(".env.example", &example());
}

#[test]
fn every_variable_that_other_crates_name_is_in_the_table() {
    let names = include_str!("../../crates/throughline-model/src/names.rs");
    let (_, of_environment) = names.split_once("pub mod env {").unwrap();
    let named: Vec<_> = of_environment
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(':').map(|(name, _)| name))
        .collect();
    assert!(named.len() > 5, "the names are read: {named:?}");
    for name in named {
        is_in_the_table(name);
    }
    for Collector { endpoint, protocol, headers, compression, timeout, certificate } in
        [otlp::ALL, otlp::TRACES.collector, otlp::LOGS.collector, otlp::METRICS.collector]
    {
        [endpoint, protocol, headers, compression, timeout, certificate]
            .into_iter()
            .for_each(is_in_the_table);
    }
    for Signal { exporter, .. } in [otlp::TRACES, otlp::LOGS, otlp::METRICS] {
        is_in_the_table(exporter);
    }
    for Batches { schedule_delay, export_timeout, max_queue_size, max_export_batch_size } in
        [otlp::SPANS, otlp::LOG_RECORDS]
    {
        [schedule_delay, export_timeout, max_queue_size, max_export_batch_size]
            .into_iter()
            .for_each(is_in_the_table);
    }
}

fn is_in_the_table(name: &str) {
    let is_known = variables().any(|(_, known)| known.name == name || known.aliases.contains(&name));
    assert!(is_known, "{name} is not in crates/throughline/src/config/table.rs");
}
