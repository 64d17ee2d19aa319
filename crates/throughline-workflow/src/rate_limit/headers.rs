//! What the headers of an answer say about a rate limit.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sfv::{BareItem, Dictionary, Item, List, ListEntry, Parser};

/// Larger numbers in a `…-Reset` are moments, not times to wait: this is the year 2001, or 31 years.
const FIRST_MOMENT: f64 = 1e9;
/// Larger moments are in milliseconds: this is the year 2001, or the year 33658.
const FIRST_MOMENT_IN_MILLIS: f64 = 1e12;
/// Servers that write what the standard says now write it before all others.
const PREFIXES: [&str; 3] = ["ratelimit-", "x-ratelimit-", "x-rate-limit-"];

/// What the headers of an answer say about a rate limit. Each part is there only if a header has it and it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many calls are allowed in a window of time.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// The time until the window ends and there are more.
    pub reset: Option<Duration>,
    /// How long to wait before the next call.
    pub retry_after: Option<Duration>,
}

impl RateLimit {
    /// Reads the headers of an answer that came at `now`, as pairs of name and value. `None` if they say nothing about
    /// a rate limit.
    ///
    /// Understood are, in any spelling of upper and lower case:
    /// - `RateLimit` and `RateLimit-Policy`, which are [structured fields](https://www.rfc-editor.org/rfc/rfc9651), as
    ///   the [IETF draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) has them since its
    ///   version 8 (`"default";r=50;t=30`) and in version 7 (`limit=100, remaining=50, reset=30`);
    /// - `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` of older versions of the draft, and the same
    ///   with the prefixes `X-RateLimit-` (GitHub and many others) and `X-Rate-Limit-`;
    /// - [`Retry-After`](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after), in seconds or as a date.
    ///
    /// A reset is a time to wait, or a moment in seconds or milliseconds since 1970: the size of the number says
    /// which. Of several limits, this is the one with the fewest calls left. What is malformed is ignored.
    pub fn of<N, V>(headers: impl IntoIterator<Item = (N, V)>, now: SystemTime) -> Option<Self>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let (mut limits, mut policies) = (String::new(), String::new());
        let mut prefixed = [Self::default(); PREFIXES.len()];
        let mut retry_after = None;
        for (name, value) in headers {
            let name = name.as_ref().to_ascii_lowercase();
            let Ok(value) = str::from_utf8(value.as_ref()) else { continue };
            match &*name {
                "ratelimit" => join(&mut limits, value),
                "ratelimit-policy" => join(&mut policies, value),
                "retry-after" => retry_after = retry_after.or_else(|| wait(value, now)),
                name => {
                    let fields = PREFIXES.iter().zip(&mut prefixed);
                    for (limit, field) in
                        fields.filter_map(|(prefix, limit)| Some((limit, name.strip_prefix(prefix)?)))
                    {
                        match field {
                            "limit" => limit.limit = limit.limit.or_else(|| numbers(value).next()),
                            "remaining" => limit.remaining = numbers(value).chain(limit.remaining).min(),
                            "reset" => limit.reset = limit.reset.or_else(|| reset(value, now)),
                            _ => {}
                        }
                    }
                }
            }
        }
        let limits = structured(&limits, &policies).into_iter().chain(prefixed);
        // A limit that does not say what is left is taken to have everything left.
        let least = limits
            .filter(|limit| *limit != Self::default())
            .min_by_key(|limit| limit.remaining.unwrap_or(u64::MAX));
        let found = Self { retry_after, ..least.unwrap_or_default() };
        (found != Self::default()).then_some(found)
    }
}

/// A structured field that comes in several lines is one list.
fn join(lines: &mut String, line: &str) {
    if !lines.is_empty() {
        lines.push_str(", ");
    }
    lines.push_str(line);
}

/// The limits in `RateLimit` and `RateLimit-Policy`.
fn structured(limits: &str, policies: &str) -> Vec<RateLimit> {
    let version_7 = || {
        let fields = Parser::new(limits).parse::<Dictionary>().ok()?;
        let number = |name: &str| match fields.get(name)? {
            ListEntry::Item(item) => unsigned(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        let reset = number("reset").map(Duration::from_secs);
        Some(RateLimit { limit: number("limit"), remaining: number("remaining"), reset, retry_after: None })
    };
    let Some(limits) = items(limits) else { return version_7().into_iter().collect() };
    let policies = items(policies).unwrap_or_default();
    // Of two of one name the first counts.
    let policies: HashMap<_, _> = policies.iter().rev().map(|policy| (name(policy), policy)).collect();
    let limits = limits.iter().map(|limit| {
        let policy = policies.get(&name(limit)).copied();
        RateLimit {
            limit: policy.and_then(|policy| parameter(policy, "q")),
            remaining: parameter(limit, "r"),
            reset: parameter(limit, "t").map(Duration::from_secs),
            retry_after: None,
        }
    });
    limits.collect()
}

/// The items of a structured list; `None` if it is not one.
fn items(list: &str) -> Option<Vec<Item>> {
    let entries = Parser::new(list).parse::<List>().ok()?;
    let items = entries.into_iter().filter_map(|entry| match entry {
        ListEntry::Item(item) => Some(item),
        ListEntry::InnerList(_) => None,
    });
    Some(items.collect())
}

/// The name of a limit, which servers write as a string or as a token.
fn name(item: &Item) -> Option<&str> {
    let string = item.bare_item.as_string().map(|string| string.as_str());
    string.or_else(|| item.bare_item.as_token().map(|token| token.as_str()))
}

fn parameter(item: &Item, name: &str) -> Option<u64> {
    unsigned(item.params.get(name)?)
}

fn unsigned(item: &BareItem) -> Option<u64> {
    u64::try_from(item.as_integer()?).ok()
}

/// The numbers of a list such as `100, 100;window=60`; anything else is skipped.
fn numbers(list: &str) -> impl Iterator<Item = u64> {
    list.split(',').filter_map(|member| digits(member.split(';').next()?.trim()))
}

/// A number of nothing but digits.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let is_decimal = value.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let number: f64 = is_decimal.then(|| value.parse().ok())??;
    if number < FIRST_MOMENT {
        return Duration::try_from_secs_f64(number).ok();
    }
    let seconds = if number < FIRST_MOMENT_IN_MILLIS { number } else { number / 1000.0 };
    let moment = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    Some(moment.duration_since(now).unwrap_or_default())
}

/// The time to wait in a `Retry-After`: in seconds, or until a date.
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let date = || httpdate::parse_http_date(value).ok();
    digits(value)
        .map(Duration::from_secs)
        .or_else(|| date().map(|moment| moment.duration_since(now).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-05-06T07:08:09Z
    const NOW: u64 = 1_714_979_289;

    fn read(headers: &[(&str, &str)]) -> Option<RateLimit> {
        RateLimit::of(headers.iter().copied(), UNIX_EPOCH + Duration::from_secs(NOW))
    }

    /// limit, remaining, reset and retry-after, as `100 50 30s -`.
    fn text(headers: &[(&str, &str)]) -> String {
        let Some(found) = read(headers) else { return "nothing".to_owned() };
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let time = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{time:?}"));
        let RateLimit { limit, remaining, reset, retry_after } = found;
        format!("{} {} {} {}", number(limit), number(remaining), time(reset), time(retry_after))
    }

    #[test]
    fn every_dialect_is_understood() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            // The draft since version 8, with the policy's quota as the limit.
            (&[("RateLimit", r#""default";r=50;t=30"#)], "- 50 30s -"),
            (
                &[("ratelimit", r#""default";r=50;t=30"#), ("RATELIMIT-POLICY", r#""default";q=100;w=60"#)],
                "100 50 30s -",
            ),
            (&[("ratelimit", "burst;r=5"), ("ratelimit-policy", r#"daily;q=900, "burst";q=10"#)], "10 5 - -"),
            (&[("ratelimit", r#""burst";r=5;t=1, "daily";r=3;t=3600"#)], "- 3 3600s -"),
            (&[("ratelimit", r#""burst";r=5;t=1"#), ("ratelimit", r#""daily";r=3;t=3600"#)], "- 3 3600s -"),
            // Version 7.
            (&[("ratelimit", "limit=100, remaining=50, reset=30")], "100 50 30s -"),
            // Older versions.
            (
                &[
                    ("ratelimit-limit", "100, 100;w=60"),
                    ("ratelimit-remaining", "50"),
                    ("ratelimit-reset", "30"),
                ],
                "100 50 30s -",
            ),
            // GitHub: the reset is a moment.
            (
                &[
                    ("x-ratelimit-limit", "5000"),
                    ("x-ratelimit-remaining", "4987"),
                    ("x-ratelimit-reset", "1714979349"),
                    ("x-ratelimit-used", "13"),
                    ("x-ratelimit-resource", "core"),
                ],
                "5000 4987 60s -",
            ),
            (&[("x-rate-limit-remaining", "7"), ("x-rate-limit-reset", "1714979349000")], "- 7 60s -"),
            (&[("x-ratelimit-reset", "1714979349.5")], "- - 60.5s -"),
            (&[("x-ratelimit-reset", "0.25")], "- - 250ms -"),
            // A moment that is over.
            (&[("x-ratelimit-reset", "1714979000")], "- - 0ns -"),
            // Two dialects in one answer, and two proxies in a row: the least counts.
            (&[("x-ratelimit-remaining", "9"), ("ratelimit-remaining", "4")], "- 4 - -"),
            (&[("ratelimit-remaining", "9"), ("ratelimit-remaining", "4, 6")], "- 4 - -"),
            (&[("ratelimit-remaining", "4"), ("ratelimit-remaining", "9")], "- 4 - -"),
            (&[("ratelimit-limit", "10"), ("x-ratelimit-remaining", "3")], "- 3 - -"),
            (&[("retry-after", "120")], "- - - 120s"),
            (&[("Retry-After", "Mon, 06 May 2024 07:09:09 GMT")], "- - - 60s"),
            (&[("retry-after", "Mon, 06 May 2024 07:00:00 GMT")], "- - - 0ns"),
            (&[("x-ratelimit-remaining", "0"), ("retry-after", "1")], "- 0 - 1s"),
        ];
        for (headers, expected) in cases {
            assert_eq!(text(headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        let names =
            ["ratelimit", "ratelimit-limit", "x-ratelimit-remaining", "x-rate-limit-reset", "retry-after"];
        let values = [
            "",
            " ",
            "-1",
            "+1",
            "abc",
            "1e3",
            "NaN",
            "inf",
            "0x10",
            ".",
            "1.2.3",
            "99999999999999999999999999",
            "١٢",
            "\"default",
            "\"default\";r=-1;t=x",
            "\"default\";r=1.5",
            "(1 2);r=5",
            "limit=a, remaining=(1 2), reset=-3",
            "remaining=",
            "unlimited",
            "Mon, 06 May 2024",
            "Mon, 99 May 2024 07:09:09 GMT",
        ];
        for name in names {
            for value in values {
                assert_eq!(text(&[(name, value)]), "nothing", "{name}: {value}");
            }
        }
        assert_eq!(RateLimit::of([("ratelimit-remaining", b"\xff\xfe")], UNIX_EPOCH), None);
        assert_eq!(
            text(&[("content-type", "text/html"), ("ratelimit-foo", "3"), ("x-ratelimit-", "3")]),
            "nothing"
        );
        assert_eq!(text(&[("ratelimit-limit", "none"), ("ratelimit-remaining", "3")]), "- 3 - -");
        assert_eq!(text(&[("ratelimit-remaining", "none, 3;w=1, -4")]), "- 3 - -");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            headers in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "ratelimit", "ratelimit-policy", "ratelimit-reset", "x-ratelimit-reset", "retry-after",
                        "x-ratelimit-remaining",
                    ]),
                    prop_oneof![
                        prop::collection::vec(any::<u8>(), 0..40),
                        "[\"a-z0-9;=,. ()?:@*-]{0,40}".prop_map(String::into_bytes),
                        "[0-9.]{0,40}".prop_map(String::into_bytes),
                    ],
                ),
                0..6,
            ),
        ) {
            RateLimit::of(headers, UNIX_EPOCH + Duration::from_secs(NOW));
        }

        #[test]
        fn what_a_server_of_todays_draft_writes_is_read(
            limits in prop::collection::vec((0..1_000_000_u64, 0..100_000_u64, 1..1_000_000_u64), 1..4),
        ) {
            let join = |parts: Vec<String>| parts.join(", ");
            let limit = join(limits.iter().enumerate().map(|(i, (r, t, _))| format!("\"l{i}\";r={r};t={t}")).collect());
            let policy = join(limits.iter().enumerate().map(|(i, (.., q))| format!("\"l{i}\";q={q};w=60")).collect());
            let found = read(&[("RateLimit", &limit), ("RateLimit-Policy", &policy)]);
            let least = limits.iter().min_by_key(|(r, ..)| r).map(|&(r, t, q)| RateLimit {
                limit: Some(q),
                remaining: Some(r),
                reset: Some(Duration::from_secs(t)),
                retry_after: None,
            });
            prop_assert_eq!(found, least);
        }
    }
}
