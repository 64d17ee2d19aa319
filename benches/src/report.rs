//! The table of results: printed, and written into a document between markers.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::duel::Spread;
use crate::machine::{Machine, load_average};

/// One line of the table: what was measured on both sides, and what was wanted.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// Our side.
    pub ours: String,
    /// The peer's name and its side; empty where the target is absolute.
    pub peer: String,
    /// What the target is about: a ratio to the peer, or our side's own value.
    pub value: Spread,
    /// What was wanted of it.
    pub target: Target,
}

/// What is wanted of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At most this ratio to the peer.
    RatioAtMost(f64),
    /// At least this ratio to the peer.
    RatioAtLeast(f64),
    /// Less than this many milliseconds.
    MillisBelow(f64),
    /// At most this many microseconds.
    MicrosAtMost(f64),
    /// At most this many.
    CountAtMost(f64),
    /// At most this many megabytes.
    MegabytesAtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        // What is shown has two digits, and what is shown is what is judged.
        let shown = (value * 100.0).round() / 100.0;
        match self {
            Self::RatioAtMost(limit)
            | Self::MicrosAtMost(limit)
            | Self::CountAtMost(limit)
            | Self::MegabytesAtMost(limit) => shown <= limit,
            Self::RatioAtLeast(limit) => shown >= limit,
            Self::MillisBelow(limit) => value < limit,
        }
    }

    fn is_ratio(self) -> bool {
        matches!(self, Self::RatioAtMost(_) | Self::RatioAtLeast(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(limit) => write!(f, "≤ {limit} ×"),
            Self::RatioAtLeast(limit) => write!(f, "≥ {limit} ×"),
            Self::MillisBelow(limit) => write!(f, "< {limit} ms"),
            Self::MicrosAtMost(limit) => write!(f, "≤ {limit} µs"),
            Self::CountAtMost(limit) => write!(f, "≤ {limit}"),
            Self::MegabytesAtMost(limit) => write!(f, "≤ {limit} MB"),
        }
    }
}

impl Line {
    fn cells(&self, row: &str) -> [String; 7] {
        let Spread { median, least, greatest } = self.value;
        let ratio = match self.target.is_ratio() {
            true if least == greatest => format!("{median:.2}"),
            true => format!("{median:.2} ({least:.2} to {greatest:.2})"),
            false => "–".to_owned(),
        };
        let met = if self.target.is_met_by(median) { "yes" } else { "**no**" };
        [
            row.to_owned(),
            self.what.clone(),
            self.ours.clone(),
            self.peer.clone(),
            ratio,
            self.target.to_string(),
            met.to_owned(),
        ]
    }
}

const HEADER: [&str; 7] = ["row", "what", "ours", "peer", "ratio", "target", "met"];

/// Nanoseconds in a unit that reads well.
pub fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.2} µs", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// Bytes in a unit that reads well.
pub fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// Events a second in a unit that reads well.
pub fn rate(per_second: f64) -> String {
    if per_second < 10_000.0 { format!("{per_second:.0}/s") } else { format!("{:.1} k/s", per_second / 1e3) }
}

/// The lines measured in this run, by row.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(&'static str, Vec<Line>)>,
    /// What else the machine did before.
    load: String,
}

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

impl Default for Table {
    fn default() -> Self {
        Self { rows: Vec::new(), load: load_average() }
    }
}

impl Table {
    /// Adds what a row measured.
    pub fn push(&mut self, row: &'static str, lines: Vec<Line>) {
        self.rows.push((row, lines));
    }

    /// The table as Markdown that also reads well as it is.
    pub fn render(&self) -> String {
        let lines: Vec<[String; 7]> =
            self.rows.iter().flat_map(|(row, lines)| lines.iter().map(|line| line.cells(row))).collect();
        render(&lines)
    }

    /// Writes the table into a document between its markers. Rows that were not measured this time stay as they
    /// are, if they were measured on the same machine; rows of another machine are left out where a table is begun `anew`.
    ///
    /// # Errors
    /// If the document can't be read or written, has no markers, or would mix two machines in one table.
    pub fn write(&self, path: &Path, machine: &Machine, all_rows: &[&str], anew: bool) -> anyhow::Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let merged = self.merge(&text, machine, all_rows, anew)?;
        fs::write(path, merged).with_context(|| format!("cannot write {}", path.display()))
    }

    fn merge(&self, text: &str, machine: &Machine, all_rows: &[&str], anew: bool) -> anyhow::Result<String> {
        let Some((before, rest)) = text.split_once(BEGIN) else { bail!("the document has no `{BEGIN}`") };
        let Some((measured, after)) = rest.split_once(END) else { bail!("the document has no `{END}`") };
        let shape = machine.to_string();
        let measured = if anew && !measured.contains(&shape) { "" } else { measured };
        let mut lines = Vec::new();
        for name in all_rows {
            match self.rows.iter().find(|(row, _)| row == name) {
                Some((row, own)) => lines.extend(own.iter().map(|line| line.cells(row))),
                None => lines.extend(parse(measured).into_iter().filter(|cells| cells[0] == *name)),
            }
        }
        let kept_some = all_rows.iter().any(|name| {
            self.rows.iter().all(|(row, _)| row != name) && lines.iter().any(|cells| cells[0] == *name)
        });
        if kept_some && !measured.contains(&shape) {
            bail!(
                "the document's other rows were measured on another machine; measure all rows, or add --dry-run"
            );
        }
        let load = format!("- load average before: {}\n", self.load);
        Ok(format!("{before}{BEGIN}\n{shape}{load}\n{}{END}{after}", render(&lines)))
    }
}

fn parse(markdown: &str) -> Vec<[String; 7]> {
    let cells = |line: &str| -> Option<[String; 7]> {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        <[&str; 7]>::try_from(cells).ok().map(|cells| cells.map(|cell| cell.trim().to_owned()))
    };
    markdown.lines().filter_map(cells).skip(2).collect()
}

fn render(lines: &[[String; 7]]) -> String {
    let header = HEADER.map(str::to_owned);
    let width = |column: usize| {
        lines.iter().chain([&header]).map(|cells| cells[column].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    let mut put = |cells: &[String; 7]| {
        for (cell, width) in cells.iter().zip(widths) {
            out.push_str(&format!("| {cell:width$} "));
        }
        out.push_str("|\n");
    };
    put(&header);
    put(&widths.map(|width| "-".repeat(width)));
    lines.iter().for_each(put);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: f64) -> Line {
        Line {
            what: "one step".to_owned(),
            ours: time(350.0),
            peer: format!("fastrace {}", time(400.0)),
            value: value.into(),
            target: Target::RatioAtMost(1.0),
        }
    }

    fn table(row: &'static str, value: f64) -> Table {
        let mut table = Table::default();
        table.push(row, vec![line(value)]);
        table
    }

    const EMPTY: &str = "# Speed\n<!-- measured: begin -->\n<!-- measured: end -->\nAfter.\n";

    #[test]
    fn a_filtered_run_replaces_its_own_rows_and_keeps_the_others_in_order() {
        let machine = Machine::unknown();
        let all = ["step", "off"];
        let text = table("off", 0.5).merge(EMPTY, &machine, &all, false).unwrap();
        let text = table("step", 0.875).merge(&text, &machine, &all, false).unwrap();
        let text = table("off", 1.25).merge(&text, &machine, &all, false).unwrap();
        assert!(text.starts_with("# Speed\n") && text.ends_with("-->\nAfter.\n"), "{text}");
        let rows: Vec<_> =
            parse(&text).into_iter().map(|cells| (cells[0].clone(), cells[6].clone())).collect();
        assert_eq!(rows, [("step".into(), "yes".into()), ("off".into(), "**no**".into())]);
    }

    #[test]
    fn rows_of_two_machines_are_not_mixed() {
        let all = ["step", "off"];
        let text = table("off", 0.5).merge(EMPTY, &Machine::unknown(), &all, false).unwrap();
        let other = Machine { cpu: "another".to_owned(), ..Machine::unknown() };
        assert!(table("step", 1.0).merge(&text, &other, &all, false).is_err());
        assert!(table("off", 1.0).merge(&text, &other, &all, false).is_ok());
        let anew = table("step", 1.0).merge(&text, &other, &all, true).unwrap();
        assert_eq!(parse(&anew).len(), 1);
    }

    #[test]
    fn a_ratio_of_several_rounds_is_shown_with_the_least_and_the_greatest() {
        let several = Line { value: Spread { median: 0.5, least: 0.25, greatest: 1.0 }, ..line(0.5) };
        assert_eq!(several.cells("step")[4], "0.50 (0.25 to 1.00)");
        assert_eq!(line(0.5).cells("step")[4], "0.50");
    }

    #[test]
    fn what_is_shown_is_what_is_judged() {
        assert!(Target::RatioAtMost(1.0).is_met_by(1.004));
        assert!(!Target::RatioAtMost(1.0).is_met_by(1.006));
        assert!(Target::RatioAtLeast(0.42).is_met_by(0.416));
        assert!(Target::MicrosAtMost(100.0).is_met_by(100.004));
        assert!(!Target::MicrosAtMost(100.0).is_met_by(100.01));
    }

    #[test]
    fn times_and_rates_read_well() {
        assert_eq!(time(5.52), "5.5 ns");
        assert_eq!(time(1_620.0), "1.62 µs");
        assert_eq!(rate(66_123.0), "66.1 k/s");
    }
}
