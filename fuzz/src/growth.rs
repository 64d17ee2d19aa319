//! How the time grows with the input.

#![expect(clippy::panic, reason = "it fails a test")]

use std::time::{Duration, Instant};

/// The shortest input that is measured, in bytes.
const SHORTEST: usize = 1 << 9;
/// The longest.
const LONGEST: usize = 1 << 17;
/// How much longer each input is than the one before: doubled twice, so that a growth that is not linear stands out.
const LONGER: usize = 4;
/// By how much the time may grow meanwhile: linear is 4, quadratic 16.
const FACTOR: u32 = 9;
/// What grows more than this is measured further: what is quadratic may be small at first.
const SUSPICIOUS: u32 = 5;
/// Times below say more of the clock than of the work.
const LEAST: Duration = Duration::from_micros(20);
/// The time of the last input but one, about.
const MOST: Duration = Duration::from_millis(1);
/// How often growth has to be seen before it is believed.
const ATTEMPTS: usize = 3;

/// Repeats a unit to ever longer inputs, and measures what the work with them takes.
///
/// # Panics
/// When the time grows faster than the input: twice in a row, for where a limit is passed it does so once, and again and
/// again, so that it is no disturbance.
pub fn assert_linear(unit: &[u8], around: (&str, &str), work: &impl Fn(&[u8])) {
    let time = |length: usize, runs: usize| {
        let repeated = unit.repeat(length / unit.len().max(1) + 1);
        let input = [around.0.as_bytes(), &repeated, around.1.as_bytes()].concat();
        least_time(&input, runs, work)
    };
    // What takes long with hardly any input says nothing until it takes longer.
    let most = MOST.max(time(0, 2) * LONGER as u32);
    let mut times = [Duration::ZERO; 3];
    let mut length = SHORTEST;
    while length <= LONGEST && (times[1] < most || times[0] < LEAST || times[2] > times[1] * SUSPICIOUS) {
        times = [times[1], times[2], time(length, 2)];
        let lengths = [length / LONGER / LONGER, length / LONGER, length];
        if grows(times) && (0..ATTEMPTS).all(|_| grows(lengths.map(|length| time(length, 2)))) {
            panic!("{lengths:?} bytes of {:?} took {times:?}", String::from_utf8_lossy(unit));
        }
        length *= LONGER;
    }
}

fn grows(times: [Duration; 3]) -> bool {
    times[0] >= LEAST && times.windows(2).all(|pair| pair[1] > pair[0].saturating_mul(FACTOR))
}

pub(crate) fn least_time(input: &[u8], runs: usize, work: &impl Fn(&[u8])) -> Duration {
    let time = |_| {
        let began = Instant::now();
        work(input);
        began.elapsed()
    };
    (0..runs).map(time).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn linear_work_is_let_through() {
        assert_linear(b"ab", ("<", ">"), &|input| {
            black_box(input.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        });
    }

    #[test]
    #[should_panic(expected = "bytes of \"ab\" took")]
    fn quadratic_work_is_found() {
        assert_linear(b"ab", ("", ""), &|input| {
            let seen = |end: usize| input[..end].iter().filter(|byte| **byte == b'a').count();
            black_box((0..input.len()).step_by(8).map(seen).sum::<usize>());
        });
    }
}
