//! How many get from step to step, how long that takes, and where the rest is lost.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use throughline_core::{Text, Timestamp, TraceId};

/// Who is followed at most; more are counted, and not followed.
const MOST: usize = 100_000;
/// How often one of them may reach a step and each time be known; beyond that the earlier ones are left out.
const MOST_TIMES: usize = 32;
/// How many runs are named of those that are lost after a step.
const EXAMPLES: usize = 3;

/// What is known of everybody who is followed.
#[derive(Debug)]
pub(crate) struct Funnel {
    steps: usize,
    within: Duration,
    followed: HashMap<Text, One>,
    /// Events of somebody whom there is no room to follow.
    pub(crate) left_out: u64,
}

/// What is known of one.
#[derive(Debug, Default)]
struct One {
    group: Option<Text>,
    /// When each step was reached, newest first, and in which run.
    reached: Vec<Vec<(Timestamp, TraceId)>>,
}

/// What became of those who began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stage {
    pub(crate) reached: u64,
    /// How long it took from the step before, each in microseconds.
    took: Vec<u64>,
    /// Runs of those who got here and no further, the last step not counting.
    pub(crate) lost_in: Vec<TraceId>,
}

impl Stage {
    /// The median time from the step before, in microseconds.
    pub(crate) fn median_us(&self) -> Option<u64> {
        let mut took = self.took.clone();
        let middle = took.len().checked_sub(1)? / 2;
        Some(*took.select_nth_unstable(middle).1)
    }
}

impl Funnel {
    pub(crate) fn new(steps: usize, within: Duration) -> Self {
        Self { steps, within, followed: HashMap::new(), left_out: 0 }
    }

    /// Somebody reached a step. Steps come one after another, and of each the events newest first.
    pub(crate) fn add(&mut self, who: Text, step: usize, at: Timestamp, run: TraceId, group: Option<Text>) {
        if self.followed.len() >= MOST && !self.followed.contains_key(&who) {
            self.left_out += 1;
            return;
        }
        let one = self.followed.entry(who).or_default();
        one.reached.resize_with(self.steps, Vec::new);
        one.group = one.group.take().or(group);
        if let Some(times) = one.reached.get_mut(step)
            && times.len() < MOST_TIMES
        {
            times.push((at, run));
        }
    }

    /// The steps of all, and of each group by itself; those that have none are under nothing.
    pub(crate) fn stages(&self) -> (Vec<Stage>, BTreeMap<Option<&Text>, Vec<Stage>>) {
        let empty = || vec![Stage::default(); self.steps];
        let (mut all, mut groups) = (empty(), BTreeMap::new());
        for one in self.followed.values() {
            let Some(way) = one.furthest(self.within) else { continue };
            record(&mut all, &way);
            record(groups.entry(one.group.as_ref()).or_insert_with(empty), &way);
        }
        (all, groups)
    }
}

impl One {
    /// The way of the attempt that got furthest, the latest of these; nothing if there was none.
    fn furthest(&self, within: Duration) -> Option<Vec<(Timestamp, TraceId)>> {
        let first = self.reached.first()?;
        let ways = first.iter().map(|begun| {
            let mut way = vec![*begun];
            for times in self.reached.iter().skip(1) {
                let after = way.last().map_or(begun.0, |(at, _)| *at);
                let next = times.iter().rev().find(|(at, _)| *at >= after && at.since(begun.0) <= within);
                match next {
                    Some(next) => way.push(*next),
                    None => break,
                }
            }
            way
        });
        // Of equals the first one stays, which is the newest.
        ways.reduce(|best, way| if way.len() > best.len() { way } else { best })
    }
}

fn record(stages: &mut [Stage], way: &[(Timestamp, TraceId)]) {
    for (stage, place) in stages.iter_mut().zip(0..way.len()) {
        stage.reached += 1;
        if let Some(before) = place.checked_sub(1).and_then(|before| way.get(before)) {
            stage.took.push(u64::try_from(way[place].0.since(before.0).as_micros()).unwrap_or(u64::MAX));
        }
    }
    if way.len() < stages.len()
        && let (Some(stage), Some((_, run))) = (stages.get_mut(way.len() - 1), way.last())
        && stage.lost_in.len() < EXAMPLES
    {
        stage.lost_in.push(*run);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throughline_core::{Timestamp, TraceId};

    use super::{Funnel, MOST};

    const MINUTE: i64 = 60_000_000;

    /// Who reached how many steps, in what order; the events of each step newest first, as a store has them.
    fn funnel(events: &[(&'static str, usize, i64)]) -> Funnel {
        let mut funnel = Funnel::new(3, Duration::from_secs(3600));
        for step in 0..3 {
            let mut of_step: Vec<_> = events.iter().filter(|event| event.1 == step).collect();
            of_step.sort_by_key(|event| -event.2);
            for (who, step, minute) in of_step {
                let at = Timestamp::from_micros(minute * MINUTE);
                funnel.add((*who).into(), *step, at, TraceId::from_key(who), Some("acme".into()));
            }
        }
        funnel
    }

    fn reached(events: &[(&'static str, usize, i64)]) -> Vec<u64> {
        funnel(events).stages().0.iter().map(|stage| stage.reached).collect()
    }

    #[test]
    fn a_step_counts_after_the_one_before_and_in_time() {
        assert_eq!(reached(&[("a", 0, 0), ("a", 1, 5), ("a", 2, 60)]), [1, 1, 1]);
        assert_eq!(reached(&[("a", 0, 0), ("a", 1, 5), ("a", 2, 61)]), [1, 1, 0], "it is too late");
        assert_eq!(reached(&[("a", 0, 10), ("a", 1, 5)]), [1, 0, 0], "it came before");
        assert_eq!(reached(&[("a", 1, 5), ("a", 2, 6)]), [0, 0, 0], "it never began");
        assert_eq!(reached(&[("a", 0, 0), ("b", 1, 5)]), [1, 0, 0], "it was somebody else");
    }

    #[test]
    fn of_several_attempts_the_one_counts_that_got_furthest() {
        let events = [("a", 0, 0), ("a", 1, 5), ("a", 2, 10), ("a", 0, 300), ("a", 1, 310)];
        assert_eq!(reached(&events), [1, 1, 1]);
    }

    #[test]
    fn the_median_is_of_those_who_got_there_and_the_lost_are_named() {
        let funnel = funnel(&[
            ("a", 0, 0),
            ("a", 1, 2),
            ("b", 0, 0),
            ("b", 1, 4),
            ("c", 0, 0),
            ("c", 1, 30),
            ("d", 0, 0),
        ]);
        let (all, groups) = funnel.stages();
        assert_eq!(all[1].median_us(), Some(4 * 60_000_000));
        assert_eq!((all[0].median_us(), all[2].median_us()), (None, None));
        assert_eq!(all[0].lost_in, [TraceId::from_key("d")]);
        assert_eq!(all[1].lost_in.len(), 3);
        assert_eq!(groups[&Some(&"acme".into())][1].reached, 3);
    }

    #[test]
    fn no_more_are_followed_than_there_is_room_for() {
        let mut funnel = Funnel::new(2, Duration::from_secs(1));
        for one in 0..MOST + 5 {
            funnel.add(one.to_string().into(), 0, Timestamp::from_micros(0), TraceId::random(), None);
        }
        assert_eq!((funnel.followed.len(), funnel.left_out), (MOST, 5));
        assert_eq!(funnel.stages().0[0].reached, u64::try_from(MOST).unwrap());
    }
}
