//! Measuring alternately.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What one side measured in each round.
#[derive(Debug, Clone)]
pub struct Samples<T = f64>(Vec<T>);

impl<T> Samples<T> {
    /// One number of each round.
    pub fn of(&self, number: impl Fn(&T) -> f64) -> Samples {
        Samples(self.0.iter().map(number).collect())
    }
}

impl Samples {
    /// The median; `NaN` of nothing.
    pub fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// What is left of each round without what the base took in it.
    pub fn less(&self, base: &Self) -> Self {
        Self(self.0.iter().zip(&base.0).map(|(own, base)| own - base).collect())
    }

    /// The ratios round by round: what disturbed a round disturbed both sides of it.
    pub fn ratio_to(&self, peer: &Self) -> Spread {
        Self(self.0.iter().zip(&peer.0).map(|(own, peer)| own / peer).collect()).spread()
    }

    /// All rounds in three numbers.
    pub fn spread(&self) -> Spread {
        Spread { median: self.median(), least: quantile(&self.0, 0.0), greatest: quantile(&self.0, 1.0) }
    }
}

/// What several rounds measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the rounds were at most this.
    pub median: f64,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub greatest: f64,
}

impl From<f64> for Spread {
    /// Of a single round.
    fn from(value: f64) -> Self {
        Self { median: value, least: value, greatest: value }
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The value that this part of all (0 to 1) do not exceed; `NaN` of nothing.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// One side of a comparison: does its work once and says what it measured.
pub type Side<'a, T = f64> = Box<dyn FnMut() -> anyhow::Result<T> + 'a>;

/// Measures the sides alternately for so many rounds, after one round that does not count.
///
/// # Errors
/// The first error of a side.
pub fn by_turns<T, const N: usize>(
    name: &str,
    rounds: usize,
    mut sides: [Side<'_, T>; N],
) -> anyhow::Result<[Samples<T>; N]> {
    let progress = bar(name, ((rounds + 1) * N) as u64);
    let mut samples = std::array::from_fn(|_| Samples(Vec::with_capacity(rounds)));
    for round in 0..=rounds {
        for (side, Samples(values)) in sides.iter_mut().zip(&mut samples) {
            let value = side()?;
            if round > 0 {
                values.push(value);
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(samples)
}

/// A progress bar, which draws nothing where stderr is no terminal.
pub fn bar(name: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:32} {wide_bar} {human_pos}/{human_len} {elapsed}");
    let bar = ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name.to_owned());
    bar
}

/// How many nanoseconds one of `count` pieces of work took on average.
///
/// # Errors
/// That of the work.
pub fn nanos_each(count: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(nanos(started.elapsed()) / count as f64)
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_and_of_an_even_number_is_a_measured_value() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.99), 2.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_round_that_was_disturbed_on_both_sides_does_not_move_the_ratio() {
        let ours: Samples = [1.0, 100.0, 1.0].into_iter().collect();
        let peer: Samples = [2.0, 200.0, 2.0].into_iter().collect();
        assert_eq!(ours.ratio_to(&peer), Spread::from(0.5));
    }

    #[test]
    fn the_spread_has_the_rounds_that_stand_out() {
        let ours: Samples = [4.0, 1.0, 2.0].into_iter().collect();
        let peer: Samples = [1.0, 1.0, 1.0].into_iter().collect();
        assert_eq!(ours.ratio_to(&peer), Spread { median: 2.0, least: 1.0, greatest: 4.0 });
    }

    #[test]
    fn sides_take_turns_and_the_first_round_does_not_count() {
        let order = std::cell::RefCell::new(Vec::new());
        let side = |name: char| -> Side<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(order.borrow().len() as f64)
            })
        };
        let [samples, _] = by_turns("test", 2, [side('a'), side('b')]).unwrap();
        assert_eq!(*order.borrow(), ['a', 'b', 'a', 'b', 'a', 'b']);
        assert_eq!(samples.0, [3.0, 5.0]);
    }
}
