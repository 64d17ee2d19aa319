//! What is measured.

use std::time::{Duration, SystemTime};

use throughline_core::BoxError;
use throughline_workflow::TransitionError;
use tokio::time;

use super::Session::*;
use super::{sessions, with_session};
use crate::support::Bench;

#[tokio::test]
async fn the_dashboards_of_sessions_have_their_figures() {
    let bench = Bench::new();
    time::pause();
    with_session(&bench, |ctx, session| async move {
        time::advance(Duration::from_secs(1)).await;
        session.transition(&ctx, Starting).await?;
        time::advance(Duration::from_secs(12)).await;
        session.transition(&ctx, Running).await?;
        time::advance(Duration::from_secs(300)).await;
        session.trigger(&ctx, "auto_paused").await?;
        time::advance(Duration::from_secs(60)).await;
        session.trigger(&ctx, "resumed").await?;
        session.transition(&ctx, Idle).await.unwrap_err();
        // It is counted as long as it lives.
        std::mem::forget(session);
        Ok(())
    })
    .await;
    insta::assert_snapshot!(bench.series("state"), @"
    state_duration_seconds{machine=session, state=idle} [1.0]
    state_duration_seconds{machine=session, state=paused} [60.0]
    state_duration_seconds{machine=session, state=running} [300.0]
    state_duration_seconds{machine=session, state=starting} [12.0]
    state_entities{machine=session, state=failed} 0
    state_entities{machine=session, state=idle} 0
    state_entities{machine=session, state=paused} 0
    state_entities{machine=session, state=running} 1
    state_entities{machine=session, state=starting} 0
    state_illegal_transitions_total{machine=session, from=running, to=idle} 1
    state_transitions_total{machine=session, from=idle, to=starting} 1
    state_transitions_total{machine=session, from=paused, to=running} 1
    state_transitions_total{machine=session, from=running, to=paused} 1
    state_transitions_total{machine=session, from=starting, to=failed} 0
    state_transitions_total{machine=session, from=starting, to=running} 1
    state_transitions_total{machine=session, to=idle} 1
    state_triggers_total{machine=session, trigger=auto_paused} 1
    state_triggers_total{machine=session, trigger=resumed} 1
    ");
}

#[tokio::test]
async fn an_entity_that_is_dropped_is_not_in_its_state_any_more() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move { Ok(session.transition(&ctx, Starting).await?) }).await;
    let entities = bench.series("state_entities");
    assert_eq!(entities.lines().count(), 5, "{entities}");
    assert!(entities.lines().all(|line| line.ends_with(" 0")), "{entities}");
}

#[tokio::test]
async fn a_transition_that_was_begun_before_its_start_was_refused_is_taken_back_and_not_counted() {
    let bench = &Bench::pipelined();
    time::pause();
    with_session(bench, |ctx, session| async move {
        session.transition(&ctx, Starting).await?;
        time::advance(Duration::from_secs(12)).await;
        bench.fail_next();
        let refused = session.transition_with(&ctx, Running, |_| async { Ok::<_, BoxError>(()) }).await;
        assert!(matches!(refused, Err(TransitionError::NotRecorded(_))), "{refused:?}");
        assert_eq!(session.state(), Starting);
        time::advance(Duration::from_secs(3)).await;
        session.transition(&ctx, Failed).await?;
        assert_eq!(session.state(), Failed);
        insta::assert_snapshot!(bench.series("state"), @"
        state_duration_seconds{machine=session, state=idle} [0.0]
        state_duration_seconds{machine=session, state=starting} [15.0]
        state_entities{machine=session, state=failed} 1
        state_entities{machine=session, state=idle} 0
        state_entities{machine=session, state=paused} 0
        state_entities{machine=session, state=running} 0
        state_entities{machine=session, state=starting} 0
        state_lifetime_seconds{machine=session} [15.0]
        state_transitions_total{machine=session, from=idle, to=starting} 1
        state_transitions_total{machine=session, from=paused, to=running} 0
        state_transitions_total{machine=session, from=running, to=paused} 0
        state_transitions_total{machine=session, from=starting, to=failed} 1
        state_transitions_total{machine=session, from=starting, to=running} 0
        state_transitions_total{machine=session, to=idle} 1
        state_triggers_total{machine=session, trigger=auto_paused} 0
        state_triggers_total{machine=session, trigger=resumed} 0
        ");
        bench.fail_next();
        sessions(bench).enter(&ctx, "session-18").await.unwrap_err();
        let entered = bench.series("state_transitions");
        assert!(!entered.contains("{machine=session, to=idle} 1"), "{entered}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_length_of_a_whole_life_is_measured_where_it_is_known() {
    let bench = Bench::new();
    let sessions = sessions(&bench);
    time::pause();
    let run = bench.throughline.workflow("session").run(|ctx| async move {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let old = sessions.restore("session-1", Starting)?.born(hour_ago);
        old.transition(&ctx, Failed).await?;
        let unknown = sessions.restore("session-2", Starting)?.since(hour_ago);
        unknown.transition(&ctx, Failed).await?;
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    let lived = bench.series("state_lifetime");
    let lived = lived.split_once('[').unwrap().1.trim_end_matches(']');
    assert!((3600.0..3660.0).contains(&lived.parse::<f64>().unwrap()), "{lived}");
}
