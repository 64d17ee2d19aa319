//! What can be declared, and how it looks.

use proptest::prelude::*;
use throughline_core::{Text, Throughline};
use throughline_workflow::{State, StateMachine, StateMachineBuilder};

use super::sessions;
use crate::measured::Measured;

fn off() -> Throughline {
    Throughline::builder("test").disabled(true).build().unwrap()
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
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
    insta::assert_snapshot!(refused.join("\n"), @"");
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
    insta::assert_snapshot!(refused.unwrap_err(), @"");
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
    insta::assert_snapshot!(sessions(&Measured::new()), @"");
}

#[test]
fn names_that_mermaid_would_misread_are_quoted() {
    let machine = StateMachine::builder("odd", "end")
        .transition("end", "in-flight: 1")
        .trigger("say \"x\" --> y\n", "in-flight: 1", "größer")
        .transition("größer", "s1_")
        .build(&off())
        .unwrap();
    insta::assert_snapshot!(machine, @"");
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
