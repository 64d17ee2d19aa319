//! How a rate limit is watched; the headers that are understood are tested beside the code that reads them.

use throughline_workflow::RateLimits;

use crate::logs::logs;
use crate::support::Bench;

fn github(remaining: &str) -> [(&'static str, String); 3] {
    let owned = |text: &str| text.to_owned();
    [
        ("x-ratelimit-limit", owned("100")),
        ("X-RateLimit-Remaining", owned(remaining)),
        ("x-ratelimit-reset", owned("60")),
    ]
}

#[test]
fn what_is_left_is_shown_and_warned_of_once_until_there_is_more_again() {
    let bench = Bench::new();
    let (logs, _guard) = logs();
    let limits = RateLimits::new(&bench.throughline, "http", "github");
    for remaining in ["50", "10", "9", "8", "0", "100", "3"] {
        let told = limits.observe(github(remaining)).unwrap();
        assert_eq!(told.remaining.unwrap().to_string(), remaining);
        let shown = format!("dependency_rate_limit_remaining{{kind=http, target=github}} {remaining}");
        assert_eq!(bench.series("dependency"), shown);
    }
    insta::assert_snapshot!(logs.text(), @r#"
     WARN the rate limit is nearly used up kind=http dependency=github remaining=9 limit=100 reset_seconds=60
     WARN the rate limit is nearly used up kind=http dependency=github remaining=3 limit=100 reset_seconds=60
    "#);
}

#[test]
fn without_a_limit_it_is_warned_of_when_nothing_is_left() {
    let bench = Bench::new();
    let (logs, _guard) = logs();
    let limits = RateLimits::new(&bench.throughline, "http", "bureau").warn_below(0.5);
    limits.observe([("ratelimit-remaining", "1")]);
    assert_eq!(logs.text(), "");
    limits.observe([("ratelimit-remaining", "0")]);
    assert_eq!(logs.text().lines().count(), 1);
}

#[test]
fn an_answer_that_says_nothing_leaves_what_was_known() {
    let bench = Bench::new();
    let limits = RateLimits::new(&bench.throughline, "http", "bureau");
    limits.observe([("ratelimit-remaining", "7")]);
    assert_eq!(limits.observe([("content-type", "text/html")]), None);
    let told = limits.observe([("retry-after", "3")]).unwrap();
    assert_eq!((told.remaining, told.retry_after.map(|time| time.as_secs())), (None, Some(3)));
    assert!(bench.series("dependency").ends_with(" 7"));
}

#[test]
fn the_headers_of_the_http_crate_are_taken_as_they_are() {
    let bench = Bench::new();
    let limits = RateLimits::new(&bench.throughline, "http", "bureau");
    let answer =
        http::Response::builder().header("RateLimit", r#""burst";r=5"#).header("RateLimit", r#""day";r=3"#);
    let told = limits.observe(answer.body(()).unwrap().headers()).unwrap();
    assert_eq!(told.remaining, Some(3));
}

#[test]
fn names_that_are_personal_are_redacted_in_logs_and_labels() {
    let bench = Bench::new();
    let (logs, _guard) = logs();
    let limits = RateLimits::new(&bench.throughline, "http", "mail of ada@example.org");
    limits.observe([("ratelimit-remaining", "0")]);
    let seen = logs.text() + &bench.series("dependency");
    assert!(!seen.contains("ada@example.org"), "{seen}");
    assert!(seen.contains("rate limit is nearly used up"), "{seen}");
}
