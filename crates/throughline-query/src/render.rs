//! The answers as text, made for people.
//!
//! Every character that comes from an event goes through [`printer::Line::push`], which escapes control characters:
//! no event can send a terminal anything but text.

mod decisions;
mod diff;
mod explanation;
mod ledger;
mod printer;
mod style;
mod text;
mod timeline;
mod tree;

pub use style::{Emphasis, Style};
pub use text::{elide, escape, is_unsafe};
