//! A process of the service, as the one that starts it sees it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::service::Application;
use crate::{Destinations, KEY};

/// Ends with this: when its standard input does.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    address: String,
}

impl Process {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(name: &'static str, destinations: &Destinations) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--service", name, "--store", &destinations.store, "--feed", &destinations.feed]);
        command.env(KEY, &destinations.key);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let said = child.stdout.take().context("it says its address")?;
        BufReader::new(said).read_line(&mut address)?;
        ensure!(!address.is_empty(), "{name} did not start");
        Ok(Self { name, child, address: address.trim().to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends an application for a loan, to be signed by the process at this address.
    pub(crate) async fn apply(&self, loan: &str, signer: &str) -> anyhow::Result<()> {
        let application = Application { loan: loan.to_owned(), signer: signer.to_owned() };
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(format!("http://{}/loans", self.address)).json(&application).send().await?;
        ensure!(
            answer.status() == reqwest::StatusCode::ACCEPTED,
            "{loan} was answered with {}",
            answer.status()
        );
        Ok(())
    }

    /// Kills it by SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets it end in order.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let ended = self.child.wait()?;
        ensure!(ended.success(), "{} ended with {ended}", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}
