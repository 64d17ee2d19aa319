//! `docs/metrics.md` has a table of the catalogue, and this keeps it true.

use std::fmt::Write;
use std::path::Path;

use throughline_core::metrics::catalogue::{self, Alias, Description, Kind, Unit};

const BEGIN: &str =
    "<!-- BEGIN: made from the catalogue by `UPDATE_DOCS=1 cargo test -p throughline-metrics docs` -->\n";
const END: &str = "<!-- END -->\n";

#[test]
fn the_table_in_the_docs_is_that_of_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = is.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where the table ends");
    let ought = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, ought).unwrap();
    } else if is != ought {
        let differs = is.lines().zip(ought.lines()).find(|(is, ought)| is != ought);
        panic!(
            "docs/metrics.md is not what the catalogue says: {differs:#?}\n\
             regenerate it with\n\n    UPDATE_DOCS=1 cargo test -p throughline-metrics docs\n"
        );
    }
}

fn tables() -> String {
    let mut out = String::new();
    let mut last = "";
    for (area, metric) in catalogue::all() {
        if area != last {
            let _ =
                write!(out, "\n### {area}\n\n| name | type | unit | labels | meaning | previous names |\n");
            out.push_str("|---|---|---|---|---|---|\n");
            last = area;
        }
        let Description { name, kind, help, .. } = metric;
        let (unit, kind) = (unit(metric), kind.as_str());
        let (labels, before) = (list(metric.labels.iter().copied()), before(metric));
        let _ = writeln!(out, "| `{name}` | {kind} | {unit} | {labels} | {help} | {before} |");
    }
    out.push_str("\n### Buckets\n\n| histogram | upper bounds |\n|---|---|\n");
    for (_, metric) in catalogue::all().filter(|(_, metric)| metric.kind == Kind::Histogram) {
        let bounds: Vec<_> = metric.buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(out, "| `{}` | {} |", metric.name, bounds.join(", "));
    }
    out.push('\n');
    out
}

fn unit(metric: &Description) -> &'static str {
    if metric.unit == Unit::Count { "" } else { metric.unit.as_str() }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn before(metric: &Description) -> String {
    metric.aliases.iter().map(|alias| alias_line(metric, alias)).collect::<Vec<_>>().join("<br>")
}

fn alias_line(metric: &Description, alias: &Alias) -> String {
    let labels: Vec<_> = alias.labels.iter().map(|label| label.name).collect();
    let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let kind = if alias.kind == metric.kind { String::new() } else { format!(" ({})", alias.kind.as_str()) };
    let only =
        alias.only.as_ref().map_or_else(String::new, |only| format!(", of some values of `{}`", only.label));
    format!("`{}{braces}`{kind}{only}", alias.name)
}
