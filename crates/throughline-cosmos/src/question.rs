//! A query whose conditions depend on what is asked.

use azure_data_cosmos::Query;
use serde_json::Value;
use throughline_model::{Filter, Scope, Status, TypeMatch};

use crate::document::sortable;
use crate::error::Fault;

/// The conditions of a query on documents `c`, and the values in them.
#[derive(Default)]
pub(crate) struct Question {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Question {
    /// About documents of a kind.
    pub(crate) fn about(kind: &str) -> Self {
        let mut question = Self::default();
        question.require(format!("c.kind = '{kind}'"));
        question
    }

    pub(crate) fn require(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Adds a value; returns what stands for it.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("@p{}", self.values.len())
    }

    /// Requires that a field compares like this with a value.
    pub(crate) fn compare(&mut self, field: &str, with: &str, value: impl Into<Value>) {
        let value = self.value(value);
        self.require(format!("{field} {with} {value}"));
    }

    /// Requires that a field is this, if it is anything.
    pub(crate) fn require_same(&mut self, field: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.compare(field, "=", value);
        }
    }

    pub(crate) fn require_one_of(&mut self, field: &str, values: &[String]) {
        let values: Vec<String> = values.iter().map(|value| self.value(value.as_str())).collect();
        self.require(format!("{field} IN ({})", values.join(", ")));
    }

    /// Requires a time and a workflow; the field says the time as a [place](crate::document::place) does, at its beginning.
    pub(crate) fn require_scope(&mut self, scope: &Scope, place: &str) {
        if let Some(since) = scope.since {
            self.compare(place, ">=", sortable(since));
        }
        if let Some(until) = scope.until {
            self.compare(place, "<", sortable(until));
        }
        self.require_same("c.workflow", scope.workflow.as_deref());
    }

    /// Requires one of these statuses, if any are named.
    pub(crate) fn require_status(&mut self, statuses: &[Status]) {
        match statuses {
            [] => {}
            [status] => self.compare("c.status", "=", status.as_str()),
            _ => {
                let names = |status: &Status| status.as_str().to_owned();
                self.require_one_of("c.status", &statuses.iter().map(names).collect::<Vec<_>>());
            }
        }
    }

    /// Requires what a filter wants to know of one event: its status, its type and its tags.
    pub(crate) fn require_kind(&mut self, filter: &Filter) {
        self.require_status(&filter.statuses);
        match &filter.event_type {
            None => {}
            Some(TypeMatch::Exact(exact)) => self.compare("c.type", "=", exact.as_str()),
            Some(TypeMatch::Prefix(prefix)) => {
                let prefix = self.value(prefix.as_str());
                self.require(format!("STARTSWITH(c.type, {prefix})"));
            }
        }
        for tag in &filter.tags {
            let tag = self.value(tag.as_str());
            self.require(format!("ARRAY_CONTAINS(c.tags, {tag})"));
        }
    }

    /// The query for these fields, in this order.
    pub(crate) fn query(self, select: &str, order: &str) -> Result<Query, Fault> {
        let holds =
            if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" AND ") };
        let mut query = Query::from(format!("SELECT {select} FROM c WHERE {holds} {order}"));
        for (at, value) in self.values.into_iter().enumerate() {
            query = query.with_parameter(format!("@p{}", at + 1), value)?;
        }
        Ok(query)
    }
}
