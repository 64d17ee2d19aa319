//! The search for the input that takes longest.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::Target;
use crate::growth::least_time;

/// How long the inputs are that are compared.
const LENGTH: usize = 8 << 10;
/// The best so far, from which the search continues.
const KEPT: usize = 6;
/// How often something is measured that seems to be worse than all before: the least time counts.
const RUNS: usize = 8;
/// How often the worst are measured at the end.
const LAST_RUNS: usize = 200;

/// What stands between the words that are repeated first, each alone.
const SEPARATORS: &[&str] = &["", " ", "\n", ",", "\"", "'", "x1 ", "x1\""];

/// Looks for so long for the words of a target which, repeated, make the work take longest, and returns what it takes for
/// each byte, in nanoseconds, and the words.
pub fn slowest(target: &Target, search: Duration, seed: u64, work: &impl Fn(&[u8])) -> (f64, String) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut worst: Vec<(f64, Vec<&str>)> = Vec::new();
    let compare = |words: Vec<&'static str>, worst: &mut Vec<(f64, Vec<&'static str>)>| {
        let least_kept = worst.get(KEPT - 1).map_or(0.0, |(rate, _)| *rate);
        if rate(&words, 1, work) > least_kept {
            worst.push((rate(&words, RUNS, work), words));
            worst.sort_by(|one, other| other.0.total_cmp(&one.0));
            worst.truncate(KEPT);
        }
    };
    for word in target.words {
        SEPARATORS.iter().for_each(|separator| compare(vec![word, separator], &mut worst));
    }
    let began = Instant::now();
    while began.elapsed() < search {
        let mut words = worst.choose(&mut random).map(|(_, words)| words.clone()).unwrap_or_default();
        if random.random_bool(0.3) {
            words.clear();
        }
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..=words.len());
            match target.words.choose(&mut random) {
                Some(word) if words.is_empty() || random.random_bool(0.6) => words.insert(at, word),
                _ if words.len() > 1 => drop(words.remove(at.min(words.len() - 1))),
                _ => {}
            }
        }
        compare(words, &mut worst);
    }
    // What was measured while the machine was busy is measured again.
    let again =
        worst.into_iter().map(|(before, words)| (before.min(rate(&words, LAST_RUNS, work)), words.concat()));
    again.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
}

/// Nanoseconds for each byte of these words, repeated.
fn rate(words: &[&str], runs: usize, work: &impl Fn(&[u8])) -> f64 {
    let unit = words.concat();
    if unit.is_empty() {
        return 0.0;
    }
    let input = unit.repeat(LENGTH / unit.len() + 1).into_bytes();
    least_time(&input, runs, work).as_nanos() as f64 / input.len() as f64
}
