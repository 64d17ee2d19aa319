use crate::*;
use std::borrow::Cow;
#[derive(Clone, Debug, Default)]
pub struct Redaction;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RedactionError;
#[derive(Clone, Debug)]
pub struct Redactor;
impl Redaction {
    pub fn standard() -> Self {
        Self
    }
    pub fn build(&self) -> Result<Redactor, RedactionError> {
        Ok(Redactor)
    }
}
impl Redactor {
    pub(crate) fn event_but_attrs(&self, _e: &mut TraceEvent) {}
    pub(crate) fn attrs(&self, a: &Attrs) -> Attrs {
        a.clone()
    }
    pub fn text<'a>(&self, t: &'a str) -> Cow<'a, str> {
        t.into()
    }
    pub fn findable<'a>(&self, _k: Option<&str>, t: &'a str) -> Cow<'a, str> {
        t.into()
    }
    pub fn hits(&self, _t: &str) -> bool {
        false
    }
    pub fn can_pseudonymise(&self) -> bool {
        false
    }
}
