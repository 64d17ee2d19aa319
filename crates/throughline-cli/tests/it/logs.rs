//! Event logs that are odd: copies that have grown, cases that share an id, times and life cycles of all kinds.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sandbox::{Sandbox, data_file};

/// A folder with a log of `tests/data/xes`, imported with these options.
fn imported(logs: &[&str], options: &[&str]) -> Sandbox {
    let sandbox = Sandbox::empty();
    for log in logs {
        import(&sandbox, log, options);
    }
    sandbox
}

fn import(sandbox: &Sandbox, log: &str, options: &[&str]) -> Value {
    let file = format!("{log}.xes");
    sandbox.write(&file, std::fs::read(data_file(&format!("xes/{file}"))).unwrap());
    sandbox.json(&[&["import", &file], options].concat())
}

/// A log of this name with these contents, imported.
fn import_text(sandbox: &Sandbox, name: &str, contents: &str, options: &[&str]) -> Value {
    let file = format!("{name}.xes");
    sandbox.write(&file, format!("<log><string key='concept:name' value='{name}'/>{contents}</log>"));
    sandbox.json(&[&["import", &file], options].concat())
}

fn events(sandbox: &Sandbox) -> Vec<Value> {
    let lines = sandbox.run(&["export"]).stdout;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn runs(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.json(&["list"])["runs"].as_array().unwrap().clone()
}

/// All that the store answers, but for the names of ids.
fn answers(sandbox: &Sandbox) -> Vec<String> {
    let ask = |args: &[&str]| sandbox.run(args).stdout;
    vec![
        ask(&["export"]),
        ask(&["export", "--format", "xes"]),
        ask(&["list", "--json"]),
        ask(&["list", "--failed", "--json"]),
        ask(&["stats", "--json"]),
    ]
}

/// Each event of a log that was exported, on one line.
fn exported(sandbox: &Sandbox) -> String {
    sandbox.run(&["export", "--format", "xes"]).stdout
}

#[test]
fn a_longer_copy_of_a_log_counts_as_if_it_alone_had_been_imported() {
    let failed = ["--failed-when", "concept:name=reject"];
    let alone = answers(&imported(&["long"], &failed));
    assert_eq!(answers(&imported(&["short", "long"], &failed)), alone);
    // A copy that says less takes nothing back.
    assert_eq!(answers(&imported(&["long", "short"], &failed)), alone);

    let sandbox = imported(&["short"], &failed);
    let report = import(&sandbox, "long", &failed);
    assert_eq!((&report["runs_replaced"], &report["failed"]), (&1.into(), &1.into()));
    assert_eq!((&report["events_new"], &report["events_known"]), (&1.into(), &4.into()));
    assert_eq!(sandbox.json(&["list", "--failed"])["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_copy_that_is_told_more_about_its_runs_replaces_what_was_imported_without_it() {
    let failed = ["--failed-when", "concept:name=reject"];
    let first = "<trace><string key='concept:name' value='1'/><event><string key='concept:name' value='reject'/>\
         <date key='time:timestamp' value='2026-01-01T10:00:00Z'/></event></trace>";
    let second = first.replace("value='1'", "value='2'");
    let sandbox = Sandbox::empty();
    import_text(&sandbox, "claims", first, &[]);
    import_text(&sandbox, "claims", &format!("{first}{second}"), &failed);
    let alone = Sandbox::empty();
    import_text(&alone, "claims", &format!("{first}{second}"), &failed);
    assert_eq!(answers(&sandbox), answers(&alone));
}

#[test]
fn a_start_that_a_longer_copy_brings_pairs_with_the_end_that_was_there() {
    let event = |transition, second| {
        format!(
            "<event><string key='concept:name' value='a'/><string key='lifecycle:transition' value='{transition}'/>\
             <date key='time:timestamp' value='2026-01-01T10:00:0{second}Z'/></event>"
        )
    };
    let trace = |events: &str| format!("<trace><string key='concept:name' value='1'/>{events}</trace>");
    let sandbox = Sandbox::empty();
    import_text(&sandbox, "claims", &trace(&event("complete", 5)), &[]);
    let whole = trace(&(event("start", 1) + &event("complete", 5)));
    import_text(&sandbox, "claims", &whole, &[]);
    let alone = Sandbox::empty();
    import_text(&alone, "claims", &whole, &[]);
    assert_eq!(answers(&sandbox), answers(&alone));
}

#[test]
fn a_store_has_as_many_runs_and_events_as_its_logs() {
    // Of another workflow, of one workflow, twice in one log, and the same twice.
    for (logs, all_runs, all_events) in [
        (&["orders", "invoices"][..], 4, 6),
        (&["dup"], 2, 4),
        (&["dup2"], 2, 4),
        (&["dup", "dup2"], 4, 8),
        (&["dup2", "dup"], 4, 8),
    ] {
        let sandbox = imported(logs, &[]);
        for again in [false, true] {
            let events = events(&sandbox);
            let of_logs = events.iter().filter(|event| event["parent_span_id"].is_string()).count();
            assert_eq!((runs(&sandbox).len(), of_logs), (all_runs, all_events), "{logs:?}, again: {again}");
            for log in logs {
                let report = import(&sandbox, log, &[]);
                assert_eq!(report["events_new"], 0, "{logs:?}");
            }
        }
    }
}

#[test]
fn cases_of_one_id_grow_each_by_itself() {
    let trace = |events: &[&str]| {
        let events: String = events
            .iter()
            .map(|name| {
                format!(
                    "<event><string key='concept:name' value='{name}'/>\
                     <date key='time:timestamp' value='2026-01-01T10:00:00Z'/></event>"
                )
            })
            .collect();
        format!("<trace><string key='concept:name' value='UNKNOWN'/>{events}</trace><trace>{events}</trace>")
    };
    let early = [trace(&["a"]), trace(&["a"]), trace(&["a", "b"])].concat();
    let late = [trace(&["a", "c"]), trace(&["a"]), trace(&["a", "b", "d"])].concat();
    let sandbox = Sandbox::empty();
    import_text(&sandbox, "claims", &early, &[]);
    let report = import_text(&sandbox, "claims", &late, &[]);
    assert_eq!((&report["runs_replaced"], &report["runs_apart"]), (&4.into(), &0.into()));
    let alone = Sandbox::empty();
    import_text(&alone, "claims", &late, &[]);
    let sorted = |sandbox: &Sandbox| events(sandbox).iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&sandbox), sorted(&alone));
}

#[test]
fn a_log_without_a_name_is_told_how_its_workflow_stays_the_same() {
    let sandbox = Sandbox::empty();
    let log =
        |events: &str| format!("<log><trace><string key='concept:name' value='1'/>{events}</trace></log>");
    let event = |name| format!("<event><string key='concept:name' value='{name}'/></event>");
    sandbox.write("march.xes", log(&event("a")));
    sandbox.write("april.xes", log(&(event("a") + &event("b"))));
    insta::assert_snapshot!(sandbox.see(&["import", "march.xes"]));
    let report = sandbox.json(&["import", "april.xes", "--workflow", "march"]);
    assert_eq!((&report["workflow_from"], &report["runs_replaced"]), (&"option".into(), &1.into()));
    assert_eq!(runs(&sandbox).len(), 1);
}

#[test]
fn an_event_of_any_size_is_kept_whole() {
    let points: String =
        (0..4_000).map(|n| format!("<float key='point {n}' value='{n}.25'/>")).collect::<String>();
    let text = "word ".repeat(40_000);
    let sandbox = Sandbox::empty();
    let trace = format!(
        "<trace><event><string key='concept:name' value='a'/><string key='text' value='{text}'/>\
         <container key='points'>{points}</container></event></trace>"
    );
    import_text(&sandbox, "machine", &trace, &[]);
    let exported = exported(&sandbox);
    assert_eq!(exported.matches("<float key=\"point ").count(), 4_000);
    assert!(exported.contains(text.trim_end()));
}

#[test]
fn attributes_are_kept_as_deep_as_they_are_read() {
    for (open, close, times) in [
        ("<container key='c'>", "</container>", 32),
        ("<string key='s' value='v'>", "</string>", 32),
        ("<list key='l'><values>", "</values></list>", 16),
    ] {
        let deep = format!("{}<int key='i' value='7'/>{}", open.repeat(times), close.repeat(times));
        let sandbox = Sandbox::empty();
        let report =
            import_text(&sandbox, "deep", &format!("<trace>{deep}<event>{deep}</event></trace>"), &[]);
        assert_eq!(report["xes_events"], 1, "{report}");
        let exported = exported(&sandbox);
        assert_eq!(exported.matches("value=\"7\"").count(), 2, "{exported}");
        assert!(!exported.contains("[cut"), "{exported}");
    }
}

#[test]
fn what_a_tag_says_besides_key_and_value_is_kept() {
    let sandbox = Sandbox::empty();
    let report = import_text(
        &sandbox,
        "shop",
        "<trace xmlns:ns='urn:x' ns:region='eu'><event ns:colour='red'><string key='concept:name' value='a' ns:attr='1'/>\
         <int key='n' ns:unit='kg' value='5'><string key='of' value='steel'/></int><container key='c' ns:open='yes'/>\
         <list key='l' ns:order='up' value='3'><values><int key='x' value='1'/></values></list>\
         <ns:thing><ns:inner/></ns:thing></event></trace>",
        &[],
    );
    assert_eq!(report["foreign_elements"], 1);
    insta::assert_snapshot!(exported(&sandbox));
}

#[test]
fn kinds_survive_redaction() {
    let sandbox = Sandbox::empty();
    let kept = "<boolean key='gender' value='true'/><int key='phone' value='2025550143'/><string key='phoneType' value='T2'/>";
    import_text(&sandbox, "kinds", &format!("<trace>{kept}<event>{kept}</event></trace>"), &[]);
    let exported = exported(&sandbox);
    for line in [
        "<boolean key=\"gender\" value=\"true\"/>",
        "<int key=\"phone\" value=\"[redacted]\"/>",
        "<string key=\"phoneType\" value=\"T2\"/>",
    ] {
        assert_eq!(exported.matches(line).count(), 2, "{line} in {exported}");
    }
}

#[test]
fn every_value_comes_out_as_it_went_in() {
    let sandbox = imported(&["types"], &[]);
    let first = exported(&sandbox);
    let (went_in, came_out) = (attributes(&sandbox.read("types.xes")), attributes(&first));
    assert_eq!(came_out, went_in);
}

/// Kind, key and value of all attributes of the traces of a log, sorted.
fn attributes(xml: &str) -> Vec<String> {
    let mut attributes: Vec<String> = xml[xml.find("<trace").unwrap()..]
        .split('<')
        .filter(|tag| tag.contains("key=\"") && !tag.starts_with("classifier"))
        .map(|tag| tag[..=tag.rfind('"').unwrap()].replace("&apos;", "'").replace("&gt;", ">"))
        .collect();
    attributes.sort();
    attributes
}

#[test]
fn times_come_out_as_they_went_in_whatever_instant_they_name() {
    let sandbox = imported(&["times"], &[]);
    assert_eq!(attributes(&exported(&sandbox)), attributes(&sandbox.read("times.xes")));
    let instants: Vec<String> = events(&sandbox)
        .iter()
        .filter(|event| event["parent_span_id"].is_string())
        .map(|event| {
            format!("{} {}", event["event_type"].as_str().unwrap(), event["timestamp"].as_str().unwrap())
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    insta::assert_snapshot!(instants.join("\n"));
}

#[test]
fn a_date_alone_is_that_day_and_midnight_may_be_written_as_the_end_of_a_day() {
    let days = imported(&["dateonly"], &[]);
    insta::assert_snapshot!("days", days.see(&["list"]));
    let lead = imported(&["lead"], &[]);
    insta::assert_snapshot!("lead", lead.see(&["show", "c1", "--timeline"]));
}

#[test]
fn what_has_no_time_has_none_and_says_so() {
    let sandbox = Sandbox::empty();
    sandbox.write("empty.xes", std::fs::read(data_file("xes/empty.xes")).unwrap());
    insta::assert_snapshot!("untimed_import", sandbox.see(&["import", "empty.xes"]));
    insta::assert_snapshot!("untimed_list", sandbox.see(&["list"]));
    insta::assert_snapshot!("untimed_show", sandbox.see(&["show", "c2"]));
    insta::assert_snapshot!("untimed_timeline", sandbox.see(&["show", "c2", "--timeline"]));
    let said = ["list", "show", "why", "running", "stats", "export"]
        .map(|command| match command {
            "show" | "why" => sandbox.see(&[command, "c2"]),
            _ => sandbox.see(&[command]),
        })
        .join("\n");
    assert!(!said.contains("1970") && !said.contains(" 0 µs"), "{said}");
    assert!(!exported(&sandbox).contains("time:timestamp\" value"));
    import(&sandbox, "orders", &[]);
    insta::assert_snapshot!("untimed_stats", sandbox.see(&["stats"]));
    // They are not lost behind those that have times.
    assert_eq!(runs(&sandbox).len(), 5);
}

#[test]
fn an_end_before_its_start_is_a_data_problem() {
    let sandbox = Sandbox::empty();
    let report = import_text(
        &sandbox,
        "clocks",
        "<trace><string key='concept:name' value='1'/>\
         <event><string key='concept:name' value='a'/><string key='lifecycle:transition' value='start'/>\
         <date key='time:timestamp' value='2026-01-01T10:00:05Z'/></event>\
         <event><string key='concept:name' value='a'/><string key='lifecycle:transition' value='complete'/>\
         <date key='time:timestamp' value='2026-01-01T10:00:01Z'/></event></trace>",
        &[],
    );
    assert_eq!(report["ends_before_start"], 1);
    insta::assert_snapshot!(sandbox.see(&["show", "1"]));
}

#[test]
fn life_cycles_mean_what_the_standard_says() {
    let sandbox = imported(&["abort"], &[]);
    insta::assert_snapshot!("abort_list", sandbox.see(&["list"]));
    for case in ["c1", "c2", "c3"] {
        insta::assert_snapshot!(format!("abort_{case}"), sandbox.see(&["show", case, "--timeline"]));
    }
}

#[test]
fn activities_of_one_name_are_told_apart_by_their_instance() {
    let sandbox = imported(&["instance"], &[]);
    insta::assert_snapshot!(sandbox.see(&["show", "c1", "--timeline"]));
}

#[test]
fn a_case_that_was_aborted_is_cancelled() {
    let sandbox = Sandbox::empty();
    let event = |name: &str, transition: &str| {
        format!(
            "<event><string key='concept:name' value='{name}'/><string key='lifecycle:transition' value='{transition}'/>\
             <date key='time:timestamp' value='2026-01-01T10:00:00Z'/></event>"
        )
    };
    let trace = |events: &[(&str, &str)]| {
        let events: String = events.iter().map(|(name, transition)| event(name, transition)).collect();
        format!("<trace>{events}</trace>")
    };
    let report = import_text(
        &sandbox,
        "cases",
        &[
            trace(&[("a", "start"), ("b", "start"), ("a", "pi_abort"), ("b", "PI_ABORT")]),
            // It was aborted, and done then.
            trace(&[("a", "start"), ("a", "ate_abort"), ("a", "start"), ("a", "complete")]),
            trace(&[("a", "start"), ("a", "ate_abort"), ("b", "complete")]),
            trace(&[("a", "schedule"), ("a", "withdraw"), ("b", "manualskip"), ("c", "complete")]),
            trace(&[("a", "start"), ("a", "suspend")]),
        ]
        .concat(),
        &[],
    );
    assert_eq!(
        [&report["cancelled"], &report["failed"], &report["unfinished"], &report["runs"]],
        [&1, &1, &1, &5].map(|count| Value::from(*count)).each_ref()
    );
}

#[test]
fn a_start_that_counts_for_its_run_counts_after_an_export_too() {
    let sandbox = Sandbox::empty();
    let start = "<event><string key='concept:name' value='reject'/><string key='lifecycle:transition' value='start'/></event>";
    import_text(
        &sandbox,
        "claims",
        &format!("<trace>{start}</trace>"),
        &["--failed-when", "concept:name=reject"],
    );
    let again = Sandbox::empty();
    again.write("claims.xes", exported(&sandbox));
    assert_eq!(again.json(&["import", "claims.xes"])["failed"], 1);
    assert_eq!(events(&again), events(&sandbox));
}

#[test]
fn what_an_export_declares_of_all_events_is_true_of_all() {
    let global = |xml: &str| {
        let globals = xml.split("<trace>").next().unwrap().split("<global").skip(1);
        let ends = globals.map(|global| global.split("</global>").next().unwrap());
        ends.flat_map(|global| attributes(&format!("<trace{global}"))).collect::<Vec<_>>()
    };
    let with_transitions = exported(&Sandbox::with_loans());
    assert!(global(&with_transitions).iter().any(|attribute| attribute.contains("lifecycle:transition")));
    let without = exported(&imported(&["orders"], &[]));
    assert!(!without.contains("lifecycle:transition"), "{without}");
    assert!(global(&without).iter().any(|attribute| attribute.contains("time:timestamp")));
    let untimed = exported(&imported(&["empty"], &[]));
    assert_eq!(global(&untimed), ["string key=\"concept:name\" value=\"UNKNOWN\""]);
}

#[test]
fn an_export_of_several_workflows_names_each() {
    let sandbox = imported(&["orders", "invoices"], &[]);
    let log = exported(&sandbox);
    insta::assert_snapshot!(log);
    let again = Sandbox::empty();
    again.write("all.xes", &log);
    again.json(&["import", "all.xes"]);
    assert_eq!(events(&again), events(&sandbox));
    // Unless it is said that all are of one.
    let one = Sandbox::empty();
    one.write("all.xes", &log);
    one.json(&["import", "all.xes", "--workflow", "billing"]);
    assert!(runs(&one).iter().all(|run| run["workflow"] == "billing"));
}

#[test]
fn of_two_names_the_first_counts_and_both_come_out() {
    let sandbox = Sandbox::empty();
    let name = |name| format!("<string key='concept:name' value='{name}'/>");
    let time = |hour| format!("<date key='time:timestamp' value='2026-01-01T1{hour}:00:00.000000Z'/>");
    let report = import_text(
        &sandbox,
        "first",
        &format!(
            "{}<trace>{}{}<event>{}{}{}{}</event></trace>",
            name("second"),
            name("c1"),
            name("c2"),
            name("a"),
            name("b"),
            time(0),
            time(1)
        ),
        &[],
    );
    assert_eq!(report["workflow"], "first");
    let events = events(&sandbox);
    assert_eq!(
        (&events[1]["event_type"], &events[1]["correlation_id"]),
        (&"activity:a".into(), &"c1".into())
    );
    assert_eq!(events[1]["timestamp"], "2026-01-01T10:00:00.000000Z");
    let log = exported(&sandbox);
    let of_traces = attributes(&log);
    assert_eq!(of_traces, attributes(&sandbox.read("first.xes").replace('\'', "\"")), "{log}");
}

#[test]
fn a_failed_run_that_was_exported_comes_back_failed() {
    let sandbox = Sandbox::with_sagas();
    let again = Sandbox::empty();
    again.write("sagas.xes", exported(&sandbox));
    let report = again.json(&["import", "sagas.xes"]);
    assert_eq!((&report["failed"], &report["unfinished"]), (&1.into(), &0.into()));
    assert_eq!(events(&again), events(&sandbox));
    assert_eq!(answers(&again)[2..], answers(&sandbox)[2..]);
}
