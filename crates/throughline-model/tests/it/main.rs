//! The suites prove the stores, feeds and spools that tests use, and find what is broken.

mod altered;
mod broken_store;
mod faulty;
mod feed;
mod remote_store;
mod spool;
