//! What is found in simulated load, from a seed.

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

    /// By the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.next(), self.next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// What happens in a second: with which probability something ends, and then fails, and how much slower than usual it is.
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
        if random.next() < rate {
            let failed = random.next() < failing;
            let duration = 100_000.0 * slower * (0.8 * random.normal()).exp();
            series.add(at(second), failed, Some(duration as u64));
        }
    }
    series.unusual()
}

/// The load of a day: little at night, and then everything is a little slower and fails less.
fn seasonal(second: i64) -> Load {
    let day = (std::f64::consts::TAU * second as f64 / DAY as f64).sin();
    Load { rate: 0.55 + 0.45 * day, failing: 0.1 + 0.05 * day, slower: 1.0 - 0.3 * day }
}

/// False alarms of a week, after two weeks of history, in each of so many series.
fn false_alarms(series: u64, load: fn(i64) -> Load) -> Vec<usize> {
    let alarms = |seed| simulate(&mut Random(seed), 2 * WEEK, 3 * WEEK, load).len();
    (0..series).map(alarms).collect()
}

#[test]
fn a_steady_load_raises_at_most_one_false_alarm_a_week() {
    let alarms = false_alarms(6, |_| STEADY);
    assert!(alarms.iter().all(|alarms| *alarms <= 1), "{alarms:?}");
}

#[test]
fn a_load_that_follows_the_day_raises_at_most_one_false_alarm_a_week() {
    let alarms = false_alarms(6, seasonal);
    assert!(alarms.iter().all(|alarms| *alarms <= 1), "{alarms:?}");
}

/// In how many of a hundred runs something was found within ten minutes after it began, on a day of history.
fn found(measure: Measure, worse: Load) -> usize {
    let is_found = |seed: &u64| {
        // It begins at any second of a minute.
        let begins = DAY + HOUR + (Random(!seed).next() * 60.0) as i64;
        let found =
            simulate(
                &mut Random(*seed),
                DAY,
                begins + 600,
                |second| {
                    if second < begins { STEADY } else { worse }
                },
            );
        let since = Timestamp::from_micros((START + begins) * SECOND);
        found.iter().any(|one| one.measure == measure && one.until > since)
    };
    (0..100).filter(is_found).count()
}

#[test]
fn a_failure_rate_that_doubles_is_found_within_ten_minutes() {
    let found = found(Measure::Failures, Load { failing: 0.2, ..STEADY });
    assert!(found >= 95, "in {found} of 100 runs");
}

#[test]
fn a_95th_percentile_that_triples_is_found_within_ten_minutes() {
    let found = found(Measure::Duration, Load { slower: 3.0, ..STEADY });
    assert!(found >= 95, "in {found} of 100 runs");
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
    let before = Before { windows: 144, total: 14_400_000, failed: 0, log_p95s: Vec::new() };
    let judge = |failed| failures(&Minute { total: 100_000, failed, ..Minute::default() }, &before);
    assert!(at_least(5, 100_000, 0, 14_400_000) < IMPROBABLE, "it is no chance");
    assert_eq!((judge(5), judge(99)), (None, None));
    assert!(judge(100).is_some_and(|(share, ..)| share == 0.001));
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
