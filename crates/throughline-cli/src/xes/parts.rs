//! The parts of an XES event: what becomes a field of its own, and what stays an attribute.

use serde_json::{Map, Value};
use throughline_core::names::{self, attrs};
use throughline_core::{Attrs, Status, Text, Timestamp};

use super::attribute::{self, Attribute, Kind};
use super::lifecycle::{self, Transition};
use super::reader::XesEvent;
use super::{keys, time};

/// When the events of a run happened. An event without a time is given that of the one before, or, at the
/// beginning, of the first that has one.
pub(super) struct Times {
    /// The first and the last; `None` if no event has a time.
    pub(super) ends: Option<(Timestamp, Timestamp)>,
    pub(super) events: Vec<(Timestamp, bool)>,
    pub(super) untimed: u64,
}

impl Times {
    pub(super) fn of(events: &[XesEvent]) -> Self {
        let own: Vec<Option<Timestamp>> = events.iter().map(XesEvent::timestamp).collect();
        let known = || own.iter().flatten().copied();
        let mut last_seen = known().next().unwrap_or(Timestamp::UNKNOWN);
        let events = own.iter().map(|own| {
            last_seen = own.unwrap_or(last_seen);
            (last_seen, own.is_some())
        });
        Self {
            events: events.collect(),
            ends: known().min().zip(known().max()),
            untimed: own.iter().filter(|own| own.is_none()).count() as u64,
        }
    }
}

impl XesEvent {
    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        let time = self.attributes.iter().find(|attribute| attribute.key == keys::TIME)?;
        time::instant(&time.text)
    }
}

/// The attributes of an XES event, each in its place.
pub(super) struct Parts {
    pub(super) event_type: Text,
    pub(super) transition: Transition,
    pub(super) aborts_case: bool,
    pub(super) instance: Option<String>,
    pub(super) attrs: Attrs,
    pub(super) data: Map<String, Value>,
}

impl Parts {
    /// Name and time leave the attributes for fields of their own, if nothing of them is lost by it: not a second
    /// attribute of that key, not an attribute of the attribute, not the offset and the digits of a time. Of several
    /// attributes of one key the first counts.
    pub(super) fn of(mut attributes: Vec<Attribute>, timestamp: Option<&str>) -> Self {
        let of_key = |key| attributes.iter().filter(move |attribute| attribute.key == key);
        let first = |key| of_key(key).find(|attribute| !attribute.kind.is_collection());
        let event_type = match first(keys::NAME) {
            Some(name) => format!("{}{}", names::ACTIVITY_PREFIX, name.text).into(),
            None => Text::literal(names::ACTIVITY_UNNAMED),
        };
        let transition = first(keys::TRANSITION);
        let attrs = match first(keys::RESOURCE) {
            Some(resource) => Attrs::new().with(attrs::ORG_RESOURCE, resource.text.clone()),
            None => Attrs::new(),
        };
        let instance = first(keys::INSTANCE).map(|instance| instance.text.clone());
        // Most activities simply happen: the standard has no transition for that.
        let (transition, aborts_case) = transition
            .map_or((Transition::End(Status::Success), false), |transition| {
                (Transition::parse(&transition.text), lifecycle::aborts_case(&transition.text))
            });
        let leaves = |key, kind, value: Option<&str>| {
            let mut all = of_key(key);
            all.next().is_some_and(|only| {
                let is_same = value.is_none_or(|value| only.text == value);
                only.kind == kind && only.children.is_empty() && is_same
            }) && all.next().is_none()
        };
        let name_leaves = leaves(keys::NAME, Kind::String, None);
        let time_leaves = timestamp.is_some() && leaves(keys::TIME, Kind::Date, timestamp);
        attributes.retain(|attribute| match attribute.key.as_str() {
            keys::NAME => !name_leaves,
            keys::TIME => !time_leaves,
            _ => true,
        });
        Self { event_type, transition, aborts_case, instance, attrs, data: attribute::to_json(&attributes) }
    }
}
