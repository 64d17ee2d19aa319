//! Candidates in descending order of a key, from sources that are only roughly in that order.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use crate::error::Fault;

/// Collects candidates and hands them over in descending order of their keys, all with the same key together.
///
/// Sources come in descending order of their bounds. No source has a key above its own bound, so a candidate above the
/// bound of the next source can be handed over.
#[derive(Default)]
pub(super) struct Descending {
    /// (key, number of the event)
    waiting: BinaryHeap<(i64, i64)>,
    group: Vec<i64>,
}

impl Descending {
    /// Adds a candidate of the source that was begun last.
    pub(super) fn push(&mut self, key: i64, event: i64) {
        self.waiting.push((key, event));
    }

    /// Begins a source, and hands over all candidates above its bound.
    pub(super) fn begin_source(
        &mut self,
        bound: i64,
        visit: &mut impl FnMut(&[i64]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<ControlFlow<()>, Fault> {
        self.release(|key| key > bound, visit)
    }

    /// Hands over the candidates that are left.
    pub(super) fn finish(
        &mut self,
        visit: &mut impl FnMut(&[i64]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        self.release(|_| true, visit).map(drop)
    }

    fn release(
        &mut self,
        is_due: impl Fn(i64) -> bool,
        visit: &mut impl FnMut(&[i64]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<ControlFlow<()>, Fault> {
        while let Some(&(key, _)) = self.waiting.peek() {
            if !is_due(key) {
                break;
            }
            self.group.clear();
            while let Some(&(same, event)) = self.waiting.peek()
                && same == key
            {
                self.group.push(event);
                self.waiting.pop();
            }
            if visit(&self.group)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn overlapping_sources_come_out_in_order_and_ties_together(
            mut sources: Vec<Vec<i8>>
        ) {
            let bound = |keys: &Vec<i8>| keys.iter().copied().max().unwrap_or(i8::MIN);
            sources.sort_by_key(|keys| std::cmp::Reverse(bound(keys)));
            let mut want: Vec<i64> = sources.iter().flatten().map(|key| i64::from(*key)).collect();
            want.sort_by_key(|key| std::cmp::Reverse(*key));
            want.dedup();

            let mut keys = Vec::new();
            let mut all = Descending::default();
            let mut got = Vec::new();
            let mut visit = |group: &[i64]| {
                got.push(group.to_vec());
                Ok(ControlFlow::Continue(()))
            };
            for source in &sources {
                let _ = all.begin_source(i64::from(bound(source)), &mut visit).unwrap();
                for key in source {
                    keys.push(i64::from(*key));
                    all.push(i64::from(*key), keys.len() as i64 - 1);
                }
            }
            all.finish(&mut visit).unwrap();
            let got: Vec<Vec<i64>> =
                got.into_iter().map(|group| group.into_iter().map(|event| keys[event as usize]).collect()).collect();
            prop_assert!(got.iter().all(|group| group.iter().all(|key| *key == group[0])));
            prop_assert_eq!(got.iter().map(|group| group[0]).collect::<Vec<_>>(), want);
            prop_assert_eq!(got.iter().map(Vec::len).sum::<usize>(), keys.len());
        }
    }
}
