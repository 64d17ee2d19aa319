//! The integration tests of the crate, in one binary.

mod memory_conformance;

mod context;
mod saga;
mod support;
