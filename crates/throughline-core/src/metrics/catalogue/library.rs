//! Throughline itself, the process and its runtime.

use super::{Alias, Counter, Description, Gauge, Kind, Metric, Unit, catalogue};

catalogue! {
    LIBRARY:

    EVENTS_ACCEPTED: Counter["service", "destination"] = "throughline_events_accepted_total", Count,
        "Events handed over to a destination.";
    EVENTS_DELIVERED: Counter["service", "destination"] = "throughline_events_delivered_total", Count,
        "Events that a destination acknowledged.";
    EVENTS_DROPPED: Counter["service", "destination", "reason"] = "throughline_events_dropped_total", Count,
        "Events that were dropped for a destination, by reason.";
    EVENTS_PENDING: Gauge["service", "destination"] = "throughline_events_pending", Count,
        "Events of which it is not known yet whether a destination gets them: those accepted, less those delivered and dropped.";
    DESTINATION_PANICS: Counter["service", "destination"] = "throughline_destination_panics_total", Count,
        "How often a destination panicked; what it was given then is tried again, or counted as dropped.";
    DESTINATION_BROKEN: Gauge["service", "destination"] = "throughline_destination_broken", Count,
        "1 if a destination takes nothing until somebody repairs it, otherwise 0.";
    UPKEEP_FAILURES: Counter["service", "destination"] = "throughline_store_upkeep_failures_total", Count,
        "How often work failed that a store does on its own, such as removing old runs. Events are not lost by it.";
    REDACTED: Counter["service", "kind"] = "throughline_redacted_total", Count,
        "How often redaction put something in place of something sensitive, by what it was.";
    STORE_CHARGES: Counter["service", "destination", "operation"] = "throughline_store_charges_total", Count,
        "What the service behind a store charged for its operations, in units of its own: request units, for Azure Cosmos DB.";
    LOG_LINES: Counter["service"] = "throughline_log_lines_total", Count,
        "Lines that were logged at a level that is on.";
    LOG_LINES_DROPPED: Counter["service", "reason"] = "throughline_log_lines_dropped_total", Count,
        "Lines of the log that were not written, by reason.";
    LABEL_OVERFLOW: Counter["metric", "label"] = "throughline_metrics_label_overflow_total", Count,
        "How often a label of a series, or all labels if none is named, was folded into `_overflow` because there were too many values.";
    PROCESS_CPU_SECONDS: Counter[] = "process_cpu_seconds_total", Seconds,
        "User and system CPU time spent.";
    PROCESS_RESIDENT_MEMORY: Gauge[] = "process_resident_memory_bytes", Bytes,
        "Resident memory.",
        aliases: [Alias::gauge("{prefix}_memory_bytes", &[])];
    PROCESS_VIRTUAL_MEMORY: Gauge[] = "process_virtual_memory_bytes", Bytes,
        "Virtual memory.";
    PROCESS_OPEN_FDS: Gauge[] = "process_open_fds", Count,
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge[] = "process_max_fds", Count,
        "Maximum number of open file descriptors.";
    PROCESS_THREADS: Gauge[] = "process_threads", Count,
        "Threads of the process.";
    PROCESS_START_TIME: Gauge[] = "process_start_time_seconds", Seconds,
        "When the process started, since the Unix epoch.";
    TOKIO_WORKERS: Gauge[] = "tokio_runtime_workers", Count,
        "Worker threads of the tokio runtime.";
    TOKIO_ALIVE_TASKS: Gauge[] = "tokio_runtime_alive_tasks", Count,
        "Tasks that have not ended.";
    TOKIO_GLOBAL_QUEUE_DEPTH: Gauge[] = "tokio_runtime_global_queue_depth", Count,
        "Tasks that wait in the runtime's global queue.";
    TOKIO_BUSY_SECONDS: Counter[] = "tokio_runtime_busy_seconds_total", Seconds,
        "Total time that the runtime's workers were busy.";
}
