//! What services tell each other of how they sample: the member `ot` of `tracestate`, as
//! [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/) has it.

use std::fmt;

/// How many random bits there are.
const BITS: u32 = 56;
/// How many hex digits these are.
const DIGITS: usize = 14;

/// What is said of a run: from which threshold on its randomness has it sampled, and what that randomness is where the trace id
/// has none. Both are numbers of 56 bits.
///
/// ```
/// # use throughline_core::sampling::SamplingState;
/// let state = SamplingState::parse("th:c;rv:f0000000000000");
/// assert_eq!((state.threshold, state.randomness), (Some(0xc << 52), Some(0xf << 52)));
/// assert_eq!(state.to_string(), "th:c;rv:f0000000000000");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplingState {
    /// It is sampled if its randomness is not below this.
    pub threshold: Option<u64>,
    /// The randomness, in the place of the last 56 bits of the trace id.
    pub randomness: Option<u64>,
}

impl SamplingState {
    /// A state that says this.
    pub fn new(threshold: Option<u64>, randomness: Option<u64>) -> Self {
        Self { threshold, randomness }
    }

    /// Reads the value of the member. What is malformed counts as not said.
    pub fn parse(value: &str) -> Self {
        let of = |key: &str| value.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix(':'));
        let threshold = of("th").filter(|digits| (1..=DIGITS).contains(&digits.len())).and_then(hex);
        let threshold = threshold.map(|(number, digits)| number << (4 * (DIGITS - digits)));
        let randomness = of("rv").filter(|digits| digits.len() == DIGITS).and_then(hex);
        Self { threshold, randomness: randomness.map(|(number, _)| number) }
    }

    /// What a `tracestate` says, if it has the member.
    pub fn of_tracestate(list: &str) -> Option<Self> {
        let state = Self::parse(list.split(',').find_map(|member| member.trim().strip_prefix("ot="))?);
        (state != Self::default()).then_some(state)
    }
}

/// A number, and how many digits it has.
fn hex(digits: &str) -> Option<(u64, usize)> {
    let is_lower = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_lower)?;
    Some((number, digits.len()))
}

impl fmt::Display for SamplingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(threshold) = self.threshold {
            let digits = format!("{threshold:0DIGITS$x}");
            let short = digits.trim_end_matches('0');
            write!(f, "th:{}", if short.is_empty() { "0" } else { short })?;
        }
        if let Some(randomness) = self.randomness {
            let separator = if self.threshold.is_some() { ";" } else { "" };
            write!(f, "{separator}rv:{randomness:0DIGITS$x}")?;
        }
        Ok(())
    }
}

/// The threshold of a ratio from 0 to 1, with four digits behind those that are all ones, so that everybody has the same; `None` if
/// it takes nothing.
pub fn threshold_of(ratio: f64) -> Option<u64> {
    const MOST: u64 = 1 << BITS;
    let ratio = ratio.clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number from 0 to 2^56, of which a float holds 53 bits, which is near enough"
    )]
    let exact = MOST - (ratio * MOST as f64).round() as u64;
    if exact >= MOST {
        return None;
    }
    // The first digits that are all ones say how small a ratio is.
    let leading = (exact << (64 - BITS)).leading_ones() / 4;
    let cut = BITS.saturating_sub(4 * (leading + 4));
    let half = if cut == 0 { 0 } else { 1 << (cut - 1) };
    let rounded = (exact + half) >> cut << cut;
    Some(if rounded < MOST { rounded } else { exact })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thresholds_of_ratios_are_those_that_others_have() {
        for (ratio, expected) in [
            (1.0, Some("th:0")),
            (0.5, Some("th:8")),
            (0.25, Some("th:c")),
            (0.1, Some("th:e666")),
            (1.0 / 3.0, Some("th:aaab")),
            (0.01, Some("th:fd70a")),
            (0.0, None),
            (-1.0, None),
            (7.0, Some("th:0")),
        ] {
            let state =
                threshold_of(ratio).map(|threshold| SamplingState::new(Some(threshold), None).to_string());
            assert_eq!(state.as_deref(), expected, "{ratio}");
        }
    }

    #[test]
    fn a_larger_ratio_takes_no_less() {
        let thresholds: Vec<_> = (1..=1000).filter_map(|n| threshold_of(f64::from(n) / 1000.0)).collect();
        assert!(thresholds.len() == 1000 && thresholds.is_sorted_by(|a, b| a >= b));
        assert!(threshold_of(f64::MIN_POSITIVE).is_none_or(|threshold| threshold < 1 << BITS));
    }

    #[test]
    fn what_is_malformed_is_not_said() {
        for (value, expected) in [
            ("th:0", "th:0"),
            ("th:8;rv:0123456789abcd", "th:8;rv:0123456789abcd"),
            ("rv:0123456789abcd;x:1;th:80", "th:8;rv:0123456789abcd"),
            ("th:;rv:12", ""),
            ("th:123456789abcdef", ""),
            ("th:G", ""),
            ("th:8 ", ""),
            ("th:+8", ""),
            ("TH:8", ""),
            ("rv:0123456789ABCD", ""),
            ("p:8;r:62", ""),
            ("", ""),
        ] {
            assert_eq!(SamplingState::parse(value).to_string(), expected, "{value}");
        }
        assert_eq!(SamplingState::of_tracestate("a=1, ot=th:8").unwrap().to_string(), "th:8");
        assert_eq!(SamplingState::of_tracestate("a=1,bot=th:8"), None);
        assert_eq!(SamplingState::of_tracestate("ot=x:8"), None);
    }

    proptest! {
        #[test]
        fn what_is_read_of_anything_is_read_again_as_it_is_written(
            value in ".{0,40}|(th:[0-9a-f]{0,16})?;?(rv:[0-9a-f]{12,16})?",
        ) {
            let state = SamplingState::parse(&value);
            prop_assert_eq!(SamplingState::parse(&state.to_string()), state);
            prop_assert!([state.threshold, state.randomness].into_iter().flatten().all(|number| number < 1 << BITS));
        }
    }
}
