//! A service gets into five kinds of trouble, one after the other, and operators hear of each.
//!
//! It starts a loan service with a real Prometheus and a real Alertmanager around it, with the rules and the routing of
//! `docs/operations.md`, sixty times faster. For each trouble it shows the alert that fired, who was told of it, and the first command of the
//! alert's runbook with what it says. Run it with `cargo run --example operations -- --demo`; it ends by itself within two minutes.
//! It needs the programs `prometheus` and `alertmanager`. People are told through a webhook on loopback: nobody is called.

mod phones;
mod programs;
mod runbook;
mod service;
mod troubles;

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use phones::{Phones, Told};
use programs::Programs;
use service::Service;
use troubles::{TROUBLES, Trouble};

/// How long an alert may take to fire or to be resolved, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(other) = std::env::args().skip(1).find(|word| word != "--demo") {
        bail!("`{other}` is not a valid argument: run it with --demo");
    }
    let began = Instant::now();
    let programs = Programs::find()?;
    let folder = tempfile::Builder::new().prefix("operations-").tempdir()?;
    let mut phones = Phones::connect().await?;
    let service = Service::start(folder.path()).await?;
    let alertmanager = programs.alertmanager(folder.path(), phones.url())?;
    let prometheus = programs.prometheus(folder.path(), service.address(), &alertmanager)?;
    println!(
        "The loan service answers at http://{}; Prometheus is at {}.",
        service.address(),
        prometheus.url()
    );
    println!("What takes minutes takes seconds: rules and routing are sixty times faster.");
    service.is_well().await?;

    let users = service.users();
    for (number, trouble) in TROUBLES.iter().enumerate() {
        println!("\n━━ {}. {}", number + 1, trouble.title);
        go_through(trouble, &service, &programs, &mut phones).await?;
    }
    users.abort();

    drop((prometheus, alertmanager));
    let report = service.shutdown().await?;
    println!("\nShut down: {report}");
    println!("Five kinds of trouble in {} s.", began.elapsed().as_secs());
    Ok(())
}

/// From the beginning of a trouble until it is over and everybody knows.
async fn go_through(
    trouble: &Trouble,
    service: &Service,
    programs: &Programs,
    phones: &mut Phones,
) -> anyhow::Result<()> {
    let began = Instant::now();
    trouble.begin(service).await?;
    for receiver in trouble.told {
        let told = phones.wait_for(trouble.alert, receiver, "firing", PATIENCE).await?;
        if *receiver == trouble.told[0] {
            println!("   {} fired after {} s: {}", told.alert, began.elapsed().as_secs(), told.summary);
        }
    }
    let (command, said) = runbook::first(trouble.alert, programs, service.store())?;
    println!("   Told: {}", receivers(phones.all(), trouble.alert).join(", "));
    println!("   docs/runbooks/{}.md begins with\n\n   $ {command}", trouble.alert);
    ensure!(!said.trim().is_empty(), "`{command}` says nothing");
    said.lines().for_each(|line| println!("   {line}"));
    trouble.end(service).await?;
    phones.wait_for(trouble.alert, trouble.told[0], "resolved", PATIENCE).await?;
    println!("\n   Over after {} s.", began.elapsed().as_secs());
    let others = others(phones.all(), trouble.alert);
    if !others.is_empty() {
        println!("   What else was said meanwhile: {}", others.join(", "));
    }
    phones.forget();
    Ok(())
}

/// Who was told of an alert.
fn receivers<'t>(told: &'t [Told], alert: &str) -> Vec<&'t str> {
    let mut receivers: Vec<_> =
        told.iter().filter(|told| told.alert == alert).map(|told| told.receiver.as_str()).collect();
    receivers.sort_unstable();
    receivers.dedup();
    receivers
}

/// Which other alerts fired.
fn others<'t>(told: &'t [Told], alert: &str) -> Vec<&'t str> {
    let mut others: Vec<_> = told
        .iter()
        .filter(|told| told.status == "firing" && told.alert != alert)
        .map(|told| told.alert.as_str())
        .collect();
    others.sort_unstable();
    others.dedup();
    others
}
