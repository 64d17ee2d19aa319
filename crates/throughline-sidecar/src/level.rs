//! [`LogLevel`]: how much a line matters, whichever logger wrote it.

use std::fmt;
use std::str::FromStr;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Steps within a function.
    Trace,
    /// Details for developers.
    Debug,
    /// What happens as it should.
    Info,
    /// What may become a failure.
    Warn,
    /// A failure.
    Error,
}

impl LogLevel {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// Its name, as `warn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    /// Reads the names and numbers that loggers, syslog and OpenTelemetry have for levels, in any case.
    fn from_str(name: &str) -> Result<Self, String> {
        let name = name.trim();
        let lower = name.to_ascii_lowercase();
        let level = match name {
            // To .NET it is less than `Debug`; to others, who write it small, more.
            "Verbose" => Some(Self::Trace),
            _ if name.starts_with(|c: char| c.is_ascii_digit()) => name.parse().ok().map(Self::of_number),
            _ => Self::of_name(&lower).or_else(|| Self::of_variant(&lower)),
        };
        level.ok_or_else(|| "expected trace, debug, info, warn or error".to_owned())
    }
}

impl LogLevel {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "trace" | "trce" | "trc" | "vrb" | "finer" | "finest" | "silly" | "t" => Self::Trace,
            "debug" | "dbug" | "dbg" | "fine" | "config" | "verbose" | "d" => Self::Debug,
            "info" | "inf" | "information" | "informational" | "notice" | "default" | "i" => Self::Info,
            "warn" | "warning" | "wrn" | "w" => Self::Warn,
            "error" | "err" | "eror" | "fail" | "severe" | "fatal" | "ftl" | "critical" | "crit" | "crt"
            | "alert" | "emerg" | "emergency" | "panic" | "pnc" | "dpanic" | "e" | "f" => Self::Error,
            _ => return None,
        })
    }

    /// `info+2` and `debug-4` are between the levels of Go's slog, which are 4 apart; `error3` is one of the degrees of
    /// OpenTelemetry.
    fn of_variant(name: &str) -> Option<Self> {
        if let Some(plain) = name.strip_suffix(['2', '3', '4']).and_then(Self::of_name) {
            return Some(plain);
        }
        let (name, offset) = name.split_at(name.find(['+', '-'])?);
        let base = match Self::of_name(name)? {
            Self::Trace => -8,
            Self::Debug => -4,
            Self::Info => 0,
            Self::Warn => 4,
            Self::Error => 8,
        };
        Some(match offset.parse::<i32>().ok()?.saturating_add(base) {
            ..-4 => Self::Trace,
            -4..0 => Self::Debug,
            0..4 => Self::Info,
            4..8 => Self::Warn,
            8.. => Self::Error,
        })
    }

    /// Up to 7 as syslog, GELF and journald have it, from 10 on as Bunyan and Pino.
    pub(crate) fn of_number(number: u64) -> Self {
        match number {
            0..=3 => Self::Error,
            4 => Self::Warn,
            5..=6 => Self::Info,
            7 => Self::Debug,
            8..=10 => Self::Trace,
            11..=20 => Self::Debug,
            21..=30 => Self::Info,
            31..=40 => Self::Warn,
            _ => Self::Error,
        }
    }

    /// As OpenTelemetry counts, from 1 to 24; it does not say what 0 is.
    pub(crate) fn of_severity(number: u64) -> Option<Self> {
        Some(match number {
            0 => return None,
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9..=12 => Self::Info,
            13..=16 => Self::Warn,
            _ => Self::Error,
        })
    }
}
