//! The programs around the service: Prometheus, Alertmanager, and the command `throughline`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// The name under which Prometheus scrapes the service.
const JOB: &str = "loan-service";

/// Runs what it is given until its standard input ends. The other end of that is ours, and closes however we end, by
/// SIGKILL too.
const TIED_TO_US: &str =
    r#"exec 2>&1; "$@" & exec >&- 2>&-; server=$!; read -r line; kill "$server"; wait "$server""#;

/// Where they are.
pub(crate) struct Programs {
    alertmanager: &'static str,
    throughline: PathBuf,
}

/// A server that ends with this, and with this process at the latest.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Programs {
    /// Finds them all, or says what to install.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        // Debian has a name of its own for Alertmanager.
        let alertmanager = ["prometheus-alertmanager", "alertmanager"].into_iter().find(is_there);
        let (Some(alertmanager), true) = (alertmanager, is_there(&"prometheus")) else {
            bail!(
                "it needs the programs prometheus and alertmanager: install them (on Debian: apt-get install prometheus \
                 prometheus-alertmanager)"
            );
        };
        Ok(Self { alertmanager, throughline: command()? })
    }

    /// An Alertmanager that tells everybody through this webhook.
    pub(crate) fn alertmanager(&self, folder: &Path, webhook: &str) -> anyhow::Result<Server> {
        self.write(folder, &["routing", "--faster", "60", "--webhook", webhook])?;
        let mut server = Command::new(self.alertmanager);
        server
            .arg(format!("--config.file={}", folder.join("alertmanager.yaml").display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
        Server::start(&server)
    }

    /// A Prometheus that scrapes the service and sends alerts to this Alertmanager.
    pub(crate) fn prometheus(
        &self,
        folder: &Path,
        service: SocketAddr,
        alertmanager: &Server,
    ) -> anyhow::Result<Server> {
        self.write(folder, &["alerts", "--faster", "60", "--job", JOB])?;
        let config = folder.join("prometheus.yaml");
        let manager = &alertmanager.address;
        std::fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [alerts.yaml]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{manager}']}}]}}]}}\n\
                 scrape_configs: [{{job_name: {JOB}, static_configs: [{{targets: ['{service}']}}]}}]\n"
            ),
        )?;
        let mut server = Command::new("prometheus");
        server
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg("--web.listen-address=127.0.0.1:0");
        Server::start(&server)
    }

    /// A line for a shell, run where `throughline` is this command and knows the store. What it says is returned, whatever its exit
    /// code is: that is an answer, too.
    pub(crate) fn run(&self, line: &str, store: &Path) -> anyhow::Result<String> {
        let mut path = self.throughline.parent().unwrap_or(Path::new(".")).as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let said = Command::new("sh")
            .args(["-c", &format!("{line} 2>&1")])
            .env("PATH", path)
            .env(throughline::env::THROUGHLINE_STORE, format!("sqlite:{}", store.display()))
            .stdin(Stdio::null())
            .output()?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Has the command write files into a folder, as `docs/operations.md` says.
    fn write(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let written = Command::new(&self.throughline).args(arguments).arg("--out").arg(folder).output()?;
        let said = String::from_utf8_lossy(&written.stderr);
        ensure!(written.status.success(), "throughline {}: {said}", arguments.join(" "));
        Ok(())
    }
}

/// The command of this workspace: beside the examples, where it is once it was built.
fn command() -> anyhow::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let folder = example.parent().and_then(Path::parent).context("an example is in a folder of its own")?;
    let command = folder.join("throughline");
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| !command.exists()) {
        println!("Building the command `throughline` first; that takes a while the first time.");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "throughline-cli", "--bin", "throughline"]);
        if folder.file_name() == Some(OsStr::new("release")) {
            build.arg("--release");
        }
        ensure!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success(), "it does not build");
    }
    ensure!(
        command.exists(),
        "there is no command {}: build it with `cargo build -p throughline-cli`",
        command.display()
    );
    Ok(command)
}

impl Server {
    /// Starts a server that says where it listens, and waits until it does.
    fn start(server: &Command) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_US, "sh"]).arg(server.get_program()).args(server.get_args());
        // Not in our process group: a Ctrl-C is for us, and we need the server until we have ended.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn()?;
        let said = process.stdout.take().context("it says how it does")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let mut heard = Vec::new();
        let address = lines.find_map(|line| {
            let (_, address) = line.split_once("address=").filter(|_| line.contains("Listening on")).unzip();
            let address = address.map(|address| address.trim().to_owned());
            heard.push(line);
            address
        });
        // What else it says is read, so that it is not held up by nobody listening.
        std::thread::spawn(move || lines.for_each(drop));
        let server = server.get_program().display();
        let address = address.with_context(|| format!("{server} does not listen:\n{}", heard.join("\n")))?;
        Ok(Self { process, address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It may have ended already.
        let _ = self.process.wait();
    }
}
