//! The event-log format of process mining: [IEEE 1849-2016, XES](https://xes-standard.org/).
//!
//! [`reader`] parses a log run by run in constant memory, [`runs`] makes events of a run, [`writer`] makes a log
//! of events again. [`attribute`] is what all three have in common: the attributes, and how they are kept in the
//! `data` of an event.

pub(crate) mod attribute;
mod position;
pub(crate) mod reader;
pub(crate) mod runs;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

/// The attributes with a meaning of their own.
pub(crate) mod keys {
    pub(crate) const NAME: &str = "concept:name";
    pub(crate) const TIME: &str = "time:timestamp";
    pub(crate) const TRANSITION: &str = throughline_core::names::data::LIFECYCLE_TRANSITION;
    pub(crate) const RESOURCE: &str = "org:resource";
}
