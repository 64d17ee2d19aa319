//! The shape of the machine, without which a number says nothing.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// What a reader has to know about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// How many threads run at once.
    pub cores: usize,
    /// The processor's model.
    pub cpu: String,
    /// Main memory in GiB.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The file system and device that the stores lie on.
    pub disk: String,
    /// The compiler.
    pub rustc: String,
}

impl Machine {
    /// This machine, with the disk under a folder.
    pub fn here(folder: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let meminfo = read("/proc/meminfo");
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches([':', ' ', '\t']).to_owned()
        };
        let kib = field(&meminfo, "MemTotal").split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: known(field(&cpuinfo, "model name")),
            memory_gib: (kib.unwrap_or(0) + (1 << 19)) >> 20,
            kernel: known(read("/proc/sys/kernel/osrelease").trim().to_owned()),
            disk: known(disk_under(folder)),
            rustc: known(rustc()),
        }
    }

    /// A machine of which nothing is known.
    pub fn unknown() -> Self {
        let unknown = || known(String::new());
        Self { cores: 0, cpu: unknown(), memory_gib: 0, kernel: unknown(), disk: unknown(), rustc: unknown() }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, memory_gib, kernel, disk, rustc } = self;
        writeln!(f, "- command: `cargo xtask bench`")?;
        writeln!(f, "- machine: {cores} cores of {cpu}, {memory_gib} GiB, Linux {kernel}, {disk}")?;
        writeln!(f, "- compiler: {rustc}, release profile")
    }
}

fn known(text: String) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// How many threads ran or waited for a processor or the disk, in the last minute, five and fifteen.
pub fn load_average() -> String {
    let averages: Vec<_> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
    known(averages.join(", "))
}

/// How many bytes of main memory this process has.
pub fn resident_bytes() -> Option<u64> {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// How many bytes of main memory a process had at most.
///
/// # Errors
/// When there is no such process.
pub fn peak_memory(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("it has ended")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}

/// The mount with the longest prefix of the folder, as `ext4 on /dev/vda`.
fn disk_under(folder: &Path) -> String {
    let Ok(folder) = folder.canonicalize() else { return String::new() };
    let mounts = read("/proc/mounts");
    let mount = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    };
    mounts
        .lines()
        .filter_map(mount)
        .filter(|(_, at, _)| folder.starts_with(at))
        .max_by_key(|(_, at, _)| at.len())
        .map(|(device, _, kind)| format!("{kind} on {device}"))
        .unwrap_or_default()
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
