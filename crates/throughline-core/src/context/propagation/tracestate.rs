//! `tracestate`: what other tracing systems send along.

use super::ows;
use crate::sampling::SamplingState;
use throughline_model::Text;

/// The most members of a list ([W3C](https://www.w3.org/TR/trace-context-2/#list)).
const MEMBERS: usize = 32;
/// The longest list that travels on, in bytes: what the standard has everybody take
/// ([W3C](https://www.w3.org/TR/trace-context-2/#tracestate-limits)).
const LIMIT: usize = 512;
/// The longest value of a member ([W3C](https://www.w3.org/TR/trace-context-2/#value)).
const VALUE: usize = 256;
/// Members that are longer go first when a list is too long.
const LONG: usize = 128;

/// Reads the values of all headers of that name, which are one list. `None` if there is nothing, or anything in it is
/// malformed: the whole list must be dropped then. A key that stands twice is the sender's fault, and the list stays as it
/// is: which of the two counts is for those to say who can read them.
pub(super) fn parse<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Option<Text> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for value in values {
        for member in value.split(|byte| *byte == b',').map(ows) {
            if member.is_empty() {
                continue;
            }
            let (key, value) = std::str::from_utf8(member).ok()?.split_once('=')?;
            if members.len() == MEMBERS || !is_key(key.as_bytes()) || !is_value(value.as_bytes()) {
                return None;
            }
            members.push((key, value));
        }
    }
    shorten(&mut members);
    let length = length(&members);
    let mut list = String::with_capacity(length);
    for (key, value) in members {
        if !list.is_empty() {
            list.push(',');
        }
        list.extend([key, "=", value]);
    }
    (!list.is_empty()).then(|| list.into())
}

/// The list with what is said here of sampling in front, as
/// [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/) has it: the threshold, and of what was said before all
/// else, if that was said of the same trace, as far as there is room for it.
pub(super) fn with_threshold(
    list: Option<&str>,
    threshold: Option<u64>,
    is_of_this_trace: bool,
) -> Option<Text> {
    let members = || list.unwrap_or_default().split(',').filter(|member| !member.is_empty());
    let said = members().find_map(|member| member.strip_prefix("ot=")).filter(|_| is_of_this_trace);
    let others = said.into_iter().flat_map(|said| said.split(';')).filter(|part| !part.starts_with("th:"));
    let threshold = threshold.map(|threshold| SamplingState::new(Some(threshold), None).to_string());
    let mut parts: Vec<_> = threshold.as_deref().into_iter().chain(others).collect();
    while parts.len() > 1 && parts.iter().map(|part| part.len() + 1).sum::<usize>() - 1 > VALUE {
        parts.pop();
    }
    let own = (!parts.is_empty()).then(|| format!("ot={}", parts.join(";")));
    let rest = members().filter(|member| !member.starts_with("ot="));
    let members: Vec<_> = own.as_deref().into_iter().chain(rest).take(MEMBERS).collect();
    parse([members.join(",").as_bytes()])
}

/// One grammar for all keys ([W3C](https://www.w3.org/TR/trace-context-2/#key)): level 1 had another one for those with `@`.
fn is_key(key: &[u8]) -> bool {
    let first = |c: &u8| matches!(c, b'a'..=b'z' | b'0'..=b'9');
    let plain = |c: &u8| first(c) || matches!(c, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= 256 && key.first().is_some_and(first) && key.iter().all(plain)
}

fn is_value(value: &[u8]) -> bool {
    let plain = |c: &u8| matches!(c, b' '..=b'~') && !matches!(c, b',' | b'=');
    (1..=VALUE).contains(&value.len()) && value.iter().all(plain)
}

fn length(members: &[(&str, &str)]) -> usize {
    members.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>().saturating_sub(1)
}

/// Takes out what is too long to travel on, in the standard's order: long members, then from the end.
fn shorten(members: &mut Vec<(&str, &str)>) {
    while length(members) > LIMIT {
        let long = members.iter().rposition(|(key, value)| key.len() + value.len() + 1 > LONG);
        members.remove(long.unwrap_or(members.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Option<String> {
        parse([list.as_bytes()]).map(|list| list.to_string())
    }

    #[test]
    fn what_is_said_of_sampling_goes_in_front_and_leaves_the_rest_as_it_is() {
        let with = |list, threshold, same| with_threshold(list, threshold, same).map(|list| list.to_string());
        let half = Some(8 << 52);
        assert_eq!(with(None, half, false).as_deref(), Some("ot=th:8"));
        assert_eq!(with(None, None, false), None);
        let list = Some("a=1,ot=th:c;rv:0123456789abcd;x:y,b=2");
        assert_eq!(with(list, half, true).as_deref(), Some("ot=th:8;rv:0123456789abcd;x:y,a=1,b=2"));
        assert_eq!(with(list, None, true).as_deref(), Some("ot=rv:0123456789abcd;x:y,a=1,b=2"));
        assert_eq!(with(list, half, false).as_deref(), Some("ot=th:8,a=1,b=2"));
        assert_eq!(with(list, None, false).as_deref(), Some("a=1,b=2"));
        let long = format!("ot=rv:0123456789abcd;x:{},a=1", "y".repeat(256 - 20));
        assert_eq!(with(Some(&long), half, true).as_deref(), Some("ot=th:8;rv:0123456789abcd,a=1"));
        assert_eq!(with(Some(&long), None, true).as_deref(), Some(&*long));
        let full = (0..32).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        let shifted = with(Some(&full), half, true).unwrap();
        assert!(shifted.starts_with("ot=th:8,k0=1,") && shifted.ends_with(",k30=1"), "{shifted}");
    }

    #[test]
    fn a_list_over_several_headers_is_one_and_empty_members_are_left_out() {
        let list = parse([&b"foo=1 \t , \t bar=2,"[..], b"", b" baz= 3 "]);
        assert_eq!(list.as_deref(), Some("foo=1,bar=2,baz= 3"));
        assert_eq!(read(""), None);
        assert_eq!(read(",, ,"), None);
    }

    #[test]
    fn one_malformed_member_makes_the_whole_list_void() {
        let too_long = [
            format!("{}=1", "z".repeat(257)),
            format!("{}@v=1", "t".repeat(255)),
            format!("z={}", "1".repeat(257)),
        ];
        let malformed =
            ["foo =1", "FOO=1", "foo.bar=1", "foo", "=1", "foo=", "foo=a=b", "foo=a\tb", "é=1", "foo=é"];
        let first = ["@foo=1", "@=1", "_foo=1", "-foo=1", "*foo=1", "/foo=1"];
        for bad in malformed.into_iter().chain(first).chain(too_long.iter().map(String::as_str)) {
            assert_eq!(read(&format!("a=1,{bad}")), None, "{bad}");
        }
        assert!(parse([&b"a=1"[..], &[0xff]]).is_none());
    }

    #[test]
    fn a_key_that_stands_twice_is_the_senders_fault_and_travels_on() {
        for list in ["foo=1,foo=1", "foo=1,foo=2", "foo=1,bar=2,foo=3"] {
            assert_eq!(read(list).as_deref(), Some(list));
        }
        assert_eq!(parse([&b"foo=1"[..], b"foo=1"]).as_deref(), Some("foo=1,foo=1"));
    }

    #[test]
    fn an_at_sign_may_stand_anywhere_after_the_first_character_of_a_key() {
        let long = [format!("{}@v=1", "t".repeat(242)), format!("t@{}=1", "v".repeat(254))];
        let keys = ["foo@=1,bar=2", "foo@bar@baz=1", "foo@@bar=1", "t@1=1", "0@_=1", "t@-*/=1"];
        for list in keys.into_iter().chain(long.iter().map(String::as_str)) {
            assert_eq!(read(list).as_deref(), Some(list));
        }
    }

    #[test]
    fn thirty_two_members_are_kept_and_thirty_three_are_not() {
        let list = |members: usize| (0..members).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&list(32)), Some(list(32)));
        assert_eq!(read(&list(33)), None);
        assert_eq!(read(&["foo=1"; 33].join(",")), None, "a key counts as often as it stands");
    }

    #[test]
    fn the_longest_keys_and_values_are_valid() {
        for valid in [format!("{}=1", "z".repeat(256)), format!("{}@{}=1", "t".repeat(241), "v".repeat(14))] {
            assert_eq!(read(&valid), Some(valid));
        }
        assert!(read(&format!("z={}", "1".repeat(256))).is_some());
    }

    #[test]
    fn what_is_too_long_to_travel_on_loses_its_long_members_first_and_then_its_last() {
        let long = format!("long={}", "x".repeat(240));
        let short = |n: usize| format!("k{n:02}={}", "x".repeat(100));
        let list = [short(1), long.clone(), short(2), long.replace("long", "also"), short(3)].join(",");
        assert_eq!(read(&list), Some([short(1), short(2), short(3)].join(",")));
        let list = (1..=6).map(short).collect::<Vec<_>>().join(",");
        assert_eq!(read(&list), Some((1..=4).map(short).collect::<Vec<_>>().join(",")));
    }
}
