//! `cargo xtask test`: everything that has to hold before a change lands.

use anyhow::bail;

use crate::steps::{Steps, call, cargo};
use crate::{examples, instructions, node, packages, python, tools};

/// Runs every check: formatting, licences, lints, docs, all tests, packages, and the examples.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the tests and examples that need tools of the system, from strace to node; the run says which.
    /// Refused where CI is set.
    #[arg(long)]
    without_services: bool,
    /// How often the crash test kills a process, 200 unless said otherwise.
    #[arg(long, value_name = "N")]
    kills: Option<u32>,
    /// How many sequences of faults delivery is played with, 10,000 unless said otherwise.
    #[arg(long, value_name = "N")]
    sequences: Option<u32>,
    /// For how many seconds two hundred pages of the viewer watch a service whose emitters are timed; unless said
    /// otherwise some rounds, and nothing is timed.
    #[arg(long, value_name = "SECONDS")]
    watchers: Option<u32>,
    /// Whether the viewer's pages have to be as fast in a browser as they are meant to be; for a machine that does nothing else.
    #[arg(long)]
    viewer_speed: bool,
    /// How many inputs each fuzz target is given at random, 1,000 unless said otherwise.
    #[arg(long, value_name = "N")]
    inputs: Option<u32>,
}

/// The crash test reads from it how often to kill.
const KILLS: &str = "THROUGHLINE_KILLS";
/// The simulation of delivery reads from it how many sequences to play.
const SEQUENCES: &str = "THROUGHLINE_SEQUENCES";
/// The test of two hundred pages reads from it for how long.
const WATCHERS: &str = "THROUGHLINE_WATCHERS_SECONDS";
/// The viewer's scenes read from it whether to judge how long they take.
const VIEWER_SPEED: &str = "THROUGHLINE_VIEWER_SPEED";
/// The fuzz targets' engine reads from it how many inputs to make.
const INPUTS: &str = "BOLERO_RANDOM_ITERATIONS";

/// How many tests run at a time, for the harness of Rust's tests.
const THREADS: &str = "RUST_TEST_THREADS";

/// Tests that need a tool read this variable: with `required` a missing tool is a failure, with `off` they are
/// left out, and where it is unset (plain `cargo test`) they run if the tool is there.
const SERVICES: &str = "THROUGHLINE_SERVICES";

/// What all cargo commands have in common. The same packages and features each time, so that a dependency is
/// compiled once for checking and once for running.
const SHARED: &[&str] = &["--workspace", "--all-features", "--locked"];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.without_services && tools::in_ci() {
        bail!("--without-services is for people in a hurry; CI runs everything");
    }
    let services = if options.without_services { "off" } else { "required" };
    let mut steps = Steps::default();
    if options.without_services {
        say_what_is_left_out();
    } else {
        steps.take("system tools", tools::provide)?;
        steps.take("python packages", python::provide)?;
        steps.take("node packages", node::provide)?;
    }
    steps.take("formatting", || call(cargo().args(["fmt", "--all", "--check"])))?;
    steps.take("licences and bans", packages::check_dependencies)?;
    steps.take("lints", || {
        call(cargo().arg("clippy").args(SHARED).args(["--all-targets", "--", "-D", "warnings"]))
    })?;
    // Code that is left out with a feature may be all that uses a variable.
    steps.take("lints with few features", || {
        ["default", "otel"].into_iter().try_for_each(|features| {
            let facade =
                ["--locked", "--package", "throughline", "--no-default-features", "--features", features];
            call(cargo().arg("clippy").args(facade).args(["--", "-D", "warnings"]))
        })
    })?;
    steps.take("docs", || {
        call(cargo().arg("doc").args(SHARED).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.take("unit and integration tests", || {
        let mut tests = cargo();
        tests.arg("test").args(SHARED).args(["--lib", "--bins", "--tests", "--no-fail-fast"]);
        for (variable, count) in [
            (KILLS, options.kills),
            (SEQUENCES, options.sequences),
            (WATCHERS, options.watchers),
            (INPUTS, options.inputs),
        ] {
            tests.envs(count.map(|count| (variable, count.to_string())));
        }
        if options.viewer_speed {
            tests.env(VIEWER_SPEED, "1");
        }
        tests.env(python::PYTHON, python::interpreter()?);
        for packages in &node::ALL {
            tests.env(packages.variable, packages.modules()?);
        }
        // Panics have theirs. To capture one with each error takes long on many threads, and steps would seem slow.
        tests.env("RUST_LIB_BACKTRACE", "0");
        // Half of the time they wait for servers, browsers and other processes.
        if let (Err(_), Ok(cores)) = (std::env::var(THREADS), std::thread::available_parallelism()) {
            tests.env(THREADS, (2 * cores.get()).to_string());
        }
        call(tests.env(SERVICES, services))
    })?;
    steps
        .take("doc tests", || call(cargo().arg("test").args(SHARED).arg("--doc").env(SERVICES, services)))?;
    steps.take("packages", packages::package)?;
    steps.take("examples", || examples::run_all(SHARED, options.without_services))?;
    if !options.without_services {
        steps
            .take("instructions of the hot paths", || instructions::run(&instructions::Options::default()))?;
    }
    steps.summarise();
    if options.without_services {
        say_what_is_left_out();
    }
    Ok(())
}

fn say_what_is_left_out() {
    println!("\n!!! WITHOUT SERVICES: the tests that need these tools are left out: {}", tools::names());
    println!("!!! And these examples: {}", examples::names_of_left_out());
    println!("!!! This run proves less than `cargo xtask test`.");
}
