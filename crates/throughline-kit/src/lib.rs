#![doc = include_str!("lib.md")]

mod alert;
mod alerts;
mod dashboard;
mod dashboards;
mod expr;
mod grafana;
mod kit;
mod render;
mod routing;
mod rules;

pub use kit::{File, Kit, KitError};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
