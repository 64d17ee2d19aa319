//! What can be declared, and how it looks.

use proptest::prelude::*;
use throughline_core::{Text, Throughline};
use throughline_workflow::{State, StateMachine, StateMachineBuilder};

use super::sessions;
use crate::support::Bench;

fn off() -> Throughline {
    Throughline::builder("test").disabled(true).build().unwrap()
}

#[test]
fn an_invalid_declaration_is_refused_with_how_to_fix_it() {
    let door = || StateMachine::builder("door", "open");
    let cases: [(&str, StateMachineBuilder<&'static str>); 9] = [
        ("no name", StateMachine::builder(" ", "open").transition("open", "shut")),
        ("nothing declared", door()),
        ("a misspelt state", door().transition("open", "shut").transition("shutt", "locked")),
        ("an island", door().transition("open", "shut").transition("in", "out").transition("out", "in")),
        ("twice", door().transition("open", "shut").transition("open", "shut")),
        ("a name twice", door().trigger("push", "open", "shut").trigger("push", "open", "locked")),
        ("an empty name", door().transition("open", "")),
        ("an empty trigger", door().trigger("", "open", "shut")),
        ("nothing leads back", door().transition("shut", "open")),
    ];
    let refused = cases.map(|(case, builder)| format!("{case}: {}", builder.build(&off()).unwrap_err()));
    insta::assert_snapshot!(refused.join("\n"), @r#"
    no name: a state machine has no name: give one, as in StateMachine::builder("session", ..)
    nothing declared: door: no transition leads away from `open`; declare a .transition(..) or a .trigger(..)
    a misspelt state: door: no transition leads from `open` to `shutt`, `locked`; declare one, or check the names for typos
    an island: door: no transition leads from `open` to `in`, `out`; declare one, or check the names for typos
    twice: door: the transition from `open` to `shut` is declared twice
    a name twice: door: the trigger `push` is declared twice from `open`; which state should it lead to?
    an empty name: door: a state has no name; its State::name(..) must return one
    an empty trigger: door: a trigger from `open` to `shut` has no name; use .transition(..) for a transition without one
    nothing leads back: door: no transition leads from `open` to `shut`; declare one, or check the names for typos
    "#);
}

#[test]
fn names_that_would_give_two_metrics_one_name_are_refused() {
    let door = |trigger| StateMachine::builder("door", "open").trigger(trigger, "open", "shut").build(&off());
    for word in ["state_transitions", "state-transitions", "created", "health_check_failure"] {
        let refused = door(word).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("door: a trigger cannot be named `{word}`")), "{refused}");
    }
    door("opened").unwrap();
    let refused = StateMachine::builder("function", "open").transition("open", "shut").build(&off());
    insta::assert_snapshot!(refused.unwrap_err(), @"a state machine cannot be named `function`: some of its metrics would have the names of others; choose another name");
}

#[test]
fn two_states_of_one_name_are_refused() {
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Shape {
        Round,
        #[expect(non_camel_case_types, reason = "that is how two variants come to the same name")]
        round,
    }
    impl State for Shape {}
    let refused =
        StateMachine::builder("shape", Shape::Round).transition(Shape::Round, Shape::round).build(&off());
    insta::assert_snapshot!(refused.unwrap_err(), @"shape: two states are named `round`; their State::name(..) must return different names");
}

#[test]
fn one_pair_of_states_may_be_joined_by_several_names_and_a_state_with_itself() {
    let machine = StateMachine::builder("door", "open")
        .trigger("pushed", "open", "shut")
        .trigger("pulled", "open", "shut")
        .transition("open", "shut")
        .transition("open", "open")
        .trigger("pushed", "shut", "open")
        .build(&off())
        .unwrap();
    assert_eq!(machine.states().collect::<Vec<_>>(), [&"open", &"shut"]);
    assert_eq!(machine.name(), "door");
}

#[test]
fn a_state_is_called_as_its_variant() {
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Sandbox {
        HealthCheckDue,
        Running { pid: u32 },
        Waiting(u32),
        Http2Ready,
    }
    impl State for Sandbox {}
    let names =
        [Sandbox::HealthCheckDue, Sandbox::Running { pid: 3 }, Sandbox::Waiting(4), Sandbox::Http2Ready];
    assert_eq!(names.map(|state| state.name()), ["health_check_due", "running", "waiting", "http2_ready"]);
    assert_eq!(Text::from("as it is").name(), "as it is");
}

#[test]
fn a_machine_prints_as_a_mermaid_diagram() {
    insta::assert_snapshot!(sessions(&Bench::new()), @"
    stateDiagram-v2
        [*] --> idle
        idle --> starting
        starting --> running
        starting --> failed
        running --> paused : auto_paused
        paused --> running : resumed
        failed --> [*]
    ");
}

#[test]
fn names_that_mermaid_would_misread_are_quoted() {
    let machine = StateMachine::builder("odd", "end")
        .transition("end", "in-flight: 1")
        .trigger("say\n\"x\" --> y", "in-flight: 1", "größer")
        .transition("größer", "s1_")
        .build(&off())
        .unwrap();
    insta::assert_snapshot!(machine, @r#"
    stateDiagram-v2
        state "end" as s0_
        state "in-flight#58; 1" as s1_
        state "größer" as s2_
        state "s1_" as s3_
        [*] --> s0_
        s0_ --> s1_
        s1_ --> s2_ : say #34;x#34; --#62; y
        s2_ --> s3_
        s3_ --> [*]
    "#);
}

proptest! {
    #[test]
    fn a_machine_is_built_just_if_every_state_can_be_reached(
        edges in prop::collection::vec((0..5_usize, 0..5_usize), 1..8),
    ) {
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        let mut builder = StateMachine::builder("machine", NAMES[0]);
        for (from, to) in &edges {
            builder = builder.transition(NAMES[*from], NAMES[*to]);
        }
        // Warshall's closure, worked out in another way than the code does.
        let mut reached = [[false; 5]; 5];
        (0..5).for_each(|state| reached[state][state] = true);
        edges.iter().for_each(|&(from, to)| reached[from][to] = true);
        for (via, from, to) in (0..5).flat_map(|v| (0..5).flat_map(move |f| (0..5).map(move |t| (v, f, t)))) {
            reached[from][to] |= reached[from][via] && reached[via][to];
        }
        let all_reached = edges.iter().all(|&(from, to)| reached[0][from] && reached[0][to]);
        let unique = (1..edges.len()).all(|at| !edges[..at].contains(&edges[at]));
        prop_assert_eq!(builder.build(&off()).is_ok(), all_reached && unique);
    }
}
