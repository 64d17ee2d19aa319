//! What the process and its tokio runtime are at, read at each scrape.

#[cfg(feature = "process")]
use std::collections::HashSet;

use metrics::{GaugeFn, Key, SharedString, Unit};
use throughline_core::metrics::Profile;
use throughline_core::metrics::catalogue::{self, Description, Kind};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::registry::{Described, Registry};

/// Who is read.
pub(crate) struct System {
    process: bool,
    runtime: Option<RuntimeMetrics>,
    profile: Profile,
}

impl System {
    pub(crate) fn new(process: bool, runtime: Option<Handle>, profile: Profile) -> Self {
        Self { process, runtime: runtime.map(|runtime| runtime.metrics()), profile }
    }

    /// Brings the registry up to date.
    pub(crate) fn measure(&self, registry: &Registry) {
        let readings = Readings { registry, profile: &self.profile };
        if self.process {
            readings.process();
        }
        if let Some(runtime) = &self.runtime {
            readings.runtime(runtime);
        }
    }
}

/// What the operating system says of this process.
#[cfg(feature = "process")]
fn this_process() -> Option<(sysinfo::System, sysinfo::Pid)> {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate};

    let mut system = sysinfo::System::new().ok()?;
    let pid = sysinfo::get_current_pid().ok()?;
    let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory().with_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
    Some((system, pid))
}

/// The threads of a process, where the system says how many there are beside the first.
#[cfg(feature = "process")]
fn threads(process: &sysinfo::Process) -> Option<usize> {
    cfg!(target_os = "linux").then(|| 1 + process.tasks().map_or(0, HashSet::len))
}

struct Readings<'a> {
    registry: &'a Registry,
    profile: &'a Profile,
}

impl Readings<'_> {
    #[cfg(feature = "process")]
    fn process(&self) {
        let Some((system, pid)) = this_process() else { return };
        let Some(read) = system.process(pid) else { return };
        // A process has some memory; where the system does not say how much, this is zero.
        let known = |bytes: u64| (bytes > 0).then_some(bytes as f64);
        let count = |count: Option<usize>| count.map(|count| count as f64);
        let cpu_seconds = read.accumulated_cpu_time() as f64 / 1e3;
        self.counter(catalogue::PROCESS_CPU_SECONDS.description(), Some(cpu_seconds));
        let gauges = [
            (catalogue::PROCESS_RESIDENT_MEMORY.description(), known(read.memory())),
            (catalogue::PROCESS_VIRTUAL_MEMORY.description(), known(read.virtual_memory())),
            (catalogue::PROCESS_OPEN_FDS.description(), count(read.open_files())),
            (catalogue::PROCESS_MAX_FDS.description(), count(read.open_files_limit())),
            (catalogue::PROCESS_THREADS.description(), count(threads(read))),
            (catalogue::PROCESS_START_TIME.description(), known(read.start_time())),
        ];
        for (description, value) in gauges {
            self.gauge(description, value);
        }
    }

    #[cfg(not(feature = "process"))]
    fn process(&self) {}

    fn runtime(&self, runtime: &RuntimeMetrics) {
        let gauges = [
            (catalogue::TOKIO_WORKERS.description(), runtime.num_workers()),
            (catalogue::TOKIO_ALIVE_TASKS.description(), runtime.num_alive_tasks()),
            (catalogue::TOKIO_GLOBAL_QUEUE_DEPTH.description(), runtime.global_queue_depth()),
        ];
        for (description, value) in gauges {
            self.gauge(description, Some(value as f64));
        }
        // Tokio counts this only where the processor has such a counter.
        #[cfg(target_has_atomic = "64")]
        {
            let workers = 0..runtime.num_workers();
            let busy: f64 =
                workers.map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
            self.counter(catalogue::TOKIO_BUSY_SECONDS.description(), Some(busy));
        }
    }

    /// A value that the system does not give leaves the metric out.
    fn gauge(&self, description: &'static Description, value: Option<f64>) {
        let Some(value) = value else { return };
        for key in self.keys(description, Kind::Gauge) {
            if let Some(level) = self.registry.gauge(&key) {
                GaugeFn::set(&*level, value);
            }
        }
    }

    fn counter(&self, description: &'static Description, value: Option<f64>) {
        let Some(value) = value else { return };
        for key in self.keys(description, Kind::Counter) {
            if let Some(count) = self.registry.counter(&key) {
                count.set_read(value);
            }
        }
    }

    fn keys(&self, description: &'static Description, kind: Kind) -> impl Iterator<Item = Key> {
        let described = Described {
            unit: Unit::from_string(description.unit.as_str()),
            help: SharedString::const_str(description.help),
        };
        self.profile.names_of(description).into_iter().map(move |(_, name)| {
            self.registry.describe(kind, &name, described.clone());
            Key::from_name(name)
        })
    }
}
