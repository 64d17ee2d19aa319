//! Processes and servers that are killed in the middle of their work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use throughline_model::{Liveness, RunSummary, SpanId, Status, Timestamp, TraceEvent, TraceId, TraceReader};
use throughline_postgres::PostgresStore;

use crate::server::{Database, Server, shared as shared_server};
use crate::{Killed, open};

const ROLE: &str = "THROUGHLINE_TEST_POSTGRES_WRITER";

/// The group of events that a writer appends next: some of runs of its own, and one of a run that all write to.
fn group(writer: u64, round: u64) -> Vec<Arc<TraceEvent>> {
    let own = TraceId::from_key(&format!("writer {writer}, run {}", round / 4));
    let event = |trace, span: u64, seq, status, event_type| {
        let span = SpanId::from_u64(span).unwrap();
        let mut event = TraceEvent::new(trace, span, event_type, Timestamp::now(), "test");
        (event.seq, event.status, event.n) = (seq, status, round * 10 + u64::from(seq));
        event
    };
    let step = |seq, status| {
        let mut event = event(own, 2 + round % 4, seq, status, "stage:score");
        event.parent_span_id = SpanId::from_u64(1);
        event
    };
    let mut events = vec![step(0, Status::Pending), step(1, Status::Failed)];
    match round % 4 {
        0 => events.insert(0, event(own, 1, 0, Status::Pending, "workflow:started")),
        3 => events.push(event(own, 1, 1, Status::Failed, "workflow:failed")),
        _ => {}
    }
    let mut joint =
        event(TraceId::from_key("joint"), 1_000_000 * writer + round + 1, 0, Status::Success, "note");
    joint.parent_span_id = SpanId::from_u64(1);
    events.push(joint);
    events.into_iter().map(Arc::new).collect()
}

/// Checks that everything which was acknowledged is there once, in whole groups, and that rows equal their events.
async fn check(reader: &dyn TraceReader, acknowledged: &BTreeMap<u64, u64>) {
    let mut there: BTreeMap<TraceId, BTreeSet<String>> = BTreeMap::new();
    for (&writer, &rounds) in acknowledged {
        for round in 0..rounds {
            for event in group(writer, round) {
                there.entry(event.trace_id).or_default().insert(event.id().to_string());
            }
        }
    }
    for (trace, wanted) in there {
        let events = reader.trace(trace).await.unwrap();
        let found: BTreeSet<_> = events.iter().map(|event| event.id().to_string()).collect();
        assert_eq!(found.len(), events.len(), "an event of {trace} is there twice");
        let lost: Vec<_> = wanted.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let summary = reader.run(trace).await.unwrap().unwrap();
        let mut by_events = RunSummary::of(&events, |_| Liveness::Imported).unwrap();
        by_events.state = summary.state;
        assert_eq!(summary, by_events);
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_sigkill_is_there_once() {
    let Some(database) = Database::new() else { return };
    open(&database.store()).await.close().await.unwrap();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    for life in 0..6 {
        let spawn = |writer: u64| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "crash::this_process_writes_when_it_is_told_to", "--nocapture"]);
            command.env(ROLE, format!("{writer} {}", database.url()));
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            (writer, Killed(command.spawn().unwrap()))
        };
        // Two at a time, which write to one run; killed after some groups, in the middle of the next.
        let writers = [spawn(2 * life), spawn(2 * life + 1)];
        let mut said = Vec::new();
        for (writer, mut child) in writers {
            let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
            let enough = format!("acknowledged {}", 5 + 3 * life);
            let mut read: Vec<String> = Vec::new();
            for line in lines.by_ref() {
                let is_enough = line == enough;
                read.push(line);
                if is_enough {
                    break;
                }
            }
            child.0.kill().unwrap();
            read.extend(lines);
            said.push((writer, read));
        }
        for (writer, lines) in said {
            let rounds = lines.iter().filter(|line| line.starts_with("acknowledged")).count() as u64;
            assert!(rounds > 0, "{lines:?}");
            acknowledged.insert(writer, rounds);
        }
    }
    let reader = database.store().open_reader().await.unwrap();
    check(&reader, &acknowledged).await;
    let in_part =
        "SELECT count(*) FROM (SELECT xid FROM throughline.event GROUP BY xid HAVING count(*) < 3) AS parts";
    assert_eq!(database.psql(in_part), "0", "a group is there as a whole");
}

#[tokio::test]
async fn this_process_writes_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (writer, url) = role.split_once(' ').unwrap();
    let writer = writer.parse().unwrap();
    let store = open(&PostgresStore::new(url)).await;
    println!();
    for round in 0.. {
        store.append(&group(writer, round)).await.unwrap();
        println!("acknowledged {round}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_the_server_crashed_is_there_once() {
    if shared_server().is_none() {
        return;
    }
    let mut server = Server::start();
    let database = server.database();
    // What is acknowledged is on the disk, whatever the database says of other transactions.
    server.psql("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = off")).unwrap();
    let config = PostgresStore::new(server.url(&database));
    let store = open(&config).await;
    let mut acknowledged = 0;
    for life in 1..=3 {
        let (enough, is_enough) = tokio::sync::oneshot::channel();
        let writing = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                let mut enough = Some(enough);
                for round in acknowledged.. {
                    match store.append(&group(7, round)).await {
                        Ok(()) if round >= acknowledged + 20 => {
                            enough.take().map(|enough| enough.send(()));
                        }
                        Ok(()) => {}
                        Err(error) => {
                            assert!(error.is_retryable(), "{error}");
                            return round;
                        }
                    }
                }
                acknowledged
            }
        });
        is_enough.await.unwrap();
        server.end_and_restart("-QUIT");
        acknowledged = writing.await.unwrap();
        assert!(acknowledged >= 20 * life, "{acknowledged}");
        // The group whose answer was lost is repeated, whether or not it is there.
        while let Err(error) = store.append(&group(7, acknowledged)).await {
            assert!(error.is_retryable(), "{error}");
        }
        acknowledged += 1;
    }
    check(&*store.readers().reader, &BTreeMap::from([(7, acknowledged)])).await;
}
