//! How much memory is in use: of the container's limit if it has one, else of the machine.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use sysinfo::{MemoryRefreshKind, System};

use super::runner::Answer;

/// Memory in use, of what there may be. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    used: u64,
    limit: u64,
}

impl Usage {
    fn share(self) -> f64 {
        self.used as f64 / self.limit as f64
    }
}

/// Fails if more than this share is in use.
pub(super) fn look(limit: f64) -> Answer {
    let machine = machine()?;
    let (usage, whose) = match container(Path::new("/"), machine.limit) {
        Some(usage) => (usage, "the container's"),
        None => (machine, "the machine's"),
    };
    let note = format!("{:.0} % of {whose} {} in use", usage.share() * 100.0, size(usage.limit));
    if usage.share() > limit {
        return Err(format!("{note}, more than {:.0} %", limit * 100.0).into());
    }
    Ok(Some(note))
}

fn machine() -> Result<Usage, String> {
    let mut system =
        System::new().map_err(|error| format!("cannot read how much memory is in use: {error}"))?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let limit = system.total_memory();
    if limit == 0 {
        return Err("cannot read how much memory this machine has".to_owned());
    }
    Ok(Usage { used: limit.saturating_sub(system.available_memory()), limit })
}

/// The files of one version of cgroups, as the kernel's documentation names them.
struct Version {
    /// Where its hierarchy may be mounted.
    mounts: &'static [&'static str],
    limit: &'static str,
    usage: &'static str,
    /// The page cache that can be dropped at once, in `memory.stat`: the kubelet does not count it as in use either.
    inactive: &'static str,
}

/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
const V2: Version = Version {
    mounts: &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
    limit: "memory.max",
    usage: "memory.current",
    inactive: "inactive_file",
};
/// <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>
const V1: Version = Version {
    mounts: &["sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
};

/// The tightest limit that lies above this process, below what the machine has; no limit is a number beyond that.
fn container(root: &Path, machine: u64) -> Option<Usage> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let groups = memberships.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let version = match controllers {
            "" => V2,
            list if list.split(',').any(|controller| controller == "memory") => V1,
            _ => return None,
        };
        Some((version, path))
    });
    let usages = groups.flat_map(|(version, path)| {
        let folders = version.mounts.iter().flat_map(|mount| folders(root.join(mount), path));
        folders.filter_map(|folder| version.usage(&folder)).collect::<Vec<_>>()
    });
    usages.filter(|usage| (1..machine).contains(&usage.limit)).max_by(|a, b| a.share().total_cmp(&b.share()))
}

/// The folder of a group and those of the groups around it. In a container the path is often the host's and not there;
/// the limit then lies in the mount itself.
fn folders(mount: PathBuf, path: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let own = mount.join(path.trim_start_matches('/'));
    iter::successors(Some(own), |folder| folder.parent().map(Path::to_owned))
        .take_while(move |folder| folder.starts_with(&mount))
}

impl Version {
    fn usage(&self, folder: &Path) -> Option<Usage> {
        let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        let (limit, used) = (number(self.limit)?, number(self.usage)?);
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let inactive = stat.lines().find_map(|line| line.strip_prefix(self.inactive)?.trim().parse().ok());
        Some(Usage { used: used.saturating_sub(inactive.unwrap_or(0)), limit })
    }
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn usage(used: u64, limit: u64) -> Option<Usage> {
        Some(Usage { used: used * MIB, limit: limit * MIB })
    }

    #[test]
    fn the_limit_of_cgroup_v2_is_found_and_droppable_cache_is_not_in_use() {
        let root = system(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
            ("sys/fs/cgroup/memory.current", "419430400\n"),
            ("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 209715200\nactive_file 5\n"),
        ]);
        assert_eq!(container(root.path(), 4096 * MIB), usage(200, 512));
        assert_eq!(container(root.path(), 256 * MIB), None, "a limit beyond the machine is none");
    }

    #[test]
    fn the_tightest_of_nested_groups_counts() {
        let root = system(&[
            ("proc/self/cgroup", "0::/pod.slice/app.scope\n"),
            ("sys/fs/cgroup/pod.slice/memory.max", "104857600"),
            ("sys/fs/cgroup/pod.slice/memory.current", "94371840"),
            ("sys/fs/cgroup/pod.slice/app.scope/memory.max", "max"),
            ("sys/fs/cgroup/pod.slice/app.scope/memory.current", "83886080"),
        ]);
        assert_eq!(container(root.path(), 4096 * MIB), usage(90, 100));
    }

    #[test]
    fn cgroup_v1_is_read_even_if_the_path_is_the_hosts() {
        let root = system(&[
            (
                "proc/self/cgroup",
                "11:cpu,cpuacct:/docker/c0ffee\n4:memory:/docker/c0ffee\n0::/system.slice\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "201326592\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 67108864\n"),
        ]);
        assert_eq!(container(root.path(), 4096 * MIB), usage(128, 256));
    }

    #[test]
    fn without_a_limit_the_machine_counts() {
        let unlimited = system(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "201326592\n"),
        ]);
        assert_eq!(container(unlimited.path(), 4096 * MIB), None);
        assert_eq!(container(system(&[]).path(), 4096 * MIB), None);
        let machine = machine().unwrap();
        assert!(machine.used > 0 && machine.used < machine.limit, "{machine:?}");
    }

    #[test]
    fn the_limit_is_what_fails() {
        let seen = look(1.0).unwrap().unwrap();
        assert!(seen.contains("in use"), "{seen}");
        let refused = look(0.000_001).unwrap_err().to_string();
        assert!(refused.ends_with("more than 0 %"), "{refused}");
    }

    #[test]
    fn sizes_are_written_for_people() {
        assert_eq!([size(1023), size(1536), size(u64::MAX)], ["1023 B", "1.5 KiB", "16777216.0 TiB"]);
    }
}
