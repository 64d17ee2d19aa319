//! What the process and its tokio runtime are at, read at each scrape.

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

struct Readings<'a> {
    registry: &'a Registry,
    profile: &'a Profile,
}

impl Readings<'_> {
    #[cfg(feature = "process")]
    fn process(&self) {
        let read = metrics_process::collector::collect();
        self.counter(catalogue::PROCESS_CPU_SECONDS.description(), read.cpu_seconds_total);
        let gauges = [
            (catalogue::PROCESS_RESIDENT_MEMORY.description(), read.resident_memory_bytes),
            (catalogue::PROCESS_VIRTUAL_MEMORY.description(), read.virtual_memory_bytes),
            (catalogue::PROCESS_OPEN_FDS.description(), read.open_fds),
            (catalogue::PROCESS_MAX_FDS.description(), read.max_fds),
            (catalogue::PROCESS_THREADS.description(), read.threads),
            (catalogue::PROCESS_START_TIME.description(), read.start_time_seconds),
        ];
        for (description, value) in gauges {
            self.gauge(description, value.map(|value| value as f64));
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
