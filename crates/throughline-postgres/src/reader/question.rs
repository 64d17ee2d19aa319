//! A statement whose conditions depend on what is asked.

use std::fmt::Write as _;

use throughline_model::{Filter, Scope, Status, TypeMatch};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::connect::Param;
use crate::error::Fault;
use crate::text::{status_code, to_column};

/// A value, and what the server takes it for.
type Value = (Box<dyn ToSql + Sync + Send>, Type);

/// The conditions of a statement, and the values in them.
#[derive(Default)]
pub(super) struct Question {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Question {
    /// Adds a value; returns what stands for it.
    pub(super) fn value(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.value(to_column(text).into_owned(), Type::TEXT)
    }

    pub(super) fn number(&mut self, number: i64) -> String {
        self.value(number, Type::INT8)
    }

    pub(super) fn require(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Requires a moment and a workflow, by the names of their columns.
    pub(super) fn require_scope(&mut self, scope: &Scope, moment: &str, workflow: &str) {
        if let Some(since) = scope.since {
            let since = self.number(since.as_micros());
            self.require(format!("{moment} >= {since}"));
        }
        if let Some(until) = scope.until {
            let until = self.number(until.as_micros());
            self.require(format!("{moment} < {until}"));
        }
        if let Some(wanted) = &scope.workflow {
            let wanted = self.text(wanted);
            self.require(format!("{workflow} = {wanted}"));
        }
    }

    /// What an event `e` must have to be of the kind that a filter wants, without its tags.
    pub(super) fn kind(&mut self, filter: &Filter) -> Vec<String> {
        let mut conditions = Vec::new();
        match filter.statuses[..] {
            [] => {}
            // Written out, so that the index of failures is found.
            [Status::Failed] => conditions.push("e.status = 2".to_owned()),
            _ => {
                let codes: Vec<i16> = filter.statuses.iter().copied().map(status_code).collect();
                let codes = self.value(codes, Type::INT2_ARRAY);
                conditions.push(format!("e.status = ANY ({codes})"));
            }
        }
        match &filter.event_type {
            None => {}
            Some(TypeMatch::Exact(exact)) => {
                let exact = self.text(exact);
                conditions.push(format!("e.event_type = {exact}"));
            }
            Some(TypeMatch::Prefix(prefix)) => {
                let prefix = self.text(prefix);
                conditions.push(format!("starts_with(e.event_type, {prefix})"));
            }
        }
        conditions
    }

    /// All conditions.
    pub(super) fn holds(&self) -> String {
        match self.conditions.is_empty() {
            true => "true".to_owned(),
            false => self.conditions.join(" AND "),
        }
    }

    pub(super) async fn ask(&self, client: &Client, sql: &str) -> Result<Vec<Row>, Fault> {
        let values: Vec<Param<'_>> =
            self.values.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
        Ok(client.query_typed(sql, &values).await?)
    }
}

/// The bytes of ids that begin with these hex digits: the first and the last that there can be. `None` if there is none.
pub(super) fn ids_with_prefix(prefix: &str) -> Option<([u8; 16], [u8; 16])> {
    let end = |fill: char| {
        let mut digits = prefix.to_owned();
        while digits.len() < 32 {
            let _ = digits.write_char(fill);
        }
        let number = u128::from_str_radix(&digits, 16).ok()?;
        Some(number.to_be_bytes())
    };
    (prefix.len() <= 32).then(|| end('0').zip(end('f'))).flatten()
}
