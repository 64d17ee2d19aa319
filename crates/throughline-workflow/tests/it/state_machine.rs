//! State machines: what is told, measured, refused and declared.

mod declaring;
mod figures;
mod together;

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use throughline_core::testing::tree;
use throughline_core::{
    AppendError, BoxError, Filter, MemoryStore, NotRecorded, Page, Status, Throughline, TraceContext, names,
};
use throughline_workflow::{Entity, State, StateMachine, TransitionError};
use tokio::sync::oneshot;

use crate::support::{Bench, latest};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Session {
    Idle,
    Starting,
    Running,
    Paused,
    Failed,
}
use Session::*;

impl State for Session {}

/// The sessions of seed 004.
fn sessions(bench: &Bench) -> StateMachine<Session> {
    StateMachine::builder("session", Idle)
        .transition(Idle, Starting)
        .transition(Starting, Running)
        .transition(Starting, Failed)
        .trigger("auto_paused", Running, Paused)
        .trigger("resumed", Paused, Running)
        .build(&bench.throughline)
        .unwrap()
}

/// Runs a workflow in which an entity is new.
async fn with_session<F: Future<Output = Result<(), BoxError>>>(
    bench: &Bench,
    body: impl FnOnce(TraceContext, Entity<Session>) -> F,
) {
    let sessions = sessions(bench);
    let run = bench.throughline.workflow("session").key("session-17").run(|ctx| async move {
        let session = sessions.enter(&ctx, "session-17").await?;
        body(ctx, session).await
    });
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_transition_is_a_step_of_the_run_with_the_machine_the_entity_and_both_states() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move {
        session.transition(&ctx, Starting).await?;
        let booted = session
            .transition_with(&ctx, Running, |ctx| async move {
                ctx.trace("sandbox:boot", async { Ok::<_, BoxError>(7) }).await?
            })
            .await??;
        assert_eq!(booted, 7);
        assert_eq!(session.trigger(&ctx, "auto_paused").await?, Paused);
        session.trigger_with(&ctx, "resumed", |_| async { Ok::<_, NotRecorded>(()) }).await??;
        assert_eq!(session.state(), Running);
        Ok(())
    })
    .await;

    insta::assert_snapshot!(bench.tree().await, @"
    workflow:started > workflow:completed success
      state:session:idle success
      state:session:starting success
      state:session:running success
        sandbox:boot success
      state:session:paused success
      state:session:running success
    ");
    let events = bench.events().await;
    let attrs = |event_type: &str| {
        let event = events.iter().find(|event| event.event_type == *event_type).unwrap();
        event.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(attrs("state:session:idle"), @"state.entity=session-17 state.machine=session state.to=idle");
    insta::assert_snapshot!(attrs("state:session:starting"), @"state.entity=session-17 state.from=idle state.machine=session state.to=starting");
    insta::assert_snapshot!(attrs("state:session:paused"), @"state.entity=session-17 state.from=running state.machine=session state.to=paused state.trigger=auto_paused");
    // What happens in the work of a transition is no transition itself.
    assert_eq!(attrs("sandbox:boot"), "");
}

#[tokio::test]
async fn what_was_not_declared_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move {
        let refused = session.transition(&ctx, Running).await.unwrap_err();
        insta::assert_snapshot!(refused, @"session: no transition from `idle` to `running`; from `idle` it can go to `starting`");
        assert!(!refused.is_retryable());

        session.transition(&ctx, Starting).await?;
        insta::assert_snapshot!(session.transition(&ctx, Starting).await.unwrap_err(), @"session: no transition from `starting` to `starting`; from `starting` it can go to `running`, `failed`");
        insta::assert_snapshot!(session.trigger(&ctx, "resumed").await.unwrap_err(), @"session: no trigger `resumed` from `starting`; from `starting` it can go to `running`, `failed`");
        insta::assert_snapshot!(session.trigger(&ctx, "hunter2").await.unwrap_err(), @"session: no trigger `hunter2` from `starting`; from `starting` it can go to `running`, `failed`");
        assert_eq!(session.state(), Starting);

        session.transition(&ctx, Failed).await?;
        insta::assert_snapshot!(session.transition(&ctx, Idle).await.unwrap_err(), @"session: no transition from `failed` to `idle`; `failed` is final");
        Ok(())
    })
    .await;
    // A name that was not declared is no label.
    insta::assert_snapshot!(bench.series("state_illegal"), @"
    state_illegal_transitions_total{machine=session, from=failed, to=idle} 1
    state_illegal_transitions_total{machine=session, from=idle, to=running} 1
    state_illegal_transitions_total{machine=session, from=starting, to=running} 1
    state_illegal_transitions_total{machine=session, from=starting, to=starting} 1
    state_illegal_transitions_total{machine=session, from=starting} 1
    ");
    insta::assert_snapshot!(bench.tree().await, @"
    workflow:started > workflow:completed success
      state:session:idle success
      state:session:starting success
      state:session:failed success
    ");
}

#[tokio::test]
async fn a_named_transition_is_made_by_its_name_alone() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move {
        session.transition(&ctx, Starting).await?;
        session.transition(&ctx, Running).await?;
        insta::assert_snapshot!(session.transition(&ctx, Paused).await.unwrap_err(), @"session: no transition from `running` to `paused`; from `running` it can go to `paused` (by `auto_paused`)");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_trigger_that_leads_here_and_there_is_counted_without_where_to() {
    let bench = Bench::new();
    let switches = StateMachine::builder("switch", "off")
        .trigger("flip", "off", "on")
        .trigger("flip", "on", "off")
        .trigger("smash", "on", "broken")
        .build(&bench.throughline)
        .unwrap();
    let broken = switches.restore("hall", "broken").unwrap();
    let off = switches.restore("attic", "off").unwrap();
    let run = bench.throughline.workflow("lights").run_infallible(|ctx| async move {
        broken.trigger(&ctx, "flip").await.unwrap_err();
        off.trigger(&ctx, "smash").await.unwrap_err();
    });
    run.await.unwrap();
    insta::assert_snapshot!(bench.series("state_illegal"), @"
    state_illegal_transitions_total{machine=switch, from=broken} 1
    state_illegal_transitions_total{machine=switch, from=off, to=broken} 1
    ");
}

#[tokio::test]
async fn a_state_that_only_a_configuration_could_name_is_refused_with_those_that_are_there() {
    let bench = Bench::new();
    let doors = StateMachine::builder("door", "open")
        .transition("open", "shut")
        .transition("shut", "open")
        .build(&bench.throughline)
        .unwrap();
    assert_eq!(doors.state_named("shut"), Ok("shut"));
    insta::assert_snapshot!(doors.state_named("ajar").unwrap_err(), @"door: no state `ajar`; the declared ones are `open`, `shut`");
    insta::assert_snapshot!(doors.restore("front", "ajar").unwrap_err(), @"door: no state `ajar`; the declared ones are `open`, `shut`");
    let run = bench.throughline.workflow("doors").run(|ctx| async move {
        let door = doors.enter(&ctx, "front").await?;
        insta::assert_snapshot!(door.transition(&ctx, "ajar").await.unwrap_err(), @"door: no state `ajar`; the declared ones are `open`, `shut`");
        Ok::<_, TransitionError>(())
    });
    run.await.unwrap().unwrap();
    // What is no state is no label either.
    insta::assert_snapshot!(bench.series("state_illegal"), @"state_illegal_transitions_total{machine=door, from=open} 1");
}

#[tokio::test]
async fn work_that_fails_panics_or_is_dropped_leaves_the_entity_where_it_was() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move {
        let failed =
            session.transition_with(&ctx, Starting, |_| async { Err::<(), _>("no capacity") }).await?;
        assert_eq!(failed, Err("no capacity"));

        let panicking = session.transition_with(&ctx, Starting, |_| async {
            panic!("out of memory");
            #[expect(unreachable_code, reason = "it gives the future its type")]
            Ok::<(), &str>(())
        });
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());

        let (begun, has_begun) = oneshot::channel();
        let (own, own_ctx) = (session.clone(), ctx.clone());
        let hanging = tokio::spawn(async move {
            let work = |_| async {
                begun.send(()).unwrap();
                pending::<Result<(), &str>>().await
            };
            own.transition_with(&own_ctx, Starting, work).await
        });
        has_begun.await?;
        assert_eq!(session.state(), Idle);
        hanging.abort();
        assert!(hanging.await.unwrap_err().is_cancelled());

        assert_eq!(session.state(), Idle);
        session.transition(&ctx, Starting).await?;
        Ok(())
    })
    .await;
    insta::assert_snapshot!(bench.tree().await, @"
    workflow:started > workflow:completed success
      state:session:idle success
      state:session:starting failed [error]
      state:session:starting failed [panic]
      state:session:starting cancelled [aborted]
      state:session:starting success
    ");
    insta::assert_snapshot!(bench.series("state_transitions"), @"
    state_transitions_total{machine=session, from=idle, to=starting} 1
    state_transitions_total{machine=session, from=paused, to=running} 0
    state_transitions_total{machine=session, from=running, to=paused} 0
    state_transitions_total{machine=session, from=starting, to=failed} 0
    state_transitions_total{machine=session, from=starting, to=running} 0
    state_transitions_total{machine=session, to=idle} 1
    ");
}

#[tokio::test]
async fn work_that_asks_for_a_transition_of_its_own_entity_is_refused_and_does_not_wait_for_ever() {
    let bench = Bench::new();
    with_session(&bench, |ctx, session| async move {
        let (entity, other) = (&session, sessions(&Bench::new()).restore("session-18", Idle)?);
        let nested = entity.transition_with(&ctx, Starting, |ctx| async move {
            other.transition(&ctx, Starting).await?;
            entity.transition(&ctx, Running).await
        });
        let refused = nested.await?.unwrap_err();
        insta::assert_snapshot!(refused, @"session: a transition cannot start another one of the same entity; start it afterwards");
        assert_eq!(entity.state(), Idle);
        entity.transition(&ctx, Starting).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let bench = Bench::new();
    let faults = bench.faults.clone();
    with_session(&bench, |ctx, session| async move {
        faults.fail_next(1, || AppendError::Unavailable {
            reason: "away".to_owned(),
            retry_after: None,
            source: None,
        });
        let refused = session.transition(&ctx, Starting).await.unwrap_err();
        assert!(refused.is_retryable(), "{refused}");
        assert_eq!(session.state(), Idle);
        session.transition(&ctx, Starting).await?;
        Ok(())
    })
    .await;
    let transitions = bench.series("state_transitions");
    assert!(transitions.contains("from=idle, to=starting} 1"), "{transitions}");
}

#[tokio::test]
async fn a_transition_that_is_dropped_before_its_start_is_durable_is_not_made() {
    let bench = Bench::new();
    let faults = bench.faults.clone();
    with_session(&bench, |ctx, session| async move {
        faults.hold();
        let attempts = faults.attempts();
        let (own, own_ctx) = (session.clone(), ctx.clone());
        let dropped = tokio::spawn(async move { own.transition(&own_ctx, Starting).await });
        faults.attempted(attempts + 1).await;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());
        faults.release();
        assert_eq!(session.state(), Idle);
        session.transition(&ctx, Starting).await?;
        Ok(())
    })
    .await;
    insta::assert_snapshot!(bench.tree().await, @"
    workflow:started > workflow:completed success
      state:session:idle success
      state:session:starting cancelled [aborted]
      state:session:starting success
    ");
}

#[tokio::test]
async fn an_entity_is_taken_up_where_it_was_left_and_its_time_is_measured_as_a_whole() {
    let bench = Bench::new();
    let sessions = sessions(&bench);
    let paused = sessions.state_named("paused").unwrap();
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let known = sessions.restore("session-17", paused.clone()).unwrap().since(an_hour_ago);
    let unknown = sessions.restore("session-18", paused.clone()).unwrap();
    let future =
        sessions.restore("session-19", paused).unwrap().since(SystemTime::now() + Duration::from_secs(60));
    assert_eq!((known.id(), known.state()), ("session-17", Paused));
    assert_eq!(format!("{known:?}"), r#"Entity { machine: "session", state: "paused", .. }"#);
    let run = bench.throughline.workflow("wake up").run(|ctx| async move {
        for session in [&known, &unknown, &future] {
            session.trigger(&ctx, "resumed").await?;
        }
        Ok::<_, TransitionError>(())
    });
    run.await.unwrap().unwrap();
    let durations = bench.series("state_duration");
    let times = durations.strip_prefix("state_duration_seconds{machine=session, state=paused} ").unwrap();
    let times: Vec<f64> = serde_json::from_str(times).unwrap();
    assert_eq!(times.len(), 2, "of one it is not known");
    assert!((3600.0..3660.0).contains(&times[0]) && (0.0..60.0).contains(&times[1]), "{times:?}");
}

#[tokio::test]
async fn the_story_of_an_entity_goes_on_in_the_same_trace_after_its_process_died() {
    let store = MemoryStore::new();
    let life = || Throughline::builder("sessions").store(store.clone()).build().unwrap();
    let machine = |throughline: &Throughline| {
        let machine = StateMachine::builder("session", Idle).transition(Idle, Starting);
        machine.transition(Starting, Running).build(throughline).unwrap()
    };

    let first = life();
    let (sessions, (begun, has_begun)) = (machine(&first), oneshot::channel());
    tokio::spawn(first.workflow("session").key("session-17").run(|ctx| async move {
        let session = sessions.enter(&ctx, "session-17").await?;
        session.transition(&ctx, Starting).await?;
        let boot = |_| async {
            begun.send(()).unwrap();
            pending::<Result<(), NotRecorded>>().await
        };
        session.transition_with(&ctx, Running, boot).await??;
        Ok::<_, BoxError>(())
    }));
    has_begun.await.unwrap();
    // What is at work is left as it is, as if the process had been killed.
    first.shutdown(Duration::from_secs(5)).await;

    let second = life();
    let session = latest(&second, "session-17").await.trace_id;
    let sessions = machine(&second);
    let run = second.resume(session).run(|ctx| async move {
        let kept_in_the_database = "starting";
        let session = sessions.restore("session-17", sessions.state_named(kept_in_the_database)?)?;
        session.transition(&ctx, Running).await?;
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    second.shutdown(Duration::from_secs(5)).await;
    insta::assert_snapshot!(tree(&store.trace(session)), @"
    workflow:started > workflow:resumed > workflow:completed success
      state:session:idle success
      state:session:starting success
      state:session:running pending
      state:session:running success attempt 2 (retry_of state:session:running)
    ");
}

#[tokio::test]
async fn all_transitions_of_an_entity_are_found_whoever_made_them_even_if_its_id_is_personal() {
    let bench = Bench::new();
    let sessions = sessions(&bench);
    let session = sessions.restore("ada@example.org", Idle).unwrap();
    for to in [Starting, Running] {
        let run = bench.throughline.workflow("somebody").run(|ctx| {
            let session = &session;
            async move { session.transition(&ctx, to).await }
        });
        run.await.unwrap().unwrap();
    }
    let entity = bench.throughline.findable("ada@example.org");
    assert_ne!(entity, "ada@example.org");
    let filter = Filter::new().event_type("state:session:*").attr(names::attrs::STATE_ENTITY, entity);
    let reader = bench.throughline.reader().unwrap();
    let found = reader.events(&filter.status(Status::Success), &Page::first(10)).await.unwrap().items;
    let types: Vec<_> = found.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["state:session:running", "state:session:starting"]);
}

#[tokio::test]
async fn transitions_are_none_of_the_steps_that_a_workflow_announces() {
    let bench = Bench::new();
    let sessions = sessions(&bench);
    let run = bench.throughline.workflow("session").steps(1).run(|ctx| async move {
        let session = sessions.enter(&ctx, "session-17").await?;
        session.transition(&ctx, Starting).await?;
        ctx.trace("stage:only", async { Ok::<_, BoxError>(()) }).await?
    });
    run.await.unwrap().unwrap();
    let numbered = bench.events().await.into_iter().filter(|event| event.step_index.is_some());
    assert!(
        numbered.into_iter().all(|event| event.event_type == "stage:only" && event.step_index == Some(1))
    );
}

#[tokio::test]
async fn all_of_an_entitys_life_may_happen_in_a_task_of_its_own() {
    let bench = Bench::new();
    let sessions = sessions(&bench);
    let run = bench.throughline.workflow("session").run_infallible(|ctx| async move {
        let life = tokio::spawn(async move {
            let session = sessions.enter(&ctx, "session-17").await?;
            session.transition(&ctx, Starting).await?;
            let image = String::from("debian");
            let image = &image;
            let boot = |_: TraceContext| async move { Ok::<_, std::fmt::Error>(image.len()) };
            assert_eq!(session.transition_with(&ctx, Running, boot).await?, Ok(6));
            Ok::<_, TransitionError>(session.state())
        });
        life.await.unwrap()
    });
    assert_eq!(run.await.unwrap().unwrap(), Running);
}

#[tokio::test]
async fn nothing_recorded_the_machine_still_holds() {
    let throughline = Throughline::builder("test").disabled(true).build().unwrap();
    let doors = StateMachine::builder("door", "open").transition("open", "shut").build(&throughline).unwrap();
    let run = throughline.workflow("doors").run(|ctx| async move {
        let door = doors.enter(&ctx, "front").await?;
        door.transition(&ctx, "shut").await?;
        door.transition(&ctx, "open").await.unwrap_err();
        assert_eq!(door.state(), "shut");
        Ok::<_, TransitionError>(())
    });
    run.await.unwrap().unwrap();
}
