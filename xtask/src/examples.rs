//! Examples as smoke tests: each is run with `--demo`, and has to end well and in time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cargo_metadata::{Message, TargetKind};
use wait_timeout::ChildExt;

use crate::steps::cargo;

/// Each says that it ends by itself within two minutes, of which a busy machine makes more.
const PATIENCE: Duration = Duration::from_secs(300);

/// Examples that need a tool of the system.
const NEED_A_TOOL: [(&str, &str); 3] = [
    ("apalis_worker", "redis-server"),
    ("distributed", "redis-server and Postgres"),
    ("operations", "Prometheus and Alertmanager"),
];

/// Examples that show the same in another way with these arguments.
const ALSO_WITH: [(&str, &[&str]); 1] = [("distributed", &["--store", "cosmos"])];

/// The example that with `--serve` stays up for a browser, and says where.
const SERVES: &str = "loan_approval";

/// Builds all examples in the profile that the tests have built and runs one after the other; without services, those
/// that need none.
pub(crate) fn run_all(shared: &[&str], without_services: bool) -> anyhow::Result<()> {
    let mut build = cargo();
    build.arg("build").args(shared).args(["--examples", "--message-format=json-render-diagnostics"]);
    let mut child = build.stdout(Stdio::piped()).spawn().context("cannot run cargo build")?;
    let stdout = child.stdout.take().context("cargo build has an output")?;
    let mut examples = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.kind.contains(&TargetKind::Example)
            && let Some(path) = artifact.executable
        {
            examples.push((artifact.target.name, path));
        }
    }
    if !child.wait()?.success() {
        bail!("the examples do not build");
    }
    examples.sort();
    for name in NEED_A_TOOL.map(|(name, _)| name).into_iter().chain(ALSO_WITH.map(|(name, _)| name)) {
        ensure!(examples.iter().any(|(example, _)| example == name), "there is no example {name}");
    }
    examples.retain(|(name, _)| !(without_services && needs_a_tool(name)));
    // They keep their databases for people to look into; here nobody will.
    let temporary = tempfile::tempdir()?;
    for (name, path) in &examples {
        let others = ALSO_WITH.iter().filter(|(example, _)| example == name).map(|(_, arguments)| *arguments);
        for arguments in std::iter::once(&[][..]).chain(others) {
            let mut command = Command::new(path);
            command.arg("--demo").args(arguments).env("TMPDIR", temporary.path());
            run(name, command)?;
        }
        if name == SERVES {
            let mut command = Command::new(path);
            command.env("TMPDIR", temporary.path());
            serve(name, command)?;
        }
    }
    println!("examples that ended well: {}", examples.len());
    Ok(())
}

fn needs_a_tool(name: &str) -> bool {
    NEED_A_TOOL.iter().any(|(example, _)| *example == name)
}

/// The examples that are left out without services, each with what it needs.
pub(crate) fn names_of_left_out() -> String {
    NEED_A_TOOL.map(|(example, tool)| format!("{example} ({tool})")).join(", ")
}

fn run(name: &str, mut command: Command) -> anyhow::Result<()> {
    println!("--- example {name}");
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot run example {name}"))?;
    match child.wait_timeout(PATIENCE)? {
        Some(status) if status.success() => {
            println!("--- example {name} ended well in {:.1} s", started.elapsed().as_secs_f64());
            Ok(())
        }
        Some(status) => bail!("example {name} ended with {status}"),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("example {name} had not ended after {} s", PATIENCE.as_secs())
        }
    }
}

/// Starts an example that stays up, opens the page that it names, and ends it as Ctrl-C does.
fn serve(name: &str, mut command: Command) -> anyhow::Result<()> {
    println!("--- example {name} --serve");
    let mut child = command
        .arg("--serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run example {name}"))?;
    let output = BufReader::new(child.stdout.take().context("an example has an output")?);
    let mut lines = output.lines();
    let seen = lines.by_ref().find_map(|line| line.ok()?.trim().strip_prefix("http://").map(str::to_owned));
    // Nobody waits for room to write.
    let rest = std::thread::spawn(move || lines.for_each(drop));
    let opened = seen.context("it names no page").and_then(|page| open(&page));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let status = child.wait_timeout(PATIENCE)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    ensure!(rest.join().is_ok(), "what example {name} writes cannot be read");
    ensure!(opened?.contains("<title>Throughline</title>"), "example {name} does not serve the viewer");
    ensure!(
        interrupted.success() && status.is_some_and(|status| status.success()),
        "example {name} --serve did not end well when it was interrupted: {status:?}"
    );
    println!("--- example {name} --serve showed its page and ended well");
    Ok(())
}

/// The page at an address without its scheme, to which it may send on.
fn open(address: &str) -> anyhow::Result<String> {
    let (host, path) = address.split_once('/').with_context(|| format!("{address} has no path"))?;
    let mut path = format!("/{path}");
    for _ in 0..2 {
        let mut socket = TcpStream::connect(host)?;
        write!(socket, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(answer);
        }
        let moved = answer.lines().find_map(|line| line.strip_prefix("location: ."));
        path = moved.with_context(|| format!("{address} is not there: {answer}"))?.to_owned();
    }
    bail!("{address} sends on again and again")
}
