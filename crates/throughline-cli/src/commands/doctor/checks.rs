//! How each line of the checklist is judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use throughline::config::{LogDestination, ObservabilityConfig};
use throughline::env::StoreLocation;
use throughline_core::metrics::catalogue::{
    DESTINATION_BROKEN, EVENTS_DROPPED, PROCESS_MAX_FDS, PROCESS_OPEN_FDS,
};
use throughline_core::names::env::{THROUGHLINE_PSEUDONYM_KEY, THROUGHLINE_STORE};

use super::State;
use super::production::Finding::{self, Failed, NotChecked, Ok as Fine};
use super::seen::{Seen, Stored};

const GIB: u64 = 1 << 30;
const LEAST_FILES: f64 = 4096.0;
const MOST_OF_FILES: f64 = 0.8;
/// Of a file on one of these, locks do not hold for other machines, or nothing is left after a restart.
const NOT_LOCAL: [&str; 13] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "ramfs",
    "smb3",
    "smbfs",
    "tmpfs",
];

/// Judges the configuration, if it can be read.
fn configured(seen: &Seen, judge: impl FnOnce(&ObservabilityConfig) -> Finding) -> Finding {
    match &seen.config {
        Ok(config) if config.is_disabled() => Failed("everything is off: OTEL_SDK_DISABLED=true".into()),
        Ok(config) => judge(config),
        Err(_) => NotChecked("the environment is not valid".into()),
    }
}

/// Judges the file of the store, if it is one.
fn in_file(seen: &Seen, judge: impl FnOnce(&Path) -> Finding) -> Finding {
    match (seen.file(), &seen.config) {
        (Some(file), _) => judge(&file),
        (None, Ok(config)) if config.store().is_some() => NotChecked("the store is not a file".into()),
        _ => NotChecked(format!("there is no store: set {THROUGHLINE_STORE}")),
    }
}

/// Judges what is in the store, if it can be read.
fn in_store(seen: &Seen, judge: impl FnOnce(&Stored) -> Finding) -> Finding {
    match &seen.stored {
        None => NotChecked("there is no store yet".into()),
        Some(Err(reason)) => NotChecked(reason.clone()),
        Some(Ok(stored)) => judge(stored),
    }
}

pub(super) fn environment(seen: &Seen) -> Finding {
    match &seen.config {
        Err(error) => Failed(error.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        Ok(config) if config.warnings().is_empty() => {
            Fine(format!("{} variables are set", config.shown().count()))
        }
        Ok(config) => Failed(config.warnings().join("; ")),
    }
}

pub(super) fn service_name(seen: &Seen) -> Finding {
    configured(seen, |config| match config.service() {
        unnamed if unnamed.starts_with("unknown_service") => Failed(format!("it would be called {unnamed}")),
        name => Fine(name.to_owned()),
    })
}

pub(super) fn destinations(seen: &Seen) -> Finding {
    let of = |state| seen.destinations.iter().filter(move |check| check.state == state);
    if let Some(failed) = of(State::Failed).next() {
        return Failed(format!("{}: {}", failed.what, failed.detail));
    }
    match of(State::Ok).map(|check| check.what).collect::<Vec<_>>() {
        none if none.is_empty() => NotChecked("nothing is on".into()),
        all => Fine(all.join(", ")),
    }
}

pub(super) fn encryption(seen: &Seen) -> Finding {
    configured(seen, |config| {
        let mut plain = Vec::new();
        let mut encrypted = 0;
        let mut judge = |what: &str, host: &str, is_encrypted: bool| match is_encrypted {
            true => encrypted += 1,
            false if is_this_machine(host) => {}
            false => plain.push(format!("{what} on {host}")),
        };
        match config.store() {
            Some(StoreLocation::Postgres(url)) => {
                judge("the store", host_of(&url), url.contains("sslmode=verify-full"));
            }
            Some(StoreLocation::Cosmos(url)) => judge("the store", host_of(&url), url.contains("https://")),
            _ => {}
        }
        if let Some(feed) = config.feed() {
            judge("the feed", host_of(feed), feed.starts_with("rediss://"));
        }
        if let Some(traces) = config.traces() {
            judge("the collector", host_of(&traces.endpoint), traces.endpoint.starts_with("https://"));
        }
        match (plain.is_empty(), encrypted) {
            (false, _) => {
                Failed(format!("not encrypted, or the other side is not verified: {}", plain.join(", ")))
            }
            (true, 0) => Fine("nothing is sent to other machines".into()),
            (true, _) => Fine("all connections to other machines are encrypted".into()),
        }
    })
}

/// The host of an address, without what may be a secret.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    }
}

fn is_this_machine(host: &str) -> bool {
    host.is_empty()
        || host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

pub(super) fn logs(seen: &Seen) -> Finding {
    configured(seen, |config| {
        let Some(logs) = config.logs() else { return Failed("no lines are written".into()) };
        let noisy = logs.levels.split(',').find(|level| matches!(level.trim(), "debug" | "trace"));
        if let Some(level) = noisy {
            return Failed(format!("RUST_LOG={} has {level} for everything", logs.levels));
        }
        let to_file = !matches!(logs.output, LogDestination::Stdout | LogDestination::Stderr);
        match logs.format.as_str() {
            "text" => Failed("lines are written as text".into()),
            "auto" if !to_file => Fine(format!("{}; JSON where it is no terminal", logs.levels)),
            _ => Fine(format!("{}; JSON", logs.levels)),
        }
    })
}

pub(super) fn sampling(seen: &Seen) -> Finding {
    configured(seen, |config| match config.traces() {
        None => NotChecked("no traces are exported".into()),
        Some(traces) if traces.sampler.ends_with("always_off") => {
            Failed(format!("{} exports none", traces.sampler))
        }
        Some(traces) if traces.sampler.contains("ratio") && traces.ratio <= 0.0 => {
            Failed(format!("{} with 0 exports none", traces.sampler))
        }
        Some(traces) if traces.sampler.contains("ratio") => Fine(format!("{} of all runs", traces.ratio)),
        Some(traces) => Fine(format!("all runs ({})", traces.sampler)),
    })
}

pub(super) fn durable(seen: &Seen) -> Finding {
    configured(seen, |config| match config.store() {
        None => Failed(format!("{THROUGHLINE_STORE} is not set: events are kept nowhere")),
        Some(StoreLocation::Sqlite(path)) => Fine(format!("sqlite:{}", path.display())),
        Some(StoreLocation::Postgres(url)) => Fine(format!("Postgres on {}", host_of(&url))),
        Some(StoreLocation::Cosmos(url)) => Fine(format!("Cosmos DB on {}", host_of(&url))),
        Some(_) => Fine("it is set".into()),
    })
}

/// The folder of a file.
fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn local_disk(seen: &Seen) -> Finding {
    in_file(seen, |file| {
        let Ok(folder) = folder(file).canonicalize() else {
            return Failed(format!("there is no folder {}", folder(file).display()));
        };
        let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
            return NotChecked("this system does not say what is mounted where".into());
        };
        match file_system(&mounts, &folder) {
            None => NotChecked(format!("nothing is mounted at {}", folder.display())),
            Some(kind) if NOT_LOCAL.contains(&kind) => Failed(format!("{} is on {kind}", folder.display())),
            Some(kind) => Fine(format!("{} is on {kind}", folder.display())),
        }
    })
}

/// The kind of file system that a folder is on, of the mounts as Linux shows them: `36 35 98:0 / /mnt rw master:1 - ext4 /dev/sda rw`.
fn file_system<'m>(mounts: &'m str, folder: &Path) -> Option<&'m str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        // Spaces in it are written as octal numbers.
        let place = place.split(' ').nth(4)?.replace("\\040", " ");
        folder.starts_with(&place).then(|| (place.len(), what.split(' ').next()))
    });
    // Of several at one place, the last one hides the others.
    mounted.max_by_key(|(length, _)| *length)?.1
}

pub(super) fn disk_space(seen: &Seen) -> Finding {
    in_file(seen, |file| {
        let folder = folder(file);
        let (Ok(free), Ok(all)) = (fs4::available_space(&folder), fs4::total_space(&folder)) else {
            return Failed(format!("there is no folder {}", folder.display()));
        };
        let said = format!("{:.1} of {:.1} GiB are free", in_gib(free), in_gib(all));
        if free < GIB || free < all / 10 { Failed(said) } else { Fine(said) }
    })
}

fn in_gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

pub(super) fn writable(seen: &Seen) -> Finding {
    in_file(seen, |file| {
        let folder = folder(file);
        // It has no name, and is gone when it is closed.
        match tempfile::tempfile_in(&folder) {
            Ok(_) => Fine(format!("a file can be made in {}", folder.display())),
            Err(error) => Failed(format!("{}: {error}", folder.display())),
        }
    })
}

#[cfg(unix)]
pub(super) fn private(seen: &Seen) -> Finding {
    use std::os::unix::fs::MetadataExt as _;

    in_file(seen, |file| match file.metadata() {
        Err(_) => NotChecked("there is no store yet".into()),
        Ok(found) if found.mode() & 0o077 == 0 => Fine(format!("its mode is {:03o}", found.mode() & 0o777)),
        Ok(found) => Failed(format!("its mode is {:03o}", found.mode() & 0o777)),
    })
}

#[cfg(not(unix))]
pub(super) fn private(_: &Seen) -> Finding {
    NotChecked("this system has other permissions".into())
}

pub(super) fn pseudonyms(seen: &Seen) -> Finding {
    configured(seen, |config| {
        if config.shown().any(|(variable, ..)| variable == THROUGHLINE_PSEUDONYM_KEY) {
            return Fine("the environment has a key".into());
        }
        in_store(seen, |stored| match stored.has_secret {
            true => Fine("the store keeps one".into()),
            false => Failed("neither the environment nor the store has one".into()),
        })
    })
}

pub(super) fn outbox(seen: &Seen) -> Finding {
    configured(seen, |config| match (config.store(), config.outbox()) {
        (_, Some(outbox)) => Fine(outbox.display().to_string()),
        (Some(StoreLocation::Sqlite(_)), None) => Fine("the store is on this machine".into()),
        (None, None) => NotChecked("there is no store".into()),
        (Some(_), None) => Failed("workflows wait while the store is away".into()),
    })
}

pub(super) fn retention(seen: &Seen) -> Finding {
    in_store(seen, |stored| match stored.kept {
        None => NotChecked("say for how long runs are kept: --keeps 90d".into()),
        Some((keeps, true)) => Failed(format!("some runs are older than {} days", days(keeps))),
        Some((keeps, false)) => Fine(format!("no run is older than {} days", days(keeps))),
    })
}

fn days(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() / 8_640.0).round() / 10.0
}

pub(super) fn redaction(seen: &Seen) -> Finding {
    in_store(seen, |stored| match (stored.events, stored.unredacted.is_empty()) {
        (0, _) => NotChecked("there are no events yet".into()),
        (events, true) => Fine(format!("in the latest {events} events there is nothing to redact")),
        (events, false) => {
            let kinds = stored.unredacted.iter().map(|(kind, count)| format!("{kind} ({count})"));
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            Failed(format!("in the latest {events} events there is what should have been redacted: {kinds}"))
        }
    })
}

pub(super) fn metrics_page(seen: &Seen) -> Finding {
    match &seen.metrics {
        None => Failed("it is not served, or on a port that is not known: say --metrics URL".into()),
        Some(page) if page.up => Fine(format!("{} has {} series", page.target, page.series)),
        Some(page) => {
            Failed(format!("{}: {}", page.target, page.error.as_deref().unwrap_or("it does not answer")))
        }
    }
}

/// The sum of the values of a metric on the page, if that has it.
fn value(seen: &Seen, name: &str) -> Option<f64> {
    let page = seen.metrics.as_ref().filter(|page| page.up)?;
    // In OpenMetrics, the name of a counter has no suffix.
    let bare = |name: &str| name.strip_suffix("_total").unwrap_or(name).to_owned();
    page.families.iter().find(|family| bare(&family.name) == bare(name)).map(|family| family.value)
}

pub(super) fn ledger(seen: &Seen) -> Finding {
    // No other name on the page says whether it is a page of ours.
    let Some(broken) = value(seen, DESTINATION_BROKEN.description().name) else {
        return NotChecked("the page of metrics does not say".into());
    };
    let dropped = value(seen, EVENTS_DROPPED.description().name).unwrap_or(0.0);
    match (broken, dropped) {
        (0.0, 0.0) => Fine("every event was delivered, or waits".into()),
        (0.0, dropped) => Failed(format!("{dropped} events were dropped since the service started")),
        (broken, _) => Failed(format!("{broken} destinations are broken")),
    }
}

/// What a program of Prometheus says of a file.
fn accepted(program: &str, arguments: &[&str], file: &Path) -> Finding {
    if !file.exists() {
        return Failed(format!("there is no file {}", file.display()));
    }
    match Command::new(program).args(arguments).arg(file).output() {
        Err(_) => NotChecked(format!("{program} is not installed")),
        Ok(said) if said.status.success() => Fine(format!("{program} accepts {}", file.display())),
        Ok(said) => {
            let said = [said.stdout, said.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            Failed(said.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

pub(super) fn alert_rules(seen: &Seen) -> Finding {
    match &seen.rules {
        None => NotChecked("name the file: --rules FILE".into()),
        Some(file) => accepted("promtool", &["check", "rules"], file),
    }
}

pub(super) fn routing(seen: &Seen) -> Finding {
    let Some(file) = &seen.routing else { return NotChecked("name the file: --routing FILE".into()) };
    match secrets(file) {
        Err(reason) => Failed(reason),
        Ok(()) => accepted("amtool", &["check-config"], file),
    }
}

/// Whether the files are there and not empty that a configuration names in its fields `…_file`; `amtool` does not look.
fn secrets(file: &Path) -> Result<(), String> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    for line in text.lines() {
        let Some((field, path)) = line.trim_start_matches([' ', '-']).split_once(':') else { continue };
        if !field.ends_with("_file") {
            continue;
        }
        let path = folder(file).join(path.trim().trim_matches(['"', '\'']));
        match path.metadata() {
            Err(error) => return Err(format!("the secret {}: {error}", path.display())),
            Ok(found) if found.len() == 0 => return Err(format!("the secret {} is empty", path.display())),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn health(seen: &Seen, path: &str) -> Finding {
    match seen.health.get(path) {
        None => NotChecked("say where the service answers: --service URL".into()),
        Some(health) => match (health.ok, health.status) {
            (true, _) => Fine(format!("{} answers in {} ms", health.url, health.took_ms)),
            (false, Some(status)) => Failed(format!("{} answers with {status}", health.url)),
            (false, None) => {
                Failed(format!("{}: {}", health.url, health.error.as_deref().unwrap_or("it does not answer")))
            }
        },
    }
}

pub(super) fn liveness(seen: &Seen) -> Finding {
    health(seen, "/health/live")
}

pub(super) fn readiness(seen: &Seen) -> Finding {
    health(seen, "/health/ready")
}

pub(super) fn startup(seen: &Seen) -> Finding {
    health(seen, "/health/startup")
}

pub(super) fn clock(_: &Seen) -> Finding {
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match asked.ok().filter(|said| said.status.success()).map(|said| said.stdout) {
        Some(said) if said.starts_with(b"yes") => Fine("it is synchronised".into()),
        Some(said) if said.starts_with(b"no") => Failed("it is not synchronised".into()),
        _ => NotChecked("this system does not say whether it is synchronised".into()),
    }
}

pub(super) fn file_descriptors(seen: &Seen) -> Finding {
    let of_service = |metric: &str| value(seen, metric);
    let open = of_service(PROCESS_OPEN_FDS.description().name);
    let most = of_service(PROCESS_MAX_FDS.description().name);
    let (Some(open), Some(most)) = (open, most) else {
        return NotChecked("the page of metrics does not say".into());
    };
    let said = format!("{open} of {most} are open");
    if most < LEAST_FILES || open > most * MOST_OF_FILES { Failed(said) } else { Fine(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_file_system_that_is_mounted_nearest() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
                      30 22 0:40 / /srv/my\\040files rw - nfs4 nas:/files rw\n\
                      31 22 0:41 / /dev/shm rw master:2 - tmpfs tmpfs rw\n";
        let of = |folder: &str| file_system(mounts, Path::new(folder));
        assert_eq!(of("/srv/my files/traces"), Some("nfs4"));
        assert_eq!(of("/srv/my files and more"), Some("ext4"));
        assert_eq!(of("/dev/shm"), Some("tmpfs"));
    }

    #[test]
    fn the_host_of_an_address_has_no_secret_in_it() {
        for (url, host) in [
            ("postgres://app:p%40ss@db.example.org:5432/traces?sslmode=disable", "db.example.org"),
            ("redis://:p@ss@10.0.0.7/", "10.0.0.7"),
            ("https://collector.example.org:4318/v1", "collector.example.org"),
            ("http://[::1]:4318", "::1"),
            ("localhost:4317", "localhost"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
        assert!(is_this_machine("::1") && is_this_machine("127.0.0.3") && !is_this_machine("10.0.0.7"));
    }

    #[test]
    fn a_secret_that_is_not_there_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alertmanager.yaml");
        fs::write(&file, "receivers:\n  - name: a\n    slack_configs:\n      - api_url_file: secrets/url\n")
            .unwrap();
        assert!(secrets(&file).unwrap_err().contains("secrets/url"));
        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(folder.path().join("secrets/url"), "").unwrap();
        assert!(secrets(&file).unwrap_err().ends_with("is empty"));
        fs::write(folder.path().join("secrets/url"), "https://hooks.example.org").unwrap();
        assert_eq!(secrets(&file), Ok(()));
    }
}
