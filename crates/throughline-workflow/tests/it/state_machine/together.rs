//! Many transitions of one entity, one after the other and at the same time.

use std::pin::pin;

use futures_util::poll;
use proptest::prelude::*;
use throughline_core::{BoxError, Status, TraceEvent, names::attrs};
use throughline_workflow::{StateMachine, StateMachineBuilder, TransitionError};

use crate::support::Bench;

const STATES: [&str; 4] = ["a", "b", "c", "d"];

/// From each state to the next, and by name from each back to the first.
fn ring() -> StateMachineBuilder<&'static str> {
    (0..4).fold(StateMachine::builder("ring", STATES[0]), |ring, at| {
        ring.transition(STATES[at], STATES[(at + 1) % 4]).trigger("reset", STATES[at], STATES[0])
    })
}

/// From where to where each transition led, in the order in which they ended.
fn path(events: &[TraceEvent]) -> Vec<(String, String)> {
    let attr = |event: &TraceEvent, key| event.attrs.get(key).unwrap_or_default().to_owned();
    let mut made: Vec<_> =
        events.iter().filter(|event| event.attrs.get(attrs::STATE_FROM).is_some()).collect();
    made.retain(|event| event.status == Status::Success);
    made.sort_by_key(|event| event.n);
    made.iter().map(|event| (attr(event, attrs::STATE_FROM), attr(event, attrs::STATE_TO))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transitions_at_the_same_time_happen_one_after_the_other_and_none_is_lost() {
    const TASKS: usize = 8;
    const EACH: usize = 40;
    let bench = Bench::new();
    let ring = ring().build(&bench.throughline).unwrap();
    let run = bench.throughline.workflow("ring").run(|ctx| async move {
        let entity = ring.enter(&ctx, "one").await?;
        let tasks = (0..TASKS).map(|task| {
            let (entity, ctx) = (entity.clone(), ctx.clone());
            tokio::spawn(async move {
                let (mut made, mut refused) = (0, 0);
                for turn in 0..EACH {
                    let asked = match (task + turn) % 5 {
                        4 => entity.trigger(&ctx, "reset").await.map(|led_to| assert_eq!(led_to, "a")),
                        to => entity.transition_with(&ctx, STATES[to], |_| yielding()).await.map(|Ok(())| ()),
                    };
                    match asked {
                        Ok(()) => made += 1,
                        Err(TransitionError::Illegal { .. }) => refused += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                (made, refused)
            })
        });
        let (mut made, mut refused) = (0, 0);
        for task in tasks.collect::<Vec<_>>() {
            let (more_made, more_refused) = task.await?;
            made += more_made;
            refused += more_refused;
        }
        Ok::<_, BoxError>((made, refused, entity.state()))
    });
    let (made, refused, last) = run.await.unwrap().unwrap();
    assert_eq!(made + refused, TASKS * EACH);

    let path = path(&bench.events().await);
    assert_eq!(path.len(), made);
    assert_eq!(path[0].0, "a");
    assert!(path.is_sorted_by(|earlier, later| earlier.1 == later.0), "{path:?}");
    assert_eq!(path[made - 1].1, last);
    let sum = |series: String| -> usize {
        series.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    };
    assert_eq!(sum(bench.series("state_illegal")), refused);
}

async fn yielding() -> Result<(), std::convert::Infallible> {
    tokio::task::yield_now().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_entity_goes_where_its_machine_allows_and_nowhere_else(
        asked in prop::collection::vec(prop::option::weighted(0.8, 0..4_usize), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bench = Bench::new();
        let ring = ring().build(&bench.throughline).unwrap();
        let mut at = 0;
        let mut expected = Vec::new();
        let run = bench.throughline.workflow("ring").run_infallible(|ctx| async move {
            let entity = ring.enter(&ctx, "one").await.unwrap();
            for asked in asked {
                let (is_allowed, to) = asked.map_or((true, 0), |to| (to == (at + 1) % 4, to));
                let answer = match asked {
                    Some(to) => entity.transition(&ctx, STATES[to]).await.map(|()| STATES[to]),
                    None => entity.trigger(&ctx, "reset").await,
                };
                assert_eq!(answer.ok(), is_allowed.then_some(STATES[to]));
                if is_allowed {
                    expected.push((STATES[at].to_owned(), STATES[to].to_owned()));
                    at = to;
                }
                assert_eq!(entity.state(), STATES[at]);
            }
            expected
        });
        let expected = runtime.block_on(run).unwrap();
        prop_assert_eq!(path(&runtime.block_on(bench.events())), expected);
    }

    #[test]
    fn wherever_a_transition_is_dropped_the_entity_is_where_its_story_says(
        patience in prop::collection::vec(0..12_usize, 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bench = Bench::new();
        let ring = ring().build(&bench.throughline).unwrap();
        let run = bench.throughline.workflow("ring").run_infallible(|ctx| async move {
            let entity = ring.enter(&ctx, "one").await.unwrap();
            for polls in patience {
                let at = STATES.iter().position(|state| *state == entity.state()).unwrap();
                let next = entity.transition_with(&ctx, STATES[(at + 1) % 4], |_| yielding());
                let mut next = pin!(next);
                for _ in 0..polls {
                    if poll!(&mut next).is_ready() {
                        break;
                    }
                    // The store answers on a thread of its own.
                    std::thread::yield_now();
                }
            }
            entity
        });
        let entity = runtime.block_on(run).unwrap();
        let path = path(&runtime.block_on(bench.events()));
        prop_assert!(path.is_sorted_by(|earlier, later| earlier.1 == later.0), "{path:?}");
        prop_assert_eq!(path.last().map_or(STATES[0], |(_, to)| to), entity.state());
        let entities = bench.series("state_entities");
        let held = format!("state_entities{{machine=ring, state={}}} 1", entity.state());
        prop_assert_eq!(entities.lines().filter(|line| !line.ends_with(" 0")).collect::<Vec<_>>(), [held]);
    }
}
