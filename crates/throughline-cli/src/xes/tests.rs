//! The reader against hostile input, the pairing of starts and completes, and the way there and back.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use proptest::prelude::*;
use throughline_core::{Redaction, Status, TraceEvent, TraceId, names};

use super::attribute::tests::{any_attribute, sorted};
use super::attribute::{Attribute, Kind};
use super::keys;
use super::reader::{XesEvent, XesReader, XesRun};
use super::rules::Rules;
use super::runs::Converter;
use super::writer::XesWriter;

fn rules() -> Rules {
    Rules {
        workflow: "loans".into(),
        overrides_workflow: false,
        service: "import".into(),
        overrides_service: false,
        failed_when: vec!["concept:name=DECLINED".parse().unwrap()],
        cancelled_when: vec!["concept:name=CANCELLED".parse().unwrap()],
    }
}

fn string(key: &str, value: &str) -> Attribute {
    Attribute::new(key, Kind::String, value)
}

/// An event at a second of 2026, of an activity and a transition.
fn event(activity: &str, transition: &str, second: u32) -> XesEvent {
    XesEvent {
        attributes: vec![
            string(keys::NAME, activity),
            string(keys::TRANSITION, transition),
            Attribute::new(
                keys::TIME,
                Kind::Date,
                format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60, second % 60),
            ),
        ],
    }
}

fn run(key: &str, events: Vec<XesEvent>) -> XesRun {
    XesRun { attributes: vec![string(keys::NAME, key)], events }
}

fn converter() -> Converter {
    Converter::new(rules(), "log", Redaction::standard().build().unwrap())
}

fn convert(run: XesRun) -> Vec<TraceEvent> {
    converter().convert(run).events
}

fn log(contents: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<log xmlns=\"http://www.xes-standard.org/\">\n{contents}</log>\n")
}

/// The runs that can be read, and why no more can.
fn read(xml: &[u8]) -> (Vec<XesRun>, Option<String>) {
    let mut runs = Vec::new();
    let mut reader = match XesReader::open(xml) {
        Ok(reader) => reader,
        Err(error) => return (runs, Some(error.to_string())),
    };
    loop {
        match reader.next_run() {
            Ok(Some(run)) => runs.push(run),
            Ok(None) => return (runs, None),
            Err(error) => return (runs, Some(error.to_string())),
        }
    }
}

fn error_of(xml: &str) -> String {
    read(xml.as_bytes()).1.unwrap()
}

const RUN: &str = "<trace><string key='concept:name' value='1'/><event><string key='concept:name' value='A'/></event></trace>\n";

#[test]
fn what_is_broken_is_named_by_line_and_column_and_what_came_before_is_kept() {
    let broken = log(&format!("{RUN}{RUN}<trace>\n  <event><string key='a' value='b'></event></trace>"));
    let (runs, error) = read(broken.as_bytes());
    assert_eq!(runs.len(), 2);
    insta::assert_snapshot!(error.unwrap(), @"line 6, column 36: ill-formed document: expected `</string>`, but `</event>` was found");
}

#[test]
fn a_file_that_ends_early_keeps_its_whole_runs() {
    let whole = log(&format!("{RUN}{RUN}"));
    for cut in [whole.len() - 2, whole.len() - 9, whole.len() - 30] {
        let (runs, error) = read(&whole.as_bytes()[..cut]);
        assert!(!runs.is_empty() && error.is_some(), "{cut}");
    }
}

#[test]
fn hostile_input_is_refused_with_its_place() {
    let bomb = "<!DOCTYPE log [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>]>\n";
    let nested = |count| "<string key='k' value='v'>".repeat(count);
    insta::assert_snapshot!(error_of(&format!("{bomb}{}", log("<string key='x' value='&b;'/>"))), @"line 4, column 1: at 1..2: unrecognized entity `b`");
    insta::assert_snapshot!(error_of(&log(&format!("<trace>{}", nested(100)))), @"line 3, column 866: attributes nest more than 32 deep");
    insta::assert_snapshot!(error_of(&log(&"<x>".repeat(100_000))), @"line 3, column 766: elements nest more than 256 deep");
    insta::assert_snapshot!(error_of(&log(&format!("<string key='k' value='{}'/>", "v".repeat(17 << 20)))), @"line 3, column 1: a tag or text is longer than 16 MiB");
    insta::assert_snapshot!(error_of(&log(&"v".repeat(17 << 20))), @"line 2, column 43: a tag or text is longer than 16 MiB");
    insta::assert_snapshot!(error_of("<html><body/></html>"), @"line 1, column 1: the outermost element is <html>, not <log>: this is not XES");
    insta::assert_snapshot!(error_of("<log><trace>"), @"line 1, column 13: the file ends before </log>");
    insta::assert_snapshot!(error_of("<log><string key='a' key='b' value=''/></log>"), @"line 1, column 6: error while parsing attribute: position 15: duplicated attribute, previous declaration at position 7");
    insta::assert_snapshot!(error_of(""), @"line 1, column 1: the file ends before </log>");
}

#[test]
fn a_run_that_would_fill_the_memory_is_refused() {
    let event = format!("<event><string key='k' value='{}'/></event>", "v".repeat(1 << 20));
    insta::assert_snapshot!(error_of(&log(&format!("<trace>{}</trace>", event.repeat(70)))), @"line 3, column 67111488: a run is larger than 64 MiB");
}

#[test]
fn what_is_not_utf_8_is_refused_and_the_mend_is_named() {
    let mut latin =
        b"<?xml version='1.0' encoding='ISO-8859-1'?><log>\n<string key='k' value='caf\xE9'/></log>".to_vec();
    insta::assert_snapshot!(read(&latin).1.unwrap(), @"line 2, column 1: invalid UTF-8; the file says it is ISO-8859-1: convert it with `iconv -f ISO-8859-1 -t UTF-8`");
    latin.drain(..b"<?xml version='1.0' encoding='ISO-8859-1'?>".len());
    insta::assert_snapshot!(read(&latin).1.unwrap(), @"line 2, column 1: invalid UTF-8");
}

#[test]
fn a_log_is_read_whatever_else_it_holds() {
    let xml = log("<extension name='C' prefix='concept' uri='u'/>\n\
         <global scope='event'><string key='concept:name' value='UNKNOWN'/></global>\n\
         <classifier name='a' keys='concept:name'/>\n<!-- a comment -->\n\
         <string key='concept:name' value='A &amp; B'/><float value='1'/><int key='a'/>\n\
         <x:other xmlns:x='urn:x'><x:string key='no' value='no'/></x:other>\n\
         <trace/>\n<event/>\n<event><int key='n' value='1'/></event>\n<trace><event/></trace>\n");
    let mut reader = XesReader::open(xml.as_bytes()).unwrap();
    assert_eq!(reader.name(), Some("A & B"));
    let mut sizes = Vec::new();
    while let Some(run) = reader.next_run().unwrap() {
        sizes.push(run.events.len());
    }
    // An empty trace, two events outside of any, and a trace of one.
    assert_eq!(sizes, [0, 2, 1]);
}

#[test]
fn the_story_of_a_run() {
    let events = convert(run(
        "loan-42",
        vec![
            event("SUBMITTED", "COMPLETE", 0),
            event("check", "schedule", 1),
            event("check", "start", 2),
            event("check", "start", 3),
            event("check", "complete", 5),
            event("DECLINED", "COMPLETE", 5),
            event("check", "complete", 9),
        ],
    ));
    let story: Vec<String> = events
        .iter()
        .map(|event| {
            let TraceEvent { n, seq, event_type, status, duration_us, .. } = event;
            let span = events.iter().position(|other| other.span_id == event.span_id).unwrap();
            let error = event.error.as_ref().map_or("", |error| &error.message);
            let line =
                format!("{n} span {span}.{seq} {event_type} {status} {} {error}", duration_us.unwrap_or(0));
            line.trim_end().to_owned()
        })
        .collect();
    insta::assert_snapshot!(story.join("\n"), @r"
    0 span 0.0 workflow:started pending 0
    1 span 1.0 activity:SUBMITTED success 0
    2 span 2.0 activity:check success 0
    3 span 3.0 activity:check pending 0
    4 span 4.0 activity:check pending 0
    5 span 3.1 activity:check success 3000000
    6 span 6.0 activity:DECLINED failed 0 concept:name is DECLINED, which counts as a failure
    7 span 4.1 activity:check success 6000000
    8 span 0.1 workflow:failed failed 9000000 concept:name is DECLINED, which counts as a failure
    ");
    let identities: HashSet<_> = events.iter().map(TraceEvent::id).collect();
    assert_eq!(identities.len(), events.len());
}

#[test]
fn a_run_with_an_open_activity_is_unfinished_unless_it_is_known_how_it_ended() {
    let open = convert(run("1", vec![event("check", "start", 1)]));
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|event| event.status == Status::Pending));
    let declined = convert(run("2", vec![event("check", "start", 1), event("DECLINED", "", 2)]));
    assert_eq!(declined.last().unwrap().event_type, names::WORKFLOW_FAILED);
    let later = convert(run("3", vec![event("DECLINED", "", 1), event("CANCELLED", "", 2)]));
    assert_eq!(later.last().unwrap().event_type, names::WORKFLOW_CANCELLED);
}

#[test]
fn events_without_a_time_take_their_neighbours() {
    let untimed = || XesEvent { attributes: vec![string(keys::NAME, "a")] };
    let events = convert(run("1", vec![untimed(), event("b", "complete", 7), untimed()]));
    let times: Vec<_> = events.iter().map(|event| event.timestamp).collect();
    assert!(times.iter().all(|time| *time == times[0]));
    assert_eq!(events.iter().filter(|event| event.has_tag(names::tags::UNTIMED)).count(), 2);
}

#[test]
fn a_later_copy_of_a_log_with_more_events_repeats_the_ids_of_the_first() {
    let early = vec![event("a", "start", 1), event("a", "complete", 2), event("b", "complete", 2)];
    let mut late = vec![event("z", "complete", 0)];
    late.extend(early.clone());
    late.push(event("b", "complete", 2));
    let ids = |events| convert(run("1", events)).iter().map(TraceEvent::id).collect::<HashSet<_>>();
    assert!(ids(early).is_subset(&ids(late)));
}

#[test]
fn what_happens_often_at_one_instant_takes_time_in_proportion() {
    // The best of several, so that other load on the machine does not matter; four times as many take sixteen times as
    // long where each looks at all before it.
    let took = |count: usize| {
        let events = vec![event("a", "complete", 1); count];
        let measure = || {
            let run = run("1", events.clone());
            let started = Instant::now();
            assert_eq!(convert(run).len(), count + 2);
            started.elapsed()
        };
        (0..3).map(|_| measure()).min().unwrap()
    };
    let (few, many) = (took(5_000), took(20_000));
    assert!(many < few * 9, "{few:?}, four times as many {many:?}");
}

#[test]
fn runs_without_a_key_are_known_by_how_they_begin() {
    let mut converter = converter();
    let mut id = |run: XesRun| converter.convert(run).id.unwrap().shared;
    let unnamed = |events| XesRun { attributes: Vec::new(), events };
    let first = id(unnamed(vec![event("a", "complete", 1)]));
    let again = id(unnamed(vec![event("a", "complete", 1)]));
    let ids = [first, again, id(unnamed(vec![event("a", "complete", 2)])), id(unnamed(vec![]))];
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4);
    // In a copy of the log in which others stand before it, it is the same.
    let mut copy = self::converter();
    copy.convert(unnamed(vec![event("z", "complete", 0)]));
    let grown = unnamed(vec![event("a", "complete", 1), event("b", "complete", 2)]);
    assert_eq!(copy.convert(grown).id.unwrap().shared, first);
}

#[test]
fn no_trace_id_is_made_of_what_must_not_be_known() {
    let id = |redaction: Redaction, key: &str| {
        let mut converter = Converter::new(rules(), "log", redaction.build().unwrap());
        converter.convert(run(key, vec![event("a", "complete", 1)])).events[0].trace_id
    };
    assert_eq!(id(Redaction::standard(), "loan-42"), TraceId::from_key("6:import5:loansloan-42"));
    let address = "ada@example.org";
    let unnamed = TraceId::from_key("#6:import5:loans2026-01-01T00:00:01.000000Z a");
    assert_eq!(id(Redaction::standard(), address), unnamed);
    let keyed = id(Redaction::standard().pseudonym_key("a secret of this test"), address);
    let guessed = TraceId::from_key(&format!("6:import5:loans{address}"));
    assert!(keyed != unnamed && keyed != guessed);
}

proptest! {
    #[test]
    fn pairs_are_first_in_first_out_and_every_event_is_accounted_for(
        steps in proptest::collection::vec((0..3_u8, 0..4_u8, 0..5_u32), 0..60)
    ) {
        let mut clock = 0;
        let steps: Vec<(u8, u8, u32)> = steps.into_iter().map(|(activity, transition, wait)| {
            clock += wait;
            (activity, transition, clock)
        }).collect();
        let transition = |number| ["start", "COMPLETE", "schedule", "Start"][usize::from(number)];
        let xes = steps.iter().map(|&(activity, number, second)| {
            event(&format!("a{activity}"), transition(number), second)
        });
        let mut converter = converter();
        let events = converter.convert(run("1", xes.collect())).events;
        let tally = converter.tally().clone();
        prop_assert_eq!(tally.xes_events, steps.len() as u64);
        prop_assert_eq!(
            tally.xes_events,
            2 * tally.pairs + tally.unmatched_completes + tally.open_starts + tally.other_transitions
        );
        let inner: Vec<_> =
            events.iter().filter(|event| !event.has_tag(names::tags::SYNTHESISED)).collect();
        prop_assert_eq!(inner.len(), steps.len());
        prop_assert!(events.windows(2).all(|pair| pair[0].n < pair[1].n));

        // The plain way to say it: of each activity, the k-th start goes with the k-th complete that finds one.
        let mut waiting: HashMap<u8, Vec<usize>> = HashMap::new();
        for (at, (activity, number, _)) in steps.iter().enumerate() {
            match transition(*number).to_lowercase().as_str() {
                "start" => {
                    prop_assert_eq!(inner[at].status, Status::Pending);
                    waiting.entry(*activity).or_default().push(at);
                }
                "complete" if waiting.get(activity).is_some_and(|starts| !starts.is_empty()) => {
                    let start = waiting.get_mut(activity).unwrap().remove(0);
                    prop_assert_eq!(inner[at].span_id, inner[start].span_id);
                    prop_assert_eq!(inner[at].seq, 1);
                    let took = inner[at].timestamp.since(inner[start].timestamp).as_micros() as u64;
                    prop_assert_eq!(inner[at].duration_us, Some(took));
                }
                _ => {
                    prop_assert_eq!(inner[at].seq, 0);
                    prop_assert_eq!(inner.iter().filter(|e| e.span_id == inner[at].span_id).count(), 1);
                }
            }
        }
    }

    #[test]
    fn a_log_survives_the_way_there_and_back(
        runs in proptest::collection::vec(
            (proptest::collection::vec(any_attribute(), 0..3),
             proptest::collection::vec((proptest::collection::vec(any_attribute(), 0..3), 0..3_u32), 0..6)),
            0..4,
        )
    ) {
        let mut written: Vec<XesRun> = Vec::new();
        for (number, (attributes, events)) in runs.into_iter().enumerate() {
            let mut run = run(&number.to_string(), Vec::new());
            run.attributes.extend(attributes);
            for (attributes, second) in events {
                let mut event = event("a & b", "start", second);
                event.attributes.extend(attributes);
                run.events.push(event);
            }
            written.push(run);
        }
        let mut converter = converter();
        let mut writer = XesWriter::begin(Redaction::standard().build().unwrap()).unwrap();
        for run in &written {
            let run = XesRun {
                attributes: run.attributes.clone(),
                events: run.events.iter().map(|e| XesEvent { attributes: e.attributes.clone() }).collect(),
            };
            let mut events = converter.convert(run).events;
            events.sort_by_key(TraceEvent::order);
            writer.run(events, false).unwrap();
        }
        let mut log = Vec::new();
        writer.finish(Some("loans"), &mut log).unwrap();
        let (mut read, error) = read(&log);
        prop_assert_eq!(error, None);
        for run in read.iter_mut().chain(&mut written) {
            run.attributes = sorted(std::mem::take(&mut run.attributes));
            for event in &mut run.events {
                event.attributes = sorted(std::mem::take(&mut event.attributes));
            }
        }
        prop_assert_eq!(read, written);
    }
}
