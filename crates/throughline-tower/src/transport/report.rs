//! [`ProfileReport`]: where the time of calls went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use throughline_core::query::Style;
use throughline_core::{Rate, Text};

use super::printer::{self, Emphasis, Printer};
use super::record::micros;
use super::{CallOutcome, Part, Transport};

/// Where the time of calls went, by function and transport. As text for people it is [`render`](Self::render)ed, or
/// displayed; as JSON it is for machines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfileReport {
    /// Each function over each transport, in the order of their names.
    pub functions: Vec<FunctionProfile>,
}

/// The calls of one function over one transport. Times and sizes are of those that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FunctionProfile {
    /// The function.
    pub function: Text,
    /// How it was called.
    pub transport: Transport,
    /// How many calls there were, by what became of them.
    pub outcomes: BTreeMap<CallOutcome, u64>,
    /// How long calls took.
    pub total: Percentiles,
    /// What of it was whose; parts that no call has are not there.
    pub parts: Vec<PartProfile>,
    /// How large requests were, in bytes.
    pub request_bytes: Sizes,
    /// How large answers were, in bytes.
    pub response_bytes: Sizes,
}

/// A part of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PartProfile {
    /// Which.
    pub part: Part,
    /// Its share, from 0 to 1, of all the time that the calls took together.
    pub share: f64,
    /// How long it took.
    #[serde(flatten)]
    pub times: Percentiles,
}

/// How long something took, exact to 1/32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Percentiles {
    /// Half took at most this long.
    #[serde(rename = "p50_us", serialize_with = "micros")]
    pub p50: Duration,
    /// 95 % took at most this long.
    #[serde(rename = "p95_us", serialize_with = "micros")]
    pub p95: Duration,
    /// 99 % took at most this long.
    #[serde(rename = "p99_us", serialize_with = "micros")]
    pub p99: Duration,
}

/// How large something was, in bytes, exact to 1/32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sizes {
    /// Half had at most this many.
    pub p50: u64,
    /// 95 % had at most this many.
    pub p95: u64,
    /// 99 % had at most this many.
    pub p99: u64,
}

impl ProfileReport {
    /// The calls of a function over a transport.
    pub fn of(&self, function: &str, transport: Transport) -> Option<&FunctionProfile> {
        self.functions.iter().find(|profile| profile.function == function && profile.transport == transport)
    }

    /// The report as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        if self.functions.is_empty() {
            printer.put(Emphasis::Dim, "no calls").end_line();
        }
        for (at, profile) in self.functions.iter().enumerate() {
            if at > 0 {
                printer.end_line();
            }
            profile.write(&mut printer);
        }
        printer.finish()
    }
}

impl fmt::Display for ProfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Style::plain()))
    }
}

impl FunctionProfile {
    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How many of them succeeded: as many as the times are of.
    pub fn successes(&self) -> u64 {
        self.outcomes.get(&CallOutcome::Success).copied().unwrap_or(0)
    }

    /// Calls that failed, of all that were not given up.
    pub fn failures(&self) -> Rate {
        let failed = self.outcomes.iter().filter(|(outcome, _)| outcome.is_failure());
        let failed = failed.map(|(_, calls)| calls).sum();
        Rate::new(failed, failed + self.successes())
    }

    /// A part of the calls; `None` if no call has it.
    pub fn part(&self, part: Part) -> Option<&PartProfile> {
        self.parts.iter().find(|profile| profile.part == part)
    }

    /// The share of a part in all the time, from 0 to 1.
    pub fn share(&self, part: Part) -> f64 {
        self.part(part).map_or(0.0, |profile| profile.share)
    }

    fn write(&self, printer: &mut Printer<'_>) {
        printer.put(Emphasis::Heading, &printer::cut(&self.function, 40)).put(Emphasis::Normal, " over ");
        printer.put(Emphasis::Heading, self.transport.as_str());
        printer.put(
            Emphasis::Normal,
            &format!(" · {} {}", self.calls(), if self.calls() == 1 { "call" } else { "calls" }),
        );
        for (outcome, calls) in self.outcomes.iter().filter(|(outcome, _)| **outcome != CallOutcome::Success)
        {
            printer.put(Emphasis::Normal, " · ").put(Emphasis::Bad, &format!("{calls} {outcome}"));
        }
        printer.end_line();
        if self.successes() == 0 {
            printer.put(Emphasis::Dim, "  no call went well, so there are no times").end_line();
            return;
        }
        for (heading, column) in COLUMNS {
            printer.put_right(Emphasis::Dim, heading, column);
        }
        printer.end_line();
        for PartProfile { part, share, times } in &self.parts {
            printer.put(Emphasis::Normal, "  ").put(Emphasis::Normal, part.as_str()).pad_to(15);
            printer.put(Emphasis::Live, &printer::bar(*share, BAR)).put_right(
                Emphasis::Normal,
                &printer::percent(*share),
                SHARE,
            );
            write_times(printer, times);
        }
        printer.put(Emphasis::Normal, "  total").pad_to(SHARE);
        write_times(printer, &self.total);
        for (name, sizes) in [("request", &self.request_bytes), ("answer", &self.response_bytes)] {
            printer.put(Emphasis::Dim, &format!("  {name}"));
            for (size, column) in [sizes.p50, sizes.p95, sizes.p99].into_iter().zip(PERCENTILES) {
                printer.put_right(Emphasis::Dim, &printer::bytes(size), column);
            }
            printer.end_line();
        }
    }
}

const BAR: usize = 24;
const SHARE: usize = 48;
const PERCENTILES: [usize; 3] = [60, 72, 84];
const COLUMNS: [(&str, usize); 4] =
    [("share", SHARE), ("p50", PERCENTILES[0]), ("p95", PERCENTILES[1]), ("p99", PERCENTILES[2])];

fn write_times(printer: &mut Printer<'_>, times: &Percentiles) {
    for (time, column) in [times.p50, times.p95, times.p99].into_iter().zip(PERCENTILES) {
        printer.put_right(Emphasis::Normal, &printer::duration(time), column);
    }
    printer.end_line();
}
