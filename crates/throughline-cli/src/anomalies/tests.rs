//! What is found in simulated load, from a seed.

use super::known::Past;
use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// A Monday.
const START: i64 = 1_767_571_200;

/// Random numbers, by [SplitMix64](https://prng.di.unimi.it/splitmix64.c).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many of what comes by chance, so many on average: by the method of Knuth.
    fn poisson(&mut self, mean: f64) -> u32 {
        let (least, mut product, mut count) = ((-mean).exp(), self.next(), 0);
        while product > least {
            product *= self.next();
            count += 1;
        }
        count
    }

    /// By the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.next(), self.next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// What happens in a second: how many end of it on average, which share fails, and how much slower than usual they are; at 0, how long
/// they take is not known.
#[derive(Clone, Copy)]
struct Load {
    rate: f64,
    failing: f64,
    slower: f64,
}

const STEADY: Load = Load { rate: 1.0, failing: 0.1, slower: 1.0 };

/// Simulates seconds; the durations are log-normal around 100 ms.
fn simulate(random: &mut Random, judged_from: i64, end: i64, load: impl Fn(i64) -> Load) -> Vec<Unusual> {
    let at = |second: i64| Timestamp::from_micros((START + second) * SECOND);
    let mut series = Series::new(at(judged_from), at(end));
    for second in 0..end {
        let Load { rate, failing, slower } = load(second);
        for _ in 0..random.poisson(rate) {
            let failed = random.next() < failing;
            let duration = (slower > 0.0).then(|| 100_000.0 * slower * (0.8 * random.normal()).exp());
            series.add(at(second), failed, duration.map(|duration| duration as u64));
        }
    }
    series.unusual()
}

/// The load of a day: little at night, and then everything is a little slower and fails less.
fn seasonal(second: i64) -> Load {
    let day = (std::f64::consts::TAU * second as f64 / DAY as f64).sin();
    Load { rate: 0.22 + 0.18 * day, failing: 0.1 + 0.05 * day, slower: 1.0 - 0.3 * day }
}

/// The load of a week: on its last two days a tenth.
fn with_weekends(second: i64) -> Load {
    let load = seasonal(second);
    let is_weekend = second.rem_euclid(WEEK) >= 5 * DAY;
    Load { rate: load.rate * if is_weekend { 0.1 } else { 1.0 }, ..load }
}

/// The most false alarms of a week, after so many weeks of history, that any of some series raises.
fn most_false_alarms(weeks: i64, load: fn(i64) -> Load) -> usize {
    let alarms = |seed| simulate(&mut Random(seed), weeks * WEEK, (weeks + 1) * WEEK, load);
    let all: Vec<_> = (0..6).map(alarms).collect();
    all.iter().flatten().for_each(|alarm| println!("{alarm:?}"));
    all.iter().map(Vec::len).max().unwrap()
}

#[test]
fn a_steady_load_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(2, |_| Load { rate: 0.3, ..STEADY }) <= 1);
}

#[test]
fn a_steady_load_of_which_little_ends_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(3, |_| Load { rate: 0.06, ..STEADY }) <= 1);
}

#[test]
fn a_load_that_follows_the_day_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(2, seasonal) <= 1);
}

#[test]
fn a_steady_load_with_weeks_of_history_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(4, |_| Load { rate: 0.3, ..STEADY }) <= 1);
}

#[test]
fn a_load_that_follows_the_day_with_weeks_of_history_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(3, seasonal) <= 1);
}

#[test]
fn a_load_that_follows_the_week_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(3, with_weekends) <= 1);
}

#[test]
fn a_load_that_follows_the_week_with_a_week_of_history_raises_at_most_one_false_alarm_a_week() {
    assert!(most_false_alarms(1, with_weekends) <= 1);
}

#[test]
fn a_load_that_varies_raises_at_most_one_false_alarm_a_week() {
    // In each window, other customers: they are slower or faster, and many or few.
    let varying = |second: i64| {
        let random = &mut Random((second / 600) as u64);
        let [rate, slower] = [0.3, 0.25].map(|spread| (spread * random.normal()).exp());
        Load { rate: 0.1 * rate, slower, ..STEADY }
    };
    assert!(most_false_alarms(3, varying) <= 1);
}

#[test]
fn what_ends_in_heaps_raises_at_most_one_false_alarm_a_week() {
    // At every full hour, give or take a quarter of a minute.
    let heaps = |second: i64| {
        let is_heap = (second + 15).rem_euclid(HOUR) < 30;
        Load { rate: if is_heap { 20.0 } else { 0.001 }, ..STEADY }
    };
    assert!(most_false_alarms(3, heaps) <= 1);
}

#[test]
fn what_ends_in_heaps_every_ten_minutes_raises_at_most_one_false_alarm_a_week() {
    // Give or take a minute.
    let heaps = |second: i64| {
        let late = (60.0 * Random((second / 600) as u64).normal()) as i64;
        let is_heap = (0..10).contains(&(second.rem_euclid(600) - 300 - late));
        Load { rate: if is_heap { 3.0 } else { 0.0 }, ..STEADY }
    };
    assert!(most_false_alarms(3, heaps) <= 1);
}

/// In how many of a hundred runs something was found within ten minutes after it began, after some time of history.
fn found(measure: Measure, history: i64, usual: Load, worse: Load) -> usize {
    let is_found = |seed: &u64| {
        // It begins at any second of a minute.
        let begins = history + HOUR + (Random(!seed).next() * 60.0) as i64;
        let load = |second| if second < begins { usual } else { worse };
        let found = simulate(&mut Random(*seed), history, begins + 600, load);
        let since = Timestamp::from_micros((START + begins) * SECOND);
        found.iter().any(|one| one.measure == measure && one.until > since)
    };
    (0..100).filter(is_found).count()
}

#[test]
fn a_failure_rate_that_doubles_is_found_within_ten_minutes() {
    let found = found(Measure::Failures, DAY, STEADY, Load { failing: 0.2, ..STEADY });
    assert!(found >= 95, "in {found} of 100 runs");
}

#[test]
fn a_95th_percentile_that_triples_is_found_within_ten_minutes() {
    let found = found(Measure::Duration, DAY, STEADY, Load { slower: 3.0, ..STEADY });
    assert!(found >= 95, "in {found} of 100 runs");
}

/// Little enough for a week of it, a hundred times.
const LITTLE: Load = Load { rate: 0.1, slower: 0.0, ..STEADY };

#[test]
fn what_stops_altogether_is_found_within_ten_minutes() {
    let found = found(Measure::Fewer, 8 * DAY, LITTLE, Load { rate: 0.0, ..LITTLE });
    assert!(found >= 95, "in {found} of 100 runs");
}

#[test]
fn what_ends_ten_times_as_often_is_found_within_ten_minutes() {
    let found = found(Measure::More, 8 * DAY, LITTLE, Load { rate: 1.0, ..LITTLE });
    assert!(found >= 95, "in {found} of 100 runs");
}

#[test]
fn what_seldom_ends_and_stops_is_found_once_it_is_missed() {
    // Twenty a day, of which there are none any more.
    let stops = 8 * DAY + HOUR;
    let rare = |second| Load { rate: if second < stops { 20.0 / DAY as f64 } else { 0.0 }, ..STEADY };
    let found = simulate(&mut Random(1), 8 * DAY, 10 * DAY, rare);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.measure, one.value, one.compared_with), (Measure::Fewer, 0.0, Compared::HourOfDay));
    assert!((0.6..1.1).contains(&one.usual), "an hour: {}", one.usual);
    // The day after, it is known.
    assert_eq!(simulate(&mut Random(1), 10 * DAY, 11 * DAY, rare), []);
}

#[test]
fn how_many_end_is_not_judged_before_a_week_is_known() {
    let stops = 3 * DAY + HOUR;
    let load = |second| if second < stops { LITTLE } else { Load { rate: 0.0, ..LITTLE } };
    assert_eq!(simulate(&mut Random(1), 3 * DAY, 4 * DAY, load), []);
}

#[test]
fn little_data_raises_no_alarm() {
    // One thing a minute, of which suddenly all fail; and a service that has just begun.
    let rare = |second| Load { rate: 1.0 / 60.0, failing: if second < DAY { 0.0 } else { 1.0 }, slower: 1.0 };
    let found = simulate(&mut Random(1), DAY, DAY + 4 * 60, rare);
    assert!(found.is_empty(), "{found:?}");
    let new = simulate(&mut Random(1), 0, 50 * 60, |second| Load {
        failing: if second < 1_800 { 0.0 } else { 0.5 },
        ..STEADY
    });
    assert!(new.is_empty(), "{new:?}");
}

#[test]
fn of_much_traffic_a_few_failures_are_not_unusual_though_none_failed_before() {
    let past = (0..=144).map(|window| (window, Past { total: 100_000, ..Past::default() })).collect();
    let before = Known::new(&past, 145).before(0);
    let judge = |failed| failures(&Minute { total: 100_000, failed, ..Minute::default() }, &before);
    assert!(statistics::at_least(5, 100_000, 0.0, before.total as f64) < 1e-5, "it is no chance");
    assert_eq!((judge(5), judge(99)), (None, None));
    assert!(judge(100).is_some_and(|verdict| verdict.value == 0.001));
}

#[test]
fn one_incident_is_one_finding_and_does_not_become_usual() {
    let worse = |second| match second {
        second if (DAY + HOUR..DAY + 3 * HOUR).contains(&second) => Load { failing: 0.4, ..STEADY },
        _ => STEADY,
    };
    let found = simulate(&mut Random(1), DAY, DAY + 4 * HOUR, worse);
    let [one] = &found[..] else { panic!("{found:?}") };
    let minutes = |moment: Timestamp| (moment.as_micros() / SECOND - START - DAY) / 60;
    assert!((50..62).contains(&minutes(one.from)) && (178..192).contains(&minutes(one.until)), "{one:?}");
    assert!((one.usual - 0.1).abs() < 0.01 && one.value > 0.35, "{one:?}");
}

#[test]
fn an_hour_is_compared_with_itself_where_there_is_history() {
    // Every night, jobs that are slow and often fail. That they do so at noon is unusual.
    let nightly = |second: i64| match second.rem_euclid(DAY) / HOUR {
        2 => Load { failing: 0.4, slower: 4.0, ..STEADY },
        _ => STEADY,
    };
    let found = simulate(&mut Random(1), 4 * DAY, 5 * DAY, nightly);
    assert!(found.is_empty(), "{found:?}");
    let noon = 4 * DAY + 12 * HOUR;
    let found = simulate(&mut Random(1), 4 * DAY, 5 * DAY, |second| {
        nightly(if (noon..noon + HOUR).contains(&second) { 2 * HOUR } else { second })
    });
    let measures: Vec<_> = found.iter().map(|one| (one.measure, one.compared_with)).collect();
    assert_eq!(
        measures,
        [(Measure::Failures, Compared::HourOfDay), (Measure::Duration, Compared::HourOfDay)]
    );
}

/// Every Monday night, jobs that are slow and often fail.
fn weekly(second: i64) -> Load {
    // Enough for a window, and little enough for weeks of it.
    let usual = Load { rate: 0.2, ..STEADY };
    match second.rem_euclid(WEEK) / HOUR {
        2 => Load { failing: 0.4, slower: 4.0, ..usual },
        _ => usual,
    }
}

#[test]
fn an_hour_is_compared_with_itself_in_other_weeks_after_three_of_them() {
    // Two weeks know the hour of other days only, and on those nothing like it happens.
    let found = simulate(&mut Random(1), 2 * WEEK, 2 * WEEK + DAY, weekly);
    assert!(
        found.iter().all(|one| one.compared_with == Compared::HourOfDay) && !found.is_empty(),
        "{found:?}"
    );
    let found = simulate(&mut Random(1), 3 * WEEK, 3 * WEEK + 3 * DAY, weekly);
    assert!(found.is_empty(), "{found:?}");
    // On a Wednesday it is unusual.
    let wednesday = 3 * WEEK + 2 * DAY + 2 * HOUR;
    let found = simulate(&mut Random(1), 3 * WEEK, 3 * WEEK + 3 * DAY, |second| {
        weekly(if (wednesday..wednesday + HOUR).contains(&second) { 2 * HOUR } else { second })
    });
    let mut measures: Vec<_> = found.iter().map(|one| (one.measure, one.compared_with)).collect();
    measures.sort_by_key(|(measure, _)| *measure);
    assert_eq!(
        measures,
        [(Measure::Failures, Compared::HourOfWeek), (Measure::Duration, Compared::HourOfWeek)]
    );
}
