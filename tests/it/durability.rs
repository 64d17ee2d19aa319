//! Every acknowledgement follows an fdatasync that follows its write. The page cache survives SIGKILL, so only the system
//! calls can prove it: the child is run under strace.

use std::path::Path;
use std::process::Command;

use crate::child::{self, Role};

/// One system call as strace saw it: at which of its lines it began and ended.
struct Call<'a> {
    name: &'a str,
    /// Everything between the parentheses.
    arguments: String,
    began: usize,
    ended: usize,
}

#[test]
fn an_acknowledgement_follows_an_fdatasync_that_follows_its_write() {
    let Some(trace) = traced(Role::Mark) else { return };
    let proved = prove(&trace).unwrap();
    assert_eq!(proved, 60);
}

#[test]
fn so_does_every_acknowledgement_of_what_waits_in_a_spool() {
    let Some(trace) = traced(Role::MarkIntoSpool) else { return };
    let proved = prove(&trace).unwrap();
    assert_eq!(proved, 60);
}

#[test]
fn the_proof_fails_when_the_store_does_not_wait_for_the_disk() {
    let Some(trace) = traced(Role::MarkWithoutSync) else { return };
    let error = prove(&trace).unwrap_err();
    assert!(error.contains("no fdatasync"), "{error}");
}

/// The system calls of a child; `None` where strace is not to be had and need not be.
fn traced(role: Role) -> Option<String> {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let strace = || {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-s", "20000", "-e", "trace=write,pwrite64,fdatasync,fsync"]);
        strace
    };
    let is_there = || Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!("left out: without strace nothing can be said about the order of system calls");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let mut through = strace();
    through.arg("-o").arg(&log);
    let output = child::command(role, &database(folder.path()), Some(through)).output();
    let output = output.expect("strace runs: install it, or set THROUGHLINE_SERVICES=off");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned())
}

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("proof.db")
}

/// For every acknowledged marker: the write of the log that holds it has ended, after that an fdatasync of the log begins
/// and ends, and after that the acknowledgement begins.
fn prove(trace: &str) -> Result<usize, String> {
    let calls = calls(trace);
    let of_the_log = |call: &&Call<'_>| call.arguments.contains("proof.db-wal>");
    let mut proved = 0;
    for acknowledgement in
        calls.iter().filter(|call| call.name == "write" && call.arguments.contains("ack marker-"))
    {
        let from = acknowledgement.arguments.find("marker-").unwrap_or_default();
        let marker = &acknowledgement.arguments[from..from + "marker-0000.".len()];
        let written = calls
            .iter()
            .filter(of_the_log)
            .find(|call| call.name == "pwrite64" && call.arguments.contains(marker))
            .ok_or_else(|| format!("{marker} was acknowledged and never written"))?;
        calls
            .iter()
            .filter(of_the_log)
            .filter(|call| matches!(call.name, "fdatasync" | "fsync"))
            .find(|sync| sync.began > written.ended && sync.ended < acknowledgement.began)
            .ok_or_else(|| format!("no fdatasync between the write of {marker} and its acknowledgement"))?;
        proved += 1;
    }
    Ok(proved)
}

/// Reads what strace wrote. A call that another thread's interrupts is written in two lines.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut unfinished = std::collections::HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(index) = unfinished.remove(thread) else { continue };
            let call: &mut Call<'_> = &mut calls[index];
            call.ended = at;
            call.arguments.push_str(resumed);
        } else if let Some((name, arguments)) = rest.split_once('(') {
            if arguments.ends_with("<unfinished ...>") {
                unfinished.insert(thread, calls.len());
            }
            calls.push(Call { name, arguments: arguments.to_owned(), began: at, ended: at });
        }
    }
    // What never ended proves nothing.
    for index in unfinished.into_values() {
        calls[index].ended = usize::MAX;
    }
    calls
}
