//! What the fuzz targets of Throughline share: where their inputs come from, and how their growth is measured.
//!
//! A target is a parser of bytes that somebody else wrote. Each has a folder of seeds in `fuzz/seeds`, and each seed is an
//! input as it is: every input that ever broke something becomes one. A test runs all seeds, then inputs that are made from
//! them at random, and shrinks what fails; `BOLERO_RANDOM_ITERATIONS` says how many. The engine is
//! [bolero](https://docs.rs/bolero): it needs no nightly compiler, and with `cargo bolero` the same targets are run by
//! libFuzzer, which sees what code an input reaches.

mod growth;
mod inputs;
mod search;
mod words;

use std::path::{Path, PathBuf};

#[doc(hidden)]
pub use bolero;

pub use growth::assert_linear;
pub use inputs::{Inputs, Units};
pub use search::slowest;
pub use words::SECRETS;

/// How many inputs a test makes at random if nobody says otherwise.
pub const ITERATIONS: usize = 1_000;

/// For how many inputs a test measures the growth if nobody says otherwise.
pub const GROWTH_ITERATIONS: usize = 30;

/// A parser of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its folder of seeds.
    pub name: &'static str,
    /// What means something to it: delimiters, keywords, limits.
    pub words: &'static [&'static str],
    /// What stands before and after a text of many words, so that all of them are read.
    pub around: (&'static str, &'static str),
}

impl Target {
    /// A target with nothing around its words.
    pub const fn new(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words, around: ("", "") }
    }

    /// The same with something around its words.
    #[must_use]
    pub const fn between(mut self, before: &'static str, after: &'static str) -> Self {
        self.around = (before, after);
        self
    }

    /// The seeds, each with the file that it is in.
    ///
    /// # Panics
    /// When there are none.
    pub fn seeds(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(self.name);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut seeds: Vec<_> =
            entries.filter_map(|entry| Some((entry.path(), std::fs::read(entry.path()).ok()?))).collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "put a seed into {}", folder.display());
        seeds
    }

    /// Runs a check on each seed.
    ///
    /// # Panics
    /// When the check does, after saying of which seed.
    pub fn check_seeds(&self, check: impl Fn(&[u8])) {
        for (path, seed) in self.seeds() {
            let name = path.display().to_string();
            let said = Said(&name);
            check(&seed);
            std::mem::forget(said);
        }
    }
}

/// Says which seed it was, unless it is forgotten.
struct Said<'n>(&'n str);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        eprintln!("the seed was {}", self.0);
    }
}

/// Checks something that holds for any bytes: with the seeds of a target, and with what is made from them.
///
/// ```text
/// #[test]
/// fn any_bytes_are_read_or_refused() {
///     fuzz!(TARGET, |bytes: &[u8]| drop(parse(bytes)));
/// }
/// ```
#[macro_export]
macro_rules! fuzz {
    ($target:expr, $check:expr) => {
        $crate::fuzz!($target, $check, $crate::ITERATIONS)
    };
    ($target:expr, $check:expr, $iterations:expr) => {{
        let (target, check): ($crate::Target, _) = ($target, $check);
        target.check_seeds(&check);
        $crate::bolero::check!()
            .with_iterations($iterations)
            .with_generator($crate::Inputs::of(&target))
            .for_each(|input: &Vec<u8>| check(input));
    }};
}

/// Checks that the time for something is linear in the input, whatever it repeats.
#[macro_export]
macro_rules! growth {
    ($target:expr, $work:expr) => {{
        let (target, work): ($crate::Target, _) = ($target, $work);
        for unit in $crate::Units::known(&target) {
            $crate::assert_linear(&unit, target.around, &work);
        }
        $crate::bolero::check!()
            .with_iterations($crate::GROWTH_ITERATIONS)
            .with_generator($crate::Units::of(&target))
            .for_each(|unit: &Vec<u8>| $crate::assert_linear(unit, target.around, &work));
    }};
}
