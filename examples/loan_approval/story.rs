//! What the library can say of it all.

use std::path::Path;

use anyhow::{Context as _, bail};
use throughline::Throughline;
use throughline::event::Timestamp;
use throughline::query::RunState;
use throughline::query::Style;
use throughline::store::{Page, Scope};

use crate::clients::Seen;

/// Prints the story.
pub(crate) async fn tell(
    throughline: &Throughline,
    seen: &Seen,
    database: &Path,
    style: &Style,
) -> anyhow::Result<()> {
    let answers: Vec<_> = seen.answers.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    let sent = answers_total(seen) + 2;
    println!("{sent} applications sent over HTTP; answers: {}.", answers.join(", "));
    println!("One client has hung up before its answer, and one application is still on the desk.");

    let query = throughline.query(seen.failed).await?;
    heading("Why did it fail?", &format!("why {}", short(seen)));
    println!("{}", query.explain().render(style).trim_end());

    heading("Did the compensation work?", &format!("compensations {}", short(seen)));
    println!("{}", query.compensation_ledger().render(style).trim_end());

    heading("Which choice of the agent fails most?", "decisions");
    let analytics = throughline.analytics().context("the store answers questions across runs")?;
    let mut outcomes = analytics.decision_outcomes(&Scope::all()).await?;
    outcomes.sort_by(|a, b| b.failed.ratio().total_cmp(&a.failed.ratio()));
    for outcome in outcomes {
        let (low, high) = outcome.failed.interval();
        let (rate, low, high) = (outcome.failed.ratio() * 100.0, low * 100.0, high * 100.0);
        let (hits, total) = (outcome.failed.hits, outcome.failed.total);
        println!(
            "{:<14} {hits:>2} of {total:>2} failed  {rate:>3.0} %  (95 % interval {low:.0} to {high:.0} %)",
            outcome.choice
        );
    }

    heading("What is still running?", "running");
    let reader = throughline.reader().context("the store can be read")?;
    let open = reader.open_runs(&Page::first(10)).await?.items;
    for open in open.iter().filter(|open| open.summary.state == RunState::Running) {
        let Some(step) = &open.current else { continue };
        let age = Timestamp::now().since(step.started).as_millis();
        let place = match (step.step_index, step.step_total) {
            (Some(index), Some(total)) => format!(", step {index} of {total}"),
            _ => String::new(),
        };
        let run = open.summary.correlation_id.as_deref().unwrap_or("a request");
        println!("{run} is at {}{place}, for {age} ms", step.event_type);
    }

    heading("Is the applicants' data in it?", "export");
    let kept = look_for_secrets(database, &seen.secrets)?;
    println!(
        "{} names, addresses and numbers looked for in {kept} bytes on disk: none is there.",
        seen.secrets.len()
    );

    println!("\nLook further:");
    let store = format!("--store sqlite:{}", database.display());
    for command in [format!("show {}", short(seen)), "list --failed".to_owned(), "stats".to_owned()] {
        println!("  cargo run --release -p throughline-cli -- {store} {command}");
    }
    Ok(())
}

fn answers_total(seen: &Seen) -> usize {
    seen.answers.values().sum()
}

fn short(seen: &Seen) -> String {
    seen.failed.to_string().chars().take(16).collect()
}

fn heading(question: &str, command: &str) {
    println!("\n── {question}  (throughline {command})");
}

/// Looks for what must not be kept, in every byte of the database and its log.
fn look_for_secrets(database: &Path, secrets: &[String]) -> anyhow::Result<usize> {
    let mut kept = 0;
    for suffix in ["", "-wal"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        let bytes = std::fs::read(&path)?;
        kept += bytes.len();
        let text = String::from_utf8_lossy(&bytes);
        if let Some(secret) = secrets.iter().find(|secret| text.contains(secret.as_str())) {
            bail!("`{secret}` is in {}", Path::new(&path).display());
        }
    }
    Ok(kept)
}
