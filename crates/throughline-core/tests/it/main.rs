//! The integration tests of the crate, in one binary.

mod memory_conformance;
mod memory_faulty;
mod memory_store;

mod context;
mod saga;
mod support;
