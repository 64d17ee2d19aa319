//! Throughline's metrics for Prometheus: a recorder with exemplars, a cardinality guard, and /metrics.
