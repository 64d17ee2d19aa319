#![doc = include_str!("lib.md")]

mod alert;
mod alerts;
mod compose;
mod dashboard;
mod dashboards;
mod expr;
mod file;
mod grafana;
mod kit;
mod kubernetes;
mod objective;
mod prober;
mod render;
mod routing;
mod rules;
mod settings;
mod slo;
mod viewer;

pub use file::{File, KitError};
pub use kit::Kit;
pub use objective::{Indicator, Objective, Objectives, ObjectivesError, Subject};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
