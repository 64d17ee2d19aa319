//! `Server-Timing`, and what says how many calls are left.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue};
use throughline::http::{self, ServerTiming};
use throughline::worker::RateLimit;
use throughline_fuzz::{Target, fuzz, growth};

const SERVER_TIMING: Target = Target::new(
    "server-timing",
    &[
        "queue",
        "app",
        ";",
        ",",
        "dur",
        "=",
        "\"",
        "\\",
        "\\\"",
        "1.5",
        "1e9",
        "-1",
        "NaN",
        " ",
        "app;dur=1,",
        "é",
    ],
);
const RATE_LIMIT: Target = Target::new(
    "rate-limit",
    &[
        "RateLimit: ",
        "RateLimit-Policy: ",
        "Retry-After: ",
        "X-RateLimit-Reset: ",
        "\n",
        "\"a\"",
        ";r=1",
        ";t=1",
        ";q=1",
        ",",
        "\"",
        "\\",
        "(",
        ")",
        "limit=1",
        "1",
        "9999999999999999",
        "Fri, 31 Dec 1999 23:59:59 GMT",
        " ",
        "*",
        ":",
        "é",
    ],
);

fn server_timing(values: &[u8]) -> Option<ServerTiming> {
    let mut headers = HeaderMap::new();
    for value in values.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(http::SERVER_TIMING, value);
        }
    }
    ServerTiming::from_headers(&headers)
}

/// A header a line.
fn rate_limit(lines: &[u8]) -> Option<RateLimit> {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    });
    RateLimit::of(lines, UNIX_EPOCH + Duration::from_secs(1_772_000_000))
}

#[test]
fn any_server_timing_is_read_or_ignored() {
    fuzz!(SERVER_TIMING, |bytes: &[u8]| {
        let Some(read) = server_timing(bytes) else { return };
        assert_eq!(server_timing(read.to_header().as_bytes()), Some(read), "what is read is read again");
    });
}

#[test]
fn any_headers_about_a_rate_limit_are_read_or_ignored() {
    fuzz!(RATE_LIMIT, |bytes: &[u8]| {
        black_box(rate_limit(bytes));
    });
}

#[test]
fn reading_server_timing_takes_time_linear_in_it() {
    growth!(SERVER_TIMING, |bytes: &[u8]| {
        black_box(server_timing(bytes));
    });
}

#[test]
fn reading_headers_about_a_rate_limit_takes_time_linear_in_them() {
    growth!(RATE_LIMIT, |bytes: &[u8]| {
        black_box(rate_limit(bytes));
    });
    growth!(RATE_LIMIT.between("RateLimit: ", ""), |bytes: &[u8]| {
        black_box(rate_limit(bytes));
    });
}
