#![doc = include_str!("lib.md")]

mod alert;
mod alerts;
mod dashboard;
mod dashboards;
mod expr;
mod file;
mod grafana;
mod kit;
mod kubernetes;
mod render;
mod routing;
mod rules;
mod settings;

pub use file::{File, KitError};
pub use kit::Kit;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
