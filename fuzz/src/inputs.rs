//! Inputs: seeds that were changed in a few places, and units to be repeated.

use bolero::ValueGenerator;
use bolero::generator::bolero_generator::Driver;

use crate::Target;

/// The most changes that are made to a seed.
const CHANGES: usize = 8;
/// The most that a change repeats.
const REPEATS: usize = 40;
/// The most words of a unit.
const WORDS: usize = 6;

/// Makes inputs from the seeds and the words of a target.
#[derive(Debug)]
pub struct Inputs {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Inputs {
    /// The inputs of a target.
    pub fn of(target: &Target) -> Self {
        Self { seeds: target.seeds().into_iter().map(|(_, seed)| seed).collect(), words: target.words }
    }

    fn change(&self, input: &mut Vec<u8>, driver: &mut impl Driver) -> Option<()> {
        let one = below(driver, input.len() + 1)?;
        let other = below(driver, input.len() + 1)?;
        let (from, to) = (one.min(other), one.max(other));
        match below(driver, 6)? {
            0 => drop(input.drain(from..to)),
            1 => {
                let times = 1 + below(driver, REPEATS)?;
                let part = input[from..to].repeat(times);
                input.splice(to..to, part);
            }
            2 => {
                let seed = &self.seeds[below(driver, self.seeds.len())?];
                input.splice(from.., seed[seed.len().min(to)..].iter().copied());
            }
            3 => {
                let bytes = [driver.produce()?, driver.produce()?];
                input.splice(from..from, bytes.into_iter().take(1 + below(driver, 2)?));
            }
            4 if from < input.len() => input[from] = driver.produce()?,
            _ => {
                let word = pick(driver, self.words)?;
                input.splice(from..from, word.bytes());
            }
        }
        Some(())
    }
}

impl ValueGenerator for Inputs {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut input = self.seeds[below(driver, self.seeds.len())?].clone();
        for _ in 0..below(driver, CHANGES + 1)? {
            self.change(&mut input, driver)?;
        }
        Some(input)
    }
}

/// Makes units of words of a target, to be repeated.
#[derive(Debug)]
pub struct Units(&'static [&'static str]);

impl Units {
    /// The units of a target.
    pub fn of(target: &Target) -> Self {
        Self(target.words)
    }

    /// The units that are always tried: each word, and each seed of a line.
    pub fn known(target: &Target) -> Vec<Vec<u8>> {
        let words = target.words.iter().map(|word| word.as_bytes().to_vec());
        let seeds = target.seeds().into_iter().map(|(_, seed)| seed).filter(|seed| seed.len() < 1000);
        words.chain(seeds).filter(|unit| !unit.is_empty()).collect()
    }
}

impl ValueGenerator for Units {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut unit = Vec::new();
        for _ in 0..1 + below(driver, WORDS)? {
            unit.extend(pick(driver, self.0)?.bytes());
        }
        Some(unit)
    }
}

fn pick<'w>(driver: &mut impl Driver, words: &[&'w str]) -> Option<&'w str> {
    words.get(below(driver, words.len())?).copied()
}

fn below(driver: &mut impl Driver, end: usize) -> Option<usize> {
    use std::ops::Bound::{Excluded, Included};
    driver.gen_usize(Included(&0), Excluded(&end.max(1)))
}
