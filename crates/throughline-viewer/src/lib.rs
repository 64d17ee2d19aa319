#![doc = include_str!("lib.md")]

mod access;
mod api;
mod assets;
mod compressed;
mod guard;
mod leisure;
mod log_files;
mod log_line;
mod news;
mod one_file;
mod parameters;
mod problem;
mod seen;
mod serve;
mod state;
mod viewer;
mod watchers;
mod words;

pub use access::{Access, Auth};
pub use one_file::OneFile;
pub use serve::BoundViewer;
pub use viewer::{Viewer, ViewerBuilder, ViewerError};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
