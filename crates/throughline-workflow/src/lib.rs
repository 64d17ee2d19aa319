//! Throughline for executors and workers: tower layers around workflows, steps and jobs, queue depth, state machines.
