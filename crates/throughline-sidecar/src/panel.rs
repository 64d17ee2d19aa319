//! [`Panel`]: what a scraper saw, on a screen.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use throughline_query::{elide, escape, human_duration};
use unicode_width::UnicodeWidthStr;

use crate::page::Kind;
use crate::snapshot::{Errors, Family, Snapshot};

/// How many scrapes are drawn at most.
const MOST: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// From how many columns on all percentiles are shown.
const WIDE: usize = 110;
/// What a process says of itself, and not of its work.
const OF_PROCESSES: [&str; 5] = ["process_", "go_", "python_", "jvm_", "nodejs_"];

/// The last scrapes of a target, drawn as a screen.
#[derive(Debug, Default)]
pub struct Panel {
    seen: VecDeque<Snapshot>,
    /// How many scrapes there were.
    count: u64,
    /// Since when the target has not answered.
    away_since: Option<String>,
}

/// What a screen shows.
#[derive(Debug, Clone, Copy)]
pub struct PanelStyle {
    /// Whether in colours.
    pub has_colour: bool,
    /// How many columns there are.
    pub width: usize,
    /// How many families are shown at most.
    pub rows: usize,
}

impl Panel {
    /// An empty panel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was scraped.
    pub fn add(&mut self, snapshot: Snapshot) {
        self.count += 1;
        match (snapshot.up, &self.away_since) {
            (true, _) => self.away_since = None,
            (false, None) => self.away_since = Some(snapshot.at.clone()),
            (false, Some(_)) => {}
        }
        self.seen.push_back(snapshot);
        if self.seen.len() > MOST {
            self.seen.pop_front();
        }
    }

    /// The screen as a text of several lines. What a terminal might obey is escaped.
    pub fn draw(&self, style: PanelStyle) -> String {
        let Some(last) = self.seen.back() else { return String::new() };
        let mut screen = Screen { style, text: String::new() };
        let title = format!("── {}  {}  scrape #{} ──", escape(&last.target), time_of(&last.at), self.count);
        screen.line(&elide(&title, style.width), Style::new().bold());
        if let Some(since) = &self.away_since {
            let error = last.error.as_deref().unwrap_or_default();
            let away = format!("  away since {}: {}", time_of(since), escape(error));
            screen.line(&elide(&away, style.width), AnsiColor::Red.on_default());
        }
        // Of a target that is away, what it said last.
        let Some(known) = self.seen.iter().rev().find(|snapshot| snapshot.up) else { return screen.text };
        let uptime = known.uptime_seconds.and_then(duration);
        if let Some(uptime) = uptime {
            let again = if known.restarted { "  (started again)" } else { "" };
            screen.line(&format!("  Uptime  {uptime}{again}"), Style::new());
        }
        let unread = match known.malformed {
            0 => String::new(),
            lines => format!(", {lines} lines that can't be read"),
        };
        let left_out = match known.left_out {
            0 => String::new(),
            series => format!(", {series} left out"),
        };
        screen.line(&format!("  Series  {}{left_out}{unread}", known.series), Style::new());
        screen.text.push('\n');
        self.draw_families(known, &mut screen);
        screen.text
    }

    fn draw_families(&self, known: &Snapshot, screen: &mut Screen) {
        let mut families: Vec<_> = known.families.iter().collect();
        families.sort_by_key(|family| (family_rank(family), &family.name));
        let shown = &families[..families.len().min(screen.style.rows)];
        let rows: Vec<_> = shown.iter().map(|family| self.row(family, screen.style.width)).collect();
        let head = head(screen.style.width);
        let mut widths: Vec<_> = head.iter().map(|title| title.width()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.width());
            }
        }
        let others: usize = widths[1..].iter().map(|width| width + 2).sum();
        widths[0] = widths[0].min(screen.style.width.saturating_sub(others + 2)).max(12);
        screen.line(&lined_up(&head.map(String::from), &widths), Style::new().dimmed());
        for row in &rows {
            let style = if row.fails { AnsiColor::Red.on_default() } else { Style::new() };
            screen.line(&lined_up(&row.cells, &widths), style);
        }
        let more = families.len() - shown.len();
        if more > 0 {
            screen.line(&format!("  … and {more} more"), Style::new().dimmed());
        }
    }

    fn row(&self, family: &Family, width: usize) -> Row {
        let number = |value: f64| shown_value(&family.name, value);
        let total = match family.kind {
            Kind::Histogram | Kind::Summary => plain(family.value),
            _ => number(family.value),
        };
        let increase = family.increase.map_or_else(String::new, |increase| format!("(+{})", plain(increase)));
        let errors = match family.errors {
            Some(Errors { share, .. }) => format!("{:.1}%", share * 100.0),
            None => String::new(),
        };
        let percentile = |of: fn(&crate::snapshot::Percentiles) -> f64| {
            family.percentiles.as_ref().map_or_else(String::new, |all| number(of(all)))
        };
        let name = escape(&family.name).into_owned();
        let line = self.sparkline(&family.name, if width >= WIDE { 24 } else { 12 });
        Row {
            cells: [
                name,
                total,
                increase,
                errors,
                percentile(|all| all.p50),
                percentile(|all| all.p95),
                percentile(|all| all.p99),
                line,
            ],
            fails: family.errors.is_some_and(|errors| errors.increase.is_some_and(|increase| increase > 0.0)),
        }
        .for_width(width)
    }

    /// What is new of a counter at each scrape, and the value of all else. A target that was away leaves a gap.
    fn sparkline(&self, name: &str, columns: usize) -> String {
        let value = |snapshot: &Snapshot| {
            let family = snapshot.families.iter().find(|family| family.name == name)?;
            match family.kind {
                Kind::Gauge | Kind::Unknown => Some(family.value),
                _ => family.increase,
            }
        };
        let from = self.seen.len().saturating_sub(columns);
        let values: Vec<_> = self.seen.iter().skip(from).map(value).collect();
        sparkline(&values)
    }
}

struct Row {
    cells: [String; 8],
    fails: bool,
}

impl Row {
    /// On a narrow screen, of the percentiles the one that alerts are about.
    fn for_width(mut self, width: usize) -> Self {
        if width < WIDE {
            self.cells[4].clear();
            self.cells[6].clear();
        }
        self
    }
}

fn head(width: usize) -> [&'static str; 8] {
    let (p50, p99) = if width < WIDE { ("", "") } else { ("p50", "p99") };
    ["METRIC", "TOTAL", "NEW", "ERRORS", p50, "p95", p99, "HISTORY"]
}

struct Screen {
    style: PanelStyle,
    text: String,
}

impl Screen {
    fn line(&mut self, line: &str, style: Style) {
        // Writing to memory does not fail.
        let _ = match self.style.has_colour {
            true => writeln!(self.text, "{style}{line}{style:#}"),
            false => writeln!(self.text, "{line}"),
        };
    }
}

/// The name to the left, the history too, numbers to the right.
fn lined_up(cells: &[String; 8], widths: &[usize]) -> String {
    let mut line = String::from("  ");
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        let cell = elide(cell, *width);
        let gap = " ".repeat(width.saturating_sub(cell.width()));
        let (before, after) =
            if at == 0 || at + 1 == cells.len() { ("", gap) } else { (&*gap, String::new()) };
        line.push_str(before);
        line.push_str(&cell);
        line.push_str(&after);
        line.push_str("  ");
    }
    line.truncate(line.trim_end().len());
    line
}

/// What is looked at first: requests, then what fails or takes time, then all else that counts. The least comes first.
pub fn family_rank(family: &Family) -> u8 {
    let is_of_process = OF_PROCESSES.iter().any(|prefix| family.name.starts_with(prefix));
    match family.kind {
        _ if is_of_process => 5,
        Kind::Counter | Kind::Histogram if family.name.contains("request") => 0,
        Kind::Counter if family.errors.is_some() => 1,
        Kind::Histogram | Kind::Summary => 2,
        Kind::Counter => 3,
        Kind::Gauge | Kind::Unknown => 4,
    }
}

fn sparkline(values: &[Option<f64>]) -> String {
    let known = values.iter().flatten().copied().filter(|value| value.is_finite());
    let (least, most) =
        known.fold((0.0_f64, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let bar = |value: f64| {
        let part = if most > least { (value - least) / (most - least) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 7")]
        let at = (part * 7.0).round() as usize;
        BARS[at.min(7)]
    };
    values.iter().map(|value| value.filter(|value| value.is_finite()).map_or(' ', bar)).collect()
}

/// The time of day of a moment in RFC 3339 and UTC.
fn time_of(at: &str) -> String {
    at.get(11..19).map_or_else(|| escape(at).into_owned(), |time| format!("{} UTC", escape(time)))
}

/// A value in the unit that the name of a metric ends with, as `1.5 s` of one in seconds.
pub fn shown_value(name: &str, value: f64) -> String {
    let stem = name.strip_suffix("_total").unwrap_or(name);
    // A moment is no duration.
    let is_moment = ["start_time_seconds", "timestamp_seconds"].iter().any(|ending| stem.ends_with(ending));
    if stem.ends_with("_seconds") && !is_moment {
        return duration(value).unwrap_or_else(|| plain(value));
    }
    if stem.ends_with("_bytes") && value.abs() >= 1024.0 {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        let mut scaled = value / 1024.0;
        let mut unit = 0;
        while scaled.abs() >= 1024.0 && unit + 1 < units.len() {
            scaled /= 1024.0;
            unit += 1;
        }
        return format!("{scaled:.1} {}", units[unit]);
    }
    plain(value)
}

fn duration(seconds: f64) -> Option<String> {
    Duration::try_from_secs_f64(seconds).ok().map(human_duration)
}

/// A number without more digits than say something.
fn plain(value: f64) -> String {
    let magnitude = value.abs();
    if value.fract() == 0.0 && magnitude < 1e15 {
        let digits = format!("{magnitude:.0}");
        let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    match magnitude {
        0.01..1e9 => format!("{value:.2}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests;
