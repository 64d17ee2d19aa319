//! The event-log format of process mining: [IEEE 1849-2016, XES](https://xes-standard.org/).
//!
//! [`reader`] parses a log run by run in constant memory, [`runs`] makes events of a run, [`writer`] makes a log
//! of events again. [`attribute`] is what all three have in common: the attributes, and how they are kept in the
//! `data` of an event. [`native`] is what a service emitted, which XES holds completely.

pub(crate) mod attribute;
pub(crate) mod copies;
pub(crate) mod ids;
pub(crate) mod kinds;
mod lifecycle;
mod native;
mod parts;
mod position;
pub(crate) mod reader;
pub(crate) mod rules;
pub(crate) mod runs;
mod time;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

/// The attributes with a meaning of their own.
pub(crate) mod keys {
    pub(crate) const NAME: &str = "concept:name";
    pub(crate) const TIME: &str = "time:timestamp";
    pub(crate) const TRANSITION: &str = throughline_core::names::data::LIFECYCLE_TRANSITION;
    pub(crate) const RESOURCE: &str = "org:resource";
    pub(crate) const INSTANCE: &str = "concept:instance";
}
